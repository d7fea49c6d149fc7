from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from herder.api.synthesis import SHAPES, Synthesis, shape_crops, synthesize, write_crops
from herder.data.crops import Crops
from herder.data.formats import read_dataset
from herder.data.records import Dataset, ImageRecord
from herder.errors import ConfigError, DataError, ModelFileError
from herder.generative.pictures import Pictures
from herder.generative.quality import fit_classifier

TINY = {
    "dim": 8,
    "dim_mults": (1, 2),
    "steps": 4,
    "batch_size": 4,
    "timesteps": 10,
    "snapshot_every": 2,
    "device": "cpu",
}


def herd(folder: Path, count: int, name: int = 0) -> list[ImageRecord]:
    """Photos of 60 x 60 with one bright animal each: the wider, the later."""
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for i in range(count):
        width, height = 12 + i % 30, 40 - i % 25
        photo = np.full((60, 60, 3), (20, 90, 30), np.uint8)
        photo[10 : 10 + height, 10 : 10 + width] = (230, 220, 200)
        path = folder / f"{name}-{i}.png"
        Image.fromarray(photo).save(path)
        records.append(ImageRecord(path, 60, 60, [[10, 10, 10 + width, 10 + height]], [name]))
    return records


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    records = herd(tmp_path / "photos", 36) + herd(tmp_path / "photos", 8, name=1)
    return Dataset(tuple(records), ("alpaca", "sheep", "cow"), tmp_path / "photos")


def crops_of(aspects: list[float], classes: list[int]) -> Crops:
    pictures = Pictures(torch.zeros(len(aspects), 3, 8, 8), torch.tensor(classes), ("alpaca", "sheep"))
    return Crops(pictures, np.array(aspects, np.float32))


def test_shapes_are_thirds_by_aspect_and_rare_classes_have_one() -> None:
    rng = np.random.default_rng(0)
    aspects = [*rng.permutation(np.linspace(0.3, 3, 30)).tolist(), 1.0, 2.0]
    shaped = shape_crops(crops_of(aspects, [0] * 30 + [1] * 2))
    assert shaped.pictures.class_names == (*(f"alpaca {shape}" for shape in SHAPES), "sheep")
    labels = shaped.pictures.labels
    assert labels is not None
    assert np.bincount(labels.numpy()).tolist() == [10, 10, 10, 2]
    wide, tall = (shaped.aspects[labels.numpy() == k] for k in (0, 2))
    assert wide.min() > 2
    assert tall.max() < 1.3
    assert shaped.classes.tolist() == [0] * 30 + [1] * 2


def test_what_is_written_is_a_dataset_with_exact_boxes(tmp_path: Path) -> None:
    drawn = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    write_crops(
        tmp_path / "out", drawn, np.array([0, 1, 0]), np.array([1, 4, 0.25], np.float32), ("a/b", "sheep"), {"seed": 5}
    )
    data = read_dataset(tmp_path / "out")
    assert data.class_names == ("a/b", "sheep")
    assert not data.problems
    found = {record.path.name: record for record in data}
    assert sorted(found) == ["a-b-0.png", "a-b-2.png", "sheep-1.png"]
    for name, width, height in (("a-b-0.png", 24, 24), ("sheep-1.png", 48, 12), ("a-b-2.png", 12, 48)):
        record = found[name]
        assert (record.width, record.height) == (width, height)
        edge = np.array([width, height] * 2) / 12  # a margin of a tenth of the box: 1 / 12 of the picture
        wanted = np.array([0, 0, width, height]) + edge * [1, 1, -1, -1]
        np.testing.assert_allclose(record.boxes, wanted[None], atol=1e-4)
    with Image.open(found["a-b-0.png"].path) as photo:
        np.testing.assert_allclose(np.asarray(photo) / 127.5 - 1, drawn[0].permute(1, 2, 0), atol=0.005)
    assert json.loads((tmp_path / "out" / "about.json").read_text()) == {"seed": 5}
    with pytest.raises(DataError, match="is there already"):
        write_crops(tmp_path / "out", drawn, np.zeros(3, int), np.ones(3, np.float32), ("a",), {})


@pytest.fixture
def make(dataset: Dataset, tmp_path: Path) -> Callable[..., Synthesis]:
    def run(*classes: str, out: str = "out", **options: object) -> Synthesis:
        values = {"changes": TINY, "judged": 0} | options
        return synthesize(dataset, classes, 6, 16, tmp_path / out, **values)

    return run


def test_from_photos_to_a_dataset(
    make: Callable[..., Synthesis], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herder.api.generation.fit_classifier", partial(fit_classifier, steps=5))
    made = make("alpaca", "sheep", judged=8)
    assert (made.written, len(made.crops)) == (12, 44)
    data = read_dataset(tmp_path / "out")
    assert data.class_names == ("alpaca", "sheep")
    assert np.bincount(np.concatenate([record.classes for record in data])).tolist() == [6, 6]
    # Aspects are those of real boxes: between 12 / 40 and 41 / 16, however odd the drawn pictures are.
    aspects = [float((b[2] - b[0]) / (b[3] - b[1])) for record in data for b in record.boxes]
    assert min(aspects) > 0.25
    assert max(aspects) < 3
    assert made.run == tmp_path / "out-run"
    assert {path.name for path in made.run.iterdir()} == {
        "config.json", "diffusion.safetensors", "history.csv", "last.safetensors", "quality.json", "samples",
        "samples.png",
    }  # fmt: skip
    assert sorted(path.name for path in (made.run / "samples").iterdir()) == ["step-000002.png", "step-000004.png"]
    assert made.quality is not None
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    assert about["classes"] == ["alpaca", "sheep"]
    assert about["quality"]["frechet"] == made.quality.frechet


def test_a_finished_training_draws_again_and_others_are_refused(
    make: Callable[..., Synthesis], dataset: Dataset, tmp_path: Path
) -> None:
    first = make("alpaca")
    assert first.quality is None
    again = make("alpaca", out="more", run=first.run, resume=True, changes={})
    for name in ("alpaca-0.png", "alpaca-5.png"):
        one, other = (folder / "images" / name for folder in (first.out, again.out))
        assert one.read_bytes() == other.read_bytes()
    with pytest.raises(ConfigError, match="another classes"):
        make("sheep", "alpaca", out="third", run=first.run, resume=True)
    with pytest.raises(ConfigError, match="not empty"):
        make("alpaca", out="third", run=first.run)
    (first.run / "config.json").write_text("{}")
    with pytest.raises(ModelFileError, match="is no run of herder data synthesize"):
        make("alpaca", out="third", run=first.run, resume=True)
    assert not (tmp_path / "third").exists()


def test_bad_input_is_named_and_leaves_nothing(make: Callable[..., Synthesis], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'alpacca'.*\n.*did you mean alpaca"):
        make("alpacca")
    with pytest.raises(DataError, match=r"sheep of .*: 8 pictures, wanted 20 or more"):
        make("sheep")
    with pytest.raises(DataError, match="no cow to cut out"):
        make("cow")
    with pytest.raises(ConfigError, match="dimm"):
        make("alpaca", changes={"dimm": 3})
    with pytest.raises(ConfigError, match="device"):
        make("alpaca", changes=TINY | {"device": "nonsense"})
    (tmp_path / "out-run").rmdir()  # nothing of the last attempt is left in it
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="is there already"):
        make("alpaca")
    assert not (tmp_path / "out-run").exists()
