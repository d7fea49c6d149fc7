"""What files are, by the bytes that real encoders write."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from PIL import Image

from herder.data.quality.signatures import ENDINGS, HTML, READABLE, kind_of


@pytest.mark.parametrize("kind", sorted(READABLE))
def test_what_pillow_writes(kind: str, encoded: Callable[..., bytes]) -> None:
    for mode in ("RGB", "L"):
        assert kind_of(encoded(Image.new(mode, (5, 4)), kind)) == kind
    assert kind in ENDINGS


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", ""),
        (b"\0" * 100, ""),
        (b"hello", ""),
        (b"BMW drives", ""),
        (b"GIF89a\1\0\1\0", "GIF"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypmp42", ""),
        (b"%PDF-1.7", "PDF"),
        (b"PK\3\4\x14\0", "ZIP"),
        (b"<!DOCTYPE html><html>", HTML),
        (b"\xef\xbb\xbf \r\n<HTML><HEAD>", HTML),
        (b"<!-- saved --><!-- twice -->\n<html lang=en>", HTML),
        (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN">', HTML),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "XML"),
        (b'{"error": "not found"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_known_beginnings(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind


def test_a_page_of_comments_takes_no_time() -> None:
    start = time.perf_counter()
    assert kind_of(b"<!-- -->" * 128) == "XML"
    assert kind_of(b" " * 1024) == ""
    assert time.perf_counter() - start < 1
