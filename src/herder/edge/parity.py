"""Does an exported file say the same as torch? Checked on every export; a file that does not is never written.

Notation: B photos, A candidates, K classes, n candidates compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, Letterbox, clip, iou_matrix
from herder.errors import ModelFileError
from herder.inference import STRIDE, Engine, Photo, as_rgb
from herder.spec import ModelSpec


class ParityError(ModelFileError):
    """An exported file says something else than its network."""


@dataclass(frozen=True)
class Tolerance:
    """How far an exported file may be from torch."""

    box_px: float
    """Pixels of the canvas by which a side of a box may move."""
    score: float
    """Amount by which a score may change."""
    overlap: float = 0.01
    """Amount by which the overlap (IoU) of two boxes may change, where suppression in the graph is checked."""


EXACT = Tolerance(1.0, 1e-3)
"""For float32: other orders of summing, nothing else."""

HALF = Tolerance(8.0, 0.03, 0.1)
"""For float16 weights, whose 11 bits round each product: candidates from score 0.01 on of fine-tuned networks of
416 pixels move by up to 4 pixels and 0.011 (those that nobody would show move most)."""

COMPARED_SCORE = 0.01
"""Candidates from this score on are compared: nobody sees the others."""

FEWEST = 100
"""Where fewer candidates reach that score (an untrained network), the best so many are compared."""

MOST_PHOTOS = 16
"""More photos than this make an export slow and show nothing new."""


@dataclass(frozen=True)
class Parity:
    """How far an engine's detections are from torch's."""

    pictures: int
    candidates: int
    box_px: float
    """Largest distance between the same side of the same box, in canvas pixels."""
    score: float
    """Largest difference between the scores of the same candidate."""
    missing: int = 0
    """Animals that torch finds and the suppression in the graph has lost."""
    tolerance: Tolerance = EXACT
    """What was allowed."""

    @property
    def ok(self) -> bool:
        """Whether all differences are within the tolerances (NaN never is)."""
        return self.box_px <= self.tolerance.box_px and self.score <= self.tolerance.score and not self.missing

    def __str__(self) -> str:
        lost = f", {self.missing} animals missing" if self.missing else ""
        return (
            f"parity with torch on {self.pictures} pictures, {self.candidates:,} candidates: "
            f"boxes within {self.box_px:.2g} px, scores within {self.score:.2g}{lost} "
            f"(allowed: {self.tolerance.box_px:g} px and {self.tolerance.score:g})"
        )


def check_parity(
    reference: Engine, exported: Engine, photos: Sequence[Photo] = (), tolerance: Tolerance = EXACT
) -> Parity:
    """Compare two engines on ``photos`` (on drawn pictures where none).

    Raises ParityError where a box or a score differs by more than ``tolerance``, or an animal is lost.
    """
    parity = measure_parity(reference, exported, photos, tolerance)
    if not parity.ok:
        raise ParityError(
            f"the exported file does not agree with the network: {parity}",
            hint="nothing was written; try another --format or without --nms, and please report it",
        )
    return parity


def measure_parity(
    reference: Engine, exported: Engine, photos: Sequence[Photo] = (), tolerance: Tolerance = EXACT
) -> Parity:
    """How far two engines are from each other, whatever that is; else as ``check_parity``."""
    pictures, candidates, box_px, score, missing = 0, 0, 0.0, 0.0, 0
    size = exported.fixed_size or reference.spec.input_size
    for canvases in parity_canvases(photos, size, fixed=exported.fixed_size is not None):
        expected, found = reference.predict(canvases), exported.predict(canvases)
        height, width = canvases.shape[1:3]
        for row in range(len(canvases)):
            answers = expected[0][row], expected[1][row], found[0][row], found[1][row]
            if found[0].shape == expected[0].shape:
                part = _candidates(*answers, (width, height))
            else:
                part = _suppressed(*answers, (width, height), reference.spec, tolerance)
            pictures, candidates, missing = pictures + 1, candidates + part.candidates, missing + part.missing
            # np.maximum, unlike max, keeps NaN: a file that gives NaN must not pass.
            box_px, score = float(np.maximum(box_px, part.box_px)), float(np.maximum(score, part.score))
    return Parity(pictures, candidates, box_px, score, missing, tolerance)


def _candidates(
    boxes: FloatArray,
    scores: FloatArray,
    other: FloatArray,
    others: FloatArray,
    canvas: tuple[int, int],
) -> Parity:
    """Compare candidate by candidate: boxes (A, 4) and scores (A, K) of torch with those of the file.

    Boxes are cut at the border of the canvas, as their user will cut them.
    """
    best = np.maximum(scores.max(axis=1), others.max(axis=1))  # (A,)
    order = np.argsort(-best, kind="stable")  # NaN comes last ...
    count = max(int((best >= COMPARED_SCORE).sum()), min(FEWEST, len(best)))
    rows = order[:count]
    score = np.abs(scores - others).max(initial=0)  # ... and is found here: scores are compared for all
    gap = np.abs(clip(boxes[rows], *canvas) - clip(other[rows], *canvas)).max(initial=0)
    return Parity(1, count, float(gap), float(score))


def _suppressed(
    boxes: FloatArray,
    scores: FloatArray,
    kept: FloatArray,
    kept_scores: FloatArray,
    canvas: tuple[int, int],
    spec: ModelSpec,
    tolerance: Tolerance,
) -> Parity:
    """Compare what suppression in the graph kept, kept (M, 4) and kept_scores (M, K), with all of torch's candidates.

    Each animal kept must be one of torch's candidates, and each candidate must be kept or overlap a better one that is.
    That holds for every right suppression, whichever way rounding settles a tie.
    """
    rows, classes = np.nonzero(kept_scores > 0)
    box_px, score, missing = 0.0, 0.0, 0
    inside, kept_inside = clip(boxes, *canvas), clip(kept, *canvas)
    for row, index in zip(rows, classes, strict=True):
        box_gap = np.abs(inside - kept_inside[row]).max(axis=1)  # (A,)
        score_gap = np.abs(scores[:, index] - kept_scores[row, index])  # (A,)
        nearest = np.argmin(box_gap / tolerance.box_px + score_gap / tolerance.score)
        box_px, score = max(box_px, float(box_gap[nearest])), max(score, float(score_gap[nearest]))
    for kind in range(scores.shape[1]):
        mine = rows[classes == kind]
        full = len(mine) >= spec.max_detections  # then whatever scores below the last one had no place left
        lowest = max(2 * COMPARED_SCORE, float(kept_scores[mine, kind].min()) if full else 0.0) + tolerance.score
        # Of boxes thinner than the tolerance the overlap is rounding alone.
        wide = (boxes[:, 2:] - boxes[:, :2] >= tolerance.box_px).all(axis=1)
        wanted = (scores[:, kind] > lowest) & wide
        better = kept_scores[mine, kind] >= scores[wanted, kind][:, None] - tolerance.score  # (n, M)
        overlaps = iou_matrix(boxes[wanted], kept[mine]) * better
        missing += int((overlaps.max(axis=1, initial=0) < spec.nms_iou - tolerance.overlap).sum())
    return Parity(1, len(rows), box_px, score, missing)


def parity_canvases(photos: Sequence[Photo], size: int, *, fixed: bool) -> Iterator[NDArray[np.uint8]]:
    """Batches (B, H, W, 3): each photo by itself, or drawn pictures in shapes and batch sizes that the file takes."""
    for photo in islice(photos, MOST_PHOTOS):
        rgb = as_rgb(photo)
        stride = None if fixed else STRIDE
        yield Letterbox.fit(rgb.shape[1], rgb.shape[0], size, stride).apply(rgb)[None]
    if not len(photos):
        short = max(STRIDE, size * 3 // 4 // STRIDE * STRIDE)
        shapes = [(2, size, size)] if fixed else [(1, size, size), (2, short, size), (1, size, short)]
        rng = np.random.default_rng(0)
        for count, height, width in shapes:
            yield np.stack([_drawing(rng, height, width) for _ in range(count)])


def _drawing(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Sky, grass and a few animals of fur on legs, all with grain: enough for every part of a network to answer."""
    picture = np.empty((height, width, 3), np.float32)
    horizon = height // 3
    picture[:horizon], picture[horizon:] = (150, 190, 230), (90, 130, 60)
    for _ in range(int(rng.integers(2, 6))):
        x, y = int(rng.integers(0, width)), int(rng.integers(horizon, height))
        side = int(rng.integers(height // 16 + 1, height // 3 + 2))
        fur = tuple(float(c) for c in rng.uniform(40, 250, 3))
        cv2.ellipse(picture, (x, y), (side // 2, side // 3), 0, 0, 360, fur, -1)
        cv2.ellipse(picture, (x + side // 2, y - side // 2), (max(1, side // 8), side // 3), 0, 0, 360, fur, -1)
        for leg in (-side // 3, side // 3):
            cv2.rectangle(picture, (x + leg, y), (x + leg + side // 12, y + side // 2), fur, -1)
    picture += rng.normal(0, 12, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)
