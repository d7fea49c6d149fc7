"""Which photos a command line means, and names for what is written about them."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from herder.images import IMAGE_SUFFIXES


def find_photos(patterns: Iterable[str], *, recursive: bool, problem: Callable[[str, str], None]) -> list[Path]:
    """Photos for files, folders and globs, in the order given, sorted within each, each photo once.

    A folder gives the photos in it by their ending, with ``recursive`` those of its folders too; hidden files are
    passed over. A file that is named, whatever its ending, is taken as meant. ``problem`` hears (what, message) of each
    pattern that gives nothing.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        paths, reason = _expand(pattern, recursive, problem)
        if not paths:
            problem(pattern, reason)
        for path in paths:
            found.setdefault(_absolute(path), path)
    return list(found.values())


def _expand(pattern: str, recursive: bool, problem: Callable[[str, str], None]) -> tuple[list[Path], str]:
    path = Path(pattern)
    if path.is_dir():
        photos = _in_folder(path, recursive, problem)
        return photos, "no photos in this folder" + ("" if recursive else " (--recursive looks into its folders too)")
    if path.exists() or not glob.has_magic(pattern):
        return [path], ""  # reading it says what is wrong, should it not be there
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 (Path.glob takes no absolute one)
    photos = []
    for match in matches:
        photos += _in_folder(match, recursive, problem) if match.is_dir() else [match] if _is_photo(match) else []
    return photos, "no photo matches"


def _in_folder(folder: Path, recursive: bool, problem: Callable[[str, str], None]) -> list[Path]:
    def unreadable(error: OSError) -> None:
        problem(str(error.filename), f"the folder cannot be read ({error.strerror})")

    photos: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable):
        photos += [Path(parent, name) for name in files if _is_photo(Path(name))]
        folders[:] = [name for name in folders if not name.startswith(".")] if recursive else []
    return sorted(photos)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def short_names(paths: Sequence[Path]) -> list[PurePosixPath]:
    """A name for each photo that no other one has: its file name, or its path below the folder they all share.

    >>> [str(name) for name in short_names([Path("a/1.jpg"), Path("b/2.jpg")])]
    ['1.jpg', '2.jpg']
    >>> [str(name) for name in short_names([Path("a/1.jpg"), Path("b/1.jpg")])]
    ['a/1.jpg', 'b/1.jpg']
    """
    names = [PurePosixPath(path.name) for path in paths]
    if len(set(names)) == len(names):
        return names
    whole = [_absolute(path) for path in paths]
    shared = os.path.commonpath([path.parent for path in whole])
    return [PurePosixPath(path.relative_to(shared).as_posix()) for path in whole]


def _absolute(path: Path) -> Path:
    """The path from the root without ``..``; links stay, so that a photo keeps the name its owner gave it."""
    return Path(os.path.normpath(path.absolute()))


def with_suffix(names: Sequence[PurePosixPath], choose: Callable[[str], str]) -> list[PurePosixPath]:
    """The same names with the ending that ``choose`` gives for theirs; where two would meet, the old one stays inside.

    >>> [str(n) for n in with_suffix([PurePosixPath(n) for n in ("a.jpg", "b.jpg", "b.png")], lambda _: ".txt")]
    ['a.txt', 'b.jpg.txt', 'b.png.txt']
    """
    changed = [name.with_suffix(choose(name.suffix)) for name in names]
    count = Counter(changed)
    return [
        new if count[new] == 1 else old.with_name(old.name + choose(old.suffix))
        for old, new in zip(names, changed, strict=True)
    ]
