from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from herder.data.crops import LEAST_SIDE, MARGIN, Fit, cut_crops
from herder.data.records import Dataset, ImageRecord
from herder.errors import ConfigError, DataError
from herder.generative.pictures import to_photo

RED, BLUE = (255, 0, 0), (0, 0, 255)


def scene(path: Path, size: tuple[int, int], boxes: list[list[int]], colour: tuple[int, int, int] = RED) -> Path:
    """A blue photo with a red animal in each box."""
    photo = np.full((size[1], size[0], 3), BLUE, np.uint8)
    for x1, y1, x2, y2 in boxes:
        photo[y1:y2, x1:x2] = colour
    Image.fromarray(photo).save(path)
    return path


def dataset(tmp_path: Path, *boxes: list[int], size: tuple[int, int] = (200, 160), **flags: object) -> Dataset:
    path = scene(tmp_path / "a.png", size, list(boxes))
    record = ImageRecord(path, *size, np.array(boxes, np.float32), np.zeros(len(boxes), np.int64), **flags)
    return Dataset((record,), ("alpaca", "sheep"), tmp_path)


def animal(picture: object) -> tuple[int, int, int, int]:
    """Where the red is in a crop: first and last-plus-one column and row."""
    red = to_photo(picture)[..., 0] > 127
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def test_a_squeezed_animal_fills_its_crop_but_for_the_margin(tmp_path: Path) -> None:
    crops = cut_crops(dataset(tmp_path, [50, 60, 130, 100]), 48, ["alpaca"], fit=Fit.SQUEEZE)
    assert crops.pictures.images.shape == (1, 3, 48, 48)
    assert crops.aspects.tolist() == [2.0]
    edge = 48 * MARGIN / (1 + 2 * MARGIN)  # 4 pixels
    np.testing.assert_allclose(animal(crops.pictures.images[0]), [edge, edge, 48 - edge, 48 - edge], atol=1)


def test_a_squeezed_animal_at_the_photos_edge_keeps_its_place(tmp_path: Path) -> None:
    crops = cut_crops(dataset(tmp_path, [0, 0, 60, 160]), 48, ["alpaca"], fit=Fit.SQUEEZE)
    # The margin past the edge repeats the outermost pixels, which are the animal's.
    left, top, right, bottom = animal(crops.pictures.images[0])
    assert (left, top, bottom) == (0, 0, 48)
    assert right == pytest.approx(44, abs=1)


def test_a_widened_crop_keeps_the_shape(tmp_path: Path) -> None:
    crops = cut_crops(dataset(tmp_path, [60, 60, 140, 100]), 48)
    left, top, right, bottom = animal(crops.pictures.images[0])
    assert (right - left, bottom - top) == (pytest.approx(40, abs=1), pytest.approx(20, abs=1))
    assert crops.pictures.class_names == ("alpaca", "sheep")


def test_a_widened_crop_moves_inside_and_never_past_the_photo(tmp_path: Path) -> None:
    crops = cut_crops(dataset(tmp_path, [0, 40, 80, 80]), 48)
    left, _, right, _ = animal(crops.pictures.images[0])
    assert left == 0  # the animal stands at the photo's edge, and so it does in its crop
    assert right == pytest.approx(40, abs=1)
    crops = cut_crops(dataset(tmp_path, [0, 0, 200, 160]), 48)
    assert animal(crops.pictures.images[0]) == (0, 0, 48, 48)


def test_herds_small_animals_and_other_classes_are_left_out(tmp_path: Path) -> None:
    small = int(48 * LEAST_SIDE) - 1
    boxes = [[0, 0, 40, 40], [50, 50, 90, 90], [100, 100, 100 + small, 105]]
    data = dataset(tmp_path, *boxes, ignore=np.array([True, False, False]))
    crops = cut_crops(data, 48, ["alpaca"])
    assert (len(crops), crops.too_small) == (1, 1)
    with pytest.raises(DataError, match="no sheep to cut out at 48 pixels: 0 are too small, 0 are marked as herds"):
        cut_crops(data, 48, ["sheep"])
    herd = dataset(tmp_path, [0, 0, 40, 40], ignore=np.array([True]))
    with pytest.raises(DataError, match="1 are marked as herds"):
        cut_crops(herd, 48)


def test_labels_follow_the_order_of_the_classes_asked_for(tmp_path: Path) -> None:
    path = scene(tmp_path / "a.png", (100, 100), [[0, 0, 40, 40], [50, 50, 90, 90]])
    record = ImageRecord(path, 100, 100, [[0, 0, 40, 40], [50, 50, 90, 90]], [0, 1])
    data = Dataset((record,), ("alpaca", "sheep"), tmp_path)
    crops = cut_crops(data, 32, ["sheep", "alpaca", "sheep"])
    assert crops.pictures.class_names == ("sheep", "alpaca")
    assert crops.pictures.labels is not None
    assert crops.pictures.labels.tolist() == [1, 0]


def test_an_unknown_class_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    data = dataset(tmp_path, [0, 0, 40, 40])
    with pytest.raises(ConfigError, match=r"'Alpacca'.*\n.*did you mean alpaca\?"):
        cut_crops(data, 32, ["Alpacca"])
    with pytest.raises(ConfigError, match="there are alpaca, sheep"):
        cut_crops(data, 32, ["xyz"])
    with pytest.raises(ConfigError, match="size: 4 pixels"):
        cut_crops(data, 4)


def test_a_broken_photo_is_set_aside_and_only_broken_ones_are_an_error(tmp_path: Path) -> None:
    good = dataset(tmp_path, [0, 0, 40, 40])
    (tmp_path / "b.png").write_bytes(b"broken")
    bad = ImageRecord(tmp_path / "b.png", 100, 100, [[0, 0, 40, 40]], [0])
    heard: list[int] = []
    both = Dataset((*good.records, bad), good.class_names, tmp_path)
    crops = cut_crops(both, 32, progress=lambda done, total: heard.append(done * 10 + total))
    assert [problem.path.name for problem in crops.pictures.set_aside] == ["b.png"]
    assert heard == [12, 22]
    with pytest.raises(DataError, match="1 photos cannot be read"):
        cut_crops(Dataset((bad,), good.class_names, tmp_path), 32)
