"""From silhouettes to solid, lit things: layers of masks become a picture with soft roundness, wool and creases.

A layer's blurred mask serves as its height; the slope of that height gives the normals, and light does the rest.
This is "puffing up" a drawing as in Johnston, "Lumo: illumination for cel animation" (NPAR 2002),
https://doi.org/10.1145/508530.508538
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.data.pasture.light import Illumination

LEAST_COVER = 0.25
"""A picture pixel belongs to a thing when the thing covers at least this much of it; fainter edges are not painted."""


LAYERS = 128
"""Layers of clay have numbers below this; the same number of patched pixels is this much higher, and fits a byte."""


@dataclass(frozen=True, eq=False)
class Sprite:
    """A painted thing: ``colour`` (h, w, 3) 0..255, ``alpha`` (h, w) 0..1, its top left pixel at (left, top) of the
    picture."""

    colour: FloatArray
    alpha: FloatArray
    left: int
    top: int

    def window(self, size: int) -> tuple[slice, slice, slice, slice]:
        """Rows and columns of a ``size`` x ``size`` picture, then of the sprite, where the two overlap (maybe
        nowhere)."""
        height, width = self.alpha.shape
        y1, y2 = (min(max(v, 0), size) for v in (self.top, self.top + height))
        x1, x2 = (min(max(v, 0), size) for v in (self.left, self.left + width))
        return slice(y1, y2), slice(x1, x2), slice(y1 - self.top, y2 - self.top), slice(x1 - self.left, x2 - self.left)


def soft(mask: FloatArray, sigma: float) -> FloatArray:
    """A wide Gaussian blur of ``mask`` (H, W), done small where that is cheaper and looks the same."""
    shrink = min(max(int(sigma / 1.6), 1), 8)
    height, width = mask.shape
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.3)), np.float32)
    small = cv2.resize(mask, (max(width // shrink, 1), max(height // shrink, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


class Clay:
    """Layers laid one over the other, then lit. ``unit`` is pixels per unit of length, ``noise`` (H, W) the
    surface's.

    Pixels remember which layer they show and how dark the creases made it; colours are looked up once, at the end.
    """

    def __init__(self, noise: FloatArray, unit: float) -> None:
        self.noise = noise
        self.unit = unit
        self.patches: NDArray[np.bool_] | None = None
        """Where (H, W) layers of two colours show their second one."""
        self.layer = np.zeros(noise.shape, np.uint8)
        self.height = np.zeros(noise.shape, np.float32)
        self.dark = np.ones(noise.shape, np.float32)
        self.colours = np.zeros((2 * LAYERS, 3), np.float32)
        self.roughs = np.zeros(2 * LAYERS, np.float32)
        self.count = 0

    def lay(
        self,
        mask: NDArray[np.uint8],
        colour: FloatArray,
        *,
        puff: float = 0.05,
        fuzz: float = 0.0,
        rough: float = 1.0,
        crease: float = 0.45,
        join: bool = False,
    ) -> None:
        """Lay a silhouette (H, W) 0 or 255 of ``colour`` (3,), or (2, 3) for a patched surface, on top.

        ``puff`` is how far roundness reaches in from the edge and ``fuzz`` how far the surface's noise frays the
        edge, both in units; ``rough`` is how much of the noise shows, ``crease`` how dark it makes what lies beneath
        its edge. ``join`` lets it grow out of what lies there instead of lying on it. At most ``LAYERS - 1`` layers.
        """
        x, y, width, height = cv2.boundingRect(mask)
        if not width:
            return
        self.count += 1
        self.colours[self.count :: LAYERS] = colour
        self.roughs[self.count :: LAYERS] = rough
        # Only where the mask is, and as far around it as fuzz and crease can be seen: most parts are small.
        reach = int((2 * puff if crease else 0.5 * fuzz) * self.unit) + int(fuzz * self.unit) + 2
        part = slice(max(0, y - reach), y + height + reach), slice(max(0, x - reach), x + width + reach)
        solid: FloatArray = mask[part].astype(np.float32) * np.float32(1 / 255)
        if fuzz:
            blurred = soft(solid, fuzz * self.unit)
            # The floor keeps specks of noise from flying off.
            solid = ((blurred + np.float32(0.14) * self.noise[part] > 0.5) & (blurred > 0.15)).astype(np.float32)
        inside = solid > 0.5
        rounded = soft(solid, puff * self.unit)
        if crease:
            self.dark[part] *= 1 - np.float32(crease) * rounded
        raised = rounded * np.float32(3.2 * puff * self.unit)
        if join:
            raised = np.maximum(raised, self.height[part])
        np.copyto(self.height[part], raised, where=inside)
        np.copyto(self.dark[part], np.float32(1), where=inside)
        np.copyto(self.layer[part], np.uint8(self.count), where=inside)

    def bake(self, light: Illumination, x: float, y: float, shrink: int, *, bump: float = 0.013) -> Sprite:
        """Light it, cut it to what is covered and reduce it by ``shrink``; the canvas's top left corner comes to
        picture point (x, y), rounded to a pixel."""
        left, top, wide, high = cv2.boundingRect(self.layer)
        x1, y1, x2, y2 = left // shrink, top // shrink, -(-(left + wide) // shrink), -(-(top + high) // shrink)
        x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
        part = slice(y1 * shrink, y2 * shrink), slice(x1 * shrink, x2 * shrink)
        layer = self.layer[part]
        cover = (layer > 0).astype(np.float32)
        if self.patches is not None:
            layer = layer + np.uint8(LAYERS) * self.patches[part]
        noise = self.noise[part] * cv2.LUT(layer, self.roughs)
        surface = self.height[part] + noise * np.float32(bump * self.unit * 0.5)
        down_x = np.asarray(cv2.Sobel(surface, cv2.CV_32F, 1, 0, ksize=3, scale=-1 / 8), np.float32)
        down_y = np.asarray(cv2.Sobel(surface, cv2.CV_32F, 0, 1, ksize=3, scale=-1 / 8), np.float32)
        # Cover multiplies the colour so that its mean is over covered pixels only, or edges would turn dark.
        tone = cover * self.dark[part] * (1 + np.float32(0.05) * noise)
        size = x2 - x1, y2 - y1
        alpha = np.asarray(cv2.resize(cover, size, interpolation=cv2.INTER_AREA), np.float32)
        scale = 1 / np.maximum(alpha, np.float32(1e-3))
        planes = []
        for i, shine in enumerate(light.shine(down_x, down_y)):
            plane = cv2.LUT(layer, np.ascontiguousarray(self.colours[:, i])) * shine * tone
            planes.append(np.clip(cv2.resize(plane, size, interpolation=cv2.INTER_AREA) * scale, 0, 255))
        alpha[alpha < LEAST_COVER] = 0
        return Sprite(np.asarray(cv2.merge(planes), np.float32), alpha, round(x) + x1, round(y) + y1)


def limb(mask: NDArray[np.uint8], points: FloatArray, radii: FloatArray) -> None:
    """Fill on ``mask`` a bent, tapering, round-ended limb along ``points`` (N, 2) with ``radii`` (N,), both in
    pixels."""
    steps = points[1:] - points[:-1]
    along = np.concatenate([steps[:1], steps[1:] + steps[:-1], steps[-1:]])  # (N, 2), central differences
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)
    side = along[:, ::-1] * np.array([-1, 1], np.float32) * (radii / length)[:, None]
    outline = np.concatenate([points + side, (points - side)[::-1]])
    cv2.fillPoly(mask, [outline.round().astype(np.int32)], 255)
    for end in (0, -1):
        x, y = points[end].tolist()
        cv2.circle(mask, (round(x), round(y)), max(round(float(radii[end])), 1), 255, -1)


@lru_cache(maxsize=64)
def _bezier(points: int, count: int) -> FloatArray:
    """Weights (count, points) of the control points of a Bezier curve: Bernstein's polynomials."""
    t, n = np.linspace(0, 1, count)[:, None], points - 1
    k = np.arange(points)[None]
    return np.asarray(np.array([math.comb(n, i) for i in range(points)]) * t**k * (1 - t) ** (n - k), np.float32)


@lru_cache(maxsize=64)
def _linear(points: int, count: int) -> FloatArray:
    """Weights (count, points) of evenly spaced values in straight lines between them."""
    at = np.linspace(0, points - 1, count)[:, None]
    return np.asarray(np.maximum(1 - np.abs(at - np.arange(points)[None]), 0), np.float32)


def curve(
    control: list[tuple[float, float]], radii: tuple[float, ...], count: int = 12
) -> tuple[FloatArray, FloatArray]:
    """Points (count, 2) on the Bezier curve of the control points, and radii (count,) spread evenly along it.

    >>> points, radii = curve([(0, 0), (2, 4)], (1, 3), count=3)
    >>> points.tolist(), radii.tolist()
    ([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]], [1.0, 2.0, 3.0])
    """
    points = _bezier(len(control), count) @ np.asarray(control, np.float32)
    return points, _linear(len(radii), count) @ np.asarray(radii, np.float32)
