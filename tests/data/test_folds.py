from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from herder.data.folds import Fold, FoldPlan, Strategy, make_folds, strata
from herder.data.records import Dataset, ImageRecord
from herder.errors import ConfigError, DataError


def record(name: str, classes: Sequence[int] = (0,), group: str = "", root: Path = Path("photos")) -> ImageRecord:
    boxes = np.tile([1.0, 1, 9, 9], (len(classes), 1))
    return ImageRecord(root / name, 64, 48, boxes, np.array(classes, np.int64), group=group)


def dataset(records: Sequence[ImageRecord], names: tuple[str, ...] = ("alpaca", "llama")) -> Dataset:
    return Dataset(tuple(records), names, Path("photos"))


def plain(count: int) -> Dataset:
    return dataset([record(f"p{i}.jpg", (0,) * (1 + i % 3)) for i in range(count)])


def validated(plan: FoldPlan, repeat: int = 1) -> list[int]:
    return sorted(i for fold in plan.folds if fold.repeat == repeat for i in fold.validation)


@pytest.mark.parametrize("strategy", [Strategy.STRATIFIED, Strategy.KFOLD])
def test_each_photo_is_validated_once_a_repeat(strategy: Strategy) -> None:
    plan = make_folds(plain(23), strategy, 5, repeats=2, seed=3)
    assert [(fold.repeat, fold.number) for fold in plan.folds] == [(r, n) for r in (1, 2) for n in range(1, 6)]
    for repeat in (1, 2):
        assert validated(plan, repeat) == list(range(23))
    for fold in plan.folds:
        assert sorted(fold.train + fold.validation) == list(range(23))
        assert len(fold.validation) in (4, 5)
    first, second = plan.folds[:5], plan.folds[5:]
    assert {fold.validation for fold in first} != {fold.validation for fold in second}


def test_stratified_folds_have_equal_shares_of_class_and_count() -> None:
    # 40 photos with one alpaca, 20 with four, 10 with a llama: each of 5 folds has 8, 4 and 2 of them.
    kinds = [(0,)] * 40 + [(0,) * 4] * 20 + [(0, 1)] * 10
    plan = make_folds(dataset([record(f"p{i}.jpg", kind) for i, kind in enumerate(kinds)]), folds=5)
    for fold in plan.folds:
        assert sorted(len(kinds[i]) for i in fold.validation) == [1] * 8 + [2] * 2 + [4] * 4


def test_strata_fall_back_to_what_every_fold_can_have() -> None:
    kinds = [(0,)] * 6 + [(0,) * 9] + [(1,)] * 2 + [()] * 3
    labels = strata([record(f"p{i}.jpg", kind) for i, kind in enumerate(kinds)], 2, 3)
    assert len(set(labels[:6])) == 1
    assert all((labels == label).sum() >= 3 for label in labels)
    assert labels[6] == labels[7] == labels[8]  # the many alpacas and the two llamas are too few alone
    assert len(set(labels[9:])) == 1


@given(
    st.lists(st.integers(0, 5), min_size=12, max_size=30),
    st.sampled_from(list(Strategy)),
    st.integers(2, 3),
    st.integers(0, 9),
)
def test_no_group_and_no_near_duplicates_cross(groups: list[int], strategy: Strategy, folds: int, seed: int) -> None:
    records = [record(f"p{i}.jpg", (i % 2,), f"farm {g}" if g < 3 else "") for i, g in enumerate(groups)]
    twins = [[0, len(groups) - 1], [1, 2]]
    try:
        plan = make_folds(dataset(records), strategy, folds, seed=seed, near_duplicates=twins)
    except (ConfigError, DataError):
        return  # too few or too large groups: a clear error
    for fold in plan.folds:
        assert not set(fold.train) & set(fold.validation)
        assert fold.train
        assert fold.validation
        for side in (set(fold.train), set(fold.validation)):
            names = {records[i].group for i in side if records[i].group}
            other = set(fold.train) | set(fold.validation)
            assert not names & {records[i].group for i in other - side if records[i].group}
            for twin in twins:
                inside = side & set(twin)
                assert not inside or not (set(twin) - inside) & other


@pytest.mark.parametrize("strategy", list(Strategy))
def test_same_folds_whatever_the_order_of_the_photos(strategy: Strategy) -> None:
    records = [record(f"p{i}.jpg", (0,) * (1 + i % 4), f"farm {i // 2}") for i in range(24)]
    shuffled = [records[i] for i in np.random.default_rng(1).permutation(24)]

    def names(some: Sequence[ImageRecord], seed: int) -> list[set[str]]:
        plan = make_folds(dataset(some), strategy, 3, seed=seed)
        return [{some[i].path.name for i in fold.validation} for fold in plan.folds]

    assert names(records, 0) == names(shuffled, 0)
    if strategy is not Strategy.TIME:
        assert names(records, 0) != names(records, 1)


