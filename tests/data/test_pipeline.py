import gc
import multiprocessing
import threading
from collections import Counter

import numpy as np
import pytest
import torch

from herder.data.augmentation import AugmentationConfig, Sample
from herder.data.pipeline import Batch, TrainingPipeline, collate
from herder.data.records import Dataset, ImageRecord
from herder.errors import ConfigError, DataError, ResourceError

MIXED = AugmentationConfig(mosaic=0.7, mixup=0.2, copy_paste=0.2, cutout=0.2)


@pytest.fixture
def herd(tmp_path, make_photo):
    """Make a dataset of 64 x 48 photos, one box each, every photo of its own class."""

    def make(count=10):
        paths = [make_photo(tmp_path / f"{i}.png", seed=i) for i in range(count)]
        records = [ImageRecord(p, 64, 48, [[8, 12, 40, 36]], [i], [i % 2 == 1]) for i, p in enumerate(paths)]
        return Dataset(tuple(records), tuple(f"class {i}" for i in range(count)), tmp_path)

    return make


@pytest.fixture(autouse=True)
def nothing_left_running():
    before = set(threading.enumerate())
    yield
    gc.collect()
    assert not multiprocessing.active_children()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)  # the feeder of a closed queue takes a moment to hear of it
        assert not thread.is_alive(), thread


def pipeline(data, **changes):
    settings = {"size": 64, "batch_size": 4, "augmentation": MIXED, "seed": 5}
    return TrainingPipeline(data, **{**settings, **changes})


def same(a, b):
    names = ("images", "boxes", "classes", "valid", "ignore")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


def assert_same(first, second):
    first, second = list(first), list(second)
    assert len(first) == len(second)
    assert all(same(a, b) for a, b in zip(first, second, strict=True))


def shown(batches):
    """How often each class came."""
    return Counter(int(c) for b in batches for row, ok in zip(b.classes, b.valid, strict=True) for c in row[ok])


def test_collate_pads_and_keeps_the_planes_apart():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    counts = (2, 0, 1)
    samples = [
        Sample(image, np.full((n, 4), n, np.float32), np.arange(n) + 5, np.arange(n) == 0)
        for image, n in zip(images, counts, strict=True)
    ]
    batch = collate(samples)
    assert len(batch) == 3
    np.testing.assert_array_equal(batch.images.numpy(), images.transpose(0, 3, 1, 2))
    assert batch.images.is_contiguous()
    assert (batch.boxes.dtype, batch.classes.dtype) == (torch.float32, torch.int64)
    assert batch.valid.tolist() == [[True, True], [False, False], [True, False]]
    assert batch.ignore.tolist() == [[True, False], [False, False], [True, False]]
    assert batch.classes.tolist() == [[5, 6], [0, 0], [5, 0]]
    assert batch.boxes[2].tolist() == [[1, 1, 1, 1], [0, 0, 0, 0]]
    assert same(batch, batch.to("cpu"))
    assert collate(samples[1:2]).boxes.shape == (1, 1, 4)  # G is never 0


