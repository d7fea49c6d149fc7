"""The canvas on which an animal's parts are drawn, in the animal's own frame.

Lengths are in units of the standing height of the animal; the frame has x to the right, y up and the ground at 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.data.pasture.shading import Clay, curve, limb
from herder.data.pasture.textures import cut, wool

LEFT, RIGHT, UP, DOWN = -0.62, 0.76, 1.16, -0.06
"""What the sprite's canvas spans, in units."""


_TURN = np.linspace(0, 2 * np.pi, 28, endpoint=False)
CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
"""Points (28, 2) on the unit circle."""


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


class Body:
    """A canvas in the body's frame, on which parts are drawn."""

    def __init__(self, animal: Animal, shrink: int, rng: np.random.Generator) -> None:
        self.animal, self.rng = animal, rng
        self.unit = animal.height * shrink
        self.width = -(-int((RIGHT - LEFT) * self.unit) // shrink) * shrink
        self.height = -(-int((UP - DOWN) * self.unit) // shrink) * shrink
        zoom = self.unit / 330
        self.clay = Clay(cut(wool(), rng, self.height, self.width, (zoom, zoom)), self.unit)
        self.lift = 0.0
        self.squeeze = 1.0 if animal.pose == "front" else animal.turn

    def pixels(self, points: FloatArray) -> FloatArray:
        """Points (N, 2) of the body's frame to canvas pixels, turned and mirrored as the animal stands."""
        left = LEFT if self.animal.facing > 0 else -RIGHT
        scale = np.array([self.squeeze * self.animal.facing, -1], np.float32) * np.float32(self.unit)
        return points * scale + np.array([-left * self.unit, (UP - self.lift) * self.unit], np.float32)

    def mask(self) -> NDArray[np.uint8]:
        """An empty silhouette of the canvas's size."""
        return np.zeros((self.height, self.width), np.uint8)

    def limb(self, mask: NDArray[np.uint8], control: list[tuple[float, float]], radii: tuple[float, ...]) -> None:
        """Fill a bent limb along a Bezier curve; ``radii`` are spread evenly along it."""
        points, thick = curve(control, radii)
        limb(mask, self.pixels(points), thick * np.float32(self.unit))

    def blob(
        self, mask: NDArray[np.uint8], centre: tuple[float, float], radii: tuple[float, float], tilt: float = 0.0
    ) -> None:
        """An ellipse; ``tilt`` in degrees lifts its front."""
        c, s = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
        x, y = radii[0] * CIRCLE[:, 0], radii[1] * CIRCLE[:, 1]
        points = np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y], axis=1).astype(np.float32)
        cv2.fillPoly(mask, [self.pixels(points).round().astype(np.int32)], 255)

    def polygon(self, mask: NDArray[np.uint8], points: list[tuple[float, float]]) -> None:
        """Fill a polygon."""
        cv2.fillPoly(mask, [self.pixels(np.asarray(points, np.float32)).round().astype(np.int32)], 255)
