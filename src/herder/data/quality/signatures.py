"""What a file really is, by its first bytes, whatever its name says.

Source: https://mimesniff.spec.whatwg.org/ for photos and pages; https://mp4ra.org/registered-types/brands for HEIF.
"""

from __future__ import annotations

import re
from typing import Final

SNIFFED = 1024
"""Bytes at the beginning that are looked at."""

HTML: Final = "HTML"

READABLE = frozenset({"JPEG", "PNG", "WebP", "BMP", "TIFF"})
"""Kinds that herder reads."""

PHOTOS = READABLE | {"GIF", "AVIF", "HEIC", "JPEG 2000", "JPEG XL"}
"""Kinds that are photos, whether herder reads them or not."""

ENDINGS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
"""The endings that each kind should have."""

_BEGIN = rb"(?:\xef\xbb\xbf)?+\s*+"
"""A byte order mark and blanks, which texts may begin with."""

_KINDS: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (kind, re.compile(pattern, re.DOTALL | re.IGNORECASE if kind in (HTML, "XML") else re.DOTALL))
    for kind, pattern in (
        ("JPEG", rb"\xff\xd8\xff"),
        ("PNG", rb"\x89PNG\r\n\x1a\n"),
        ("WebP", rb"RIFF.{4}WEBP"),
        ("BMP", rb"BM.{4}\0\0\0\0"),
        ("TIFF", rb"II[*+]\0|MM\0[*+]"),
        ("GIF", rb"GIF8[79]a"),
        ("AVIF", rb".{4}ftypavi[fs]"),
        ("HEIC", rb".{4}ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)"),
        ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL "),
        ("PDF", rb"%PDF-"),
        ("ZIP", rb"PK\x03\x04"),
        ("gzip", rb"\x1f\x8b"),
        # Possessive and atomic, so that a page made of comments cannot make the search explode.
        (HTML, _BEGIN + rb"(?>(?:<!--.*?-->|<\?xml.*?\?>)\s*+)*+<(?:!doctype\s+html|html|head|body|title|script)\b"),
        ("XML", _BEGIN + rb"<(?:\?xml|[a-z!])"),
        ("JSON", _BEGIN + rb"[\[{]\s*[\"{\[\]}]"),
        ("Git LFS pointer", rb"version https://git-lfs"),
    )
)  # fmt: skip


def kind_of(head: bytes) -> str:
    r"""The kind of a file that begins with ``head``: a key of ``ENDINGS``, another known kind, or "" for none.

    >>> kind_of(b"\xff\xd8\xff\xe0\0\x10JFIF")
    'JPEG'
    >>> kind_of(b"\n<!DOCTYPE html><title>404 Not Found</title>")
    'HTML'
    """
    return next((kind for kind, pattern in _KINDS if pattern.match(head)), "")
