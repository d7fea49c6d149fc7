"""Lists of photo URLs from anywhere: CSV, JSON Lines, COCO, or plain text with a URL a line.

Columns of CSV and fields of JSON Lines, of which only the first is needed; other ones are passed over:

    url        where the photo is; also coco_url, image_url, flickr_url
    file_name  where it goes; also filename, file, name, path. Without it the name at the end of the URL
    split      train, val, test; also subset
    licence    a name or URL; also license
    author, page, title, size (bytes), md5 (hex)

Labels are given apart from the list and matched by the photo's file name without its ending: see ``match_labels``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from herder.data.download.items import DownloadItem, checked_path
from herder.data.formats.labels import JSON_BYTES, read_text
from herder.data.formats.splits import split_name
from herder.data.records import Problem, one_line
from herder.errors import DataError
from herder.images import IMAGE_SUFFIXES

NAMES: Mapping[str, tuple[str, ...]] = {
    "url": ("url", "coco_url", "image_url", "flickr_url"),
    "file_name": ("file_name", "filename", "file", "name", "path"),
    "split": ("split", "subset"),
    "licence": ("licence", "license"),
    "author": ("author",),
    "page": ("page", "landing_page", "landing_url"),
    "title": ("title",),
    "size": ("size", "bytes"),
    "md5": ("md5",),
}
"""The names that a column may have, the first that holds something counts."""

LIST_BYTES = 2_000_000_000
"""A list of URLs of more bytes is refused."""

Fields = dict[str, str]


@dataclass(frozen=True)
class UrlList:
    """The items of a list, and the lines of it that cannot be used."""

    items: tuple[DownloadItem, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class LabelMatch:
    """Which label file belongs to which item."""

    labels: dict[str, Path]
    """Label file by the item's key."""
    unlabelled: tuple[str, ...]
    """Keys of items without a label."""
    orphans: tuple[Path, ...]
    """Label files without an item."""


def read_url_list(path: Path) -> UrlList:
    """Read the list at ``path``: .csv, .tsv, .jsonl, .json (COCO), anything else as a URL a line (``#`` for remarks).

    Each item's key is its path. A URL that comes twice for the same file is taken once. Lines that cannot be used are
    among the problems. Raises DataError when the file is missing, holds no URL at all, or is no COCO file.
    """
    kind = path.suffix.lower()
    text = read_text(path, JSON_BYTES if kind == ".json" else LIST_BYTES)
    lines = _READERS.get(kind, _plain_lines)(path, text)
    items: dict[str, DownloadItem] = {}
    problems: list[Problem] = []
    for where, fields in lines:
        try:
            if isinstance(fields, DataError):
                raise fields
            item = _item(fields)
            other = items.get(item.key.casefold())
            if other is not None and other.url != item.url:
                raise DataError(f"{item.path} is the file of {other.url} already", hint="give it another file name")
        except DataError as error:
            problems.append(Problem(path, "url-list-line", f"{where}: {error.message}", error.hint))
            continue
        items.setdefault(item.key.casefold(), item)
    if not items:
        first = f"first: {problems[0].message}" if problems else "the list is empty"
        raise DataError(f"{path}: not one URL to fetch", hint=first)
    return UrlList(tuple(items.values()), tuple(problems))


