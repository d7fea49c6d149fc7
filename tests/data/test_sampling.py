from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.records import Dataset, ImageRecord
from herder.data.sampling import EpochSampler, balanced_weights, class_weights, item_generator, repeat_factors, shard
from herder.errors import ConfigError


def dataset_of(*photos, names=("a", "b", "c"), ignore=()):
    """One photo a tuple of class ids; photos whose index is in ``ignore`` have only ignore boxes."""
    records = [
        ImageRecord(Path(f"{i}.jpg"), 10, 10, [[0, 0, 5, 5]] * len(ids), ids, [i in ignore] * len(ids))
        for i, ids in enumerate(photos)
    ]
    return Dataset(tuple(records), names)


@given(st.integers(1, 200), st.integers(0, 2**70), st.integers(0, 1000))
def test_an_epoch_is_a_permutation_of_its_own(count, seed, epoch):
    sampler = EpochSampler(count, seed)
    order = sampler.order(epoch)
    assert sorted(order.tolist()) == list(range(count))
    np.testing.assert_array_equal(order, EpochSampler(count, seed).order(epoch))
    if count > 30:
        assert order.tolist() != sampler.order(epoch + 1).tolist()
        assert order.tolist() != EpochSampler(count, seed + 1).order(epoch).tolist()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=50).filter(any), st.integers(0, 99))
def test_a_weighted_epoch_draws_each_photo_as_often_as_its_weight_says(weights, epoch):
    count = len(weights)
    order = EpochSampler(count, 1, np.array(weights, np.float32)).order(epoch)
    assert len(order) == count
    drawn = np.bincount(order, minlength=count)
    wanted = count * np.array(weights) / sum(weights)
    assert np.abs(drawn - wanted).max() <= 1 + 1e-9
    assert not drawn[np.array(weights) == 0].any()


def test_bad_seeds_and_weights():
    with pytest.raises(ConfigError, match="seed: -1"):
        EpochSampler(3, -1)
    for weights in ([1, 1], [0, 0, 0], [1, -1, 1], [np.nan, 1, 1]):
        with pytest.raises(ValueError, match="weights: wanted 3"):
            EpochSampler(3, 0, np.array(weights, np.float32))


def test_no_two_pictures_share_random_numbers():
    draws = {
        item_generator(seed, epoch, index).integers(2**63)
        for seed in range(4)
        for epoch in range(4)
        for index in range(9)
    }
    assert len(draws) == 4 * 4 * 9


@given(st.integers(1, 100), st.integers(1, 8))
def test_shards_are_equal_and_cover_the_epoch(count, world_size):
    shards = [shard(count, rank, world_size) for rank in range(world_size)]
    assert len({len(places) for places in shards}) == 1
    assert {place % count for places in shards for place in places} == set(range(count))
    assert sum(map(len, shards)) < count + world_size


def test_repeat_factors_as_in_the_lvis_paper():
    # Shares of photos: a 4/4, b 1/4. With threshold 0.5: r(a) = 1, r(b) = sqrt(0.5 / 0.25).
    data = dataset_of([0], [0, 0], [0, 1], [0])
    np.testing.assert_allclose(repeat_factors(data, 0.5), [1, 1, 2**0.5, 1], rtol=1e-6)
    np.testing.assert_allclose(repeat_factors(data), [1, 1, 2, 1], rtol=1e-6)
    np.testing.assert_allclose(repeat_factors(dataset_of([0], [], [0])), [1, 1, 1])
    np.testing.assert_allclose(repeat_factors(dataset_of([], [])), [1, 1])
    assert repeat_factors(dataset_of()).shape == (0,)
    np.testing.assert_allclose(repeat_factors(dataset_of([0], [0], [1], ignore=[2])), [1, 1, 1])


def test_balanced_weights_give_each_class_the_same_share():
    weights = balanced_weights(dataset_of([0], [0], [0, 0], [1], [2], [2]))
    assert weights[:3].sum() == pytest.approx(weights[3]) == pytest.approx(weights[4:].sum())
    np.testing.assert_allclose(balanced_weights(dataset_of([0], [], [0])), [0.5, 0.5, 0.5])
    np.testing.assert_allclose(balanced_weights(dataset_of([], [])), [1, 1])


def test_class_weights_lift_rare_classes_by_the_square_root():
    weights = class_weights(dataset_of([0] * 90, [1] * 10))
    assert weights[1] / weights[0] == pytest.approx(3)
    assert (90 * weights[0] + 10 * weights[1]) / 100 == pytest.approx(1)
    assert weights[2] == 1
    assert class_weights(dataset_of([0], [], names=("a",))).tolist() == [1]
    assert class_weights(dataset_of()).tolist() == [1, 1, 1]
    assert class_weights(dataset_of([1, 1], [0], ignore=[0])).tolist() == [1, 1, 1]
