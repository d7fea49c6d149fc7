"""Crops of animals that copy-paste takes from a dataset of their own, such as ``herder data synthesize`` writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from herder.boxes import FloatArray
from herder.data.augmentation import Sample
from herder.data.crops import class_id
from herder.data.photo_cache import PhotoCache, usable_sample
from herder.data.records import Dataset, ImageRecord, Problem
from herder.errors import ConfigError, DataError


class Donors:
    """Photos whose animals are pasted into training photos at the sizes that animals have there.

    A crop says nothing about how large its animal should be, so that a size is drawn from the boxes of ``photos``: of
    the same class, or of all where that class has no box there. ``side`` is the training pictures' side in pixels.
    Raises ConfigError for a class that ``photos`` does not have, DataError when there is no box to paste.
    """

    def __init__(self, donors: Dataset, photos: Dataset, side: int, cache_bytes: int) -> None:
        used = {donors.class_names[c] for record in donors for c in record.classes[~record.ignore].tolist()}
        for name in sorted(used):
            try:
                class_id(photos.class_names, name)
            except ConfigError as error:
                raise ConfigError(f"{donors.root}: donors of {error.message}", hint=error.hint) from None
        records = tuple(_fitting(record, donors.class_names, photos.class_names) for record in donors)
        records = tuple(record for record in records if len(record))
        if not records:
            raise DataError(f"{donors.root}: no labelled animal to paste", hint="`herder data synthesize` makes some")
        self.cache = PhotoCache(records, side, cache_bytes)
        self.problems: dict[int, Problem] = {}
        """Photos found broken so far, by their index."""
        self._shares = [_shares(photos, k) for k in range(len(photos.class_names))]
        self._all_shares = np.concatenate(self._shares)
        if not len(self._all_shares):
            raise DataError(f"{photos.root}: no labelled animal, whose size donors would take", hint="label some first")

    def draw(self, rng: np.random.Generator) -> tuple[Sample, float]:
        """A photo with an animal, and the share of a picture's side that its longer side should have.

        Raises DataError when no photo is usable.
        """
        sample = usable_sample(self.cache, int(rng.integers(len(self.cache.records))), self.problems)
        own = self._shares[int(sample.classes[0])]
        shares = own if len(own) else self._all_shares
        return sample, float(shares[rng.integers(len(shares))])


def _fitting(record: ImageRecord, source: tuple[str, ...], target: tuple[str, ...]) -> ImageRecord:
    """The record without herd boxes, its class ids pointing into ``target`` where they pointed into ``source``."""
    animals = record.select(~record.ignore)
    return replace(animals, classes=np.array([target.index(source[c]) for c in animals.classes.tolist()], np.int64))


def _shares(photos: Dataset, name: int) -> FloatArray:
    """The longer side of each box of a class over the longer side of its photo."""
    shares = [
        float(max(box[2] - box[0], box[3] - box[1])) / max(record.width, record.height)
        for record in photos
        for box in record.boxes[(record.classes == name) & ~record.ignore]
    ]
    return np.array(shares, np.float32)
