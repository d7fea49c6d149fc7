"""An alpaca: woolly body, long neck, small head with spear-shaped ears, slim legs; five poses and six coats.

Lengths are in units of the standing height of the animal; the body's frame has x to the right, y up and the ground
at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.data.pasture.light import Illumination, rgb
from herder.data.pasture.shading import Clay, Sprite, curve, limb
from herder.data.pasture.textures import curls, cut, fractal

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

LEFT, RIGHT, UP, DOWN = -0.62, 0.76, 1.16, -0.06
"""What the sprite's canvas spans, in units."""


@dataclass(frozen=True)
class Animal:
    """What one animal looks like, before anything is drawn."""

    pose: str
    coat: str
    facing: int
    """1 to the right, -1 to the left."""
    height: float
    """Picture pixels when it stands up."""
    young: bool
    turn: float
    """How much of its length shows, 0.75 to 1: less when it stands at an angle."""

    @property
    def reach(self) -> tuple[float, float, float]:
        """Roughly how far it reaches from its standing point: left, right and up, in picture pixels."""
        if self.pose == "front":
            left, right, up = 0.24, 0.24, 1.0
        else:
            up = {"grazing": 0.66, "lying": 0.68}.get(self.pose, 1.03)
            left, right = 0.42 * self.turn, (0.62 if self.pose == "grazing" else 0.52) * self.turn
        if self.facing < 0:
            left, right = right, left
        return left * self.height, right * self.height, up * self.height


def draw_animal(height: float, rng: np.random.Generator, *, young: bool = False) -> Animal:
    """A random animal that is ``height`` picture pixels high when it stands."""
    pose = list(POSES)[int(rng.choice(len(POSES), p=list(POSES.values())))]
    coat = list(COATS)[int(rng.choice(len(COATS), p=[0.27, 0.2, 0.17, 0.11, 0.1, 0.15]))]
    return Animal(pose, coat, int(rng.choice([-1, 1])), height, young, float(rng.uniform(0.76, 1)))


class _Body:
    """A canvas in the body's frame, on which parts are drawn."""

    def __init__(self, animal: Animal, shrink: int, rng: np.random.Generator) -> None:
        self.animal, self.rng = animal, rng
        self.unit = animal.height * shrink
        self.width = -(-int((RIGHT - LEFT) * self.unit) // shrink) * shrink
        self.height = -(-int((UP - DOWN) * self.unit) // shrink) * shrink
        zoom = self.unit / 330
        noise = 0.75 * cut(curls(), rng, self.height, self.width, (zoom, zoom))
        noise = noise + 0.35 * cut(fractal(0.5), rng, self.height, self.width, (zoom, zoom))
        self.clay = Clay(np.asarray(noise, np.float32), self.unit)
        self.lift = 0.0
        self.squeeze = 1.0 if animal.pose == "front" else animal.turn

    def pixels(self, points: FloatArray) -> FloatArray:
        """Points (N, 2) of the body's frame to canvas pixels, turned and mirrored as the animal stands."""
        x = points[:, 0] * self.squeeze * self.animal.facing
        left = LEFT if self.animal.facing > 0 else -RIGHT
        return np.stack([(x - left) * self.unit, (UP - points[:, 1] - self.lift) * self.unit], axis=1)

    def mask(self) -> NDArray[np.uint8]:
        return np.zeros((self.height, self.width), np.uint8)

    def limb(self, mask: NDArray[np.uint8], control: list[tuple[float, float]], radii: tuple[float, ...]) -> None:
        points = curve(control)
        at = np.linspace(0, len(radii) - 1, len(points))
        limb(mask, self.pixels(points), np.interp(at, np.arange(len(radii)), radii).astype(np.float32) * self.unit)

    def blob(
        self, mask: NDArray[np.uint8], centre: tuple[float, float], radii: tuple[float, float], tilt: float = 0.0
    ) -> None:
        """An ellipse; ``tilt`` in degrees lifts its front."""
        t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
        points = np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y], axis=1).astype(np.float32)
        cv2.fillPoly(mask, [self.pixels(points).round().astype(np.int32)], 255)

    def polygon(self, mask: NDArray[np.uint8], points: list[tuple[float, float]]) -> None:
        cv2.fillPoly(mask, [self.pixels(np.asarray(points, np.float32)).round().astype(np.int32)], 255)


