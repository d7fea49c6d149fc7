"""What lies around the animals: sky, hills, trees on the skyline, and the ground.

A point of the ground at picture row y lies at the depth where a grown animal is ``(y - horizon) * STEEPNESS`` pixels
high: the same rule places animals, fades them into the air and thins the grass.
Notation: S the picture's side.
"""

from __future__ import annotations

import cv2
import numpy as np

from herder.boxes import FloatArray
from herder.data.pasture.config import Light
from herder.data.pasture.light import Illumination, rgb
from herder.data.pasture.textures import TILE, curls, cut, fractal

STEEPNESS = 0.85
"""Pixels of animal height per pixel below the horizon."""

GRASS = (rgb(104, 142, 62), rgb(146, 150, 74), rgb(172, 150, 92), rgb(88, 128, 70))
"""Colours of pastures, from spring to a dry summer."""

SOIL, LEAF = rgb(168, 140, 108), rgb(70, 104, 48)


def paint_landscape(size: int, horizon: int, slope: float, light: Illumination, rng: np.random.Generator) -> FloatArray:
    """The empty pasture (S, S, 3) float32 0..255. ``slope`` is how many rows it falls per column to the right, around
    the middle column, where the horizon has the row ``horizon``."""
    picture = paint_sky(size, horizon, light, rng)
    paint_hills(picture, horizon, light, rng)
    paint_ground(picture, horizon, light, rng)
    if slope:
        shear = np.array([[1, 0, 0], [slope, 1, -slope * size / 2]], np.float32)
        picture = np.asarray(
            cv2.warpAffine(picture, shear, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
            np.float32,
        )
    return picture


def paint_sky(size: int, horizon: int, light: Illumination, rng: np.random.Generator) -> FloatArray:
    """A picture (S, S, 3) float32 0..255 with sky and clouds down to the row ``horizon``; below it is left black."""
    picture = np.zeros((size, size, 3), np.float32)
    down = (np.arange(horizon, dtype=np.float32) / max(horizon - 1, 1)) ** 0.8
    sky = light.zenith + (light.skyline - light.zenith) * down[:, None]  # (horizon, 3)
    picture[:horizon] = sky[:, None]
    zoom = size / 300
    cloud = cut(fractal(1.9), rng, horizon, size, (zoom * 0.7, zoom * 1.8))
    cover = np.clip((cloud - np.float32(rng.uniform(-0.2, 1.2))) * np.float32(0.9), 0, 0.85)
    if light.kind is Light.FOG:
        cover *= np.float32(0.3)
    picture[:horizon] += (light.cloud - picture[:horizon]) * cover[..., None]
    if light.kind in (Light.BACKLIGHT, Light.NIGHT):
        moon = light.kind is Light.NIGHT
        at = size * float(rng.uniform(0.1, 0.9)), horizon * float(rng.uniform(0.2, 0.5 if moon else 0.8))
        _shine(picture, at, size * (0.018 if moon else 0.045), size * (0.05 if moon else 0.3), moon)
    return picture


def _shine(picture: FloatArray, at: tuple[float, float], radius: float, spread: float, moon: bool) -> None:
    """Add the disc of sun or moon at (x, y) and its glow, which reaches about ``spread`` pixels."""
    size = len(picture)
    x, y = np.arange(size, dtype=np.float32) - at[0], np.arange(size, dtype=np.float32) - at[1]
    glow = np.exp(-(y * y) / (2 * spread**2))[:, None] * np.exp(-(x * x) / (2 * spread**2))[None]
    disc = np.clip(radius - np.hypot(y[:, None], x[None]) + 0.5, 0, 1)
    colour = rgb(190, 195, 205) if moon else rgb(255, 235, 190)
    strength = (np.float32(0.16 if moon else 0.4) * glow + np.float32(0.8) * disc)[..., None]
    picture += colour * strength


def paint_hills(picture: FloatArray, horizon: int, light: Illumination, rng: np.random.Generator) -> None:
    """Up to three ridges behind the pasture, the farthest first, some of them wooded."""
    size = len(picture)
    x = np.arange(size, dtype=np.float32)
    for k in range(int(rng.integers(0, 4)), 0, -1):
        waves = np.zeros(size, np.float32)
        for i in (1, 2, 4):
            turn = x * np.float32(np.pi * i * rng.uniform(0.8, 2.5) / size) + np.float32(rng.uniform(0, 6.3))
            waves += np.float32(rng.uniform(0.2, 1) / i) * np.sin(turn)
        rise = size * 0.035 * k * (1.3 + waves)
        top = horizon - rise * min(1.0, 0.65 * horizon / float(rise.max()))
        wooded = rng.uniform() < 0.5
        if wooded:  # crowns
            top = top - np.abs(cut(curls(), rng, 2, size, (1.0, size / 320))[0]) * size * 0.012
        colour = light.fade((LEAF if wooded else GRASS[k - 1] * 0.8) * light.ambient * 1.5, 6.0 * k)
        first = int(np.clip(top.min(), 0, horizon))
        y = np.arange(first, horizon, dtype=np.float32)
        cover = np.clip(y[:, None] + np.float32(0.5) - top[None].astype(np.float32), 0, 1)
        grain = (
            cut(curls() if wooded else fractal(1.0), rng, len(y), size, (size / 400, size / 300)) if len(y) else cover
        )
        tone = 1 + np.float32(0.13 if wooded else 0.05) * np.float32(np.exp(-light.haze * 6.0 * k)) * grain
        strip = picture[first:horizon]
        strip += (colour * tone[..., None] - strip) * cover[..., None]


def paint_ground(picture: FloatArray, horizon: int, light: Illumination, rng: np.random.Generator) -> None:
    """Grass from the horizon down: large patches, blades that grow towards the viewer, sometimes a trodden path."""
    size = len(picture)
    rows = size - horizon
    y, x = np.arange(rows, dtype=np.float32) + np.float32(0.5), np.arange(size, dtype=np.float32)
    near = y / rows  # 0 at the horizon, 1 at the viewer
    base = GRASS[int(rng.integers(len(GRASS)))] * np.float32(rng.uniform(0.85, 1.15))
    other = GRASS[int(rng.integers(len(GRASS)))]
    # Looking along the ground: what is n times as far is n times as small, across as well as down.
    depth = 1 / np.maximum(near, np.float32(0.02))
    u = (x[None] - size / 2) * (depth * np.float32(0.35 * 256 / size))[:, None] + np.float32(rng.uniform(0, TILE))
    v = np.repeat((depth * np.float32(0.35 * 90) + np.float32(rng.uniform(0, TILE)))[:, None], size, axis=1)
    tile = fractal(1.0)[:TILE, :TILE]
    patches = cv2.remap(tile, u.astype(np.float32), v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    blades = cut(fractal(0.4), rng, rows, size, (size / 220, size / 420))
    share = np.clip(np.float32(0.5) + np.float32(0.35) * patches, 0, 1)
    soil = np.zeros((rows, size), np.float32)
    if rng.uniform() < 0.3:
        # Straight in the world, so straight in the picture: from a vanishing point to anywhere before the viewer.
        middle = size * (rng.uniform(0.2, 0.8) + near * rng.uniform(-0.7, 0.7))
        half = size * rng.uniform(0.03, 0.1) * near + 1
        edge = np.abs(x[None] - middle[:, None]) / half[:, None] + 0.25 * patches
        soil = np.asarray(np.clip(1.6 - edge, 0, 1) * 0.8, np.float32)
    sun = light.ambient + light.sun_colour * max(0.25, -float(light.sun[1]))
    blades *= (np.float32(0.04) + np.float32(0.12) * near)[:, None]
    tone = (1 + blades + np.float32(0.05) * patches) * np.exp(-light.haze * 0.9 / np.maximum(near, 0.04))[:, None]
    tone = tone.astype(np.float32)
    air = 1 - np.exp(-light.haze * 0.9 / np.maximum(near, np.float32(0.04)))[:, None]
    channels = []
    for i in range(3):  # one channel at a time stays in the processor's cache
        grass = base[i] + (other[i] - base[i]) * share
        channels.append((grass + (SOIL[i] - grass) * soil) * sun[i] * tone + light.skyline[i] * air)
    cv2.merge(channels, picture[horizon:])
    np.clip(picture[horizon:], 0, 255, out=picture[horizon:])


def cast_shadow(picture: FloatArray, x: float, y: float, width: float, height: float, light: Illumination) -> None:
    """Darken the ground under something ``width`` pixels wide that stands at (x, y) and is ``height`` pixels high."""
    size = len(picture)
    reach = light.slant * height * 0.35
    across, down = max(1.0, width / 2 + abs(reach) / 2), max(1.0, height * 0.06)
    middle = x + reach / 2
    top, bottom = max(0, int(y - 2.5 * down)), min(size, int(y + 2.5 * down) + 1)
    left, right = max(0, int(middle - 2 * across)), min(size, int(middle + 2 * across) + 1)
    if top >= bottom or left >= right:
        return
    rows = ((np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - y)) / np.float32(down)) ** 2
    columns = ((np.arange(left, right, dtype=np.float32) + np.float32(0.5 - middle)) / np.float32(across)) ** 2
    shade = 1 - np.float32(light.shadow) * np.exp(
        -((rows[:, None] + columns[None]) ** 2)
    )  # flat inside, soft at the rim
    picture[top:bottom, left:right] *= shade[..., None]
