"""Boxes on photos, photos in a grid, pictures on disk: for people who would rather look than read.

Arrays only: photos are (H, W, 3) uint8 RGB, boxes (N, 4) xyxy in their pixels. Line width and letters follow the
picture's size, so that a thumbnail and a 12-megapixel photo can both be read.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from herder.boxes import FloatArray, Letterbox, as_boxes
from herder.detections import Detections
from herder.errors import ConfigError
from herder.files import write_atomic

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (213, 94, 0), (0, 114, 178), (204, 121, 167), (240, 228, 66), (0, 158, 115),
)  # fmt: skip
"""One colour a class, again from the start after the last (Okabe and Ito: told apart by colour-blind eyes)."""

TRUTH: Colour = (60, 220, 90)
"""Labelled boxes, dashed."""

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
"""Endings that pictures are written with."""

FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_boxes(
    photo: Picture,
    boxes: object,
    labels: Sequence[str] = (),
    *,
    color: Colour | Sequence[Colour] = PALETTE[0],
    thickness: int | None = None,
    dashed: bool = False,
) -> Picture:
    """Return a copy of ``photo`` with boxes (N, 4) and, where given, a label above each.

    ``color`` is one RGB colour or one a box; ``thickness`` in pixels follows the photo's size where None. Raises
    ValueError when the photo is not (H, W, 3) uint8, or labels or colours are not as many as boxes.

    >>> photo = np.zeros((40, 60, 3), np.uint8)
    >>> draw_boxes(photo, [[10, 10, 30, 30]], color=(255, 0, 0), thickness=1)[10, 20].tolist()
    [255, 0, 0]
    """
    picture = _checked(photo).copy()
    xyxy = as_boxes(boxes)
    colours = _colours(color, len(xyxy))
    if labels and len(labels) != len(xyxy):
        raise ValueError(f"draw_boxes: {len(labels)} labels for {len(xyxy)} boxes")
    if len(colours) != len(xyxy):
        raise ValueError(f"draw_boxes: {len(colours)} colours for {len(xyxy)} boxes")
    width = thickness or _line_width(picture)
    for box, colour in zip(xyxy, colours, strict=True):
        corners = _corners(box, picture)
        if dashed:
            _dashed_rectangle(picture, corners, colour, width)
        else:
            cv2.rectangle(picture, corners[:2], corners[2:], colour, width)
    # Labels after all boxes, or a neighbour's line would run through the letters.
    for box, colour, label in zip(xyxy, colours, labels, strict=False):
        _label(picture, _corners(box, picture), label, colour, width)
    return picture


def draw_detections(photo: Picture, detections: Detections, truth: object = ()) -> Picture:
    """Return a copy of ``photo`` with detections, solid with name and score, over labelled boxes ``truth`` (M, 4)."""
    picture = draw_boxes(photo, truth, color=TRUTH, dashed=True)
    labels = [f"{name} {score:.2f}" for name, score in zip(detections.names, detections.scores, strict=True)]
    colours = [PALETTE[index % len(PALETTE)] for index in detections.classes.tolist()]
    return draw_boxes(picture, detections.boxes, labels, color=colours)


def grid(
    pictures: Sequence[Picture], *, cell: int = 320, columns: int | None = None, captions: Sequence[str] = ()
) -> Picture:
    """Return pictures side by side, each fitted into ``cell`` x ``cell`` pixels, row by row: (rows * side, W, 3).

    ``columns`` None makes the grid about square. Raises ValueError when there is no picture, or captions do not match.
    """
    if not pictures:
        raise ValueError("grid: no pictures")
    if captions and len(captions) != len(pictures):
        raise ValueError(f"grid: {len(captions)} captions for {len(pictures)} pictures")
    if cell < 1 or (columns is not None and columns < 1):
        raise ValueError(f"grid: cell {cell} and columns {columns} must be positive")
    across = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    down = -(-len(pictures) // across)
    gap = max(2, cell // 80)
    strip = max(14, cell // 14) if captions else 0
    sheet = np.full((down * (cell + strip + gap) + gap, across * (cell + gap) + gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = gap + i // across * (cell + strip + gap), gap + i % across * (cell + gap)
        fit = Letterbox.fit(_checked(picture).shape[1], picture.shape[0], cell)
        width, height = fit.scaled_size
        left, top = (cell - width) // 2, (cell - height) // 2
        sheet[y + top : y + top + height, x + left : x + left + width] = fit.apply(picture)[:height, :width]
        if captions:
            scale = strip / 34
            cv2.putText(
                sheet,
                _ascii(captions[i]),
                (x + 2, y + cell + int(strip * 0.75)),
                FONT,
                scale,
                (40, 40, 40),
                1,
                cv2.LINE_AA,
            )
    return sheet


def save_picture(path: Path, picture: Picture) -> None:
    """Write a picture (H, W, 3), all at once. Raises ConfigError for another ending than .jpg, .png or .webp."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"{path}: unknown ending {path.suffix!r} for a picture", hint="end it in .jpg, .png or .webp")
    out = io.BytesIO()
    Image.fromarray(_checked(picture)).save(out, kind, **({} if kind == "PNG" else {"quality": 90}))
    write_atomic(path, out.getvalue())