def match_labels(items: Iterable[DownloadItem], folder: Path, suffix: str) -> LabelMatch:
    """Find the label file (``suffix`` .txt for YOLO, .xml for VOC) of each item by its file name without the ending.

    A label in a folder named like the item's split goes before others. Raises DataError for a missing folder, and where
    two label files have the same name and none lies in the folder of the split.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", hint="give the folder of the label files")
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob(f"*{suffix}")):
        if file.name.lower() not in ("classes.txt", "notes.txt", "obj.names"):
            found.setdefault(file.stem, []).append(file)
    labels: dict[str, Path] = {}
    unlabelled: list[str] = []
    for item in items:
        candidates = found.get(item.path.stem, [])
        here = [file for file in candidates if item.split and split_name(file.parent.name) == item.split] or candidates
        if len(here) > 1:
            raise DataError(
                f"{item.key}: {here[0]} and {here[1]} could both be its label", hint="keep the one that is meant"
            )
        if here:
            labels[item.key] = here[0]
        else:
            unlabelled.append(item.key)
    used = set(labels.values())
    orphans = (file for files in found.values() for file in files if file not in used)
    return LabelMatch(labels, tuple(unlabelled), tuple(sorted(orphans)))


def _item(fields: Fields) -> DownloadItem:
    url = fields["url"]
    if "://" not in url or re.search(r"\s", url):
        raise DataError(f"{url[:100]!r} is no URL", hint="give whole addresses, such as https://example.org/a.jpg")
    split = split_name(fields.get("split", "")) or one_line(fields.get("split", ""))
    path = PurePosixPath(fields["file_name"].replace("\\", "/")) if fields.get("file_name") else _name_of(url)
    path = checked_path(path, "the photo")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        path = path.with_name(f"{path.name}.jpg")
    size = fields.get("size", "")
    if size and not re.fullmatch(r"[0-9]{1,15}", size):
        raise DataError(f"a size of {size!r}", hint="give whole bytes, or leave it empty")
    about = {name: one_line(fields.get(name, "")) for name in ("licence", "author", "page", "title")}
    return DownloadItem(
        str(path), url, path, split, size=int(size) if size else None, md5=fields.get("md5") or None, **about
    )


def _name_of(url: str) -> PurePosixPath:
    """A file name from the end of a URL; one without a usable name there gets a short digest of it.

    >>> _name_of("https://example.org/herd/a%20b.jpg?size=large")
    PurePosixPath('a b.jpg')
    """
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    try:
        parts = urlsplit(url)
        name = PurePosixPath(unquote(parts.path)).name
        path = checked_path(PurePosixPath(name))
    except (ValueError, DataError):
        return PurePosixPath(f"{digest}.jpg")
    # photo.php?id=7 and photo.php?id=8 are different photos.
    return path if path.suffix.lower() in IMAGE_SUFFIXES else PurePosixPath(f"{digest}.jpg")


Lines = Iterator[tuple[str, Fields | DataError]]


def _plain_lines(path: Path, text: str) -> Lines:
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield f"line {number}", {"url": line}


def _csv_lines(path: Path, text: str) -> Lines:
    rows = csv.reader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    header: Sequence[str] | None = None
    try:
        for row in rows:
            if not any(row):
                continue
            if header is None:
                header = [name.strip().lower() for name in row]
                if not set(header) & set(NAMES["url"]):
                    raise DataError(
                        f"{path}: line 1: no column 'url', but {', '.join(header)[:200]}",
                        hint="name the columns in the first line: url, and if known file_name, licence, author, page",
                    )
                continue
            where = f"line {rows.line_num}"
            if len(row) != len(header):
                yield where, DataError(f"{len(row)} columns, wanted {len(header)}", hint="correct the line")
                continue
            yield where, _pick(dict(zip(header, row, strict=True)))
    except csv.Error as error:
        yield (
            f"line {rows.line_num}",
            DataError(f"is no CSV ({error})", hint="it may be cut short: copy it again"),
        )


def _json_lines(path: Path, text: str) -> Lines:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield f"line {number}", DataError(f"is no JSON ({error})", hint="give one object a line")
            continue
        if not isinstance(entry, dict):
            yield f"line {number}", DataError(f"holds a {type(entry).__name__}", hint="give one object a line")
            continue
        yield f"line {number}", _pick(entry)


def _coco_lines(path: Path, text: str) -> Lines:
    """The photos of a COCO file, which says in ``coco_url`` or ``flickr_url`` where each one is."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON ({error})", hint="copy the file again") from None
    images = data.get("images") if isinstance(data, dict) else None
    if not isinstance(images, list):
        raise DataError(f"{path}: has no list 'images'", hint="give a COCO file; JSON Lines end in .jsonl")
    licences = data.get("licenses")
    named = {
        str(entry.get("id")): str(entry.get("url") or entry.get("name") or "")
        for entry in (licences if isinstance(licences, list) else [])
        if isinstance(entry, dict)
    }
    for number, entry in enumerate(images, 1):
        if not isinstance(entry, dict):
            yield f"photo {number}", DataError(f"is a {type(entry).__name__}", hint="correct the entry")
            continue
        fields = _pick({"split": split_name(path.stem), **entry})
        if not isinstance(fields, DataError) and "licence" in fields:
            fields["licence"] = named.get(fields["licence"], fields["licence"])
        yield f"photo {number}", fields


def _pick(entry: Mapping[str, Any]) -> Fields | DataError:
    """The fields that are known, as text, by their first name."""
    found: Fields = {}
    for name, spellings in NAMES.items():
        for spelling in spellings:
            value = entry.get(spelling)
            if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
                found[name] = str(value).strip()
                break
    return found if "url" in found else DataError("no URL", hint="every photo needs one")


_READERS: Mapping[str, Callable[[Path, str], Lines]] = {
    ".csv": _csv_lines,
    ".tsv": _csv_lines,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _coco_lines,
}
