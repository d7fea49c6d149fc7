from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from herder.boxes import Letterbox
from herder.data.records import Dataset, ImageRecord, Problem
from herder.edge.calibration_sample import FEWEST_PHOTOS, calibration_canvases, calibration_sample, class_shares
from herder.errors import ConfigError, DataError
from herder.images import read_image


def record(name: str, *classes: int) -> ImageRecord:
    boxes = np.tile(np.array([[1, 1, 9, 9]], np.float32), (len(classes), 1))
    return ImageRecord(Path(name), 64, 48, boxes, np.array(classes))


def dataset(*records: ImageRecord) -> Dataset:
    return Dataset(records, ("alpaca", "goat"))


def test_a_rare_class_gives_all_its_photos_before_a_common_one_gives_the_rest() -> None:
    many = [record(f"a{i}", 0) for i in range(80)]
    rare = [record(f"g{i}", 0, 1) for i in range(6)]
    empty = [record(f"e{i}") for i in range(40)]
    sample = calibration_sample(dataset(*many, *rare, *empty), 26)
    kinds = [r.path.name[0] for r in sample]
    assert (kinds.count("g"), kinds.count("a"), kinds.count("e")) == (6, 10, 10)
    assert class_shares(sample, ("alpaca", "goat")) == "26 photos: 16 alpaca, 6 goat, 10 without animals"


def test_the_same_seed_gives_the_same_photos_and_another_one_others() -> None:
    photos = dataset(*(record(f"a{i}", 0) for i in range(100)))
    names = [[r.path.name for r in calibration_sample(photos, 20, seed)] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    assert len(set(names[0])) == 20


def test_more_photos_than_there_are_gives_all_of_them_once() -> None:
    photos = dataset(*(record(f"a{i}", 0) for i in range(FEWEST_PHOTOS)))
    assert {r.path for r in calibration_sample(photos, 300)} == {r.path for r in photos}


@pytest.mark.parametrize(("there", "wanted"), [(0, 300), (1, 300), (FEWEST_PHOTOS - 1, 300), (100, 0), (100, 15)])
def test_too_few_photos_are_refused(there: int, wanted: int) -> None:
    with pytest.raises(ConfigError, match="too few"):
        calibration_sample(dataset(*(record(f"a{i}", 0) for i in range(there))), wanted)


def test_canvases_are_those_of_inference(tmp_path: Path, make_photo: Callable[..., Path]) -> None:
    path = make_photo(tmp_path / "photo.jpg", size=(130, 70))
    photo = ImageRecord(path, 130, 70, np.zeros((0, 4)), np.zeros(0))
    (canvas,) = calibration_canvases([photo], 96)
    assert canvas.shape == (1, 64, 96, 3)
    np.testing.assert_array_equal(canvas[0], Letterbox.fit(130, 70, 96, 32).apply(read_image(path)))
    (square,) = calibration_canvases([photo], 96, fixed=True)
    assert square.shape == (1, 96, 96, 3)


def test_a_broken_photo_is_told_and_left_out(tmp_path: Path, make_photo: Callable[..., Path]) -> None:
    good = make_photo(tmp_path / "good.jpg")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    records = [ImageRecord(p, 64, 48, np.zeros((0, 4)), np.zeros(0)) for p in (bad, good)]
    problems: list[Problem] = []
    assert len(list(calibration_canvases(records, 64, on_problem=problems.append))) == 1
    assert [p.path for p in problems] == [bad]
    with pytest.raises(DataError, match="none of the 1 photos"):
        list(calibration_canvases(records[:1], 64))
