"""The rules a detector is measured by: COCO's, or those of Open Images."""

from __future__ import annotations

from enum import Enum


class Rules(Enum):
    """What counts as a hit, and how precision and recall become one number."""

    COCO = "coco"
    """https://cocodataset.org/#detection-eval: a detection takes the best box that is free, and precision is
    read at 101 recalls."""
    OPEN_IMAGES = "open-images"
    """https://storage.googleapis.com/openimages/web/evaluation.html: a detection is a hit only if the box it overlaps
    most is free; a box around a group counts once; average precision is the area under the curve (PASCAL VOC 2010)."""
