"""Tables of authors and licences, against Python's own CSV reader."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.open_images import csv_pieces
from herder.data.open_images.photo_table import COLUMNS, read_photos
from herder.errors import DataError

HEADER = [
    *("ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL", "Author", "Title"),
    *("OriginalSize", "OriginalMD5", "Thumbnail300KURL", "Rotation"),
]


def entry(name: str, title: str = "A title", rotation: str = "0.0", author: str = "Jo") -> list[str]:
    return [name, "train", f"u/{name}", f"p/{name}", "https://l", "a", author, title, "1", "m==", "", rotation]


def write(path: Path, rows: list[list[str]], end: str = "\n") -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows([HEADER, *rows])
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_photos_that_are_asked_for(tmp_path: Path, end: str) -> None:
    rows = [entry("a", 'A "herd",\nat dawn', "90.0"), entry("b"), entry("c", "", "nan", ""), entry("d", "x", "")]
    found = read_photos(write(tmp_path / "t.csv", rows, end), ["a", "c", "d", "none"])
    assert found.columns == list(COLUMNS)
    assert found["ImageID"].to_list() == ["a", "c", "d"]
    assert found["Title"].to_list() == ['A "herd",\nat dawn', "", "x"]
    assert found["Author"].to_list() == ["Jo", "", "Jo"]
    assert found["Rotation"].to_list() == [90, 0, 0]
    assert len(read_photos(tmp_path / "t.csv", [])) == 0


text = st.text(st.sampled_from('ab ",\né'), max_size=8)


@given(st.lists(text, max_size=8), st.integers(40, 400))
def test_against_the_csv_module(tmp_path_factory: pytest.TempPathFactory, titles: list[str], piece: int) -> None:
    rows = [entry(f"id{i}", title) for i, title in enumerate(titles)]
    path = write(tmp_path_factory.mktemp("t") / "t.csv", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_pieces, "PIECE", piece)
        found = read_photos(path, [row[0] for row in rows])
    assert dict(zip(found["ImageID"], found["Title"], strict=True)) == {row[0]: row[7] for row in rows}


def test_broken_tables(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [entry("a"), entry("b")])
    whole = path.read_bytes()
    path.write_bytes(whole[:-6])
    with pytest.raises(DataError, match="the file ends in the middle"):
        read_photos(path, ["a"])
    path.write_bytes(whole.replace(b"License", b"Licence"))
    with pytest.raises(DataError, match="line 1: no column License"):
        read_photos(path, ["a"])
    path.write_bytes(whole.replace(b"Subset", b"Title"))
    with pytest.raises(DataError, match="comes twice"):
        read_photos(path, ["a"])
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read_photos(path, ["a"])
    path.write_bytes(whole + b"\xff\xfe\xfa,train\n")
    with pytest.raises(DataError, match="from line 2"):
        read_photos(path, ["a"])
