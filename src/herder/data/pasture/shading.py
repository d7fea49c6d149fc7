"""From silhouettes to solid, lit things: layers of masks become a picture with soft roundness, wool and creases.

A layer's blurred mask serves as its height; the slope of that height gives the normals, and light does the rest.
This is "puffing up" a drawing as in Johnston, "Lumo: illumination for cel animation" (NPAR 2002),
https://doi.org/10.1145/508530.508538
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.data.pasture.light import Illumination

LEAST_COVER = 0.25
"""A picture pixel belongs to a thing when the thing covers at least this much of it; fainter edges are not painted."""


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
    shrink = int(np.clip(sigma // 2, 1, 8))
    height, width = mask.shape
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.3)), np.float32)
    small = cv2.resize(mask, (max(width // shrink, 1), max(height // shrink, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


class Clay:
    """Layers laid one over the other, then lit. ``unit`` is pixels per unit of length, ``noise`` (H, W) the
    surface's."""

    def __init__(self, noise: FloatArray, unit: float) -> None:
        self.noise = noise
        self.unit = unit
        self.cover: FloatArray = np.zeros(noise.shape, np.float32)
        self.height = np.zeros(noise.shape, np.float32)
        self.rough = np.zeros(noise.shape, np.float32)
        self.albedo = np.zeros((*noise.shape, 3), np.float32)

    def lay(
        self,
        mask: NDArray[np.uint8],
        colour: FloatArray,
        *,
        puff: float = 0.05,
        fuzz: float = 0.0,
        rough: float = 1.0,
        crease: float = 0.45,
    ) -> NDArray[np.bool_]:
        """Lay a silhouette (H, W) 0 or 255 of ``colour`` (3,) or (H, W, 3) on top; return the pixels (H, W) that it
        took.

        ``puff`` is how far roundness reaches in from the edge and ``fuzz`` how far the surface's noise frays the
        edge, both in units; ``rough`` is how much of the noise shows, ``crease`` how dark it makes what lies beneath
        its edge.
        """
        taken = np.zeros(mask.shape, np.bool_)
        x, y, width, height = cv2.boundingRect(mask)
        if not width:
            return taken
        # Nothing changes further away than the blurs reach: three deviations.
        reach = int(3 * (puff + fuzz) * self.unit) + 2
        rows = slice(max(0, y - reach), y + height + reach)
        columns = slice(max(0, x - reach), x + width + reach)
        part = (rows, columns)
        solid = np.asarray(mask[part] / 255, np.float32)
        if fuzz:
            solid = np.asarray(soft(solid, fuzz * self.unit) + 0.16 * self.noise[part] > 0.5, np.float32)
        rounded = soft(solid, puff * self.unit)
        inside = solid > 0.5
        if crease:
            self.albedo[part] *= (1 - crease * rounded)[..., None]
        np.copyto(self.albedo[part], colour if colour.ndim == 1 else colour[part], where=inside[..., None])
        np.copyto(self.height[part], rounded * np.float32(3.2 * puff * self.unit), where=inside)
        np.copyto(self.rough[part], np.float32(rough), where=inside)
        self.cover[part][inside] = 1
        taken[part] = inside
        return taken

    def bake(self, light: Illumination, x: float, y: float, shrink: int, *, bump: float = 0.022) -> Sprite:
        """Light it and reduce it by ``shrink``; its top left corner comes to picture point (x, y), rounded to a
        pixel."""
        surface = self.height + self.noise * self.rough * (bump * self.unit * 0.5)
        slope_x = cv2.Sobel(surface, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        slope_y = cv2.Sobel(surface, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        shine = light.shine(np.asarray(-slope_x, np.float32), np.asarray(-slope_y, np.float32))
        colour = self.albedo * shine * (1 + 0.07 * self.noise * self.rough)[..., None]
        rows, columns = self.cover.shape[:2]
        height, width = rows // shrink, columns // shrink
        alpha = cv2.resize(self.cover, (width, height), interpolation=cv2.INTER_AREA)
        # Colour is averaged over covered pixels only, or edges would turn dark.
        colour = cv2.resize(colour * self.cover[..., None], (width, height), interpolation=cv2.INTER_AREA)
        colour = colour / np.maximum(alpha, 1e-3)[..., None]
        alpha = np.asarray(np.where(alpha >= LEAST_COVER, alpha, 0), np.float32)
        return Sprite(
            np.asarray(np.clip(colour, 0, 255), np.float32), np.asarray(alpha, np.float32), round(x), round(y)
        )


def limb(mask: NDArray[np.uint8], points: FloatArray, radii: FloatArray) -> None:
    """Fill on ``mask`` a bent, tapering, round-ended limb along ``points`` (N, 2) with ``radii`` (N,), both in
    pixels."""
    along = np.gradient(points, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    side = normal * radii[:, None]
    outline = np.concatenate([points + side, (points - side)[::-1]])
    cv2.fillPoly(mask, [outline.round().astype(np.int32)], 255)
    for (px, py), radius in zip(points[[0, -1]], radii[[0, -1]], strict=True):
        cv2.circle(mask, (round(float(px)), round(float(py))), max(round(float(radius)), 1), 255, -1)


def curve(control: list[tuple[float, float]], count: int = 12) -> FloatArray:
    """Points (count, 2) on the Bezier curve of 2 to 4 control points."""
    points = np.asarray(control, np.float32)
    t = np.linspace(0, 1, count, dtype=np.float32)[:, None, None]  # (count, 1, 1)
    level = np.broadcast_to(points, (count, *points.shape))
    while level.shape[1] > 1:  # de Casteljau
        level = level[:, :-1] * (1 - t) + level[:, 1:] * t
    return np.asarray(level[:, 0], np.float32)
