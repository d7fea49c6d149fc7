"""Lists of URLs in their usual forms, and what is wrong with unusual ones."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest

from herder.data.download import DownloadItem
from herder.data.download.url_list import match_labels, read_url_list
from herder.errors import DataError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_url_a_line(tmp_path: Path) -> None:
    path = write(
        tmp_path, "list.txt", "\ufeff# herd\n\nhttps://a.example/x/1.jpg?w=9\r\nhttps://a.example/photo.php?id=7\n"
    )
    found = read_url_list(path)
    assert str(found.items[0].path) == "1.jpg"
    assert found.items[1].path.suffix == ".jpg"
    assert found.items[1].url == "https://a.example/photo.php?id=7"
    assert found.problems == ()


def test_csv_with_everything(tmp_path: Path) -> None:
    text = (
        "URL,file_name,license,author,page,title,split,size,md5\n"
        'https://a.example/1,herd/a,CC BY,"Öz, A.",https://p,"A\nherd",validation,12,' + "AB" * 16 + "\n"
    )
    (item,) = read_url_list(write(tmp_path, "list.csv", text)).items
    assert item == DownloadItem(
        "herd/a.jpg", "https://a.example/1", PurePosixPath("herd/a.jpg"), "val", 12, "ab" * 16, "CC BY", "Öz, A.",
        "https://p", "A herd",
    )  # fmt: skip


def test_bad_lines_are_set_aside_with_their_number(tmp_path: Path) -> None:
    lines = ["url,file_name", "https://a.example/1.jpg,", "https://a.example/2.jpg,../../x.jpg", "no url,b.jpg"]
    lines += ["https://a.example/3.jpg,1.jpg", "a,b,c", ",c.jpg", "https://a.example/1.jpg,"]
    found = read_url_list(write(tmp_path, "list.csv", "\n".join(lines)))
    assert [i.key for i in found.items] == ["1.jpg"]
    said = [problem.message for problem in found.problems]
    assert [text.split(":")[0] for text in said] == ["line 3", "line 4", "line 5", "line 6", "line 7"]
    assert "leads out" in said[0]
    assert "already" in said[2]


def test_a_csv_cut_in_the_middle_of_a_line(tmp_path: Path) -> None:
    text = 'url,title\nhttps://a.example/1.jpg,a\nhttps://a.example/2.jpg,"cut in the'
    found = read_url_list(write(tmp_path, "list.csv", text))
    assert [i.key for i in found.items] == ["1.jpg"]
    assert "cut short" in found.problems[0].hint


def test_json_lines(tmp_path: Path) -> None:
    lines = [{"coco_url": "https://a.example/1.jpg", "file_name": "x.png", "size": 5}, [1], {"url": None}]
    text = "\n".join(map(json.dumps, lines)) + '\n{"url": "https'
    found = read_url_list(write(tmp_path, "list.jsonl", text))
    assert [(i.key, i.size) for i in found.items] == [("x.png", 5)]
    assert [p.message.split(":")[0] for p in found.problems] == ["line 2", "line 3", "line 4"]


def test_coco(tmp_path: Path) -> None:
    data = {
        "licenses": [{"id": 1, "name": "Attribution", "url": "https://cc.example/by"}],
        "images": [
            {"id": 7, "file_name": "7.jpg", "coco_url": "https://a.example/7.jpg", "license": 1},
            {"id": 8, "file_name": "8.jpg", "flickr_url": "https://f.example/8_o.jpg"},
            {"id": 9, "file_name": "9.jpg"},
        ],
    }
    found = read_url_list(write(tmp_path, "instances_val2017.json", json.dumps(data)))
    assert [(i.key, i.split, i.licence) for i in found.items] == [
        ("7.jpg", "val", "https://cc.example/by"),
        ("8.jpg", "val", ""),
    ]
    assert found.items[1].url == "https://f.example/8_o.jpg"
    assert "photo 3: no URL" in found.problems[0].message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", ""),
        ("a.txt", "# only\n"),
        ("a.csv", "file\nx\n"),
        ("a.csv", "url\n"),
        ("a.json", "[]"),
        ("a.json", "{"),
        ("a.jsonl", "[" * 100_000),
        ("a.txt", "nonsense\n"),
    ],
)
def test_a_list_without_a_url_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(DataError):
        read_url_list(write(tmp_path, name, text))


def test_a_missing_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_url_list(tmp_path / "none.csv")


def test_labels_are_matched_by_stem(tmp_path: Path) -> None:
    for name in ("train/a.txt", "val/a.txt", "val/b.txt", "val/lonely.txt", "classes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    items = [
        DownloadItem(name, "https://a.example", PurePosixPath(f"{name}.jpg"), split)
        for name, split in (("a", "val"), ("b", ""), ("c", "train"))
    ]
    found = match_labels(items, tmp_path, ".txt")
    assert found.labels == {"a": tmp_path / "val/a.txt", "b": tmp_path / "val/b.txt"}
    assert found.unlabelled == ("c",)
    assert found.orphans == (tmp_path / "train/a.txt", tmp_path / "val/lonely.txt")
    with pytest.raises(DataError, match="could both be its label"):
        match_labels([DownloadItem("a", "https://a.example", PurePosixPath("a.jpg"))], tmp_path, ".txt")
    with pytest.raises(DataError, match="no such folder"):
        match_labels(items, tmp_path / "none", ".txt")
