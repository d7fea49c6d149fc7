"""Finding photos on disk, safely: folders listed, names joined without leaving the dataset, sizes from headers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath

from herder.data.formats.labels import as_problem
from herder.data.records import Problem
from herder.errors import DataError
from herder.images import IMAGE_SUFFIXES, image_size, read_image, seems_whole

FOREIGN_SUFFIXES = frozenset({".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".dng", ".cr2", ".nef", ".arw"})
"""Endings of photos that herder does not read: they are reported, where other files beside the photos are not."""

PARALLEL = 256
"""From so many photos on, headers are read by several threads: worth it where the disk is slow."""


def list_files(folder: Path, suffixes: Iterable[str], *, recursive: bool = True) -> list[Path]:
    """Files under ``folder`` with one of these endings (lower case), sorted; hidden ones are left out.

    Raises DataError when the folder is missing or it, or a folder in it, may not be read.
    """
    wanted = tuple(suffixes)
    found: list[Path] = []

    def fail(error: OSError) -> None:
        raise error

    try:
        for here, folders, names in os.walk(folder, onerror=fail):
            folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
            # Hidden files are no photos of anybody: a Mac lays "._a.jpg" beside each a.jpg on foreign disks.
            found += [
                path
                for name in names
                if name.lower().endswith(wanted) and not name.startswith(".") and (path := Path(here, name)).is_file()
            ]
    except FileNotFoundError:
        raise DataError(f"{folder}: no such folder", hint="check the path") from None
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: the folder cannot be read ({error.strerror})", hint="check its permissions"
        ) from None
    return sorted(found)


def list_photos(folder: Path, *, recursive: bool = True) -> tuple[list[Path], list[Problem]]:
    """Photos under ``folder``, sorted, and a finding for each photo of a kind that herder does not read."""
    found = list_files(folder, IMAGE_SUFFIXES | FOREIGN_SUFFIXES, recursive=recursive)
    foreign = [
        Problem(path, "photo-type", f"{path.suffix} photos are not read", "save it as JPEG or PNG")
        for path in found
        if path.suffix.lower() in FOREIGN_SUFFIXES
    ]
    return [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES], foreign


def safe_name(name: str) -> PurePosixPath:
    """The relative path that a label file gives, once it is sure that it stays inside the folder.

    Raises ValueError for an absolute path, a drive, or a way up (``..``): a dataset from elsewhere must not be able to
    name other files of this machine.

    >>> safe_name("train\\\\a.jpg")
    PurePosixPath('train/a.jpg')
    >>> safe_name("../../etc/passwd")
    Traceback (most recent call last):
    ValueError: '../../etc/passwd' leads out of the dataset
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\0" in name:
        raise ValueError(f"{name!r} leads out of the dataset")
    if not path.name:
        raise ValueError("the file name is empty")
    return path


def read_size(photo: Path) -> tuple[int, int] | Problem:
    """Sides of the upright photo from its header; a finding where it is no photo or is cut short.

    Only a file whose end looks wrong is decoded here, so that a truncated copy is found at the price of a header.
    """
    try:
        if photo.stat().st_size == 0:
            return Problem(photo, "photo-broken", "the file is empty (0 bytes)", "copy it again or remove it")
        size = image_size(photo)
        if not seems_whole(photo):
            read_image(photo)
    except DataError as error:
        return as_problem(photo, "photo-broken", error)
    except OSError as error:
        return Problem(photo, "photo-broken", f"cannot be read ({error.strerror})", "check its permissions")
    return size


def read_sizes(photos: Sequence[Path]) -> list[tuple[int, int] | Problem]:
    """``read_size`` of each photo, in order."""
    if len(photos) < PARALLEL:
        return [read_size(photo) for photo in photos]
    with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(read_size, photos, chunksize=64))