def paint_animal(
    animal: Animal, x: float, y: float, light: Illumination, air: float, rng: np.random.Generator
) -> Sprite:
    """Paint the animal with its feet at picture point (x, y); ``air`` is the distance that the light's haze fades it
    by."""
    shrink = 3 if animal.height < 70 else 2
    body = _Body(animal, shrink, rng)
    wool = COATS[animal.coat] * np.float32(rng.uniform(0.9, 1.06)) + rng.uniform(-6, 6, 3).astype(np.float32)
    coat = _patches(body, wool) if animal.coat == "pied" else np.clip(wool, 20, 246)
    skin = _face_colour(animal, wool, rng)
    if animal.pose == "front":
        _front(body, coat, skin)
    else:
        _side(body, coat, skin)
    left = LEFT if animal.facing > 0 else -RIGHT
    sprite = body.clay.bake(light, x + left * animal.height, y - UP * animal.height, shrink)
    return Sprite(light.fade(sprite.colour, air), sprite.alpha, sprite.left, sprite.top)


def _face_colour(animal: Animal, wool: FloatArray, rng: np.random.Generator) -> FloatArray:
    if animal.coat == "black":
        return rgb(58, 52, 50)
    tone = rgb(190, 160, 128) if rng.uniform() < 0.55 else rgb(96, 74, 58)
    return np.asarray(np.clip(wool * 0.72 + tone * 0.26, 20, 240), np.float32)


def _patches(body: _Body, wool: FloatArray) -> FloatArray:
    """Wool (H, W, 3) with large patches of a darker coat."""
    zoom = body.unit / 90
    field = cut(fractal(1.6), body.rng, body.height, body.width, (zoom, zoom)) + 0.12 * body.clay.noise
    other = COATS[str(body.rng.choice(["brown", "fawn", "black"]))]
    middle = float(np.median(field)) + float(body.rng.uniform(-0.15, 0.35))
    return np.where((field > middle)[..., None], other, wool).astype(np.float32)


def _side(body: _Body, coat: FloatArray, skin: FloatArray) -> None:
    animal, rng, clay = body.animal, body.rng, body.clay
    thick = 0.82 if animal.young else float(rng.uniform(0.92, 1.12))  # fleece: shorn or full
    lying = animal.pose == "lying"
    body.lift = -0.285 if lying else 0.0
    if not lying:
        _legs(body, coat, skin, near=False)

    trunk = body.mask()
    body.limb(
        trunk, [(-0.3, 0.5), (-0.1, 0.52), (0.06, 0.53), (0.19, 0.5)], (0.135 * thick, 0.15 * thick, 0.145 * thick)
    )
    body.blob(trunk, (-0.08, 0.455), (0.31, 0.155 * thick), -2)
    body.limb(trunk, [(-0.38, 0.54), (-0.46, 0.5), (-0.465, 0.4)], (0.055, 0.05, 0.03))  # tail
    if lying:
        body.blob(trunk, (-0.09, 0.4), (0.36, 0.11))
        clay.lay(trunk, coat, puff=0.085, fuzz=0.012)
        fold = body.mask()  # the folded legs, half hidden in wool
        body.limb(fold, [(-0.34, 0.325), (-0.16, 0.315)], (0.05, 0.035))
        body.limb(fold, [(0.05, 0.32), (0.27, 0.315)], (0.05, 0.04))
        clay.lay(fold, coat * np.float32(0.9), puff=0.03, fuzz=0.008, crease=0.3)
    else:
        clay.lay(trunk, coat, puff=0.085, fuzz=0.012)
        _legs(body, coat, skin, near=True)

    neck = body.mask()
    if animal.pose == "grazing":
        reach = float(rng.uniform(0.0, 0.06))
        head = (0.5 + reach, 0.085)
        body.limb(
            neck, [(0.1, 0.53), (0.36, 0.56), (0.44, 0.4), (0.455 + reach, 0.17)], (0.15 * thick, 0.1, 0.068, 0.06)
        )
        tilt = float(rng.uniform(-75, -50))
    else:
        lean = float(rng.uniform(-0.05, 0.09))
        head = (0.36 + lean, 0.905 - abs(lean) * 0.3)
        top = (head[0] - 0.03, head[1] - 0.02)
        body.limb(neck, [(0.12, 0.5), (0.3, 0.53), (0.25 + lean * 0.5, 0.72), top], (0.16 * thick, 0.105, 0.08, 0.066))
        tilt = float(rng.uniform(-24, 4))
    clay.lay(neck, coat, puff=0.06, fuzz=0.011, crease=0.3)
    _side_head(body, coat, skin, head, tilt)


