"""What surrounds the animals: sky, hills, ground, and the things that stand about or stand in front.

A point of the ground at picture row y lies at the depth where an animal is ``(y - horizon) * STEEPNESS`` pixels
high: the same rule places animals, fades them into the air and thins the grass.
"""

from __future__ import annotations

import cv2
import numpy as np

from herder.boxes import FloatArray
from herder.data.pasture.light import Illumination, rgb
from herder.data.pasture.shading import Clay, Sprite
from herder.data.pasture.textures import curls, cut, fractal

STEEPNESS = 0.85
"""Pixels of animal height per pixel below the horizon."""

GRASS = (rgb(104, 142, 62), rgb(146, 150, 74), rgb(172, 150, 92), rgb(88, 128, 70))
"""Colours of pastures, from spring to a dry summer."""

ROCK, LEAF, HAY, WOOD = rgb(142, 138, 132), rgb(70, 104, 48), rgb(206, 176, 96), rgb(122, 96, 70)


def paint_sky(size: int, horizon: int, light: Illumination, rng: np.random.Generator) -> FloatArray:
    """Picture (size, size, 3) float32 0..255 of sky and clouds; below the horizon it is not finished."""
    down = np.linspace(0, 1, max(horizon, 1), dtype=np.float32) ** 0.8
    rows = np.ones(size, np.float32)
    rows[: len(down)] = down[:size]
    sky = light.zenith + (light.skyline - light.zenith) * rows[:, None]  # (size, 3)
    picture = np.repeat(sky[:, None], size, axis=1).astype(np.float32)
    zoom = size / 300
    cloud = cut(fractal(1.9), rng, size, size, (zoom * 0.7, zoom * 1.8))
    cover = np.clip((cloud - rng.uniform(-0.2, 1.2)) * 0.9, 0, 0.85)[..., None]
    return np.asarray(picture + (light.cloud - picture) * cover, np.float32)


def paint_hills(picture: FloatArray, horizon: int, light: Illumination, rng: np.random.Generator) -> None:
    """Up to three ridges behind the pasture, the farthest first, and a line of trees on some."""
    size = len(picture)
    x = np.arange(size)
    for k in range(int(rng.integers(0, 4)), 0, -1):
        waves = np.zeros(size)
        for i in (1, 2, 4):
            turn = x / size * np.pi * i * rng.uniform(0.8, 2.5) + rng.uniform(0, 6.3)
            waves += rng.uniform(0.2, 1) / i * np.sin(turn)
        top = horizon - size * 0.035 * k * (1.3 + waves)
        wooded = rng.uniform() < 0.5
        if wooded:
            top = top - np.abs(cut(curls(), rng, 2, size, (1.0, size / 320))[0]) * size * 0.012
        colour = light.fade((LEAF if wooded else GRASS[k - 1] * 0.8) * light.ambient * 1.5, 6.0 * k)
        mask = (np.arange(size)[:, None] >= top[None]) & (np.arange(size)[:, None] < horizon + 1)
        picture[mask] = colour


def paint_ground(picture: FloatArray, horizon: int, light: Illumination, rng: np.random.Generator) -> None:
    """Grass from the horizon down: large patches, blades that grow towards the viewer, sometimes a path."""
    size = len(picture)
    rows = size - horizon
    if rows < 1:
        return
    y, x = np.arange(rows, dtype=np.float32) + 0.5, np.arange(size, dtype=np.float32)
    near = y / rows  # 0 at the horizon, 1 at the viewer
    base = GRASS[int(rng.integers(len(GRASS)))] * np.float32(rng.uniform(0.85, 1.15))
    other = GRASS[int(rng.integers(len(GRASS)))]
    # Looking along the ground: what is n times as far is n times as small, across as well as down.
    depth = 1 / np.maximum(near, 0.02)
    tile = fractal(1.0)
    limit = len(tile) // 2
    u = (x[None] - size / 2) * depth[:, None] * (256 / size) + rng.uniform(0, limit)
    v = np.repeat((depth * 90)[:, None], size, axis=1) + rng.uniform(0, limit)
    patches = cv2.remap(tile, (u * 0.35) % limit, (v * 0.35) % limit, cv2.INTER_LINEAR)
    blades = cut(fractal(0.4), rng, rows, size, (size / 220, size / 420)) * (0.25 + 0.75 * near)[:, None]
    share = np.clip(0.5 + 0.35 * patches, 0, 1)[..., None]
    colour = base * (1 - share) + other * share
    if rng.uniform() < 0.3:  # a trodden path that runs towards the viewer
        middle = size * (rng.uniform(0.2, 0.8) + (near - 0.5) * rng.uniform(-0.5, 0.5))
        half = size * rng.uniform(0.03, 0.1) * near + 1
        edge = np.abs(x[None] - middle[:, None]) / half[:, None] + 0.25 * patches
        soil = np.clip(1.6 - edge, 0, 1)[..., None] * 0.8
        colour = colour * (1 - soil) + rgb(168, 140, 108) * soil
    lit = colour * (light.ambient + light.sun_colour * max(0.25, -float(light.sun[1])))
    lit = lit * (1 + 0.16 * blades + 0.05 * patches)[..., None]
    picture[horizon:] = np.clip(
        light.fade(lit, np.asarray((1 / np.maximum(near, 0.04))[:, None] * 0.9, np.float32)), 0, 255
    )


