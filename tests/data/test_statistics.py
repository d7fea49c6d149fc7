"""Statistics against numbers counted by hand, and against NumPy's own on random boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.formats import read_dataset
from herder.data.records import Dataset, ImageRecord
from herder.data.statistics import dataset_statistics


def test_by_hand() -> None:
    records = (
        ImageRecord(
            Path("a"), 200, 100, [[0, 0, 31, 32], [0, 0, 32, 32], [0, 0, 96, 96]], [0, 0, 1], [0, 0, 1], group="g"
        ),
        ImageRecord(Path("b"), 400, 300, [[100, 100, 200, 150]], [0], group="g"),
        ImageRecord(Path("c"), 100, 100, [], []),
    )
    found = dataset_statistics(Dataset(records, ("alpaca", "llama", "ghost")))
    assert (found.photos, found.boxes, found.backgrounds, found.groups) == (3, 4, 1, 1)
    assert [(c.name, c.boxes, c.photos, c.ignored) for c in found.classes] == [
        ("alpaca", 3, 2, 0), ("llama", 1, 1, 1), ("ghost", 0, 0, 0),
    ]  # fmt: skip
    assert found.imbalance == 3
    assert (found.small, found.medium, found.large) == (1, 2, 1)  # 992, 1024 and 5000, 9216 square pixels
    assert (found.boxes_per_photo[0], found.boxes_per_photo[50], found.boxes_per_photo[100]) == (0, 1, 3)
    assert (found.photo_width[50], found.photo_height[100]) == (200, 300)
    assert found.relative_size[100] == pytest.approx((96 * 96 / 20000) ** 0.5)
    assert found.aspect_ratio[100] == 2


def test_nothing_and_one() -> None:
    empty = dataset_statistics(Dataset((), ("alpaca",)))
    assert (empty.photos, empty.boxes, empty.imbalance, empty.boxes_per_photo) == (0, 0, 0, {})
    one = dataset_statistics(Dataset((ImageRecord(Path("a"), 10, 10, [[0, 0, 5, 5]], [0]),), ("alpaca",)))
    assert set(one.relative_size.values()) == {0.5}
    for found in (empty, one):
        json.dumps(found.as_dict(), allow_nan=False)
    assert one.as_dict()["aspect_ratio"]["p50"] == 1


@given(
    st.lists(
        st.lists(st.tuples(*[st.floats(0, 50, width=32)] * 2, *[st.floats(1, 50, width=32)] * 2), max_size=5),
        max_size=8,
    )
)
def test_sums(photos: list[list[tuple[float, ...]]]) -> None:
    records = tuple(
        ImageRecord(Path(str(i)), 100, 100, [(x, y, x + w, y + h) for x, y, w, h in boxes], [0] * len(boxes))
        for i, boxes in enumerate(photos)
    )
    found = dataset_statistics(Dataset(records, ("alpaca",)))
    assert found.boxes == found.small + found.medium + found.large == sum(map(len, photos))
    assert found.classes[0].boxes == found.boxes
    assert found.backgrounds == sum(not boxes for boxes in photos)
    sides = np.array([box[2] / box[3] for boxes in photos for box in boxes])
    if len(sides):
        assert found.aspect_ratio[50] == pytest.approx(float(np.median(sides)), rel=1e-3)
        assert list(found.aspect_ratio.values()) == sorted(found.aspect_ratio.values())


@pytest.mark.shared
def test_real_photos(shared_dir: Path) -> None:
    """Counts from the README of the photos."""
    found = dataset_statistics(read_dataset(shared_dir / "alpaca"))
    assert (found.photos, found.boxes, found.backgrounds) == (400, 723, 0)
