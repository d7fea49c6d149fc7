"""Which format a folder or file is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from herder.data.formats import coco, voc, yolo
from herder.data.formats.photos import list_files
from herder.errors import DataError
from herder.images import IMAGE_SUFFIXES

Layout = yolo.Layout | coco.Layout | voc.Layout
Finder = Callable[[Path], Layout | None]


def find_layout(path: Path) -> Layout:
    """The layout of the dataset at ``path``.

    Raises DataError when there is nothing, nothing readable, or nothing that is known.
    """
    try:
        if path.is_file():
            return _of_file(path)
        if not path.is_dir():
            raise DataError(f"{path}: no such folder or file", hint="check the path")
        if not any(path.iterdir()):
            raise DataError(f"{path}: the folder is empty", hint="put photos and labels into it; see docs/data.md")
        found = (find(path) for find in _finders(path))
        layout = next((layout for layout in found if layout is not None), None)
    except OSError as error:
        raise DataError(
            f"{error.filename or path}: cannot be read ({error.strerror})", hint="check its permissions"
        ) from None
    if layout is None:
        count = len(list_files(path, IMAGE_SUFFIXES))
        what = f"{count} photos but no labels" if count else "neither photos nor labels"
        raise DataError(f"{path}: {what} in YOLO, COCO or Pascal VOC form", hint="see docs/data.md for the layouts")
    return layout


def _of_file(path: Path) -> Layout:
    suffix = path.suffix.lower()
    layout: Layout | None = None
    if suffix == ".json":
        layout = coco.find_layout(path)
    elif suffix in (".yaml", ".yml"):
        layout = yolo.find_layout(path)
    else:
        hint = "give the folder, a data.yaml or a COCO .json"
        raise DataError(f"{path}: {suffix or 'this'} is not the file of a dataset", hint=hint)
    if layout is None:
        raise DataError(f"{path}: names no photos", hint="give train and val; see docs/data.md")
    return layout


def _finders(path: Path) -> tuple[Finder, ...]:
    """What looks for each format, in order: VOC and COCO are known by what only they have, and YOLO's loose text files
    come last, unless a folder or file that is YOLO's alone lies there.
    """
    if (path / "labels").is_dir() or any((path / name).is_file() for name in yolo.SETTINGS_FILES):
        return yolo.find_layout, coco.find_layout, voc.find_layout
    return voc.find_layout, coco.find_layout, yolo.find_layout
