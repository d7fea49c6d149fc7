"""One thing to download: where from, where to, and what is known of it before."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

from herder.errors import DataError

PART_SUFFIX = ".part"
"""What is still being written has this at the end of its name."""

NAME_BYTES = 200
"""Longest file or folder name; the usual limit of disks is 255, and a name must have room for ``PART_SUFFIX``."""

_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices."""

_ODD = re.compile(r'[\x00-\x1f\x7f-\x9f\\:*?"<>|\u2028\u2029\ud800-\udfff\ufffe\uffff]')
"""Characters that one of the usual systems does not take in a name, or that break lists of names."""


@dataclass(frozen=True, slots=True)
class DownloadItem:
    """One photo to fetch. Raises DataError for a path that leaves its folder or that some system cannot hold.

    Whether the URL may be fetched is decided when that is tried: a bad one among many is a failure to report, no reason
    to stop.

    >>> DownloadItem("a1", "https://example.org/a1.jpg", PurePosixPath("train/a1.jpg")).split
    ''
    >>> DownloadItem("a1", "https://example.org/a1.jpg", PurePosixPath("../a1.jpg"))
    Traceback (most recent call last):
    herder.errors.DataError: a1: '../a1.jpg' is no usable file name: it leads out of its folder
      what to do: give a relative name of plain characters, such as photos/a1.jpg
    """

    key: str
    """Its name in the manifest; the same for the same photo in every run."""
    url: str
    path: PurePosixPath
    """Where the photo goes, relative to the download's root."""
    split: str = ""
    size: int | None = None
    """Bytes, where known beforehand; another size is a failure."""
    md5: str | None = None
    """MD5 in hex, where known beforehand; another one is a failure."""
    licence: str = ""
    author: str = ""
    page: str = ""
    """The page that shows and describes the photo."""
    title: str = ""

    def __post_init__(self) -> None:
        if not self.key or "\0" in self.key:
            raise DataError(f"{self.key!r}: is no key for an item", hint="give each item a name of its own")
        object.__setattr__(self, "path", checked_path(self.path, self.key))
        if self.size is not None and self.size < 0:
            raise DataError(f"{self.key}: a size of {self.size} bytes", hint="leave it out where it is not known")
        if self.md5 is not None:
            if re.fullmatch(r"[0-9a-fA-F]{32}", self.md5) is None:
                raise DataError(f"{self.key}: {self.md5!r} is no MD5", hint="give 32 hexadecimal digits, or nothing")
            object.__setattr__(self, "md5", self.md5.lower())


def checked_path(path: PurePosixPath, key: str = "") -> PurePosixPath:
    """``path`` in normal form (NFC), once it is sure to stay in its folder and that every system can hold it.

    Raises DataError that says what is wrong with it.
    """
    text = unicodedata.normalize("NFC", str(path))
    wrong = _wrong(text)
    if wrong:
        raise DataError(
            f"{key or 'item'}: {text!r} is no usable file name: {wrong}",
            hint="give a relative name of plain characters, such as photos/a1.jpg",
        )
    return PurePosixPath(text)


def _wrong(text: str) -> str:
    """What is wrong with a path, "" for nothing."""
    if not text.strip("./"):
        return "it is empty"
    if text.startswith("/"):
        return "it is absolute"
    if ".." in text.split("/"):
        return "it leads out of its folder"
    if odd := _ODD.search(text):
        return f"it holds {odd[0]!r}"
    for name in text.split("/"):
        if name.startswith(".") or name.startswith("~"):
            return f"{name!r} is hidden"
        if name != name.strip() or name.endswith("."):
            return f"{name!r} has a blank or a dot at its end"
        if _DEVICES.fullmatch(name):
            return f"{name!r} is a device on Windows"
        if len(name.encode()) > NAME_BYTES:
            return f"a name of {len(name.encode())} bytes is too long (limit {NAME_BYTES})"
        if name.lower().endswith(PART_SUFFIX):
            return f"{PART_SUFFIX!r} is the ending of unfinished files"
    return ""
