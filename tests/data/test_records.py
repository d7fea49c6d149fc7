"""Records at their door, and the fingerprint of a dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.records import BoxFlags, Dataset, ImageRecord, PhotoSource, Problem, Severity


def record(
    name: str = "a.jpg", boxes: object = ((1, 2, 3, 4),), classes: object = (0,), **fields: object
) -> ImageRecord:
    return ImageRecord(Path(name), 64, 48, boxes, classes, **fields)


def test_what_comes_in_gets_its_type() -> None:
    found = record(boxes=[[1, 2, 3, 4], [5, 6, 7, 8]], classes=[0, 1])
    assert (found.boxes.dtype, found.classes.dtype, found.ignore.dtype) == (np.float32, np.int64, np.bool_)
    assert found.ignore.tolist() == [False, False]
    assert len(found) == 2


def test_no_boxes() -> None:
    found = record(boxes=[], classes=[])
    assert found.boxes.shape == (0, 4)
    assert len(found) == 0


@pytest.mark.parametrize(
    ("boxes", "classes", "ignore"),
    [([[1, 2, 3, 4]], [], []), ([], [0], []), ([[1, 2, 3, 4]], [0], [True, False]), ([[1, 2, 3]], [0], [])],
)
def test_what_does_not_match(boxes: object, classes: object, ignore: object) -> None:
    with pytest.raises(ValueError, match=r"a\.jpg|wanted \(N, 4\)"):
        record(boxes=boxes, classes=classes, ignore=ignore)


def test_a_dataset_is_a_sequence() -> None:
    dataset = Dataset((record("a.jpg"), record("b.jpg"), record("c.jpg")), ("alpaca",), split="train")
    assert len(dataset) == 3
    assert [r.path.name for r in dataset] == ["a.jpg", "b.jpg", "c.jpg"]
    picked = dataset.select([2, 0], "val")
    assert [r.path.name for r in picked] == ["c.jpg", "a.jpg"]
    assert (picked.split, dataset.select([]).split) == ("val", "train")


def test_the_fingerprint_sees_labels_but_neither_folder_nor_order() -> None:
    dataset = Dataset((record("x/a.jpg"), record("x/b.jpg", [[0, 0, 9, 9]])), ("alpaca",))
    moved = Dataset((record("y/b.jpg", [[0, 0, 9, 9]]), record("z/a.jpg")), ("alpaca",), Path("elsewhere"), "val")
    assert dataset.fingerprint() == moved.fingerprint()
    first, second = dataset
    others = [
        replace(dataset, class_names=("llama",)),
        replace(dataset, records=(first,)),
        replace(dataset, records=(replace(first, width=65), second)),
        replace(dataset, records=(replace(first, boxes=np.array([[1, 2, 3, 4.02]])), second)),
        replace(dataset, records=(replace(first, classes=np.array([1])), second)),
        replace(dataset, records=(replace(first, ignore=np.array([True])), second)),
        replace(dataset, records=(replace(first, path=Path("x/c.jpg")), second)),
    ]
    assert len({dataset.fingerprint(), *(other.fingerprint() for other in others)}) == len(others) + 1


def test_the_fingerprint_of_equal_numbers_is_equal() -> None:
    assert (
        Dataset((record(boxes=[[-0.001, 0, 3, 4]]),), ()).fingerprint()
        == Dataset((record(boxes=[[0, 0, 3, 4]]),), ()).fingerprint()
    )


def test_the_fingerprint_never_changes() -> None:
    """The value that herder 0.1 gave before photos had a source and boxes flags: run folders hold such values."""
    first = ImageRecord(
        Path("x/a.jpg"), 64, 48, [[1, 2, 3, 4], [0, 0, 9, 9.5]], [0, 1], [False, True], "CC BY 2.0", "farm 1"
    )
    dataset = Dataset((first, ImageRecord(Path("x/b.jpg"), 640, 480, [], [])), ("alpaca", "llama"))
    expected = "3e5756b72b1a45e30d3da5d899ae7560ca501c6788952054e6e6eb0b80e34455"
    assert dataset.fingerprint() == expected
    told = replace(first, source=PhotoSource(author="Jo"), flags=BoxFlags(group_of=[0, 1]), licence="", group="")
    assert replace(dataset, records=(told, dataset[1])).fingerprint() == expected  # seen by no training


def test_some_boxes_of_a_record() -> None:
    full = record(
        boxes=[[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 9, 9]], classes=[0, 1, 2], ignore=[False, True, False],
        flags=BoxFlags(occluded=[0, 1, -1]), licence="CC0",
    )  # fmt: skip
    for chosen in (np.array([False, True, True]), np.array([1, 2])):
        part = full.select(chosen)
        assert part.boxes.tolist() == [[5, 6, 7, 8], [0, 0, 9, 9]]
        assert (part.classes.tolist(), part.ignore.tolist()) == ([1, 2], [True, False])
        assert (part.flags.occluded.tolist(), part.licence) == ([1, -1], "CC0")
    assert len(full.select(np.zeros(3, np.bool_))) == len(full.select(np.zeros(0, np.int64)).flags) == 0


def test_of_boxes_nothing_is_known_unless_it_is_said() -> None:
    found = record(boxes=[[1, 2, 3, 4], [5, 6, 7, 8]], classes=[0, 1])
    assert found.flags.table().tolist() == [[-1] * 5] * 2
    assert not found.flags.known
    assert not found.source
    assert record(boxes=[], classes=[]).flags.table().shape == (0, 5)
    told = replace(found, flags=BoxFlags(truncated=[1, 0]), source=PhotoSource(author="Jo"))
    assert told.flags.table().tolist() == [[-1, 1, -1, -1, -1], [-1, 0, -1, -1, -1]]
    assert told.flags.truncated.dtype == np.int8
    assert told.flags.known
    assert told.source
    assert told.flags.select(np.array([False, True])).truncated.tolist() == [0]
    assert told.flags.select(np.array([1, 0])).truncated.tolist() == [0, 1]
    assert BoxFlags.names() == ("occluded", "truncated", "group_of", "depiction", "inside")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"occluded": [2]}, "occluded holds 2"),
        ({"inside": [0.5]}, "inside holds 0.5"),
        ({"inside": [float("nan")]}, "inside holds nan"),
        ({"occluded": [1], "inside": [1, 0]}, "1 of occluded, but 2 of another"),
    ],
)
def test_flags_without_sense(flags: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BoxFlags(**flags)


def test_flags_of_other_boxes() -> None:
    with pytest.raises(ValueError, match=r"a\.jpg: 1 boxes, 1 classes, 1 marks to ignore and 2 flags"):
        record(flags=BoxFlags.unknown(2))


@given(st.permutations(range(4)))
def test_photos_of_one_name_in_any_order(order: list[int]) -> None:
    records = [record(f"{i}/a.jpg", [[0, 0, i % 3 + 1, 5]]) for i in range(4)]
    expected = Dataset(tuple(records), ("alpaca",)).fingerprint()
    assert Dataset(tuple(records[i] for i in order), ("alpaca",)).fingerprint() == expected


def test_a_problem_reads_as_one_line() -> None:
    problem = Problem(Path("a.txt"), "zero-area", "line 3: no area", "remove it")
    assert str(problem) == "a.txt: line 3: no area (remove it)"
    assert str(replace(problem, hint="")) == "a.txt: line 3: no area"
    assert problem.severity is Severity.SET_ASIDE
