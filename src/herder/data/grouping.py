"""Which photos belong together because of who took them, with which camera, where and when.

A camera trap's photos share background and animals, and so do those of one walk over one pasture: dealt out to both
train and val they make a detector look better than it is (S. Beery, G. Van Horn, P. Perona, "Recognition in Terra
Incognita", ECCV 2018, https://arxiv.org/abs/1807.04975).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from herder.data.capture import Capture, read_capture
from herder.data.records import Dataset

GAP = timedelta(minutes=30)
"""A pause of this camera after which another visit begins."""

_LAYOUT = frozenset({"images", "photos", "jpegimages", "train", "val", "valid", "validation", "test"})
"""Folders that label formats make, and that say nothing of where a photo is from."""

Groups = Mapping[str, Sequence[int]]
"""Indices of records by the name of what they have in common."""


class GroupBy(StrEnum):
    """What photos may have in common."""

    AUTHOR = "author"
    """The author that the dataset names."""
    CAMERA = "camera"
    """Maker, model and serial number of the camera, from EXIF."""
    FOLDER = "folder"
    """The folder below the dataset's own, such as one for each farm."""
    TIME = "time"
    """Taken by one camera without a long pause between, from EXIF."""


def group_photos(dataset: Dataset, by: GroupBy, gap: timedelta = GAP) -> Groups:
    """The photos that have something in common; those of which it is not known are in no group.

    ``gap`` is the pause that parts two groups in time. EXIF is read from the files for camera and time.
    """
    found: dict[str, list[int]] = defaultdict(list)
    if by is GroupBy.TIME:
        return _visits([read_capture(record.path) for record in dataset], gap)
    for i, record in enumerate(dataset):
        if by is GroupBy.AUTHOR:
            name = record.source.author
        elif by is GroupBy.CAMERA:
            name = read_capture(record.path).camera
        else:
            name = _folder(record.path, dataset.root)
        if name:
            found[name].append(i)
    return dict(found)


def _folder(path: Path, root: Path) -> str:
    try:
        inner = path.parent.relative_to(root if root.is_dir() else root.parent)
    except ValueError:
        inner = path.parent
    return "/".join(part for part in inner.parts if part.lower() not in _LAYOUT)


def _visits(captures: Sequence[Capture], gap: timedelta) -> Groups:
    """Photos of one camera, cut where it paused for longer than ``gap``."""
    timed = sorted((c.camera, c.taken, i) for i, c in enumerate(captures) if c.taken is not None)
    found: dict[str, list[int]] = {}
    camera, last, name = "", datetime.min, ""
    for whose, taken, i in timed:
        if not name or whose != camera or taken - last > gap:
            name = f"{taken:%Y-%m-%d %H:%M:%S} {whose}".strip()
            found[name] = []
        found[name].append(i)
        camera, last = whose, taken
    return found