def _side_head(body: _Body, coat: FloatArray, skin: FloatArray, at: tuple[float, float], tilt: float) -> None:
    """Head at ``at``; ``tilt`` in degrees lifts the nose."""
    clay, rng = body.clay, body.rng
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))

    def spot(x: float, y: float) -> tuple[float, float]:
        return at[0] + float(c * x - s * y), at[1] + float(s * x + c * y)

    back = float(rng.uniform(-0.05, 0.025))  # ears pricked or laid back
    for depth, shade in ((0.018, 0.72), (-0.012, 0.95)):  # far ear, near ear
        ear = body.mask()
        body.polygon(
            ear,
            [
                spot(-0.048 + depth, 0.04),
                spot(-0.062 + depth + back, 0.1),
                spot(-0.028 + depth + back * 1.7, 0.165),
                spot(-0.002 + depth + back, 0.11),
                spot(0.002 + depth, 0.045),
            ],
        )
        clay.lay(ear, skin * np.float32(shade), puff=0.016, rough=0.3, crease=0.2)
    muzzle = body.mask()
    body.limb(muzzle, [spot(0.01, 0.0), spot(0.075, -0.015), spot(0.118, -0.028)], (0.06, 0.044, 0.033))
    clay.lay(muzzle, skin, puff=0.03, rough=0.3, crease=0.25)
    cheek = body.mask()
    body.blob(cheek, spot(-0.022, -0.008), (0.066, 0.066))
    body.blob(cheek, spot(0.0, 0.052), (0.052, 0.034), tilt + 8)  # topknot
    clay.lay(cheek, coat, puff=0.035, fuzz=0.01, crease=0.2)
    nose = body.mask()
    body.blob(nose, spot(0.136, -0.018), (0.015, 0.013))
    body.limb(nose, [spot(0.138, -0.036), spot(0.1, -0.043)], (0.005, 0.003))
    clay.lay(nose, skin * np.float32(0.34), puff=0.01, rough=0, crease=0.0)
    _eye(body, spot(0.034, 0.014), 0.0155)


def _eye(body: _Body, at: tuple[float, float], radius: float) -> None:
    eye = body.mask()
    body.blob(eye, at, (radius, radius * 0.9))
    body.clay.lay(eye, rgb(24, 18, 16), puff=0.008, rough=0, crease=0.15)
    if body.unit > 160:
        glint = body.mask()
        body.blob(glint, (at[0] + 0.004, at[1] + 0.005), (0.0045, 0.0045))
        body.clay.lay(glint, rgb(235, 235, 235), puff=0.01, rough=0, crease=0)


def _legs(body: _Body, coat: FloatArray, skin: FloatArray, *, near: bool) -> None:
    """The two legs of one side: woolly thighs, slim shins, dark feet."""
    animal, rng = body.animal, body.rng
    stride = 0.1 if animal.pose == "walking" else 0.03
    shade = np.float32(1 if near else 0.62)
    for root, woolly in ((-0.27, 0.085), (0.17, 0.068)):
        swing = float(rng.uniform(-stride, stride)) + (0.0 if near else 0.055)
        lift = float(rng.uniform(0.0, 0.05)) if animal.pose == "walking" and rng.uniform() < 0.5 else 0.0
        back = -0.03 if root < 0 else 0.01  # the hock
        foot = (root + swing, 0.012 + lift)
        knee = (root + swing * 0.55 + back, 0.2 + lift * 0.6)
        shin = body.mask()
        body.limb(shin, [knee, (foot[0] + back * 0.3, 0.1 + lift), foot], (0.034, 0.025, 0.027))
        body.clay.lay(shin, skin * shade, puff=0.02, rough=0.35, crease=0.1)
        sole = body.mask()
        body.limb(sole, [(foot[0] - 0.004, foot[1] - 0.002), (foot[0] + 0.026, foot[1] - 0.004)], (0.016, 0.013))
        body.clay.lay(sole, skin * np.float32(0.4), puff=0.01, rough=0, crease=0.0)
        thigh = body.mask()
        body.limb(thigh, [(root, 0.42), ((root + knee[0]) / 2, 0.3), knee], (woolly * 1.15, woolly * 0.86, 0.045))
        body.clay.lay(thigh, coat * shade, puff=0.045, fuzz=0.01, crease=0.16)


