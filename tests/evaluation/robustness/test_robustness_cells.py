from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from herder.data.records import Dataset, ImageRecord
from herder.errors import ConfigError, DataError
from herder.evaluation import evaluate_detector
from herder.evaluation.corruptions import CORRUPTIONS
from herder.evaluation.robustness.cells import (
    cells_digest,
    chosen_cells,
    clean_result,
    corrupted,
    photo_rng,
    read_cell,
    run_cell,
    write_cell,
)
from herder.evaluation.robustness.result import OWN, Cell
from herder.inference import Detector
from herder.spec import example_spec


class Bright:
    """An engine that finds what is brighter than the middle in each canvas; the score is how bright it is."""

    needs_nms = True
    fixed_size = None
    spec = example_spec().replace(input_size=64)

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, 1), np.float32)
        for i, canvas in enumerate(canvases):
            y, x = np.nonzero(canvas.min(axis=2) > 128)
            if len(x):
                boxes[i, 0] = x.min(), y.min(), x.max() + 1, y.max() + 1
                scores[i, 0, 0] = canvas[y, x].mean() / 255
        return boxes, scores


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    rng, records = np.random.default_rng(0), []
    for name, left in (("a", 8), ("b", 20), ("c", 30)):
        picture = rng.integers(20, 60, (64, 64, 3), np.uint8)
        picture[8:40, left : left + 30] = rng.integers(180, 255, (32, 30, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        records.append(ImageRecord(tmp_path / f"{name}.png", 64, 64, [[left, 8, left + 30, 40]], [0]))
    return Dataset(tuple(records), ("alpaca",), tmp_path, "val")


def test_there_are_the_15_of_imagenet_c_and_three_more() -> None:
    # Hendrycks and Dietterich 2019, section 4: noise, blur, weather, digital.
    noise = ["gaussian_noise", "shot_noise", "impulse_noise"]
    blur = ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur"]
    weather = ["snow", "frost", "fog", "brightness"]
    digital = ["contrast", "elastic_transform", "pixelate", "jpeg_compression"]
    assert [cell.corruption for cell in chosen_cells([], [1])] == [*noise, *blur, *weather, *digital, *OWN]
    assert len(chosen_cells([], [])) == 18 * 5


def test_cells_are_chosen_in_published_order() -> None:
    assert chosen_cells(["fog", "snow"], [5, 1]) == [Cell("snow", 1), Cell("snow", 5), Cell("fog", 1), Cell("fog", 5)]
    with pytest.raises(ConfigError, match="'rain' is not known") as caught:
        chosen_cells(["fog", "rain"], [1])
    assert "motion_blur" in caught.value.hint
    for severity in (0, 6):
        with pytest.raises(ConfigError, match="not from 1 to 5"):
            chosen_cells([], [1, severity])


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_severity_0_equals_clean_exactly(dataset: Dataset, name: str) -> None:
    detector = Detector(Bright())
    metrics, found = evaluate_detector(detector, dataset)
    clean = clean_result(metrics, dataset, found)
    zero = run_cell(detector, dataset, Cell(name, 0), metrics.threshold)
    assert replace(zero, corruption=clean.corruption) == clean
    assert clean.map50 == 1


def test_the_same_seed_gives_the_same_cell(dataset: Dataset) -> None:
    detector, cell = Detector(Bright()), Cell("gaussian_noise", 5)
    one = run_cell(detector, dataset, cell, 0.5, seed=3)
    assert one == run_cell(detector, dataset, cell, 0.5, seed=3, batch=1)
    # A photo's noise does not depend on its place among the others.
    photo, _ = corrupted(dataset[1], cell, 3)
    np.testing.assert_array_equal(photo, corrupted(dataset.select([1])[0], cell, 3)[0])
    assert not np.array_equal(photo, corrupted(dataset[1], cell, 4)[0])


def test_every_photo_and_cell_has_its_own_numbers() -> None:
    cells = Cell("fog", 1), Cell("fog", 2), Cell("snow", 1)
    draws = {
        photo_rng(c, name, seed).integers(1 << 60) for c in cells for name in ("a", "b", "\udcff") for seed in (0, 1)
    }
    assert len(draws) == 18


def test_boxes_that_leave_the_photo_are_not_missed(dataset: Dataset) -> None:
    row = run_cell(Detector(Bright()), dataset, Cell("scale", 5), 0.5)
    records = [corrupted(record, Cell("scale", 5), 0)[1] for record in dataset]
    assert row.truths == sum(len(record) for record in records)
    for record in records:
        assert (record.boxes >= 0).all()
        assert (record.boxes[:, [0, 2]] <= record.width).all()
        assert (record.boxes[:, [1, 3]] <= record.height).all()


def test_a_photo_that_is_gone(dataset: Dataset) -> None:
    dataset[1].path.unlink()
    with pytest.raises(DataError, match=r"b\.png: no such file"):
        run_cell(Detector(Bright()), dataset, Cell("fog", 1), 0.5)


def test_a_cell_is_kept(dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cell, folder = Cell("fog", 2), tmp_path / "cells"
    assert read_cell(folder, cell, 3) is None
    row = run_cell(Detector(Bright()), dataset, cell, 0.5)
    write_cell(folder, row)
    assert read_cell(folder, cell, 3) == row
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert read_cell(folder, cell, 4) is None
        (folder / "fog-3.json").write_bytes((folder / "fog-2.json").read_bytes())
        assert read_cell(folder, Cell("fog", 3), 3) is None
        (folder / "fog-2.json").write_bytes((folder / "fog-2.json").read_bytes()[:-9])
        assert read_cell(folder, cell, 3) is None
    assert caplog.text.count("computed again") == 3


def test_what_makes_a_cell_another(dataset: Dataset) -> None:
    digest = cells_digest("key", dataset, 0.5, 0)
    assert digest == cells_digest("key", dataset, 0.5, 0)
    moved = replace(dataset[0], boxes=dataset[0].boxes + 1)
    others = [
        cells_digest("other", dataset, 0.5, 0),
        cells_digest("key", replace(dataset, records=(moved, *dataset.records[1:])), 0.5, 0),
        cells_digest("key", dataset, 0.4, 0),
        cells_digest("key", dataset, 0.5, 1),
    ]
    assert len({digest, *others}) == 5
