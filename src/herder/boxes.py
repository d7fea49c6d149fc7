"""Box formats, overlap, suppression and the letterbox, in NumPy.

Notation: N, M boxes; K classes. Wherever boxes cross a door of herder they are ``xyxy``: float32 corners
``x1, y1, x2, y2`` in pixels of the upright photo, with the origin at the outer corner of the top left pixel, so that a
box over the whole photo is ``0, 0, width, height``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

PAD_VALUE = 114
"""The grey that fills what a letterboxed photo leaves free, as in the YOLO family since YOLOv3."""

NMS_BLOCK = 128
"""Candidates that suppression looks at together: small enough for a cheap square, large enough to be few."""


class BoxFormat(Enum):
    """How four numbers describe a box; all in pixels."""

    XYXY = "xyxy"
    """Left, top, right, bottom: herder's own."""
    XYWH = "xywh"
    """Left, top, width, height: COCO's."""
    CXCYWH = "cxcywh"
    """Centre x, centre y, width, height: YOLO's (there divided by the photo's sides)."""


def as_boxes(boxes: object) -> FloatArray:
    """Check ``boxes`` at a door and return them as a float32 array of shape (N, 4); an empty list gives (0, 4).

    Raises ValueError when the shape is not (N, 4).
    """
    array = np.asarray(boxes, dtype=np.float32)
    if array.size == 0:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes: found shape {array.shape}, wanted (N, 4)")
    return array


def convert(boxes: object, source: BoxFormat, target: BoxFormat) -> NDArray[np.float64]:
    """Return boxes (N, 4) of format ``source`` in format ``target``, computed in float64.

    >>> convert([[10, 20, 30, 60]], BoxFormat.XYXY, BoxFormat.CXCYWH).tolist()
    [[20.0, 40.0, 20.0, 40.0]]
    """
    b = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)  # (N, 4)
    if source is BoxFormat.XYXY:
        corner, size = b[:, :2], b[:, 2:] - b[:, :2]
    elif source is BoxFormat.XYWH:
        corner, size = b[:, :2], b[:, 2:]
    else:
        corner, size = b[:, :2] - b[:, 2:] / 2, b[:, 2:]
    if target is BoxFormat.XYXY:
        return np.concatenate([corner, corner + size], axis=1)
    if target is BoxFormat.XYWH:
        return np.concatenate([corner, size], axis=1)
    return np.concatenate([corner + size / 2, size], axis=1)


def area(boxes: FloatArray) -> FloatArray:
    """Areas (N,) in square pixels of xyxy boxes (N, 4); a box turned inside out has area 0.

    >>> area(as_boxes([[0, 0, 2, 3], [5, 5, 4, 9]])).tolist()
    [6.0, 0.0]
    """
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)  # (N, 2)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union (N, M) of xyxy boxes a (N, 4) and b (M, 4); 0 where both areas are 0.

    >>> iou_matrix(as_boxes([[0, 0, 2, 2]]), as_boxes([[1, 0, 3, 2], [0, 0, 2, 2]])).round(3).tolist()
    [[0.3330000042915344, 1.0]]
    """
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])  # (N, M, 2)
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])  # (N, M, 2)
    sides = np.clip(bottom_right - top_left, 0, None)
    intersection = sides[..., 0] * sides[..., 1]  # (N, M)
    union = area(a)[:, None] + area(b)[None, :] - intersection
    return np.asarray(intersection / np.maximum(union, np.finfo(np.float32).tiny), dtype=np.float32)


def clip(boxes: FloatArray, width: float, height: float) -> FloatArray:
    """Return xyxy boxes (N, 4) cut at the photo's border.

    >>> clip(as_boxes([[-5, 2, 30, 9]]), width=20, height=10).tolist()
    [[0.0, 2.0, 20.0, 9.0]]
    """
    limit = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, 0, limit)


def nms(boxes: FloatArray, scores: FloatArray, classes: IntArray, iou_threshold: float, limit: int = 300) -> IntArray:
    """Greedy non-maximum suppression within each class; indices (<= limit,) of the boxes kept, best score first.

    boxes (N, 4) xyxy, scores (N,), classes (N,). A box is dropped when its IoU with a better kept one of its class is
    above ``iou_threshold``. Ties go to the lower index, so that the result never depends on the sort.

    >>> boxes = as_boxes([[0, 0, 10, 10], [1, 0, 11, 10], [40, 0, 50, 10]])
    >>> nms(boxes, np.array([0.8, 0.9, 0.7], np.float32), np.zeros(3, np.int64), 0.5).tolist()
    [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    boxes, classes, areas = boxes[order], classes[order], area(boxes)[order]
    kept = np.zeros(0, np.int64)
    for start in range(0, len(order), NMS_BLOCK):
        block = np.arange(start, min(start + NMS_BLOCK, len(order)))
        # First whatever a box kept from an earlier block suppresses, then one by one within the block.
        block = block[~_suppresses(boxes, areas, classes, kept, block, iou_threshold).any(axis=0)]
        rivals = _suppresses(boxes, areas, classes, block, block, iou_threshold)  # (n, n)
        bits = np.packbits(rivals, axis=1, bitorder="little")
        dead, survivors = 0, []
        for i in range(
            len(block)
        ):  # whole rows as Python integers: one cheap "or" a box in place of an array operation
            if not dead >> i & 1:
                survivors.append(i)
                dead |= int.from_bytes(bits[i].tobytes(), "little")
        kept = np.concatenate([kept, block[survivors]])
        if len(kept) >= limit:
            break
    return np.asarray(order[kept[:limit]], dtype=np.int64)


def _suppresses(
    boxes: FloatArray, areas: FloatArray, classes: IntArray, better: IntArray, worse: IntArray, iou_threshold: float
) -> NDArray[np.bool_]:
    """Whether boxes better (n,) and worse (m,), both indices, overlap too much and share their class: (n, m)."""
    a, b = boxes[better].T[:, :, None], boxes[worse].T[:, None, :]  # (4, n, 1), (4, 1, m)
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])  # (n, m)
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    # Multiplied out, so that two empty boxes need no division; nothing overlaps them.
    above = intersection > iou_threshold * (areas[better][:, None] + areas[worse][None, :] - intersection)
    return np.asarray(above & (classes[better][:, None] == classes[worse][None, :]))


