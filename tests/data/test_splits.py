"""Splits: every photo once, groups whole, classes even, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.records import Dataset, ImageRecord, Problem
from herder.data.splits import split_dataset
from herder.errors import ConfigError, DataError

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def photo(name: str, classes: list[int], group: str = "") -> ImageRecord:
    boxes = [[i, i, i + 5, i + 5] for i in range(len(classes))]
    return ImageRecord(Path(name), 64, 48, boxes, classes, group=group)


def names(dataset: Dataset) -> list[str]:
    return [record.path.name for record in dataset]


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 3), max_size=3), st.integers(0, 12)), min_size=30, max_size=60),
    st.integers(0, 1000),
    st.randoms(use_true_random=False),
)
def test_partition_groups_and_order(photos: list[tuple[list[int], int]], seed: int, random: object) -> None:
    records = [photo(f"{i}.jpg", classes, f"farm {g}" if g else "") for i, (classes, g) in enumerate(photos)]
    parts = split_dataset(Dataset(tuple(records), tuple("abcd"), split="all"), SHARES, seed)
    assert list(parts) == list(SHARES)
    assert [part.split for part in parts.values()] == list(SHARES)
    assert sorted(n for part in parts.values() for n in names(part)) == sorted(r.path.name for r in records)
    assert all(len(part) for part in parts.values())
    homes = {(record.group, name) for name, part in parts.items() for record in part if record.group}
    assert len(homes) == len({group for group, _ in homes})  # a group lives in one part
    shuffled = records.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = split_dataset(Dataset(tuple(shuffled), tuple("abcd")), SHARES, seed)
    assert {n: set(names(p)) for n, p in again.items()} == {n: set(names(p)) for n, p in parts.items()}
    order = {record.path.name: i for i, record in enumerate(records)}
    assert all(sorted(names(part), key=order.__getitem__) == names(part) for part in parts.values())


def test_every_class_gets_its_share() -> None:
    """200 common, 20 rare and 10 empty photos: 0.7, 0.2 and 0.1 of each, which whole photos can give exactly."""
    records = [photo(f"common{i}.jpg", [0]) for i in range(200)] + [photo(f"rare{i}.jpg", [1, 1]) for i in range(20)]
    records += [photo(f"empty{i}.jpg", []) for i in range(10)]
    for seed in range(5):
        parts = split_dataset(Dataset(tuple(records), ("common", "rare")), SHARES, seed)
        for name, share in SHARES.items():
            kinds = Counter(n.rstrip("0123456789.jpg") for n in names(parts[name]))
            assert abs(kinds["common"] - 200 * share) <= 1
            assert abs(kinds["rar"] + kinds["rare"] - 20 * share) <= 1
            assert abs(kinds["empty"] + kinds["empt"] - 10 * share) <= 1


def test_large_groups_still_come_near_the_shares() -> None:
    rng = np.random.default_rng(0)
    records = [photo(f"{i}.jpg", rng.integers(0, 3, 2).tolist(), f"camera {i // 10}") for i in range(300)]
    parts = split_dataset(Dataset(tuple(records), tuple("abc")), SHARES, 1)
    for name, share in SHARES.items():
        assert abs(len(parts[name]) / 300 - share) <= 10 / 300  # a camera


def test_seeds_differ_and_repeat() -> None:
    dataset = Dataset(tuple(photo(f"{i}.jpg", [0]) for i in range(50)), ("a",))
    first, second = (split_dataset(dataset, SHARES, 0) for _ in range(2))
    assert names(first["val"]) == names(second["val"])
    assert names(first["val"]) != names(split_dataset(dataset, SHARES, 1)["val"])


def test_as_many_photos_as_parts() -> None:
    dataset = Dataset(tuple(photo(f"{i}.jpg", [0]) for i in range(3)), ("a",))
    assert (
        sorted(len(part) for part in split_dataset(dataset, {"a": 0.98, "b": 0.01, "c": 0.01}, 0).values()) == [1] * 3
    )


def test_findings_go_with_the_first_part() -> None:
    problem = Problem(Path("x"), "zero-area", "line 1")
    dataset = Dataset(tuple(photo(f"{i}.jpg", [0]) for i in range(10)), ("a",), problems=(problem,))
    assert [len(part.problems) for part in split_dataset(dataset, SHARES, 0).values()] == [1, 0, 0]


@pytest.mark.parametrize(
    "shares",
    [{}, {"train": 0.5, "val": 0.4}, {"train": 1.2, "val": -0.2}, {"train": float("nan")}, {"a": 1.0, "b": 0.0}],
)
def test_shares_without_sense(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="shares"):
        split_dataset(Dataset((photo("a.jpg", [0]),), ("a",)), shares, 0)


def test_too_few_groups() -> None:
    dataset = Dataset(tuple(photo(f"{i}.jpg", [0], "one farm") for i in range(50)), ("a",))
    with pytest.raises(DataError, match="50 photos in 1 groups cannot be split into 3 parts"):
        split_dataset(dataset, SHARES, 0)
