"""Where detections go: table, JSON, COCO, YOLO labels, annotated pictures; each takes one photo after the other.

An output is a context manager: leaving it, by the end or by Ctrl-C, leaves a valid file of all photos so far.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from herder.boxes import BoxFormat, convert
from herder.cli.photo_paths import with_suffix
from herder.detections import Detections
from herder.errors import ConfigError, HerderError
from herder.files import write_atomic, writing

SCORES_SHOWN = 6
"""Scores that the table gives for a photo; the rest is counted."""


@dataclass(frozen=True)
class Shot:
    """One photo on its way through: where it lies, its short name, its pixels (H, W, 3)."""

    path: Path
    name: PurePosixPath
    pixels: NDArray[np.uint8]


class Output(Protocol):
    """Something that writes detections down."""

    def __enter__(self) -> Self:
        """Open it."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Finish the file."""

    def add(self, shot: Shot, found: Detections) -> None:
        """Write down what was found on one photo."""


class _Open:
    """An output that needs no opening or closing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Nothing is left open."""


class TableOutput(_Open):
    """One row a photo on standard output, printed at the end."""

    def __init__(self) -> None:
        self.table = Table()
        for heading in ("photo", "animals", "scores"):
            self.table.add_column(heading, overflow="fold")  # a name cut short would be of no use
        self.photos, self.animals = 0, 0

    def add(self, shot: Shot, found: Detections) -> None:
        """Keep one row."""
        counts = ", ".join(f"{count} {name}" for name, count in Counter(found.names).most_common())
        scores = " ".join(f"{score:.2f}" for score in found.scores[:SCORES_SHOWN])
        more = f" and {len(found) - SCORES_SHOWN} more" if len(found) > SCORES_SHOWN else ""
        self.table.add_row(escape(str(shot.name)), escape(counts) or "none", scores + more)
        self.photos, self.animals = self.photos + 1, self.animals + len(found)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Print what there is, unless nothing is."""
        if self.photos:
            console = Console()
            console.print(self.table)
            console.print(f"{self.animals:,} animals on {self.photos:,} photos", highlight=False)


class JsonOutput(_Open):
    """One JSON document on standard output, written as it grows; ``set_aside`` is read when it closes."""

    def __init__(self, head: Mapping[str, Any], set_aside: Sequence[tuple[str, str]]) -> None:
        self.head, self.set_aside, self.first = head, set_aside, True

    def __enter__(self) -> Self:
        sys.stdout.write(json.dumps(self.head)[:-1] + ', "photos": [')
        return self

    def add(self, shot: Shot, found: Detections) -> None:
        """Write one photo."""
        height, width = shot.pixels.shape[:2]
        animals = [
            {"category": name, "score": round(score, 5), "box": [round(float(v), 2) for v in box]}
            for name, (box, score, _) in zip(found.names, found, strict=True)
        ]
        row = {"file": str(shot.path), "width": width, "height": height, "detections": animals}
        sys.stdout.write(("\n" if self.first else ",\n") + json.dumps(row))
        self.first = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the document."""
        rows = [{"file": name, "reason": reason} for name, reason in self.set_aside]
        sys.stdout.write(f'\n], "set_aside": {json.dumps(rows)}, "complete": {json.dumps(kind is None)}}}\n')
        sys.stdout.flush()


class CocoOutput:
    """A JSON list of ``{file_name, category, bbox: [x, y, w, h], score}``, grown beside ``path`` and then put there."""

    def __init__(self, path: Path) -> None:
        self.path, self.first = path, True
        self._file: IO[str]

    def __enter__(self) -> Self:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(21, "there is a folder of this name")
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name[:40]}.", suffix=".part", dir=self.path.parent)
            self._part, self._file = Path(name), os.fdopen(handle, "w", encoding="utf-8")
            self._file.write("[")
        return self

    def add(self, shot: Shot, found: Detections) -> None:
        """Write one photo's animals."""
        with writing(self.path):
            for row in found.to_coco(str(shot.name)):
                self._file.write(("\n" if self.first else ",\n") + json.dumps(row, ensure_ascii=False))
                self.first = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Put the list in its place; after a full disk or another error of ours nothing is put there."""
        try:
            with writing(self.path):
                if isinstance(error, HerderError):
                    self._file.close()
                    return
                self._file.write("\n]\n")
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                # mkstemp makes private files; a result is as readable as any other file of this account.
                self._part.chmod(self.path.stat().st_mode & 0o7777 if self.path.exists() else 0o666 & ~_umask())
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)


class YoloOutput(_Open):
    """One label file a photo, lines ``class x y width height`` in fractions of the photo, and ``classes.txt``."""

    def __init__(self, folder: Path, names: Sequence[PurePosixPath], class_names: tuple[str, ...]) -> None:
        self.folder, self.class_names = folder, class_names
        self.files = dict(zip(names, with_suffix(names, lambda _: ".txt"), strict=True))

    @property
    def targets(self) -> list[Path]:
        """Every file that will be written."""
        return [self.folder / "classes.txt", *(self.folder / name for name in self.files.values())]

    def add(self, shot: Shot, found: Detections) -> None:
        """Write one photo's labels; an empty file where nothing was found."""
        height, width = shot.pixels.shape[:2]
        boxes = convert(found.boxes, BoxFormat.XYXY, BoxFormat.CXCYWH) / [width, height, width, height]
        lines = [f"{c} " + " ".join(f"{v:.8f}" for v in box) for c, box in zip(found.classes, boxes, strict=True)]
        write_atomic(self.folder / self.files[shot.name], "".join(line + "\n" for line in lines).encode())

    def __enter__(self) -> Self:
        write_atomic(self.folder / "classes.txt", "".join(name + "\n" for name in self.class_names).encode())
        return self


class PictureOutput(_Open):
    """The photos again, with boxes, names and scores drawn on them."""

    def __init__(self, folder: Path, names: Sequence[PurePosixPath]) -> None:
        self.folder = folder
        self.files = dict(zip(names, with_suffix(names, _picture_suffix), strict=True))

    @property
    def targets(self) -> list[Path]:
        """Every file that will be written."""
        return [self.folder / name for name in self.files.values()]

    def add(self, shot: Shot, found: Detections) -> None:
        """Draw and save one picture."""
        from herder.drawing import draw_boxes, save_picture

        labels = [f"{name} {score:.2f}" for name, score in zip(found.names, found.scores, strict=True)]
        save_picture(self.folder / self.files[shot.name], draw_boxes(shot.pixels, found.boxes, labels))


def refuse_overwriting(targets: Sequence[Path], photos: Sequence[Path], *, overwrite: bool) -> None:
    """Raise ConfigError where a target is one of the inputs, or exists and ``overwrite`` does not allow that."""
    inputs = {os.path.realpath(photo) for photo in photos}
    for target in targets:
        if os.path.realpath(target) in inputs:
            raise ConfigError(f"{target}: would replace a file that is read", hint="choose another place")
        if not overwrite and os.path.lexists(target):
            raise ConfigError(f"{target}: is there already", hint="choose another folder, or allow it with --overwrite")


def _picture_suffix(suffix: str) -> str:
    return ".png" if suffix.lower() == ".png" else ".jpg"


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