def test_a_batch_too_large_for_memory(monkeypatch):
    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    sample = Sample(np.zeros((32, 32, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, bool))
    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(ResourceError, match="batch of 2 pictures of 32 x 32"):
        collate([sample, sample])


def test_workers_do_not_change_the_batches(herd):
    data = herd()
    alone = pipeline(data)
    before = torch.get_rng_state()
    with pipeline(data, workers=2, cache_bytes=50_000) as crowd:
        for epoch, options in enumerate(({}, {"mosaic": False}, {"size": 96}, {"start_step": 2})):
            assert_same(alone.epoch(epoch, **options), crowd.epoch(epoch, **options))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_spawned_workers_do_not_change_the_batches(herd):
    data = herd()
    with pipeline(data, workers=1, start_method="spawn") as spawned:
        assert_same(pipeline(data).epoch(1), spawned.epoch(1))


def test_resuming_yields_the_rest_of_the_epoch(herd):
    data = herd()
    whole = list(pipeline(data).epoch(3))
    assert [len(b) for b in whole] == [4, 4, 2]
    for start in range(4):
        assert_same(pipeline(data).epoch(3, start), whole[start:])
    with pytest.raises(ConfigError, match="start_step: 4 is not in an epoch of 3 steps"):
        pipeline(data).epoch(3, 4)


def test_epochs_and_seeds_differ_and_settings_of_an_epoch_count(herd):
    data = herd()
    pipe = pipeline(data)
    first = next(pipe.epoch(0))
    assert not torch.equal(first.images, next(pipe.epoch(1)).images)
    assert not torch.equal(first.images, next(pipeline(data, seed=6).epoch(0)).images)
    assert not torch.equal(first.images, next(pipe.epoch(0, mosaic=False)).images)
    assert next(pipe.epoch(0, size=96)).images.shape == (4, 3, 96, 96)
    assert same(first, next(pipe.epoch(0)))


def test_each_photo_comes_once_an_epoch(herd):
    pipe = pipeline(herd(), augmentation=AugmentationConfig.none())
    batches = list(pipe.epoch(0))
    assert shown(batches) == Counter(range(10))
    odd = {int(c) for b in batches for c in b.classes[b.valid & b.ignore]}
    assert odd == {1, 3, 5, 7, 9}


def test_ranks_share_an_epoch_in_as_many_steps_each(herd):
    data = herd()
    plain = {"augmentation": AugmentationConfig.none()}
    ranks = [pipeline(data, rank=r, world_size=4, batch_size=2, **plain) for r in range(4)]
    assert {rank.steps_per_epoch for rank in ranks} == {2}
    parts = [list(rank.epoch(2)) for rank in ranks]
    counts = shown(b for part in parts for b in part)
    assert set(counts) == set(range(10))
    assert sum(counts.values()) == 12  # 10 photos, wrapped to 4 times 3
    # Step by step the ranks together see what one process with the joint batch would.
    joint = list(pipeline(data, batch_size=8, **plain).epoch(2))
    assert shown(part[0] for part in parts) == shown(joint[:1])


def test_small_and_odd_batches(herd):
    data = herd(3)
    assert [len(b) for b in pipeline(data, batch_size=50).epoch(0)] == [3]
    dropping = pipeline(data, batch_size=2, drop_last=True)
    assert dropping.steps_per_epoch == 1
    assert [len(b) for b in dropping.epoch(0)] == [2]
    assert [len(b) for b in pipeline(herd(1), batch_size=2).epoch(0)] == [1]
    with pytest.raises(ConfigError, match="batch_size: 5 is more than the 3 photos"):
        pipeline(data, batch_size=5, drop_last=True)


def test_balanced_shows_rare_classes_more(herd):
    data = herd(10)
    records = [ImageRecord(r.path, r.width, r.height, r.boxes, [0 if i < 9 else 1]) for i, r in enumerate(data.records)]
    data = Dataset(tuple(records), ("common", "rare"), data.root)
    pipe = pipeline(data, balanced=True, augmentation=AugmentationConfig.none())
    counts = shown(b for epoch in range(8) for b in pipe.epoch(epoch))
    # Repeat factors 1 and sqrt(9 / 1) = 3: of 80 pictures 80 * 3 / 12 show the rare class.
    assert counts[1] == pytest.approx(20, abs=8)
    assert counts[0] + counts[1] == 80


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_photo_is_reported_once_and_the_run_goes_on(herd, workers):
    data = herd()
    data[4].path.write_bytes(b"not a photo")
    heard = []
    with pipeline(data, workers=workers, on_problem=heard.append) as pipe:
        batches = [b for epoch in range(2) for b in pipe.epoch(epoch)]
    assert [len(b) for b in batches] == [4, 4, 2] * 2
    assert [problem.path.name for problem in heard] == ["4.png"]
    assert_same(batches[:3], pipeline(data, on_problem=heard.append).epoch(0))


def test_by_default_a_broken_photo_is_logged(herd, caplog):
    data = herd(2)
    data[0].path.write_bytes(b"not a photo")
    list(pipeline(data).epoch(0))
    assert [record.message.count("0.png") for record in caplog.records] == [1]


@pytest.mark.parametrize("workers", [0, 1])
def test_all_photos_broken(herd, workers):
    data = herd(3)
    for record in data:
        record.path.write_bytes(b"not a photo")
    with pipeline(data, workers=workers) as pipe, pytest.raises(DataError, match="none of the 3 photos") as caught:
        list(pipe.epoch(0))
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_may_be_left_early(herd, workers):
    data = herd()
    wanted = list(pipeline(data).epoch(1))
    with pipeline(data, workers=workers) as pipe:
        for _ in pipe.epoch(0):
            break
        abandoned = pipe.epoch(0)
        next(abandoned)
        assert_same(pipe.epoch(1), wanted)
        with pytest.raises(RuntimeError, match="this epoch has ended"):
            next(abandoned)


def test_a_worker_that_dies_is_a_clear_error(herd):
    with pipeline(herd(), workers=1, batch_size=1) as pipe:
        batches = pipe.epoch(0)
        next(batches)
        for child in multiprocessing.active_children():
            child.kill()
        with pytest.raises(ResourceError, match="worker"):
            list(batches)
        assert len(list(pipe.epoch(1))) == 10  # new workers take over


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 100}, "size: 100 is not a multiple of 32"),
        ({"size": 0}, "size: 0"),
        ({"batch_size": 0}, "batch_size: 0"),
        ({"workers": -1}, "workers: -1"),
        ({"world_size": 0}, "world_size: 0"),
        ({"rank": 2, "world_size": 2}, "rank: 2"),
        ({"seed": -3}, "seed: -3"),
    ],
)
def test_settings_without_meaning(herd, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        pipeline(herd(1), **changes)
    assert caught.value.hint


def test_an_epoch_of_a_size_without_meaning_and_an_empty_dataset(herd):
    with pytest.raises(ConfigError, match="size: 50"):
        pipeline(herd(1)).epoch(0, size=50)
    with pytest.raises(DataError, match="no photos"):
        pipeline(Dataset((), ("alpaca",)))


@pytest.mark.shared
def test_real_photos(shared_dir):
    from herder.data.formats import read_dataset

    data = read_dataset(shared_dir / "alpaca", split="val")
    pipe = TrainingPipeline(data, size=160, batch_size=16, augmentation=AugmentationConfig(), seed=0)
    batches = list(pipe.epoch(0))
    assert sum(map(len, batches)) == len(data) == 100
    for batch in batches:
        assert isinstance(batch, Batch)
        boxes = batch.boxes[batch.valid]
        assert (boxes >= 0).all()
        assert (boxes <= 160).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 2).all()
    # Four photos share a picture and lose some animals at its border, so more boxes than photos hold on average.
    assert sum(int(b.valid.sum()) for b in batches) > 197