def _checked(photo: Picture) -> Picture:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or photo.size == 0:
        raise ValueError(f"picture: found shape {photo.shape} of {photo.dtype}, wanted (height, width, 3) of uint8")
    return photo


def _colours(color: Colour | Sequence[Colour], count: int) -> list[Colour]:
    """One colour a box, from one for all or from one each."""
    parts: Sequence[object] = color
    if len(parts) == 3 and all(isinstance(part, (int, np.integer)) for part in parts):
        return [cast(Colour, color)] * count
    return list(cast(Sequence[Colour], color))


def _line_width(picture: Picture) -> int:
    return int(max(1, round(max(picture.shape[0], picture.shape[1]) / 320)))


def _corners(box: FloatArray, picture: Picture) -> tuple[int, int, int, int]:
    """The pixels (x1, y1, x2, y2) that a box's lines go through: its last row and column lie inside its edge."""
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = np.nan_to_num(box, nan=0.0, posinf=1e6, neginf=-1e6).clip(-1e6, 1e6)
    left, top = (min(max(round(float(v)), 0), limit - 1) for v, limit in ((x1, width), (y1, height)))
    right, bottom = (min(max(round(float(v)) - 1, 0), limit - 1) for v, limit in ((x2, width), (y2, height)))
    return left, top, max(left, right), max(top, bottom)


def _dashed_rectangle(picture: Picture, corners: tuple[int, int, int, int], colour: Colour, width: int) -> None:
    left, top, right, bottom = corners
    dash = max(4, 5 * width)
    for x in range(left, right + 1, 2 * dash):
        end = min(x + dash, right)
        cv2.line(picture, (x, top), (end, top), colour, width)
        cv2.line(picture, (x, bottom), (end, bottom), colour, width)
    for y in range(top, bottom + 1, 2 * dash):
        end = min(y + dash, bottom)
        cv2.line(picture, (left, y), (left, end), colour, width)
        cv2.line(picture, (right, y), (right, end), colour, width)


def _label(picture: Picture, corners: tuple[int, int, int, int], label: str, colour: Colour, line: int) -> None:
    """Dark or light letters on a patch of the box's colour, above the box where there is room, else inside it."""
    height, width = picture.shape[:2]
    scale = max(0.35, max(height, width) / 1100)
    weight = max(1, round(scale * 1.4))
    text = _ascii(label)
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, weight)
    pad = max(2, line)
    box_height = text_height + below + pad
    x = max(0, min(corners[0], width - text_width - 2 * pad))
    y = corners[1] - box_height if corners[1] >= box_height else corners[1]
    cv2.rectangle(picture, (x, y), (x + text_width + 2 * pad, y + box_height), colour, -1)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    ink = (20, 20, 20) if bright else (255, 255, 255)
    cv2.putText(picture, text, (x + pad, y + text_height + pad // 2 + 1), FONT, scale, ink, weight, cv2.LINE_AA)


def _ascii(text: str) -> str:
    """OpenCV's letters are ASCII: others become a question mark."""
    return text.encode("ascii", "replace").decode()
