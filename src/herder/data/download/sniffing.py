"""Whether what arrived can be a photo at all: by its first bytes, whatever the server calls it.

What cannot is an error page, most often; whether a photo really decodes is found out by the checks after the download.
"""

from __future__ import annotations

from herder.data.download.failures import Failure
from herder.data.quality.signatures import HTML, PHOTOS, SNIFFED, kind_of

__all__ = ["SNIFFED", "check_content"]

_TEXT = ("text/", "application/json", "application/xml", "application/problem+")
"""Kinds of content that are no photos."""


def check_content(head: bytes, size: int, content_type: str) -> None:
    """Raise Failure for nothing at all, for an HTML page and for other text; ``head`` are the first bytes."""
    if size == 0:
        raise Failure("empty-file", "the server sends nothing (0 bytes)", retry=True, status=200)
    kind = kind_of(head)
    if kind in PHOTOS:
        return
    said = content_type.partition(";")[0].strip().lower()
    if kind == HTML or said in ("text/html", "application/xhtml+xml"):
        raise Failure("html-page", "the server sends a web page in place of the photo", status=200)
    if said.startswith(_TEXT):
        raise Failure("not-a-photo", f"the server sends {said} in place of the photo", status=200)
