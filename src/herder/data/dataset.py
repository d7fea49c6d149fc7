"""Training pictures by number: the dataset whose items depend on seed, epoch and index alone.

Notation: P photos of the dataset.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from torch.utils.data import Dataset as TorchDataset

from herder.boxes import FloatArray
from herder.data.augmentation import AugmentationConfig, Sample, augment
from herder.data.donors import Donors
from herder.data.photo_cache import CACHE_BYTES, PhotoCache, usable_sample
from herder.data.records import Dataset, Problem
from herder.data.sampling import EpochSampler, item_generator
from herder.errors import DataError


@dataclass(frozen=True)
class Draw:
    """Which training picture is wanted: its place in an epoch, its side in pixels, and whether photos may be joined."""

    epoch: int
    index: int
    size: int
    mosaic: bool = True


class TrainingDataset(TorchDataset[Sample]):
    """Training pictures; each is a function of (seed, epoch, index) and the photos, never of what was drawn before.

    ``index`` is a place in the epoch's order, not a photo: with ``weights`` (P,) a photo may come twice in an epoch and
    is varied anew each time. A photo that cannot be decoded is replaced by the next one that can, and noted in
    ``problems``. With ``donors``, copy-paste takes its animals from there and not from the photos.
    Raises DataError for a dataset without photos, and as ``Donors`` does.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int,
        config: AugmentationConfig,
        seed: int,
        *,
        weights: FloatArray | None = None,
        cache_bytes: int = CACHE_BYTES,
        donors: Dataset | None = None,
    ) -> None:
        if not len(dataset):
            raise DataError(f"{dataset.root}: no photos to train on", hint="check the folder and the name of the split")
        self.size = size
        self.config = config
        self.sampler = EpochSampler(len(dataset), seed, weights)
        self.cache = PhotoCache(dataset.records, size, cache_bytes)
        self._problems: dict[int, Problem] = {}
        self.donors = None if donors is None else Donors(donors, dataset, size, cache_bytes)
        self._epoch = -1, np.zeros(0, np.int64)

    def __len__(self) -> int:
        return self.sampler.count

    @property
    def problems(self) -> dict[int, Problem]:
        """Photos found broken so far, by their index in the dataset; those of donors by -1, -2, ..."""
        donors = self.donors.problems if self.donors is not None else {}
        return self._problems | {-1 - k: problem for k, problem in donors.items()}

    def __getitem__(self, index: int | Draw) -> Sample:
        """Training picture of a ``Draw``; a plain index means epoch 0. Raises DataError when no photo is usable."""
        if isinstance(index, Draw):
            return self.item(index.epoch, index.index, mosaic=index.mosaic, size=index.size)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.item(0, index)

    def item(self, epoch: int, index: int, *, mosaic: bool = True, size: int | None = None) -> Sample:
        """Training picture ``index`` of ``epoch``, ``size`` pixels square. Raises DataError when no photo is usable."""
        order = self._order(epoch)
        rng = item_generator(self.sampler.seed, epoch, index)

        def draw() -> Sample:
            return self.photo(int(order[rng.integers(len(order))]))

        donor = None if self.donors is None else partial(self.donors.draw, rng)
        first = self.photo(int(order[index % len(order)]))
        return augment(rng, first, draw, size or self.size, self.config, mix=mosaic, donor=donor)

    def photo(self, index: int) -> Sample:
        """Photo ``index`` as it lies in the cache, with its boxes; a broken one is replaced by the next that is not."""
        return usable_sample(self.cache, index, self._problems)

    def _order(self, epoch: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        known, order = self._epoch
        if known != epoch:
            order = self.sampler.order(epoch)
            self._epoch = epoch, order  # one assignment: threads see the old pair or the new one
        return order
