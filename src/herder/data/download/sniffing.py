"""Whether what arrived can be a photo at all: by its first bytes, whatever the server calls it.

What cannot is an error page, most often; whether a photo really decodes is found out by the checks after the download.
"""

from __future__ import annotations

import re

from herder.data.download.failures import Failure

SNIFFED = 512
"""Bytes at the beginning that are looked at."""

_PHOTO = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF.{4}WEBP|BM|II\*\0|MM\0\*|GIF8[79]a|.{4}ftyp(?:avif|avis|heic|heix|mif1)",
    re.DOTALL,
)
"""How JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF and HEIC files begin; https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern."""

_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body|title|script)\b",
    re.DOTALL | re.IGNORECASE,
)

_TEXT = ("text/", "application/json", "application/xml", "application/problem+")
"""Kinds of content that are no photos."""


def check_content(head: bytes, size: int, content_type: str) -> None:
    """Raise Failure for nothing at all, for an HTML page and for other text; ``head`` are the first bytes."""
    if size == 0:
        raise Failure("empty-file", "the server sends nothing (0 bytes)", retry=True, status=200)
    if _PHOTO.match(head):
        return
    kind = content_type.partition(";")[0].strip().lower()
    if _PAGE.match(head) or kind in ("text/html", "application/xhtml+xml"):
        raise Failure("html-page", "the server sends a web page in place of the photo", status=200)
    if kind.startswith(_TEXT):
        raise Failure("not-a-photo", f"the server sends {kind} in place of the photo", status=200)
