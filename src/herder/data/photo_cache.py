"""Photos decoded once and kept as small as training needs them, and what stands in for those that cannot be decoded."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from herder.boxes import Letterbox
from herder.data.augmentation import Sample
from herder.data.augmentation.sample import Image
from herder.data.records import ImageRecord, Problem
from herder.errors import DataError
from herder.images import read_image

CACHE_BYTES = 2 * 1024**3
"""Decoded photos that are kept in memory by default: 2 GiB, about 9,000 photos at 320 pixels."""


class PhotoCache:
    """Photos decoded once and reduced to a longest side of ``side`` pixels, as long as they fit into ``budget`` bytes.

    A photo that does not fit is decoded at every call. Smaller photos are not enlarged. Safe to call from many threads.
    """

    def __init__(self, records: Iterable[ImageRecord], side: int, budget: int = CACHE_BYTES) -> None:
        self.records = tuple(records)
        self.side = side
        self.budget = budget
        self.used = 0
        """Bytes of pixels held now."""
        self._photos: dict[int, Image] = {}
        self._broken: dict[int, DataError] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        """A cache travels to another process empty: what it holds is quicker decoded than sent."""
        return {"records": self.records, "side": self.side, "budget": self.budget}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self._photos)

    def photo(self, index: int) -> Image:
        """Photo ``index`` (H, W, 3) uint8 RGB; do not write into it.

        Raises DataError when it cannot be decoded, or no longer has the size its labels were read for; such a photo is
        not tried again.
        """
        held = self._photos.get(index)
        if held is not None:
            return held
        if index in self._broken:
            raise self._broken[index]
        try:
            photo = self._decode(self.records[index])
        except DataError as error:
            self._broken[index] = error
            raise
        with self._lock:
            if index not in self._photos and self.used + photo.nbytes <= self.budget:
                self._photos[index] = photo
                self.used += photo.nbytes
        return photo

    def fill(self, threads: int) -> None:
        """Decode photos ahead, in ``threads`` threads, until all are there or the budget is used up."""
        with ThreadPoolExecutor(max(1, threads), "herder-decode") as pool:
            for _ in pool.map(self._fill_one, range(len(self.records))):
                pass

    def _fill_one(self, index: int) -> None:
        if index in self._broken or self.used + self._bytes(self.records[index]) > self.budget:
            return
        try:
            self.photo(index)
        except DataError:
            return  # remembered as broken; whoever asks for this photo is told

    def _bytes(self, record: ImageRecord) -> int:
        width, height = self._size(record)
        return width * height * 3

    def _size(self, record: ImageRecord) -> tuple[int, int]:
        """Width and height in pixels of a photo as it is kept."""
        if max(record.width, record.height) <= self.side:
            return record.width, record.height
        return Letterbox.fit(record.width, record.height, self.side).scaled_size

    def _decode(self, record: ImageRecord) -> Image:
        photo = read_image(record.path)
        if photo.shape[:2] != (record.height, record.width):
            raise DataError(
                f"{record.path}: is {photo.shape[1]} x {photo.shape[0]} pixels now, was {record.width} x "
                f"{record.height} when its labels were read",
                hint="put the old photo back, or read the dataset again",
            )
        size = self._size(record)
        if size == (record.width, record.height):
            return photo
        # The same interpolation as the letterbox at inference takes for this reduction.
        how = cv2.INTER_AREA if self.side < 0.5 * max(record.width, record.height) else cv2.INTER_LINEAR
        return cv2.resize(photo, size, interpolation=how).astype(np.uint8, copy=False)


def usable_sample(cache: PhotoCache, index: int, problems: dict[int, Problem]) -> Sample:
    """Photo ``index`` as it lies in the cache, with its boxes; a broken one is replaced by the next that is not.

    What was found broken is noted in ``problems`` by its index. Raises DataError when no photo is usable.
    """
    count = len(cache.records)
    for replacement in range(index, index + count):
        k = replacement % count
        record = cache.records[k]
        try:
            image = cache.photo(k)
        except DataError as error:
            # A function of the files alone, so that every worker, and every later run, replaces alike.
            what = error.message.removeprefix(f"{record.path}: ")
            problems.setdefault(k, Problem(record.path, "photo-unreadable", what, error.hint))
            continue
        factors = np.array([image.shape[1] / record.width, image.shape[0] / record.height] * 2, np.float32)
        return Sample(image, record.boxes * factors, record.classes, record.ignore)
    first = next(iter(problems.values()))
    raise DataError(
        f"none of the {count} photos can be decoded; the first: {first.path}: {first.message}", hint=first.hint
    )
