import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from herder.boxes import Letterbox
from herder.data.augmentation import AugmentationConfig
from herder.data.dataset import Draw, TrainingDataset
from herder.data.photo_cache import PhotoCache
from herder.data.records import Dataset, ImageRecord
from herder.errors import DataError
from herder.images import read_image


@pytest.fixture
def photos(tmp_path, make_photo):
    """A dataset of 64 x 48 photos, each with one box of its own class."""

    def make(count, size=(64, 48)):
        paths = [make_photo(tmp_path / f"{i}.png", size, seed=i) for i in range(count)]
        records = [ImageRecord(path, *size, [[8, 12, 40, 36]], [i]) for i, path in enumerate(paths)]
        return Dataset(tuple(records), tuple(f"class {i}" for i in range(count)), tmp_path)

    return make


def test_the_cache_decodes_once_and_reduces_as_the_letterbox_does(photos):
    data = photos(3)
    for side, shape in ((32, (24, 32, 3)), (20, (15, 20, 3)), (64, (48, 64, 3)), (640, (48, 64, 3))):
        cache = PhotoCache(data.records, side)
        photo = cache.photo(1)
        assert photo.shape == shape
        assert cache.photo(1) is photo
        assert (len(cache), cache.used) == (1, photo.nbytes)
        if side <= 64:
            fit = Letterbox.fit(64, 48, side)
            np.testing.assert_array_equal(photo, fit.apply(read_image(data[1].path))[: shape[0], : shape[1]])


def test_the_cache_keeps_to_its_budget(photos):
    data = photos(5)
    cache = PhotoCache(data.records, 32, budget=2 * 24 * 32 * 3)
    cache.fill(threads=2)
    assert len(cache) == 2
    for i in range(5):
        np.testing.assert_array_equal(cache.photo(i), PhotoCache(data.records, 32).photo(i))
    assert len(cache) == 2
    assert cache.used <= cache.budget
    assert PhotoCache(data.records, 32, budget=0).photo(4).shape == (24, 32, 3)


def test_the_cache_travels_empty(photos):
    cache = PhotoCache(photos(2).records, 32, budget=10**6)
    cache.fill(1)
    again = pickle.loads(pickle.dumps(cache))
    assert (len(again), again.used, again.side, again.budget) == (0, 0, 32, 10**6)
    np.testing.assert_array_equal(again.photo(0), cache.photo(0))


def test_a_photo_that_changed_its_size_is_not_used(photos):
    data = photos(1)
    Image.new("RGB", (30, 48)).save(data[0].path)
    cache = PhotoCache(data.records, 32)
    for _ in range(2):
        with pytest.raises(DataError, match="is 30 x 48 pixels now, was 64 x 48"):
            cache.photo(0)


def test_an_item_depends_on_seed_epoch_and_index_alone(photos):
    data = photos(6)
    config = AugmentationConfig(mixup=0.5, copy_paste=0.5, cutout=0.5)
    a, b = TrainingDataset(data, 64, config, seed=3), TrainingDataset(data, 64, config, seed=3, cache_bytes=0)
    np.random.seed(1)  # noqa: NPY002 (the global generator must play no part)
    wanted = {(e, i): a.item(e, i) for e in range(2) for i in range(6)}
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for epoch, index in sorted(wanted, reverse=True):
        item = b.item(epoch, index)
        np.testing.assert_array_equal(item.image, wanted[epoch, index].image)
        np.testing.assert_array_equal(item.boxes, wanted[epoch, index].boxes)
        np.testing.assert_array_equal(item.classes, wanted[epoch, index].classes)
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    other = TrainingDataset(data, 64, config, seed=4)
    assert any((other.item(0, i).image != wanted[0, i].image).any() for i in range(6))
    assert (wanted[0, 0].image != wanted[1, 0].image).any()


def test_items_through_the_doors_of_torch(photos):
    data = TrainingDataset(photos(3), 64, AugmentationConfig(), seed=0)
    assert len(data) == 3
    np.testing.assert_array_equal(data[2].image, data.item(0, 2).image)
    drawn = data[Draw(epoch=5, index=1, size=96, mosaic=False)]
    np.testing.assert_array_equal(drawn.image, data.item(5, 1, mosaic=False, size=96).image)
    assert drawn.image.shape == (96, 96, 3)
    with pytest.raises(IndexError):
        data[3]


def test_without_variation_an_epoch_shows_each_photo_letterboxed(photos):
    data = photos(4)
    items = TrainingDataset(data, 32, AugmentationConfig.none(), seed=0)
    shown = [items.item(7, i) for i in range(4)]
    assert sorted(int(item.classes[0]) for item in shown) == [0, 1, 2, 3]
    for item in shown:
        assert item.boxes.tolist() == [[4, 6, 20, 18]]
        record = data[int(item.classes[0])]
        np.testing.assert_array_equal(item.image, Letterbox.fit(64, 48, 32).apply(read_image(record.path)))


def test_a_broken_photo_is_noted_and_replaced_by_the_next(photos):
    data = photos(4)
    data[1].path.write_bytes(b"not a photo")
    data[3].path.unlink()
    items = TrainingDataset(data, 32, AugmentationConfig.none(), seed=0)
    assert [int(items.photo(i).classes[0]) for i in range(4)] == [0, 2, 2, 0]
    assert [problem.path.name for problem in items.problems.values()] == ["1.png", "3.png"]
    assert str(items.problems[3]).count("3.png") == 1
    assert len(items.item(0, 0)) == 1


def test_nothing_to_train_on(photos):
    data = photos(2)
    for record in data:
        record.path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 2 photos can be decoded; the first: \S*\.png"):
        TrainingDataset(data, 32, AugmentationConfig(), seed=0).item(0, 0)
    with pytest.raises(DataError, match="no photos to train on"):
        TrainingDataset(replace(data, records=(), root=Path("herd")), 32, AugmentationConfig(), seed=0)
