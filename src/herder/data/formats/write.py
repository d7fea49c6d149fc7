"""Writing datasets: into a folder of its own beside the target, which takes the target's name once all is there."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

from herder.data.formats import coco, voc, yolo
from herder.data.formats.side_file import SIDE_FILE, side_entry, side_text
from herder.data.records import Dataset, ImageRecord
from herder.errors import DataError
from herder.files import writing


class Format(Enum):
    """How a dataset lies on disk."""

    YOLO = "yolo"
    COCO = "coco"
    VOC = "voc"


def write_dataset(dataset: Dataset, out: Path, format: Format, *, link: bool = False) -> None:
    """Write a dataset, photos and all, as ``out``; see ``write_splits``."""
    write_splits([dataset], out, format, link=link)


def write_splits(datasets: Sequence[Dataset], out: Path, format: Format, *, link: bool = False) -> None:
    """Write datasets of different splits and the same classes into one new folder ``out``.

    Photos are copied as they are, or with ``link`` become hard links (the same file under a second name: it takes no
    space, and a change to one is a change to both). Photos whose names differ in their folder alone get a number.
    YOLO cannot express ``ignore``; those boxes stand in ``herder.json`` there, with all else that it cannot express.

    Raises DataError when ``out`` holds anything, the splits or classes do not fit together or a photo is gone, and
    ResourceError when the disk is full or may not be written; ``out`` is then as it was.
    """
    out = Path(out)
    names = {dataset.class_names for dataset in datasets}
    if len(names) != 1 or len({dataset.split for dataset in datasets}) != len(datasets):
        raise DataError(
            f"{out}: the splits do not fit together", hint="give each its own name, and all the same classes"
        )
    with staged(out) as stage:
        used: set[str] = set()
        entries: dict[str, Mapping[str, Any]] = {}
        for dataset in datasets:
            named = [(_unused(record.path, used), record) for record in dataset]
            _WRITERS[format](stage, dataset, named)
            for name, record in named:
                place = PurePosixPath(_PHOTOS[format], _folder(format, dataset), name)
                _place(record.path, stage / place, link)
                if format is Format.YOLO and (entry := side_entry(record)):
                    entries[str(place)] = entry
        class_names = names.pop()
        _text(stage / "classes.txt", "".join(f"{name}\n" for name in class_names))
        if format is Format.YOLO:
            _text(stage / "data.yaml", yolo.settings_text(class_names, [dataset.split for dataset in datasets]))
        if entries:
            _text(stage / SIDE_FILE, side_text(entries))


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A new folder to write into that becomes ``out`` at the end, or vanishes when anything fails.

    Raises DataError when ``out`` is a file or a folder with something in it.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out}: is there already", hint="give a new folder: nothing is ever written over")
    stage = out.absolute().parent / f".{out.absolute().name}.{secrets.token_hex(4)}.part"
    with writing(out):
        stage.mkdir(parents=True)
        try:
            yield stage
            stage.replace(out)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise


_PHOTOS = {Format.YOLO: "images", Format.COCO: "images", Format.VOC: "JPEGImages"}


def _folder(format: Format, dataset: Dataset) -> str:
    return "" if format is Format.VOC else dataset.split


def _write_yolo(stage: Path, dataset: Dataset, named: Sequence[tuple[str, ImageRecord]]) -> None:
    for name, record in named:
        _text(stage / "labels" / dataset.split / f"{Path(name).stem}.txt", yolo.label_text(record))


def _write_coco(stage: Path, dataset: Dataset, named: Sequence[tuple[str, ImageRecord]]) -> None:
    file = f"instances_{dataset.split}.json" if dataset.split else "instances.json"
    _text(stage / "annotations" / file, coco.to_json(named, dataset.class_names))


def _write_voc(stage: Path, dataset: Dataset, named: Sequence[tuple[str, ImageRecord]]) -> None:
    for name, record in named:
        _text(stage / "Annotations" / f"{Path(name).stem}.xml", voc.to_xml(record, name, dataset.class_names))
    if dataset.split:
        ids = "".join(f"{Path(name).stem}\n" for name, _ in named)
        _text(stage / "ImageSets" / "Main" / f"{dataset.split}.txt", ids)


_WRITERS = {Format.YOLO: _write_yolo, Format.COCO: _write_coco, Format.VOC: _write_voc}


def _unused(photo: Path, used: set[str]) -> str:
    """The photo's name, with a number where its stem is taken: labels go by the stem, on some disks in any case."""
    stem, number = photo.stem, 1
    while stem.lower() in used:
        number += 1
        stem = f"{photo.stem}-{number}"
    used.add(stem.lower())
    return f"{stem}{photo.suffix}"


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _place(photo: Path, target: Path, link: bool) -> None:
    """Copy the photo to ``target``, or link it where both lie on one disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        try:
            os.link(photo.resolve(), target)
            return
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise DataError(f"{photo}: cannot be linked ({error.strerror})", hint="check the photo") from None
    try:
        source = photo.open("rb")
    except OSError as error:
        raise DataError(f"{photo}: cannot be read ({error.strerror})", hint="read the dataset again") from None
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
