"""Paths of items stay in their folder and fit on every disk."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.download import DownloadItem
from herder.data.download.items import checked_path
from herder.errors import DataError

URL = "https://example.org/a.jpg"
OUTSIDE = ["", ".", "/etc/passwd", "../a.jpg", "a/../../b.jpg", "a\\..\\b.jpg", "C:/a.jpg", "~/a.jpg"]
ODD = ["a\0.jpg", "a\n.jpg", "con.jpg", "LPT1", ".hidden.jpg", "a/.git/b.jpg", "a.jpg.part", "a.jpg.PART", "a.", "a "]
ODD += [" a", "a*.jpg", "x" * 201, "\ud800.jpg"]


@pytest.mark.parametrize("path", [*OUTSIDE, *ODD])
def test_an_unsafe_path_is_refused(path: str) -> None:
    with pytest.raises(DataError, match="no usable file name"):
        DownloadItem("a", URL, PurePosixPath(path))


@pytest.mark.parametrize(
    "path", ["a.jpg", "train/0a1b.jpg", "trail cam/höhle 3.jpeg", "写真.png", "a..b.jpg", "console.jpg"]
)
def test_a_usual_path_is_taken(path: str) -> None:
    assert DownloadItem("a", URL, PurePosixPath(path)).path.name.endswith(("jpg", "jpeg", "png"))


def test_one_letter_has_one_form() -> None:
    assert checked_path(PurePosixPath("ho\u0308hle.jpg")) == PurePosixPath("h\u00f6hle.jpg")


@given(st.text(max_size=40))
def test_whatever_the_path_it_stays_inside(text: str) -> None:
    try:
        path = checked_path(PurePosixPath(text))
    except DataError:
        return
    root = Path("/data/root")
    assert (root / path).resolve().is_relative_to(root)


@pytest.mark.parametrize("facts", [{"size": -1}, {"md5": "abc"}, {"md5": "g" * 32}])
def test_facts_that_cannot_be_are_refused(facts: dict[str, object]) -> None:
    with pytest.raises(DataError):
        DownloadItem("a", URL, PurePosixPath("a.jpg"), **facts)


@pytest.mark.parametrize("key", ["", "a\0b"])
def test_an_item_needs_a_key(key: str) -> None:
    with pytest.raises(DataError, match="key"):
        DownloadItem(key, URL, PurePosixPath("a.jpg"))