def _front(body: _Body, coat: FloatArray, skin: FloatArray) -> None:
    """Seen from the front: two pairs of legs, a round barrel, the neck before it, both ears and eyes."""
    rng, clay = body.rng, body.clay
    thick = 0.85 if body.animal.young else float(rng.uniform(0.92, 1.1))
    for spread, high, shade in ((0.075, 0.03, 0.55), (0.095, 0.0, 1.0)):  # hind legs, then forelegs
        for side in (-1, 1):
            x = side * spread + float(rng.uniform(-0.012, 0.012))
            shin = body.mask()
            body.limb(shin, [(x, 0.26), (x, 0.03 + high)], (0.04, 0.027))
            clay.lay(shin, skin * np.float32(shade), puff=0.02, rough=0.35, crease=0.1)
            sole = body.mask()
            body.blob(sole, (x, 0.016 + high), (0.03, 0.017))
            clay.lay(sole, skin * np.float32(0.4 * shade), puff=0.01, rough=0, crease=0)
        if shade < 1:
            continue
        for side in (-1, 1):
            thigh = body.mask()
            body.limb(thigh, [(side * spread, 0.4), (side * spread, 0.19)], (0.09, 0.05))
            clay.lay(thigh, coat, puff=0.04, fuzz=0.01, crease=0.2)
    barrel = body.mask()
    body.blob(barrel, (0, 0.46), (0.195 * thick, 0.195 * thick))
    clay.lay(barrel, coat, puff=0.085, fuzz=0.012)
    bend = float(rng.uniform(-0.06, 0.06))
    neck = body.mask()
    body.limb(neck, [(0, 0.45), (bend * 0.3, 0.66), (bend, 0.86)], (0.125 * thick, 0.095, 0.078))
    clay.lay(neck, coat, puff=0.06, fuzz=0.011, crease=0.35)
    for side in (-1, 1):
        ear = body.mask()
        flare = side * float(rng.uniform(0.0, 0.03))
        root = bend + side * 0.062
        body.polygon(
            ear,
            [
                (root - side * 0.026, 0.94),
                (root - side * 0.012 + flare, 1.0),
                (root + side * 0.014 + flare, 1.055),
                (root + side * 0.03 + flare, 1.0),
                (root + side * 0.022, 0.925),
            ],
        )
        clay.lay(ear, skin * np.float32(0.9), puff=0.016, rough=0.3, crease=0.15)
    head = body.mask()
    body.blob(head, (bend, 0.895), (0.088, 0.08))
    body.blob(head, (bend, 0.955), (0.07, 0.042))
    clay.lay(head, coat, puff=0.04, fuzz=0.011, crease=0.3)
    face = body.mask()
    body.limb(face, [(bend, 0.89), (bend, 0.83)], (0.056, 0.046))
    clay.lay(face, skin, puff=0.03, rough=0.3, crease=0.2)
    nose = body.mask()
    body.blob(nose, (bend, 0.838), (0.022, 0.011))
    body.limb(nose, [(bend, 0.83), (bend, 0.812)], (0.005, 0.004))
    body.limb(nose, [(bend - 0.02, 0.806), (bend, 0.812), (bend + 0.02, 0.806)], (0.004, 0.004))
    clay.lay(nose, skin * np.float32(0.34), puff=0.01, rough=0, crease=0)
    for side in (-1, 1):
        _eye(body, (bend + side * 0.05, 0.895), 0.0155)
