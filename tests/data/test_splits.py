"""Splits: every photo once, groups whole, classes even, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.records import Dataset, ImageRecord, Problem
from herder.data.splits import joined_groups, split_dataset
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
def test_partition_groups_and_order(photos: list[tuple[list[int], int]], seed: int, random: Random) -> None:
    records = [photo(f"{i}.jpg", classes, f"farm {g}" if g else "") for i, (classes, g) in enumerate(photos)]
    parts = split_dataset(Dataset(tuple(records), tuple("abcd"), split="all"), SHARES, seed)
    assert list(parts) == list(SHARES)
    assert [part.split for part in parts.values()] == list(SHARES)
    assert sorted(n for part in parts.values() for n in names(part)) == sorted(r.path.name for r in records)
    assert all(len(part) for part in parts.values())
    homes = {(record.group, name) for name, part in parts.items() for record in part if record.group}
    assert len(homes) == len({group for group, _ in homes})  # a group lives in one part
    shuffled = records.copy()
    random.shuffle(shuffled)
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


def test_how_many_boxes_a_photo_has_is_shared_out_too() -> None:
    """100 photos of a single animal and 20 of a herd of 12, all of one class."""
    records = [photo(f"one{i}.jpg", [0]) for i in range(100)] + [photo(f"herd{i}.jpg", [0] * 12) for i in range(20)]
    for seed in range(5):
        parts = split_dataset(Dataset(tuple(records), ("a",)), SHARES, seed)
        assert [sum(n.startswith("herd") for n in names(part)) for part in parts.values()] == [14, 4, 2]
        assert [len(part) for part in parts.values()] == [84, 24, 12]


@given(
    st.lists(st.lists(st.integers(0, 35), max_size=4), max_size=8),
    st.lists(st.integers(0, 9), min_size=30, max_size=30).map(lambda farms: farms + [9] * 10),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_near_duplicates_and_groups_that_touch_stay_together(
    near: list[list[int]], farms: list[int], seed: int, random: Random
) -> None:
    records = [photo(f"{i}.jpg", [i % 3], f"farm {g}" if g < 4 else "") for i, g in enumerate(farms)]
    # An independent way to the same groups: whoever can be reached over 39 links at most.
    links = np.eye(40)
    for group in [*near, *([i for i, g in enumerate(farms) if g == farm] for farm in range(4))]:
        links[np.ix_(group, group)] = 1
    reached = np.eye(40)
    for _ in range(39):
        reached = np.minimum(reached @ links, 1)
    dataset = Dataset(tuple(records), tuple("abc"))
    found = joined_groups(dataset, near)
    assert {frozenset(group) for group in found} == {frozenset(np.flatnonzero(row).tolist()) for row in reached}
    parts = split_dataset(dataset, {"train": 0.6, "val": 0.4}, seed, groups=near)
    home = {n: name for name, part in parts.items() for n in names(part)}
    for group in found:
        assert len({home[f"{i}.jpg"] for i in group}) == 1
    order = list(range(40))
    random.shuffle(order)
    shuffled = Dataset(tuple(records[i] for i in order), tuple("abc"))
    moved = [[order.index(i) for i in group] for group in near]
    random.shuffle(moved)
    again = split_dataset(shuffled, {"train": 0.6, "val": 0.4}, seed, groups=moved)
    assert {n: name for name, part in again.items() for n in names(part)} == home


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    dataset = Dataset(tuple(photo(f"{i}.jpg", [0]) for i in range(6)), ("a",))
    assert joined_groups(dataset, [[0, 1], [4, 5], [1, 4], [2], []]) == [[0, 1, 4, 5], [2], [3]]
    assert joined_groups(Dataset((), ("a",))) == []
    for wrong in (6, -1):
        with pytest.raises(ValueError, match=f"no photo {wrong}, there are 6"):
            joined_groups(dataset, [[0, wrong]])


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
