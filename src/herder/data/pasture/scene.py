"""One scene: landscape, herd, what stands in front, and the exact truth.

The truth follows the rule of most annotators: a box spans the whole animal, also where something else covers it, as
far as it lies inside the picture. It is taken from the animal's own painted pixels, so that it is exact to the pixel.
Notation: N animals, S the picture's side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.data.pasture.alpaca import draw_animal, paint_animal
from herder.data.pasture.config import PastureConfig
from herder.data.pasture.landscape import STEEPNESS, cast_shadow, paint_landscape
from herder.data.pasture.light import Illumination, draw_light
from herder.data.pasture.scenery import WIDTHS, paint_fence, paint_thing
from herder.data.pasture.shading import Sprite
from herder.data.pasture.textures import cut, fractal

TRIES = 12
"""Places tried for an animal before the pasture counts as full."""

MOST_HIDDEN = 0.5
"""How much of an animal's box a nearer animal's box may cover, at full occlusion."""

LEAST_INSIDE = 0.55
"""An animal stands so that at least this much of its box is in the picture."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture (S, S, 3) uint8 RGB, boxes (N, 4) xyxy pixels, and the fraction (N,) of each animal that can be
    seen."""

    picture: NDArray[np.uint8]
    boxes: FloatArray
    visible: FloatArray


@dataclass(frozen=True, eq=False)
class Thing:
    """Something painted: its sprite, how near it is (row of its foot on flat ground), and whether it is an animal."""

    sprite: Sprite
    near: float
    animal: bool
    foot: tuple[float, float]
    """Picture point (x, y) it stands on."""
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class Layout:
    """A scene in parts: the empty pasture with all shadows (S, S, 3) float32, what stands on it from far to near, and
    the sensor's noise (S, S, 3)."""

    ground: FloatArray
    things: tuple[Thing, ...]
    visible: tuple[float, ...]
    """For each thing, the fraction of its pixels in the picture that nothing nearer hides."""
    grain: FloatArray


def pasture_scene(config: PastureConfig, index: int) -> Scene:
    """Scene number ``index`` of a pasture: it follows from ``config`` and ``index`` alone.

    >>> scene = pasture_scene(PastureConfig(size=96, herd=(1, 1)), 0)
    >>> scene.picture.shape, scene.boxes.shape
    ((96, 96, 3), (1, 4))
    """
    layout = lay_out(config, index)
    herd = [i for i, thing in enumerate(layout.things) if thing.animal]
    boxes = np.array([sprite_box(layout.things[i].sprite, config.size) for i in herd], np.float32).reshape(-1, 4)
    visible = np.array([layout.visible[i] for i in herd], np.float32)
    return Scene(compose(layout, range(len(layout.things))), boxes, visible)


def lay_out(config: PastureConfig, index: int) -> Layout:
    """Everything in scene ``index``, not yet put together."""
    rng = np.random.default_rng((config.seed, index))
    size = config.size
    light = draw_light(config.light, rng)
    horizon = int(size * rng.uniform(0.12, 0.42))
    slope = float(rng.uniform(-0.09, 0.09)) if rng.uniform() < 0.5 else 0.0
    place = _Place(size, horizon, slope, light)
    things = _herd(config, place, rng)
    things += _distractors(config, things, place, rng)
    things += _occluders(config, things, place, rng)
    things.sort(key=lambda thing: thing.near)
    visible = _visible(things, size)
    kept = [i for i, thing in enumerate(things) if not thing.animal or visible[i] >= config.min_visible]
    if len(kept) < len(things):  # what an animal left out had hidden can be seen again
        things = [things[i] for i in kept]
        visible = _visible(things, size)
    ground = paint_landscape(size, horizon, slope, light, rng)
    for thing in things:  # shadows lie on the ground: under everything
        cast_shadow(ground, *thing.foot, thing.width, thing.height, light)
    # Cut from white noise made once: drawing a fresh number for each pixel would take longer than the landscape.
    grain = cv2.merge([cut(fractal(0.0), rng, size, size, (1, 1)) * np.float32(light.grain) for _ in range(3)])
    return Layout(ground, tuple(things), tuple(visible), np.asarray(grain, np.float32))


def compose(layout: Layout, shown: Iterable[int]) -> NDArray[np.uint8]:
    """The picture (S, S, 3) uint8 with the things of these numbers; the others leave their shadows behind."""
    picture = layout.ground.copy()
    for i in shown:
        sprite = layout.things[i].sprite
        rows, columns, own_rows, own_columns = sprite.window(len(picture))
        alpha = sprite.alpha[own_rows, own_columns, None]
        picture[rows, columns] += (sprite.colour[own_rows, own_columns] - picture[rows, columns]) * alpha
    picture += layout.grain
    return picture.clip(0, 255).astype(np.uint8)


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


@dataclass(frozen=True)
class _Place:
    """Where things are put: the picture's side, the horizon's row, the slope, the light."""

    size: int
    horizon: int
    slope: float
    light: Illumination

    def foot(self, x: float, near: float) -> tuple[float, float]:
        """The picture point at column x of ground that lies at row ``near`` in the middle column."""
        return x, near + self.slope * (x - self.size / 2)

    def air(self, near: float) -> float:
        """The distance of ground at row ``near``, as ``Illumination.fade`` takes it."""
        return self.size / max((near - self.horizon) * STEEPNESS, 1.0)


