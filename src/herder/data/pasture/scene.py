"""One scene: landscape, herd, what stands in front, and the exact truth.

The truth follows the rule of most annotators: a box spans the whole animal, also where something else covers it, as
far as it lies inside the picture. It is taken from the animal's own painted pixels, so that it is exact to the pixel.
Notation: N animals, S the picture's side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.data.pasture.alpaca import draw_animal, paint_animal
from herder.data.pasture.config import PastureConfig
from herder.data.pasture.landscape import (
    STEEPNESS,
    cast_shadow,
    paint_fence,
    paint_ground,
    paint_hills,
    paint_sky,
    paint_thing,
)
from herder.data.pasture.light import Illumination, draw_light
from herder.data.pasture.shading import Sprite

TRIES = 12
"""Places tried for an animal before the pasture counts as full."""

MOST_HIDDEN = 0.5
"""How much of an animal's box a nearer animal's box may cover, at full occlusion."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture (S, S, 3) uint8 RGB, boxes (N, 4) xyxy pixels, and the fraction (N,) of each animal that can be
    seen."""

    picture: NDArray[np.uint8]
    boxes: FloatArray
    visible: FloatArray


@dataclass
class _Placed:
    """Something painted: its sprite, how near it is (pixel height of an animal there), and whether it is an animal."""

    sprite: Sprite
    near: float
    animal: bool
    foot: tuple[float, float]
    width: float
    height: float


def pasture_scene(config: PastureConfig, index: int) -> Scene:
    """Scene number ``index`` of a pasture: it follows from ``config`` and ``index`` alone.

    >>> scene = pasture_scene(PastureConfig(size=96, herd=(1, 1)), 0)
    >>> scene.picture.shape, scene.boxes.shape
    ((96, 96, 3), (1, 4))
    """
    rng = np.random.default_rng((config.seed, index))
    size = config.size
    light = draw_light(config.light, rng)
    horizon = int(size * rng.uniform(0.12, 0.42))
    things = _herd(config, horizon, light, rng)
    things += _distractors(config, horizon, light, rng)
    things += _occluders(config, [t for t in things if t.animal], light, rng)
    things.sort(key=lambda thing: thing.near)
    visible = _visible(things, size)
    hidden = {i for i, thing in enumerate(things) if thing.animal and visible[i] < config.min_visible}
    things = [thing for i, thing in enumerate(things) if i not in hidden]
    picture = paint_sky(size, horizon, light, rng)
    paint_hills(picture, horizon, light, rng)
    paint_ground(picture, horizon, light, rng)
    for thing in things:  # shadows lie on the ground: under everything
        cast_shadow(picture, *thing.foot, thing.width, thing.height, light)
    for thing in things:
        _paint(picture, thing.sprite)
    picture += rng.normal(0, light.grain, picture.shape).astype(np.float32)
    herd = [(i, thing) for i, thing in enumerate(things) if thing.animal]
    seen = _visible(things, size)
    boxes = np.array([sprite_box(thing.sprite, size) for _, thing in herd], np.float32).reshape(-1, 4)
    return Scene(picture.clip(0, 255).astype(np.uint8), boxes, np.array([seen[i] for i, _ in herd], np.float32))


def sprite_box(sprite: Sprite, size: int) -> tuple[int, int, int, int]:
    """The box (x1, y1, x2, y2) of a sprite's painted pixels inside a picture of side ``size``; zeros where there is
    none."""
    rows, columns, own_rows, own_columns = sprite.window(size)
    painted = sprite.alpha[own_rows, own_columns] > 0
    ys, xs = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
    if not len(ys):
        return 0, 0, 0, 0
    left, top = columns.start + int(xs[0]), rows.start + int(ys[0])
    return left, top, columns.start + int(xs[-1]) + 1, rows.start + int(ys[-1]) + 1


def _herd(config: PastureConfig, horizon: int, light: Illumination, rng: np.random.Generator) -> list[_Placed]:
    size, placed = config.size, []
    reaches: list[FloatArray] = []
    for _ in range(int(rng.integers(config.herd[0], config.herd[1] + 1))):
        for _ in range(TRIES):
            # Uniform in the logarithm: as many small animals as large ones.
            height = float(np.exp(rng.uniform(*np.log(config.scale)))) * size
            foot = horizon + height / STEEPNESS * float(rng.uniform(0.85, 1.15))
            x = float(rng.uniform(0.02, 0.98)) * size
            animal = draw_animal(height * (0.7 if (young := rng.uniform() < 0.15) else 1), rng, young=bool(young))
            left, right, up = animal.reach
            box = np.array([x - left, foot - up, x + right, foot], np.float32)
            inside = np.clip(box, 0, size)
            share = np.prod(inside[2:] - inside[:2]) / np.prod(box[2:] - box[:2])
            if foot > size * 1.12 or share < 0.55:
                continue
            allowed = MOST_HIDDEN * config.occlusion
            if all(_covered(box, other) <= allowed and _covered(other, box) <= allowed for other in reaches):
                break
        else:
            break  # the pasture is full
        reaches.append(box)
        sprite = paint_animal(animal, x, foot, light, size / height, rng)
        if sprite_box(sprite, size)[2]:
            placed.append(_Placed(sprite, foot, True, (x, foot), left + right, up))
    return placed


def _covered(box: FloatArray, by: FloatArray) -> float:
    sides = np.minimum(box[2:], by[2:]) - np.maximum(box[:2], by[:2])
    return float(np.clip(sides, 0, None).prod() / (box[2:] - box[:2]).prod())


def _distractors(config: PastureConfig, horizon: int, light: Illumination, rng: np.random.Generator) -> list[_Placed]:
    placed = []
    for _ in range(int(rng.integers(config.distractors[0], config.distractors[1] + 1))):
        kind = str(rng.choice(["rock", "bush", "bale", "stump"]))
        near = float(np.exp(rng.uniform(*np.log(config.scale)))) * config.size
        foot, x = horizon + near / STEEPNESS, float(rng.uniform(0, 1)) * config.size
        placed.append(_thing(kind, x, foot, near, near * float(rng.uniform(0.18, 0.5)), config.size, light, rng))
    return placed


def _occluders(
    config: PastureConfig, herd: list[_Placed], light: Illumination, rng: np.random.Generator
) -> list[_Placed]:
    placed = []
    for animal in herd:
        if rng.uniform() >= config.occlusion * 0.6:
            continue
        x = animal.foot[0] + float(rng.uniform(-0.35, 0.35)) * animal.width
        foot, height = animal.foot[1] + 0.03 * animal.height, animal.height * float(rng.uniform(0.3, 0.6))
        placed.append(_thing("bush", x, foot, animal.near + 1, height, config.size, light, rng))
    if herd and rng.uniform() < config.occlusion * 0.6:
        behind = herd[int(rng.integers(len(herd)))]
        foot, height = behind.foot[1] + 0.06 * behind.height, max(6.0, behind.height * float(rng.uniform(0.5, 0.8)))
        fence = paint_fence(config.size, foot, height, light, rng)
        placed.append(_Placed(fence, foot, False, (config.size / 2, foot), 1, 1))
    return placed


def _thing(
    kind: str,
    x: float,
    foot: float,
    near: float,
    height: float,
    size: int,
    light: Illumination,
    rng: np.random.Generator,
) -> _Placed:
    height = max(4.0, height)
    sprite = paint_thing(kind, x, foot, height, light, size / max(near, 1), rng)
    return _Placed(sprite, foot, False, (x, foot), height, height * 0.6)


def _visible(things: list[_Placed], size: int) -> list[float]:
    """The fraction of each thing's painted pixels in the picture that nothing nearer covers by half or more."""
    owner = np.full((size, size), -1, np.int32)
    own = []
    for i, thing in enumerate(things):
        rows, columns, own_rows, own_columns = thing.sprite.window(size)
        alpha = thing.sprite.alpha[own_rows, own_columns]
        owner[rows, columns][alpha >= 0.5] = i
        own.append(max(1, int((alpha >= 0.5).sum())))
    counts = np.bincount(owner.ravel() + 1, minlength=len(things) + 1)[1:]
    return [float(counts[i] / own[i]) for i in range(len(things))]


def _paint(picture: FloatArray, sprite: Sprite) -> None:
    rows, columns, own_rows, own_columns = sprite.window(len(picture))
    alpha = sprite.alpha[own_rows, own_columns, None]
    picture[rows, columns] += (sprite.colour[own_rows, own_columns] - picture[rows, columns]) * alpha
