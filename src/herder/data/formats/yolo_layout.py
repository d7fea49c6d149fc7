"""Where the photos and labels of a YOLO folder lie: what its ``data.yaml`` says, or else the names of its folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from herder.data.formats.labels import SETTINGS_BYTES, checked_names, read_class_names, read_text
from herder.data.formats.photos import list_files
from herder.data.formats.splits import split_name
from herder.errors import DataError

NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names", "names.txt")
"""Where class names are looked for when no ``data.yaml`` gives them."""

SETTINGS_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")

NOT_LABELS = frozenset({"classes.txt", "names.txt", "labels.txt", "readme.txt", "license.txt", "train.txt", "val.txt"})
"""Text files that may lie among labels without being one."""


@dataclass(frozen=True)
class Source:
    """Where the photos of a split come from: all under ``images``, or those that the text file ``listing`` names."""

    images: Path
    labels: Path
    listing: Path | None = None
    recursive: bool = True


@dataclass(frozen=True)
class Layout:
    """A YOLO dataset as found on disk; the split ``""`` stands for a folder without splits."""

    root: Path
    splits: Mapping[str, tuple[Source, ...]]
    class_names: tuple[str, ...] = ()
    settings: Path | None = None
    """The ``data.yaml`` that says so."""


def find_layout(path: Path) -> Layout | None:
    """The YOLO dataset at a folder or a ``data.yaml``, or None where there is none.

    Raises DataError for a ``data.yaml`` that makes no sense.
    """
    settings = path if path.is_file() else next((path / n for n in SETTINGS_FILES if (path / n).is_file()), None)
    root = path
    given: dict[str, tuple[Source, ...]] = {}
    names: tuple[str, ...] = ()
    if settings is not None:
        root, given, names = _read_settings(settings)
    splits = given or _find_splits(root)
    if not splits:
        return None
    if not names:
        named = next((root / n for n in NAME_FILES if (root / n).is_file()), None)
        names = read_class_names(named) if named else ()
    return Layout(root, splits, names, settings)


def _read_settings(path: Path) -> tuple[Path, dict[str, tuple[Source, ...]], tuple[str, ...]]:
    try:
        data: Any = yaml.safe_load(read_text(path, SETTINGS_BYTES))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f"line {line + 1}: " if line is not None else ""
        raise DataError(f"{path}: {where}is not YAML", hint="compare it with docs/data.md") from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: holds no settings", hint="give names, train and val; see docs/data.md")
    root = path.parent / str(data.get("path") or ".")
    if not root.is_dir():  # written on another machine: the file lies in its dataset all the same
        root = path.parent
    splits: dict[str, tuple[Source, ...]] = {}
    for key in ("train", "val", "valid", "test"):
        if data.get(key):
            entries = data[key] if isinstance(data[key], list) else [data[key]]
            splits[split_name(key)] = tuple(_settings_source(path, root, str(entry)) for entry in entries)
    return root, splits, _settings_names(path, data)


def _settings_source(settings: Path, root: Path, entry: str) -> Source:
    # Some exporters write "../train/images" for what lies beside the file.
    places = [root / entry, settings.parent / entry, settings.parent / entry.removeprefix("../")]
    place = next((p for p in places if p.exists()), places[0])  # a missing one is an error once its split is read
    if place.is_file():
        return Source(place.parent, place.parent, listing=place)
    return Source(place, labels_for(place))


def _settings_names(path: Path, data: Mapping[str, Any]) -> tuple[str, ...]:
    names = data.get("names")
    if names is None:
        return ()
    if isinstance(names, dict):
        try:
            numbered = {int(key): str(value) for key, value in names.items()}
        except (TypeError, ValueError):
            raise DataError(f"{path}: names: a class number is no number", hint="write 0: alpaca") from None
        if sorted(numbered) != list(range(len(numbered))):
            raise DataError(f"{path}: names: numbers {sorted(numbered)} leave a gap", hint="count from 0 without gaps")
        names = [numbered[i] for i in range(len(numbered))]
    if not isinstance(names, list) or not all(isinstance(name, (str, int, float)) for name in names):
        raise DataError(f"{path}: names: found {type(names).__name__}, wanted a list", hint="write names: [alpaca]")
    if isinstance(data.get("nc"), int) and data["nc"] != len(names):
        raise DataError(f"{path}: nc is {data['nc']}, but there are {len(names)} names", hint="correct one of them")
    return checked_names(path, [str(name) for name in names])


def labels_for(images: Path) -> Path:
    """The folder of labels for a folder of photos: the last part called ``images`` becomes ``labels``."""
    parts = list(images.parts)
    for i in range(len(parts) - 1, -1, -1):
        if parts[i].lower() == "images":
            labels = Path(*parts[:i], "labels", *parts[i + 1 :])
            if labels.is_dir():
                return labels
    return images


def _find_splits(root: Path) -> dict[str, tuple[Source, ...]]:
    images, labels = root / "images", root / "labels"
    if images.is_dir():
        folders = sorted(f for f in images.iterdir() if f.is_dir() and not f.name.startswith("."))
        known = [f for f in folders if split_name(f.name) or (labels / f.name).is_dir()]
        if known:
            return {
                split_name(f.name) or f.name: (Source(f, labels / f.name if labels.is_dir() else f),) for f in known
            }
        return {"": (Source(images, labels if labels.is_dir() else images),)} if _has_labels(root) else {}
    inside = sorted(f for f in root.iterdir() if f.is_dir() and split_name(f.name)) if root.is_dir() else []
    for photos, texts in (("images", "labels"), (".", "labels"), (".", ".")):
        sources = {split_name(f.name): Source(f / photos, f / texts) for f in inside if _has_labels(f / texts)}
        if sources:
            return {split: (source,) for split, source in sources.items()}
    return {"": (Source(root, root, recursive=False),)} if _has_labels(root, recursive=False) else {}


def _has_labels(folder: Path, *, recursive: bool = True) -> bool:
    texts = list_files(folder, (".txt",), recursive=recursive) if folder.is_dir() else []
    return any(text.name.lower() not in NOT_LABELS for text in texts)


def settings_text(class_names: Iterable[str], splits: Iterable[str]) -> str:
    """The ``data.yaml`` of a folder ``images/SPLIT`` + ``labels/SPLIT``."""
    folders = {split: f"images/{split}" for split in splits if split}
    settings: dict[str, object] = {"path": ".", **folders, "names": dict(enumerate(class_names))}
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
