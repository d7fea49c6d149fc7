"""What a graph gives, as boxes and scores, whether suppression is in the graph or the size is fixed.

Notation: B photos, A candidates, K classes, n animals found in the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray
from herder.edge.export_facts import ExportFacts
from herder.errors import ResourceError

Run = Callable[[NDArray[np.uint8]], Sequence[FloatArray]]
"""Canvases (B, H, W, 3) to what the graph gives."""


def boxes_and_scores(
    run: Run, canvases: NDArray[np.uint8], facts: ExportFacts, classes: int
) -> tuple[FloatArray, FloatArray]:
    """Canvases (B, H, W, 3) through ``run``: boxes (B, A, 4) and scores (B, A, K).

    Raises ResourceError when the batch does not fit into memory.
    """
    # A file of fixed size takes one photo at a time.
    parts = np.split(canvases, len(canvases)) if facts.fixed_size else [canvases]
    boxes, scores = zip(*(_outputs(run, part, facts, classes) for part in parts), strict=True)
    if len(parts) == 1:
        return boxes[0], scores[0]
    longest = max(b.shape[1] for b in boxes)  # with suppression in the graph each photo has its own number of rows
    return _joined(boxes, longest), _joined(scores, longest)


def padded(detections: FloatArray, batch: int, classes: int) -> tuple[FloatArray, FloatArray]:
    """Rows (n, 7) ``photo, x1, y1, x2, y2, score, class`` as boxes (B, A, 4) and scores (B, A, K), zeros where empty.

    >>> boxes, scores = padded(np.array([[1, 2, 3, 8, 9, 0.5, 0]], np.float32), batch=2, classes=1)
    >>> boxes.shape, scores[:, 0, 0].tolist()
    ((2, 1, 4), [0.0, 0.5])
    """
    photo = detections[:, 0].astype(np.int64)
    order = np.argsort(photo, kind="stable")
    detections, photo = detections[order], photo[order]
    counts = np.bincount(photo, minlength=batch)
    place = np.arange(len(photo)) - np.repeat(np.cumsum(counts) - counts, counts)  # row number within the photo
    boxes = np.zeros((batch, counts.max(initial=0), 4), np.float32)
    scores = np.zeros((batch, boxes.shape[1], classes), np.float32)
    boxes[photo, place] = detections[:, 1:5]
    scores[photo, place, detections[:, 6].astype(np.int64)] = detections[:, 5]
    return boxes, scores


def _outputs(run: Run, canvases: NDArray[np.uint8], facts: ExportFacts, classes: int) -> tuple[FloatArray, FloatArray]:
    try:
        found = run(canvases)
    except Exception as error:  # neither runtime has an exception type for lack of memory
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(w in text for w in ("alloc", "memory", "too large")):
            raise ResourceError(
                f"{len(canvases)} photos of {canvases.shape[2]} x {canvases.shape[1]} do not fit into memory",
                hint="use a smaller batch or size",
            ) from error
        raise
    return padded(found[0], len(canvases), classes) if facts.nms else (found[0], found[1])


def _joined(parts: tuple[FloatArray, ...], rows: int) -> FloatArray:
    return np.concatenate([np.pad(part, ((0, 0), (0, rows - part.shape[1]), (0, 0))) for part in parts])
