from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from herder.data.augmentation import AugmentationConfig
from herder.data.dataset import TrainingDataset
from herder.data.donors import Donors
from herder.data.pipeline import TrainingPipeline
from herder.data.records import Dataset, ImageRecord
from herder.errors import ConfigError, DataError

RED = (255, 0, 0)
PASTE = AugmentationConfig(
    mosaic=0, scale=0, translate=0, flip_horizontal=0, hue=0, saturation=0, value=0, copy_paste=1, paste_count=2
)


def plain(folder: Path, name: str, size: tuple[int, int], colour: tuple[int, int, int], boxes, classes, **flags):
    path = folder / name
    Image.new("RGB", size, colour).save(path)
    return ImageRecord(path, *size, np.array(boxes, np.float32).reshape(-1, 4), classes, **flags)


@pytest.fixture
def photos(tmp_path: Path) -> Dataset:
    """Grey photos of 128 pixels: sheep boxes half as long as the photo, goats a quarter."""
    records = [plain(tmp_path, f"{i}.png", (128, 128), (90, 90, 90), [[0, 0, 64, 20]], [0]) for i in range(3)]
    records.append(plain(tmp_path, "goat.png", (128, 128), (90, 90, 90), [[0, 0, 20, 32]], [1]))
    return Dataset(tuple(records), ("sheep", "goat", "cow"), tmp_path)


@pytest.fixture
def crops(tmp_path: Path) -> Dataset:
    """One red goat that fills its crop of 48 pixels but for a margin of 4; the class has another id here."""
    (tmp_path / "crops").mkdir()
    record = plain(tmp_path / "crops", "c.png", (48, 48), RED, [[4, 4, 44, 44]], [2])
    return Dataset((record,), ("horse", "mule", "goat"), tmp_path / "crops")


def test_a_donor_is_pasted_at_the_size_of_its_class(photos: Dataset, crops: Dataset) -> None:
    dataset = TrainingDataset(photos, 128, PASTE, seed=0, donors=crops)
    pasted = 0
    for i in range(len(dataset)):
        sample = dataset[i]
        for box, name in zip(sample.boxes, sample.classes.tolist(), strict=True):
            part = sample.image[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])]
            if (part[2:-2, 2:-2] == RED).all():
                assert name == 1
                np.testing.assert_allclose(box[2:] - box[:2], 32, atol=1)  # a quarter of 128, as the goat there
                pasted += 1
    assert pasted >= len(dataset)


def test_a_class_without_boxes_takes_the_sizes_of_all(photos: Dataset, crops: Dataset) -> None:
    cows = Dataset(crops.records, ("horse", "mule", "cow"), crops.root)
    donors = Donors(cows, photos, 128, 10**6)
    rng = np.random.default_rng(0)
    drawn = [donors.draw(rng) for _ in range(40)]
    assert {share for _, share in drawn} == {0.5, 0.25}
    assert {sample.classes.tolist()[0] for sample, _ in drawn} == {2}


def test_a_small_crop_is_not_blown_up(photos: Dataset, crops: Dataset) -> None:
    """Half of 512 pixels would be 6.4 times its 40: twice is the most."""
    sheep = Dataset(crops.records, ("horse", "mule", "sheep"), crops.root)
    dataset = TrainingDataset(photos, 512, PASTE, seed=0, donors=sheep)
    sides = {float(side) for i in range(4) for box in dataset[i].boxes[1:] for side in box[2:] - box[:2]}
    assert sides == {80.0}


def test_herds_are_no_donors(photos: Dataset, crops: Dataset, tmp_path: Path) -> None:
    both = plain(tmp_path, "h.png", (48, 48), RED, [[0, 0, 48, 48], [4, 4, 44, 44]], [1, 2], ignore=[True, False])
    donors = Donors(Dataset((both,), crops.class_names, tmp_path), photos, 64, 10**6)
    sample, _ = donors.draw(np.random.default_rng(0))
    assert sample.boxes.tolist() == [[4, 4, 44, 44]]
    herd = plain(tmp_path, "i.png", (48, 48), RED, [[0, 0, 48, 48]], [2], ignore=[True])
    with pytest.raises(DataError, match="no labelled animal to paste"):
        Donors(Dataset((herd,), crops.class_names, tmp_path), photos, 64, 10**6)


def test_unknown_classes_and_photos_without_animals(photos: Dataset, crops: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"donors of class 'goats'.*\n.*did you mean goat"):
        Donors(Dataset(crops.records, ("horse", "mule", "goats"), crops.root), photos, 64, 10**6)
    empty = Dataset(tuple(ImageRecord(r.path, 128, 128, [], []) for r in photos), photos.class_names, photos.root)
    with pytest.raises(DataError, match="no labelled animal, whose size"):
        Donors(crops, empty, 64, 10**6)


def test_a_broken_donor_is_replaced_and_told(photos: Dataset, crops: Dataset, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"broken")
    broken = ImageRecord(tmp_path / "broken.png", 48, 48, [[4, 4, 44, 44]], [2])
    both = Dataset((broken, *crops.records), crops.class_names, crops.root)
    heard: list[str] = []
    pipeline = TrainingPipeline(
        photos,
        size=128,
        batch_size=4,
        augmentation=PASTE,
        seed=0,
        donors=both,
        on_problem=lambda problem: heard.append(problem.path.name),
    )
    assert len(list(pipeline.epoch(0)) + list(pipeline.epoch(1)) + list(pipeline.epoch(2))) == 3
    assert heard == ["broken.png"]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_with_donors_are_the_same_for_any_workers(photos: Dataset, crops: Dataset, workers: int) -> None:
    options = {"size": 64, "batch_size": 2, "augmentation": PASTE, "seed": 1, "donors": crops}
    with TrainingPipeline(photos, workers=workers, **options) as pipeline, TrainingPipeline(photos, **options) as again:
        for one, other in zip(pipeline.epoch(0), again.epoch(0), strict=True):
            assert bool((one.images == other.images).all())
            assert bool((one.boxes == other.boxes).all())