def cast_shadow(picture: FloatArray, x: float, y: float, width: float, height: float, light: Illumination) -> None:
    """Darken the ground under something ``width`` pixels wide that stands at (x, y) and is ``height`` pixels high."""
    size = len(picture)
    shade = np.zeros((size, size), np.uint8)
    reach = light.slant * height * 0.35
    centre = (round(x + reach / 2), round(y))
    axes = (max(1, round(width / 2 + abs(reach) / 2)), max(1, round(height * 0.06)))
    cv2.ellipse(shade, centre, axes, 0, 0, 360, 255, -1)
    top, bottom = max(0, centre[1] - 3 * axes[1]), min(size, centre[1] + 3 * axes[1] + 1)
    left, right = max(0, centre[0] - 2 * axes[0]), min(size, centre[0] + 2 * axes[0] + 1)
    if top >= bottom or left >= right:
        return
    soft = cv2.GaussianBlur(shade[top:bottom, left:right].astype(np.float32) / 255, (0, 0), max(0.6, axes[1] * 0.45))
    picture[top:bottom, left:right] *= (1 - light.shadow * soft)[..., None]


def paint_thing(
    kind: str, x: float, y: float, height: float, light: Illumination, air: float, rng: np.random.Generator
) -> Sprite:
    """A rock, bush, bale or stump of ``height`` pixels with its foot at (x, y)."""
    shrink = 2
    unit = height * shrink
    wide = {"rock": 1.5, "bush": 1.35, "bale": 1.25, "stump": 0.8}[kind] * float(rng.uniform(0.85, 1.2))
    rows, columns = (max(2, int(side * unit * 1.15)) // shrink * shrink for side in (1.0, wide))
    tile = curls() if kind == "bush" else fractal(0.9)
    zoom = max(unit / (260 if kind == "bush" else 120), 0.02)
    clay = Clay(cut(tile, rng, rows, columns, (zoom, zoom)), unit)
    mask = np.zeros((rows, columns), np.uint8)
    centre = np.array([columns / 2, rows * 0.58])
    if kind in ("rock", "bush"):
        for _ in range(1 if kind == "rock" else 7):
            spread = 0 if kind == "rock" else 0.24
            middle = centre + rng.uniform(-spread, spread, 2) * (columns, rows * 0.7)
            radii = np.array([columns, rows]) * (0.4 if kind == "rock" else rng.uniform(0.16, 0.28))
            cv2.ellipse(mask, tuple(map(round, middle)), tuple(map(round, radii)), 0, 0, 360, 255, -1)
        colour = (ROCK if kind == "rock" else LEAF) * np.float32(rng.uniform(0.75, 1.2))
        clay.lay(mask, colour, puff=0.2, fuzz=0.03 if kind == "bush" else 0.012)
    else:
        left, right, top = round(columns * 0.08), round(columns * 0.92), round(rows * 0.12)
        cv2.rectangle(mask, (left, top), (right, round(rows * 0.92)), 255, -1)
        clay.lay(mask, HAY if kind == "bale" else WOOD, puff=0.12, fuzz=0.01)
    sprite = clay.bake(light, x - columns / shrink / 2, y - rows / shrink * 0.95, shrink, bump=0.05)
    return Sprite(light.fade(sprite.colour, air), sprite.alpha, sprite.left, sprite.top)


def paint_fence(size: int, y: float, height: float, light: Illumination, rng: np.random.Generator) -> Sprite:
    """A fence across the whole picture with its foot at row y: posts, and rails or wires between them."""
    shrink = 2
    top = round(y - height)
    rows, columns = max(2, round(height * 1.05)) * shrink, size * shrink
    mask = np.zeros((rows, columns), np.uint8)
    unit = height * shrink
    wires = rng.uniform() < 0.5
    thick = max(1, round(unit * (0.012 if wires else 0.05)))
    for level in (0.2, 0.5, 0.8):
        row = round(rows * level)
        cv2.line(mask, (0, row), (columns, row + round(rng.uniform(-0.02, 0.02) * unit)), 255, thick)
    post = max(2, round(unit * 0.07))
    at = float(rng.uniform(0, unit))
    while at < columns:
        cv2.rectangle(mask, (round(at), round(rows * 0.06)), (round(at) + post, rows), 255, -1)
        at += unit * float(rng.uniform(1.5, 2.1))
    zoom = max(unit / 200, 0.05)
    clay = Clay(cut(fractal(0.9), rng, rows, columns, (zoom, zoom)), unit)
    clay.lay(mask, WOOD * np.float32(rng.uniform(0.8, 1.3)), puff=0.03, fuzz=0.0)
    sprite = clay.bake(light, 0, top, shrink, bump=0.05)
    return Sprite(light.fade(sprite.colour, size / height * 0.5), sprite.alpha, sprite.left, sprite.top)
