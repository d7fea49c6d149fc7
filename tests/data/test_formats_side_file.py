"""``herder.json`` of YOLO folders: what stands in it, and what becomes of a stale or damaged one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from herder.data.formats import Format, read_dataset, write_dataset
from herder.data.records import BoxFlags, Dataset, ImageRecord, PhotoSource, Severity
from herder.errors import DataError

Maker = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path, make_photo: Maker) -> Path:
    """A YOLO folder of two photos: a.jpg with a herd to be ignored between two animals, and b.jpg without a word."""
    a = ImageRecord(
        make_photo(tmp_path / "in/a.jpg", seed=1), 64, 48,
        [[0, 0, 32, 24], [0, 0, 64, 48], [32, 24, 64, 48]], [0, 1, 0], [False, True, False],
        "CC BY 2.0", "farm 1", PhotoSource(author="Jo", url="https://example.org/a.jpg"),
        BoxFlags(occluded=[1, -1, 0], group_of=[0, 1, 0]),
    )  # fmt: skip
    b = ImageRecord(make_photo(tmp_path / "in/b.jpg", seed=2), 64, 48, [[0, 0, 32, 24]], [0])
    write_dataset(Dataset((a, b), ("alpaca", "llama"), split="train"), tmp_path / "out", Format.YOLO)
    return tmp_path / "out"


def content(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "herder.json").read_text()))


def change(folder: Path, entry: Any) -> None:
    data = content(folder)
    data["photos"]["images/train/a.jpg"] = entry
    (folder / "herder.json").write_text(json.dumps(data))


def entry(folder: Path) -> dict[str, Any]:
    return dict(content(folder)["photos"]["images/train/a.jpg"])


def reasons(dataset: Dataset) -> list[str]:
    return [problem.reason for problem in dataset.problems]


def test_what_is_written(written: Path) -> None:
    label = written / "labels/train/a.txt"
    assert label.read_text().split("\n") == [
        "0 0.250000000000 0.250000000000 0.500000000000 0.500000000000",
        "0 0.750000000000 0.750000000000 0.500000000000 0.500000000000",
        "",
    ]
    assert content(written) == {
        "version": 1,
        "photos": {
            "images/train/a.jpg": {
                "licence": "CC BY 2.0",
                "group": "farm 1",
                "source": {"author": "Jo", "url": "https://example.org/a.jpg"},
                "labels": hashlib.sha256(label.read_bytes()).hexdigest()[:16],
                "flags": {"occluded": [1, -1, 0], "group_of": [0, 1, 0]},
                "ignored": [
                    {"box": 1, "line": "1 0.500000000000 0.500000000000 1.000000000000 1.000000000000"},
                ],
            }
        },
    }


def test_reading_it_back(written: Path) -> None:
    for path in (written, written / "data.yaml"):
        a, b = read_dataset(path)
        assert a.boxes.tolist() == [[0, 0, 32, 24], [0, 0, 64, 48], [32, 24, 64, 48]]
        assert (a.classes.tolist(), a.ignore.tolist()) == ([0, 1, 0], [False, True, False])
        assert a.flags.occluded.tolist() == [1, -1, 0]
        assert a.flags.group_of.tolist() == [0, 1, 0]
        assert a.source == PhotoSource(author="Jo", url="https://example.org/a.jpg")
        assert (b.licence, b.group, b.source, b.flags.known) == ("", "", PhotoSource(), False)


def test_a_dataset_with_nothing_to_tell_has_none(tmp_path: Path, make_photo: Maker) -> None:
    record = ImageRecord(make_photo(tmp_path / "a.jpg"), 64, 48, [[0, 0, 32, 24]], [0])
    write_dataset(Dataset((record,), ("alpaca",)), tmp_path / "out", Format.YOLO)
    assert not (tmp_path / "out/herder.json").exists()


def test_other_line_ends_are_the_same_labels(written: Path) -> None:
    label = written / "labels/train/a.txt"
    label.write_bytes(label.read_bytes().replace(b"\n", b"\r\n"))
    assert read_dataset(written)[0].flags.occluded.tolist() == [1, -1, 0]


def test_edited_labels_lose_their_flags_and_nothing_else(written: Path) -> None:
    label = written / "labels/train/a.txt"
    label.write_text(label.read_text().split("\n")[1] + "\n0 0.5 0.5 0.5 0.5\n")
    dataset = read_dataset(written)
    a = dataset[0]
    assert a.boxes.tolist() == [[32, 24, 64, 48], [16, 12, 48, 36], [0, 0, 64, 48]]
    assert a.ignore.tolist() == [False, False, True]
    assert a.flags.group_of.tolist() == [-1, -1, 1]
    assert (a.licence, a.group, a.source.author) == ("CC BY 2.0", "farm 1", "Jo")
    assert [(p.reason, p.severity) for p in dataset.problems] == [("stale-flags", Severity.NOTE)]
    assert dataset.problems[0].path == written / "herder.json"
    assert "images/train/a.jpg" in dataset.problems[0].message


def test_a_lost_label_file_leaves_the_herd(written: Path) -> None:
    (written / "labels/train/a.txt").unlink()
    dataset = read_dataset(written)
    assert dataset[0].ignore.tolist() == [True]
    assert reasons(dataset) == ["no-label", "stale-flags"]


def test_a_photo_with_nothing_but_a_herd(tmp_path: Path, make_photo: Maker) -> None:
    """Its label file is empty: without the side file it would be background, and its herd many false alarms."""
    record = ImageRecord(make_photo(tmp_path / "a.jpg"), 64, 48, [[0, 0, 32, 24]], [0], [True])
    other = ImageRecord(make_photo(tmp_path / "b.jpg", seed=1), 64, 48, [[0, 0, 32, 24]], [0])
    before = Dataset((record, other), ("alpaca",))
    write_dataset(before, tmp_path / "out", Format.YOLO)
    assert (tmp_path / "out/labels/a.txt").read_text() == ""
    after = read_dataset(tmp_path / "out")
    assert after.fingerprint() == before.fingerprint()
    assert after.problems == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"version": 1,\n "photos": {', "line 2: is not JSON"),
        ("[]", "no version and photos"),
        ('{"version": 1}', "no version and photos"),
        ('{"photos": {}}', "no version and photos"),
        ('{"version": 2, "photos": {}}', "is of version 2, known is 1"),
    ],
)
def test_a_damaged_side_file_is_an_error(written: Path, text: str, said: str) -> None:
    (written / "herder.json").write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        read_dataset(written)
    assert "herder.json" in caught.value.message
    assert caught.value.hint


LINE = "0 0.5 0.5 1 1"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([], "no object"),
        ({"source": "flickr"}, "no object"),
        ({"flags": [1]}, "flags are no lists"),
        ({"flags": {"occluded": 1}}, "flags are no lists"),
        ({"flags": {"occluded": [1, 1]}}, "not those of 3 boxes"),
        ({"ignored": {}}, "ignored is no list"),
        ({"ignored": ["0 0.5 0.5 1 1"]}, "ignored: 0 0.5"),
        ({"ignored": [{"box": -1, "line": LINE}]}, "no box of its own"),
        ({"ignored": [{"box": 0, "line": LINE}, {"box": 0, "line": LINE}]}, "no box of its own"),
        ({"ignored": [{"box": True, "line": LINE}]}, "no box of its own"),
        ({"ignored": [{"box": 3, "line": LINE}]}, "not those of 3 boxes"),
        ({"ignored": [{"box": 1, "line": "0 0.5"}]}, "2 numbers, wanted 5"),
        ({"ignored": [{"box": 1, "line": ""}]}, "0 numbers, wanted 5"),
    ],
)
def test_a_bad_entry_is_set_aside_and_its_photo_is_kept(written: Path, bad: Any, said: str) -> None:
    change(written, {**entry(written), **bad} if isinstance(bad, dict) else bad)
    dataset = read_dataset(written)
    assert len(dataset) == 2
    assert (len(dataset[0]), dataset[0].licence) == (2, "")
    (problem,) = dataset.problems
    assert (problem.reason, problem.severity) == ("malformed-details", Severity.SET_ASIDE)
    assert "images/train/a.jpg" in problem.message
    assert said in problem.message


def test_a_box_to_ignore_is_checked_as_any_other(written: Path) -> None:
    change(written, {**entry(written), "ignored": [{"box": 1, "line": "7 0.5 0.5 1 1"}]})
    dataset = read_dataset(written)
    assert len(dataset[0]) == 2
    assert reasons(dataset) == ["class-out-of-range"]
    assert "box 1: class 7" in dataset.problems[0].message


def test_words_that_are_no_text_say_nothing(written: Path) -> None:
    change(written, {"licence": None, "group": ["x"], "source": {"author": 5, "title": {}}, "flags": {"odd": [1]}})
    record = read_dataset(written)[0]
    assert (record.licence, record.group, record.source) == ("", "", PhotoSource(author="5"))
    assert not record.flags.known
