"""Things that stand about or in front of the herd and are no animals: rocks, bushes, hay bales, stumps, fences."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.data.pasture.landscape import LEAF
from herder.data.pasture.light import Illumination, rgb
from herder.data.pasture.shading import Clay, Sprite
from herder.data.pasture.textures import curls, cut, fractal

WIDTHS = {"rock": 1.5, "bush": 1.35, "bale": 1.3, "stump": 1.0}
"""Kinds of things, and how wide each is for its height."""

ROCK, HAY, WOOD = rgb(142, 138, 132), rgb(206, 176, 96), rgb(122, 96, 70)


def paint_thing(
    kind: str, x: float, y: float, height: float, light: Illumination, air: float, rng: np.random.Generator
) -> Sprite:
    """A thing of ``height`` pixels with its foot at picture point (x, y); ``kind`` is one of ``WIDTHS``."""
    shrink = 3 if height < 40 else 2
    unit = height * shrink
    wide = WIDTHS[kind] * float(rng.uniform(0.85, 1.2))
    rows, columns = int(unit * 1.15), int(unit * wide * 1.15)
    rows, columns = -(-rows // shrink) * shrink, -(-columns // shrink) * shrink
    zoom = unit / {"bush": 260, "rock": 120}.get(kind, 200)
    noise = cut(fractal(0.9), rng, rows, columns, (zoom * (3 if kind == "stump" else 1), zoom))
    if kind == "bush":
        noise = np.float32(0.7) * noise + np.float32(0.7) * cut(curls(), rng, rows, columns, (zoom, zoom))
    clay = Clay(noise, unit)
    lay = {"rock": _rock, "bush": _bush, "bale": _bale, "stump": _stump}[kind]
    lay(clay, rng)
    sprite = clay.bake(
        light, x - columns / shrink / 2, y - rows / shrink * 0.95, shrink, bump=0.045 if kind == "bush" else 0.03
    )
    return Sprite(light.fade(sprite.colour, air), sprite.alpha, sprite.left, sprite.top)


def _rock(clay: Clay, rng: np.random.Generator) -> None:
    """A boulder: an uneven polygon, flat below."""
    rows, columns = clay.noise.shape
    turn = np.linspace(0, 2 * np.pi, 11, endpoint=False) + rng.uniform(0, 0.5)
    reach = rng.uniform(0.8, 1.08, 11)
    points = np.stack([columns * (0.5 + 0.43 * reach * np.cos(turn)), rows * (0.55 + 0.42 * reach * np.sin(turn))], 1)
    points[:, 1] = np.minimum(points[:, 1], rows * 0.93)
    mask = _empty(clay)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 255)
    clay.lay(mask, ROCK * np.float32(rng.uniform(0.7, 1.35)), puff=0.16, fuzz=0.025)


def _bush(clay: Clay, rng: np.random.Generator) -> None:
    """Balls of leaves, the lower ones in front."""
    rows, columns = clay.noise.shape
    leaf = LEAF * rng.uniform(0.8, 1.25, 3).astype(np.float32)
    for high in (0.42, 0.5, 0.66, 0.7):
        mask = _empty(clay)
        for _ in range(3):
            at = columns * float(rng.uniform(0.24, 0.76)), rows * (high + float(rng.uniform(-0.06, 0.06)))
            radii = columns * float(rng.uniform(0.17, 0.24)), rows * float(rng.uniform(0.17, 0.24))
            cv2.ellipse(mask, _whole(*at), _whole(*radii), 0, 0, 360, 255, -1)
        clay.lay(mask, leaf * np.float32(rng.uniform(0.85, 1.15)), puff=0.13, fuzz=0.05, crease=0.22, join=True)


def _bale(clay: Clay, rng: np.random.Generator) -> None:
    """A round bale on its side: a drum, and its face with the turns of the hay."""
    rows, columns = clay.noise.shape
    hay = HAY * np.float32(rng.uniform(0.8, 1.12))
    side = float(rng.choice([-1, 1]))
    middle, radius = rows * 0.52, rows * 0.41
    face = columns * (0.5 - side * 0.2), radius * 0.62
    drum = _empty(clay)
    ends = sorted((face[0], columns * (0.5 + side * 0.22)))
    cv2.rectangle(drum, _whole(ends[0], middle - radius), _whole(ends[1], middle + radius), 255, -1)
    for end in ends:
        cv2.ellipse(drum, _whole(end, middle), _whole(face[1], radius), 0, 0, 360, 255, -1)
    clay.lay(drum, hay, puff=0.12, fuzz=0.012)
    front = _empty(clay)
    cv2.ellipse(front, _whole(face[0], middle), _whole(face[1], radius), 0, 0, 360, 255, -1)
    clay.lay(front, hay * np.float32(0.82), puff=0.025, fuzz=0.01, crease=0.15)
    turns = _empty(clay)
    for part in (0.25, 0.5, 0.75):
        ring = _whole(face[1] * part, radius * part)
        cv2.ellipse(turns, _whole(face[0], middle), ring, 0, 0, 360, 255, max(1, round(clay.unit * 0.025)))
    clay.lay(turns, hay * np.float32(0.6), puff=0.01, crease=0)


def _stump(clay: Clay, rng: np.random.Generator) -> None:
    """What is left of a tree: bark, a flared foot and a pale cut."""
    rows, columns = clay.noise.shape
    bark = WOOD * np.float32(rng.uniform(0.65, 1.0))
    trunk = _empty(clay)
    outline = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.72), (0.95, 0.93), (0.62, 0.9), (0.4, 0.95), (0.05, 0.92), (0.2, 0.7)]
    cv2.fillPoly(trunk, [(np.array(outline) * (columns, rows)).round().astype(np.int32)], 255)
    clay.lay(trunk, bark, puff=0.12, fuzz=0.015)
    top = _empty(clay)
    cv2.ellipse(top, _whole(columns * 0.5, rows * 0.2), _whole(columns * 0.3, rows * 0.12), 0, 0, 360, 255, -1)
    clay.lay(top, rgb(196, 164, 120), puff=0.02, rough=0.3, crease=0.2)


def paint_fence(
    size: int, y: float, slope: float, height: float, light: Illumination, air: float, rng: np.random.Generator
) -> Sprite:
    """A fence across the whole picture: posts, and rails or wires between them. Its foot has the row ``y`` in the
    middle column and falls by ``slope`` rows a column."""
    shrink = 2
    unit = height * shrink
    drop = abs(slope) * size / 2  # how far it rises and falls towards the sides
    rows, columns = int(height * 1.06 + 2 * drop + 2) * shrink, size * shrink
    foot = rows - drop * shrink  # in the middle column

    def at(column: float, up: float) -> tuple[int, int]:
        return _whole(column, foot + slope * (column - columns / 2) - up * unit)

    wires = bool(rng.uniform() < 0.5)
    boards = _empty_of(rows, columns)
    for level in (0.22, 0.55, 0.88):
        thick = max(1, round(unit * (0.014 if wires else 0.075)))
        cv2.line(boards, at(0, level), at(columns, level + float(rng.uniform(-0.02, 0.02))), 255, thick)
    posts = _empty_of(rows, columns)
    column = float(rng.uniform(0, unit))
    while column < columns:
        half = max(1.0, unit * 0.045)
        cv2.rectangle(posts, at(column - half, 1.0), at(column + half, 0.0), 255, -1)
        column += unit * float(rng.uniform(1.5, 2.1))
    zoom = max(unit / 200, 0.05)
    clay = Clay(cut(fractal(0.9), rng, rows, columns, (zoom, zoom * 3)), unit)
    wood = WOOD * np.float32(rng.uniform(0.8, 1.35))
    clay.lay(boards, rgb(128, 128, 126) if wires else wood * np.float32(1.08), puff=0.02, crease=0)
    clay.lay(posts, wood, puff=0.025, crease=0.2)
    sprite = clay.bake(light, 0, y - rows / shrink + drop, shrink, bump=0.02)
    return Sprite(light.fade(sprite.colour, air), sprite.alpha, sprite.left, sprite.top)


def _empty(clay: Clay) -> NDArray[np.uint8]:
    return np.zeros(clay.noise.shape, np.uint8)


def _empty_of(rows: int, columns: int) -> NDArray[np.uint8]:
    return np.zeros((rows, columns), np.uint8)


def _whole(x: float, y: float) -> tuple[int, int]:
    return round(float(x)), round(float(y))
