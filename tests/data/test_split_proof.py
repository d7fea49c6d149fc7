"""The proof of a split: counts by hand, and leaks put in on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from herder.data.records import Dataset, ImageRecord
from herder.data.split_proof import split_proof
from herder.data.splits import split_dataset

SHARES = {"train": 0.6, "val": 0.4}


def photo(name: str, classes: list[int], group: str = "") -> ImageRecord:
    return ImageRecord(Path(name), 64, 48, [[i, i, i + 5, i + 5] for i in range(len(classes))], classes, group=group)


DATASET = Dataset(
    (
        photo("a.jpg", [0], "farm 1"),
        photo("b.jpg", [0, 0, 1], "farm 1"),
        photo("c.jpg", [1], "farm 2"),
        photo("d.jpg", []),
        photo("e.jpg", [0]),
    ),
    ("alpaca", "llama", "unicorn"),
)


def parts(train: list[int], val: list[int]) -> dict[str, Dataset]:
    return {"train": DATASET.select(train, "train"), "val": DATASET.select(val, "val")}


def test_counts_by_hand() -> None:
    proof = split_proof(DATASET, parts([0, 1, 3], [2, 4]), SHARES, [[2, 4]])
    train, val = proof.parts
    assert (train.name, train.wanted, train.photos, train.share) == ("train", 0.6, 3, 0.6)
    assert (train.boxes, train.boxes_share) == (4, pytest.approx(4 / 6))
    assert (train.backgrounds, train.groups, train.near_duplicates) == (1, 1, 0)
    assert train.class_shares == {"alpaca": pytest.approx(2 / 3), "llama": 0.5}  # no photo shows a unicorn
    assert (val.photos, val.boxes, val.backgrounds, val.groups, val.near_duplicates) == (2, 2, 0, 1, 1)
    assert (proof.groups, proof.near_duplicates, proof.crossings) == (2, 1, ())
    assert proof.holds
    assert str(proof) == "no file and none of 2 groups is in two parts; none of 1 sets of near duplicates"
    again = json.loads(json.dumps(proof.as_dict()))
    assert (again["holds"], again["parts"][1]["name"], again["crossings"]) == (True, "val", [])


def test_what_was_not_looked_for_is_not_claimed() -> None:
    proof = split_proof(DATASET, parts([0, 1, 3], [2, 4]), SHARES)
    assert proof.near_duplicates is None
    assert "near duplicates were not looked for" in str(proof)


def test_each_kind_of_leak_is_found() -> None:
    proof = split_proof(DATASET, parts([0, 2], [1, 3, 4]), SHARES, [[2, 4, 0], [3]])
    assert [(c.kind, c.parts) for c in proof.crossings] == [
        ("group", ("train", "val")), ("near-duplicates", ("train", "val")),
    ]  # fmt: skip
    assert not proof.holds
    assert proof.crossings[0].what == "farm 1"
    assert "c.jpg, e.jpg ..." in proof.crossings[1].what
    assert str(proof) == "2 cross from one part to another, first: group farm 1 is in train, val"


def test_one_file_listed_twice() -> None:
    twice = Dataset((photo("in/a.jpg", [0]), photo("in/x/../a.jpg", [0]), photo("in/b.jpg", [0])), ("alpaca",))
    leak = {"train": twice.select([0, 2]), "val": twice.select([1])}
    (crossing,) = split_proof(twice, leak, SHARES).crossings
    assert (crossing.kind, crossing.what) == ("file", str(Path("in/a.jpg")))


def test_photos_in_no_part_are_no_leak() -> None:
    proof = split_proof(DATASET, {"train": DATASET.select([0])}, {"train": 1.0}, [[1, 2], [0, 4]])
    assert proof.holds
    assert proof.parts[0].near_duplicates == 1


def test_empty() -> None:
    nothing = Dataset((), ("alpaca",))
    proof = split_proof(nothing, {"train": nothing}, {"train": 1.0}, [])
    assert proof.holds
    assert (proof.parts[0].share, proof.parts[0].class_shares) == (0, {})


def test_splits_as_they_are_dealt_out_hold() -> None:
    near = [[0, 4], [2, 3]]
    for seed in range(10):
        dealt = split_dataset(DATASET, SHARES, seed, groups=near)
        assert split_proof(DATASET, dealt, SHARES, near).holds


def test_what_photos_have_in_common_is_followed() -> None:
    common = {"camera": {"T1": [0, 3], "T2": [1]}, "time": {"noon": [0, 4]}}
    proof = split_proof(DATASET, parts([0, 1, 3], [2, 4]), SHARES, None, common)
    assert [str(crossing) for crossing in proof.crossings] == ["time noon is in train, val"]
    together = split_dataset(DATASET, SHARES, 0, groups=[[0, 3], [0, 4]])
    proof = split_proof(DATASET, together, SHARES, None, common)
    assert str(proof).startswith("no file and none of 2 groups, 2 by camera, 1 by time is in two parts")