def _herd(config: PastureConfig, place: _Place, rng: np.random.Generator) -> list[Thing]:
    size = config.size
    placed: list[Thing] = []
    reaches: list[FloatArray] = []
    for _ in range(int(rng.integers(config.herd[0], config.herd[1] + 1))):
        for _ in range(TRIES):
            # Uniform in the logarithm: as many small animals as large ones.
            height = float(np.exp(rng.uniform(*np.log(config.scale)))) * size
            young = bool(rng.uniform() < 0.15)
            near = place.horizon + height / (0.7 if young else 1.0) / STEEPNESS * float(rng.uniform(0.85, 1.15))
            x, foot = place.foot(float(rng.uniform(0.02, 0.98)) * size, near)
            animal = draw_animal(height, rng, young=young)
            left, right, up = animal.reach
            box = np.array([x - left, foot - up, x + right, foot], np.float32)
            inside = np.clip(box, 0, size)
            share = np.prod(inside[2:] - inside[:2]) / np.prod(box[2:] - box[:2])
            if near > size * 1.12 or share < LEAST_INSIDE:
                continue
            allowed = MOST_HIDDEN * config.occlusion
            if all(_covered(box, other) <= allowed and _covered(other, box) <= allowed for other in reaches):
                break
        else:
            break  # the pasture is full
        sprite = paint_animal(animal, x, foot, place.light, place.air(near), rng)
        if sprite_box(sprite, size)[2]:
            reaches.append(box)
            placed.append(Thing(sprite, near, True, (x, foot), left + right, up))
    return placed


def _covered(box: FloatArray, by: FloatArray) -> float:
    """The fraction of ``box`` (4,) that lies in ``by`` (4,)."""
    sides = np.minimum(box[2:], by[2:]) - np.maximum(box[:2], by[:2])
    return float(np.clip(sides, 0, None).prod() / (box[2:] - box[:2]).prod())


def _distractors(config: PastureConfig, herd: list[Thing], place: _Place, rng: np.random.Generator) -> list[Thing]:
    placed: list[Thing] = []
    boxes = [np.array(sprite_box(animal.sprite, config.size), np.float32) for animal in herd]
    for _ in range(int(rng.integers(config.distractors[0], config.distractors[1] + 1))):
        kind = str(rng.choice(list(WIDTHS)))
        animal = float(np.exp(rng.uniform(*np.log(config.scale)))) * config.size  # how high one would be there
        near, x = place.horizon + animal / STEEPNESS, float(rng.uniform(0, 1)) * config.size
        thing = _thing(kind, x, near, animal * float(rng.uniform(0.18, 0.5)), place, rng)
        box = np.array(sprite_box(thing.sprite, config.size), np.float32)
        before = [own for other, own in zip(herd, boxes, strict=True) if other.near <= near]
        if all(_covered(own, box) <= MOST_HIDDEN * config.occlusion for own in before):
            placed.append(thing)
    return placed


def _occluders(config: PastureConfig, things: list[Thing], place: _Place, rng: np.random.Generator) -> list[Thing]:
    """Bushes and a fence put before animals, as often as the settings want."""
    placed = []
    herd = [thing for thing in things if thing.animal]
    for animal in herd:
        if rng.uniform() >= config.occlusion * 0.6:
            continue
        x = animal.foot[0] + float(rng.uniform(-0.35, 0.35)) * animal.width
        height = animal.height * float(rng.uniform(0.3, 0.6))
        placed.append(_thing("bush", x, animal.near + 0.03 * animal.height + 1, height, place, rng))
    if herd and rng.uniform() < config.occlusion * 0.6:
        behind = herd[int(rng.integers(len(herd)))]
        near = behind.near + 0.06 * behind.height + 1
        height = max(6.0, (near - place.horizon) * STEEPNESS * float(rng.uniform(0.5, 0.75)))
        fence = paint_fence(config.size, near, place.slope, height, place.light, place.air(near), rng)
        placed.append(Thing(fence, near, False, place.foot(config.size / 2, near), 1, 1))
    return placed


def _thing(kind: str, x: float, near: float, height: float, place: _Place, rng: np.random.Generator) -> Thing:
    height = max(4.0, height)
    foot = place.foot(x, near)
    sprite = paint_thing(kind, *foot, height, place.light, place.air(near), rng)
    return Thing(sprite, near, False, foot, height * WIDTHS[kind], height * 0.6)


def _visible(things: list[Thing], size: int) -> list[float]:
    """The fraction of each thing's paint inside the picture that reaches the eye through all that stands before it."""
    clear: FloatArray = np.ones((size, size), np.float32)
    seen = []
    for thing in reversed(things):  # from near to far
        rows, columns, own_rows, own_columns = thing.sprite.window(size)
        alpha = thing.sprite.alpha[own_rows, own_columns]
        left = clear[rows, columns]
        total = float(alpha.sum())
        seen.append(float(np.vdot(alpha, left)) / total if total else 0.0)
        left *= 1 - alpha
    return seen[::-1]
