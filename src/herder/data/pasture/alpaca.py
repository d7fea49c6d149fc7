"""An alpaca: woolly body, long neck, small head with spear-shaped ears, slim legs; five poses and six coats."""

from __future__ import annotations

import numpy as np

from herder.boxes import FloatArray
from herder.data.pasture.anatomy import lay_front, lay_side
from herder.data.pasture.body import LEFT, RIGHT, UP, Animal, Body
from herder.data.pasture.light import Illumination, rgb
from herder.data.pasture.shading import Sprite
from herder.data.pasture.textures import cut, fractal

POSES = {"standing": 0.38, "grazing": 0.24, "lying": 0.16, "front": 0.14, "walking": 0.08}
"""How often each pose is drawn."""

COATS = {
    "white": rgb(238, 230, 214),
    "fawn": rgb(205, 164, 116),
    "brown": rgb(126, 82, 52),
    "black": rgb(52, 47, 46),
    "grey": rgb(152, 147, 142),
    "pied": rgb(232, 222, 204),
}
"""Colour of the wool; pied is light with patches of another coat."""


def draw_animal(height: float, rng: np.random.Generator, *, young: bool = False) -> Animal:
    """A random animal that is ``height`` picture pixels high when it stands."""
    pose = list(POSES)[int(rng.choice(len(POSES), p=list(POSES.values())))]
    coat = list(COATS)[int(rng.choice(len(COATS), p=[0.27, 0.2, 0.17, 0.11, 0.1, 0.15]))]
    return Animal(pose, coat, int(rng.choice([-1, 1])), height, young, float(rng.uniform(0.76, 1)))


def paint_animal(
    animal: Animal, x: float, y: float, light: Illumination, air: float, rng: np.random.Generator
) -> Sprite:
    """Paint the animal with its feet at picture point (x, y); ``air`` is the distance that the light's haze fades it
    by."""
    shrink = 3 if animal.height < 50 else 2
    body = Body(animal, shrink, rng)
    wool = COATS[animal.coat] * np.float32(rng.uniform(0.9, 1.06)) * rng.uniform(0.97, 1.03, 3).astype(np.float32)
    coat = _patched(body, wool) if animal.coat == "pied" else np.clip(wool, 20, 246)
    skin = _face_colour(animal, wool, rng)
    if animal.pose == "front":
        lay_front(body, coat, skin)
    else:
        lay_side(body, coat, skin)
    left = LEFT if animal.facing > 0 else -RIGHT
    sprite = body.clay.bake(light, x + left * animal.height, y - UP * animal.height, shrink)
    return Sprite(light.fade(sprite.colour, air), sprite.alpha, sprite.left, sprite.top)


def _face_colour(animal: Animal, wool: FloatArray, rng: np.random.Generator) -> FloatArray:
    if animal.coat == "black":
        return rgb(58, 52, 50)
    tone = rgb(190, 160, 128) if rng.uniform() < 0.55 else rgb(96, 74, 58)
    return np.asarray(np.clip(wool * 0.72 + tone * 0.26, 20, 240), np.float32)


def _patched(body: Body, wool: FloatArray) -> FloatArray:
    """Lay large patches over the body; return the colours (2, 3) of the wool and of the patches."""
    zoom = body.unit / 90
    field = cut(fractal(1.6), body.rng, body.height, body.width, (zoom, zoom)) + np.float32(0.12) * body.clay.noise
    other = COATS[str(body.rng.choice(["brown", "fawn", "black"]))]
    body.clay.patches = field > float(field.mean()) + float(body.rng.uniform(-0.15, 0.35))
    return np.stack([wool, other])