def test_group_folds_have_equal_numbers_of_photos() -> None:
    sizes = {"a": 8, "b": 4, "c": 4, "d": 3, "e": 3, "f": 2}
    records = [record(f"{farm}{i}.jpg", group=farm) for farm, size in sizes.items() for i in range(size)]
    plan = make_folds(dataset(records), Strategy.GROUP, 3)
    # The largest group first, each to the fold that has the fewest: 8, 4 + 3, 4 + 3, and then 2 more.
    assert sorted(len(fold.validation) for fold in plan.folds) == [7, 8, 9]
    assert len(plan.groups) == 6


def test_groups_from_outside_do_for_group_folds() -> None:
    plan = make_folds(plain(6), Strategy.GROUP, 2, groups=[[0, 1, 2]])
    assert {fold.validation for fold in plan.folds} == {(0, 1, 2), (3, 4, 5)}
    with pytest.raises(ConfigError, match="no two photos are known to belong together"):
        make_folds(plain(6), Strategy.GROUP, 2, near_duplicates=[[0, 1, 2]])


def test_time_folds_train_on_what_came_before_by_file_name() -> None:
    records = [record(f"shot{i}.jpg") for i in (10, 2, 1, 9, 3, 8)]
    plan = make_folds(dataset(records), Strategy.TIME, 2)
    # In order 1, 2, 3, 8, 9, 10: scikit-learn's TimeSeriesSplit cuts six into three parts of two.
    assert [(f.train, f.validation) for f in plan.folds] == [((1, 2), (4, 5)), ((1, 2, 4, 5), (0, 3))]
    assert any("file names, since 6 of 6 photos have no EXIF time" in note for note in plan.notes)


def test_a_later_twin_is_kept_on_the_earlier_side() -> None:
    records = [record(f"shot{i}.jpg") for i in range(9)]
    plan = make_folds(dataset(records), Strategy.TIME, 2, near_duplicates=[[0, 8]])
    assert all(8 in fold.train for fold in plan.folds)
    assert any("1 group of several photos stands where its earliest does" in note for note in plan.notes)
    assert any("made once" in note for note in make_folds(dataset(records), Strategy.TIME, 2, repeats=3).notes)


def test_time_folds_go_by_exif(tmp_path: Path, make_photo: Callable[..., Path]) -> None:
    records = []
    for i, minute in enumerate((50, 40, 30, 20, 10, 0)):
        exif = Image.Exif()
        exif[306] = f"2024:05:01 08:{minute:02}:00"  # DateTime
        make_photo(tmp_path / f"p{i}.jpg", seed=i, exif=exif)
        records.append(record(f"p{i}.jpg", root=tmp_path))
    plan = make_folds(dataset(records), Strategy.TIME, 2)
    assert [fold.validation for fold in plan.folds] == [(2, 3), (0, 1)]
    for earlier, later in pairwise(plan.folds):
        assert set(earlier.train) < set(later.train)
    assert any("order of their EXIF times" in note for note in plan.notes)


def test_what_cannot_be_dealt_out_is_an_error() -> None:
    for folds, message in ((1, "wanted 2 or more"), (7, "6 photos in 6 groups, but 7 folds by stratified need 7")):
        with pytest.raises(ConfigError, match=message):
            make_folds(plain(6), folds=folds)
    with pytest.raises(ConfigError, match="6 folds by time need 7 groups"):
        make_folds(plain(6), Strategy.TIME, 6)
    with pytest.raises(ConfigError, match="repeats"):
        make_folds(plain(6), folds=2, repeats=0)
    with pytest.raises(ConfigError, match="seed"):
        make_folds(plain(6), folds=2, seed=-1)
    with pytest.raises(ConfigError, match="6 photos in 2 groups") as error:
        make_folds(plain(6), folds=3, groups=[[0, 1, 2], [3, 4, 5]])
    assert "2 folds at most" in error.value.hint


def test_empty_classes_and_photos_are_told() -> None:
    with pytest.raises(DataError, match="no labelled box in 4 photos"):
        make_folds(dataset([record(f"p{i}.jpg", ()) for i in range(4)]), folds=2)
    with pytest.raises(DataError, match="no labelled box"):
        make_folds(dataset([]), folds=2)
    with pytest.raises(DataError, match="has no labelled box to"):  # all boxes in one photo
        make_folds(dataset([record("a.jpg"), *(record(f"p{i}.jpg", ()) for i in range(5))]), folds=2)
    notes = make_folds(plain(6), folds=2).notes
    assert notes == ("no labelled box of llama: these classes are in no number",)
    rare = dataset([*plain(8).records, record("rare.jpg", (1,))])
    assert "llama (1)" in make_folds(rare, folds=3).notes[0]


def test_names() -> None:
    assert Fold(Strategy.GROUP, 2, 3, (0,), (1,)).name == "group-2-3"