@dataclass(frozen=True)
class Letterbox:
    """A photo scaled by one factor and laid at the top left of a grey canvas, and the way back.

    ``width`` and ``height`` are the photo's, ``canvas_width`` and ``canvas_height`` the network's, all in pixels.
    The photo stays at the top left (as YOLOX has it), so that going back is one division.

    >>> box = Letterbox.fit(width=640, height=480, size=320, stride=32)
    >>> box.canvas_width, box.canvas_height, box.scale
    (320, 256, 0.5)
    """

    width: int
    height: int
    canvas_width: int
    canvas_height: int
    scale: float

    @classmethod
    def fit(cls, width: int, height: int, size: int, stride: int | None = None) -> Letterbox:
        """Fit a photo into ``size`` × ``size``; with ``stride`` the canvas is cut to the next multiple of it.

        Raises ValueError when a side is not positive.
        """
        if width < 1 or height < 1 or size < 1:
            raise ValueError(f"letterbox: photo {width} x {height} and size {size} must be positive")
        scale = size / max(width, height)
        if stride is None:
            return cls(width, height, size, size, scale)
        sides = [min(-(-max(1, round(side * scale)) // stride) * stride, size) for side in (width, height)]
        return cls(width, height, sides[0], sides[1], scale)

    @property
    def scaled_size(self) -> tuple[int, int]:
        """Width and height in pixels of the photo on the canvas."""
        return (
            min(self.canvas_width, max(1, round(self.width * self.scale))),
            min(self.canvas_height, max(1, round(self.height * self.scale))),
        )

    def apply(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Lay ``photo`` (H, W, 3) on a new canvas: (canvas_height, canvas_width, 3) uint8."""
        canvas = np.empty((self.canvas_height, self.canvas_width, 3), np.uint8)
        self.lay(photo, canvas)
        return canvas

    def lay(self, photo: NDArray[np.uint8], canvas: NDArray[np.uint8]) -> None:
        """Lay ``photo`` (H, W, 3) on ``canvas`` (canvas_height, canvas_width, 3) uint8, whatever was there before.

        ``photo`` may be a reduced copy of the photo that was fitted, as decoders give it: boxes go back to the whole
        one.
        """
        width, height = self.scaled_size
        canvas[height:] = PAD_VALUE
        canvas[:height, width:] = PAD_VALUE
        if (photo.shape[1], photo.shape[0]) == (width, height):
            canvas[:height, :width] = photo
        else:
            # INTER_AREA keeps a strong reduction free of aliasing; for growing it would be nearest neighbour.
            how = cv2.INTER_AREA if max(width, height) < 0.5 * max(photo.shape[:2]) else cv2.INTER_LINEAR
            cv2.resize(photo, (width, height), dst=canvas[:height, :width], interpolation=how)

    @property
    def factors(self) -> FloatArray:
        """Exact factors (4,) from photo to canvas pixels for x, y, x, y: whole pixels make them differ a little."""
        width, height = self.scaled_size
        x, y = width / self.width, height / self.height
        return np.array([x, y, x, y], np.float32)

    def forward(self, boxes: FloatArray) -> FloatArray:
        """Take boxes (N, 4) from photo pixels to canvas pixels."""
        return np.asarray(boxes * self.factors, dtype=np.float32)

    def inverse(self, boxes: FloatArray) -> FloatArray:
        """Take boxes (N, 4) from canvas pixels back to photo pixels, cut at the photo's border."""
        return clip(np.asarray(boxes / self.factors, dtype=np.float32), self.width, self.height)
