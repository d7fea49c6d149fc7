"""Differences between versions of a dataset: each kind made on purpose and counted by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.diff import BoxChanges, compare_boxes, diff_datasets
from herder.data.records import BoxFlags, Dataset, ImageRecord, PhotoSource
from herder.errors import DataError

Maker = Callable[..., Path]
NAMES = ("alpaca", "llama")


def record(path: Path, boxes: object = ((0, 0, 20, 20),), classes: object = (0,), **fields: object) -> ImageRecord:
    return ImageRecord(path, 64, 48, boxes, classes, **fields)


@pytest.fixture
def dataset(tmp_path: Path, make_photo: Maker) -> Dataset:
    """Three photos: a with one alpaca, b with an alpaca and a llama, c with nothing."""
    a, b, c = (make_photo(tmp_path / f"one/{name}.jpg", seed=i) for i, name in enumerate("abc"))
    return Dataset((record(a), record(b, [[0, 0, 20, 20], [30, 0, 60, 40]], [0, 1]), record(c, [], [])), NAMES)


def copy(dataset: Dataset, folder: Path) -> Dataset:
    """The same photos in another folder."""
    folder.mkdir(parents=True)
    records = []
    for item in dataset:
        (folder / item.path.name).write_bytes(item.path.read_bytes())
        records.append(replace(item, path=folder / item.path.name))
    return replace(dataset, records=tuple(records), root=folder)


def put(dataset: Dataset, index: int, **fields: object) -> Dataset:
    records = list(dataset.records)
    records[index] = replace(records[index], **fields)
    return replace(dataset, records=tuple(records))


def test_the_same_in_another_folder_and_order(dataset: Dataset, tmp_path: Path) -> None:
    moved = copy(dataset, tmp_path / "two")
    found = diff_datasets([dataset], [replace(moved, records=moved.records[::-1])])
    assert found.same
    assert found.photos == (3, 3)
    assert (found.added, found.removed, found.changed, found.renumbered) == ((), (), (), False)
    assert found.boxes == BoxChanges(same=3)
    assert [(c.name, c.before, c.after) for c in found.classes] == [("alpaca", 2, 2), ("llama", 1, 1)]
    assert found.before == found.after == dataset.fingerprint()


def test_photos_that_come_and_go(dataset: Dataset, tmp_path: Path, make_photo: Maker) -> None:
    new = record(make_photo(tmp_path / "d.jpg", seed=9), [[0, 0, 9, 9], [9, 9, 20, 20]], [0, 0])
    found = diff_datasets([dataset], [replace(dataset, records=(dataset[0], dataset[2], new))])
    assert (found.added, found.removed, found.changed) == (("d.jpg",), ("b.jpg",), ())
    assert found.boxes == BoxChanges(same=1, added=2, removed=2)
    assert not found.same
    assert json.loads(json.dumps(found.as_dict()))["added"] == ["d.jpg"]


def test_every_change_of_a_photo(dataset: Dataset, tmp_path: Path, make_photo: Maker) -> None:
    other = make_photo(tmp_path / "other/a.jpg", seed=77)
    changed = put(dataset, 0, path=other, licence="CC0", group="farm", source=PhotoSource(author="Jo", page="p"))
    found = diff_datasets([dataset], [changed])
    (change,) = found.changed
    assert (change.name, change.pixels, change.size) == ("a.jpg", True, False)
    assert change.details == ("licence", "group", "source.page", "source.author")
    assert not change.boxes.any
    assert found.before == found.after  # nothing that training sees by its labels
    assert not found.same
    assert str(change) == "a.jpg: other file, licence, group, source.page, source.author"
    found = diff_datasets([dataset], [changed], pixels=False)
    assert not found.changed[0].pixels


@pytest.mark.parametrize(
    ("boxes", "classes", "expected"),
    [
        ([[0, 0, 20, 20], [30, 0, 60, 40]], [0, 1], {"same": 2}),
        ([[30, 0, 60, 40], [0, 0, 20, 20]], [1, 0], {"same": 2}),
        ([[0, 0, 20, 24], [30, 0, 60, 40]], [0, 1], {"same": 1, "moved": 1}),  # IoU 20 / 24
        ([[0, 0, 20, 41], [30, 0, 60, 40]], [0, 1], {"same": 1, "added": 1, "removed": 1}),  # 20 / 41
        ([[0, 0, 20, 20], [30, 0, 60, 40]], [0, 0], {"same": 1, "relabelled": 1}),
        ([[0, 0, 20, 20]], [0], {"same": 1, "removed": 1}),
        ([[0, 0, 20, 20], [30, 0, 60, 40], [0, 0, 9, 9]], [0, 1, 1], {"same": 2, "added": 1}),
        ([], [], {"removed": 2}),
        # A twin of another class on an unchanged box is new; the box keeps its own.
        ([[0, 0, 20, 20], [0, 0, 20, 20], [30, 0, 60, 40]], [1, 0, 1], {"same": 2, "added": 1}),
    ],
)
def test_boxes(dataset: Dataset, boxes: object, classes: object, expected: dict[str, int]) -> None:
    found = diff_datasets([dataset], [put(dataset, 1, boxes=boxes, classes=classes, ignore=(), flags=BoxFlags())])
    whole = {"same": 1 + expected.get("same", 0)}
    assert found.boxes == BoxChanges(**{**expected, **whole})
    counts = BoxChanges(**expected)
    assert [change.boxes for change in found.changed] == ([counts] if counts.any else [])


def test_what_is_known_of_a_box(dataset: Dataset) -> None:
    found = diff_datasets([dataset], [put(dataset, 1, ignore=[True, False], flags=BoxFlags(occluded=[0, -1]))])
    assert found.boxes == BoxChanges(same=3, ignore=1, flags=1)
    assert str(found.changed[0]) == "b.jpg: 1 ignore, 1 flags"


def test_classes_by_name(dataset: Dataset) -> None:
    """The same labels under other ids are no change of a box; but a model trained on one is not one for the other."""
    swapped = replace(
        dataset, class_names=NAMES[::-1], records=tuple(replace(r, classes=1 - r.classes) for r in dataset)
    )
    found = diff_datasets([dataset], [swapped])
    assert (found.boxes, found.renumbered, found.changed) == (BoxChanges(same=3), True, ())
    assert not found.same
    renamed = replace(dataset, class_names=("alpaca", "vicuna"))
    found = diff_datasets([dataset], [renamed])
    assert found.boxes == BoxChanges(same=2, relabelled=1)
    assert [(c.name, c.before, c.after) for c in found.classes] == [
        ("alpaca", 2, 2), ("llama", 1, None), ("vicuna", None, 1),
    ]  # fmt: skip


def test_a_photo_that_moves_to_another_split(dataset: Dataset) -> None:
    before = [dataset.select([0, 1], "train"), dataset.select([2], "val")]
    after = [dataset.select([0], "train"), dataset.select([1, 2], "val")]
    found = diff_datasets(before, after)
    assert [(c.name, c.split) for c in found.changed] == [("b.jpg", ("train", "val"))]
    assert str(found.changed[0]) == "b.jpg: from train to val"
    assert str(diff_datasets([dataset], before).changed[0]) == "a.jpg: from no split to train"


def test_a_photo_with_a_new_name(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "new.jpg"
    path.write_bytes(dataset[0].path.read_bytes())
    found = diff_datasets([dataset], [put(dataset, 0, path=path)])
    assert (found.added, found.removed) == ((), ())
    assert str(found.changed[0]) == "a.jpg: now new.jpg"
    found = diff_datasets([dataset], [put(dataset, 0, path=path)], pixels=False)
    assert (found.added, found.removed) == (("new.jpg",), ("a.jpg",))


def test_several_photos_of_one_name(tmp_path: Path, make_photo: Maker) -> None:
    """Cameras count from 1 each: pixels tell which is which, whatever the order."""
    paths = [make_photo(tmp_path / f"{camera}/1.jpg", seed=camera) for camera in range(3)]
    records = [record(path, [[0, 0, 8 * i + 8, 20]]) for i, path in enumerate(paths)]
    before = Dataset(tuple(records), NAMES)
    assert diff_datasets([before], [replace(before, records=tuple(records[::-1]))]).same
    found = diff_datasets([before], [replace(before, records=(records[2], records[0]))])
    assert (found.removed, found.changed) == (("1.jpg",), ())


def test_empty(dataset: Dataset) -> None:
    nothing = Dataset((), NAMES)
    assert diff_datasets([nothing], [nothing]).same
    found = diff_datasets([nothing], [dataset])
    assert (found.photos, found.added, found.boxes) == ((0, 3), ("a.jpg", "b.jpg", "c.jpg"), BoxChanges(added=3))


def test_a_photo_that_is_gone(dataset: Dataset, tmp_path: Path) -> None:
    moved = copy(dataset, tmp_path / "two")
    moved[1].path.unlink()
    with pytest.raises(DataError, match=r"b\.jpg: cannot be read") as caught:
        diff_datasets([dataset], [moved])
    assert "--no-pixels" in caught.value.hint
    assert diff_datasets([dataset], [moved], pixels=False).same


corners = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(21, 40)] * 2)


@given(st.lists(st.tuples(corners, st.integers(0, 1)), max_size=6), st.lists(st.tuples(corners, st.integers(0, 1))))
def test_every_box_is_counted_once(old: list[tuple[object, int]], new: list[tuple[object, int]]) -> None:
    a, b = (record(Path("a.jpg"), [box for box, _ in side], [c for _, c in side]) for side in (old, new))
    there = compare_boxes(a, b, NAMES, NAMES)
    assert there.same + there.moved + there.relabelled + there.removed == len(old)
    assert there.same + there.moved + there.relabelled + there.added == len(new)
    assert there.same <= sum(min(old.count(item), new.count(item)) for item in set(old))
    back = compare_boxes(b, a, NAMES, NAMES)
    assert (back.same, compare_boxes(a, a, NAMES, NAMES)) == (there.same, BoxChanges(same=len(old)))
