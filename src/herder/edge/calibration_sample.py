"""The photos that quantization sees: a seeded sample of the training photos that gives every class its share.

They pass through the very letterbox of inference, so that the ranges measured on them are those of daily work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from herder.boxes import Letterbox
from herder.data.records import Dataset, ImageRecord, Problem
from herder.errors import ConfigError, DataError
from herder.images import read_image
from herder.inference import STRIDE

FEWEST_PHOTOS = 16
"""Below, the ranges of activations are those of a few odd photos, and whatever lies outside is cut off."""

BACKGROUND = -1
"""The group of photos without any box."""


def calibration_sample(dataset: Dataset, count: int, seed: int = 0) -> list[ImageRecord]:
    """At most ``count`` photos, drawn without replacement; the same for the same photos, count and seed.

    Each photo stands for its rarest class (for the background where it has no box), and the groups take turns: a class
    with few photos gives all of them before a common one gives its second thousand. Raises ConfigError for fewer than
    ``FEWEST_PHOTOS`` photos, asked for or there.
    """
    if count < FEWEST_PHOTOS:
        raise ConfigError(f"photos: {count} are too few to calibrate with", hint=f"use {FEWEST_PHOTOS} or more")
    if len(dataset) < FEWEST_PHOTOS:
        raise ConfigError(
            f"{dataset.root}: {len(dataset)} photos are too few to calibrate with",
            hint=f"{FEWEST_PHOTOS} are needed, some hundreds are better; of a dataset its training photos count",
        )
    groups = _groups(dataset.records)
    rng = np.random.default_rng(seed)
    places = np.empty(len(dataset))
    for members in groups.values():
        # The k-th of a group comes in round k; the noise shuffles the groups within a round.
        places[members] = rng.permutation(len(members)) + rng.uniform(0, 0.5, len(members))
    chosen = np.argsort(places, kind="stable")[:count]
    return [dataset[int(i)] for i in chosen]


def calibration_canvases(
    records: Sequence[ImageRecord],
    size: int,
    *,
    fixed: bool = False,
    on_problem: Callable[[Problem], None] = lambda _: None,
) -> Iterator[NDArray[np.uint8]]:
    """The photos as the engine gets them, (1, H, W, 3) uint8 each, one at a time.

    ``fixed`` for a file that takes square canvases only. A photo that cannot be read goes to ``on_problem`` and is
    left out; DataError where none can be read.
    """
    read = 0
    for record in records:
        try:
            photo = read_image(record.path)
        except DataError as error:
            message = error.message.removeprefix(f"{record.path}: ")
            on_problem(Problem(record.path, "unreadable", message, error.hint))
            continue
        read += 1
        yield Letterbox.fit(photo.shape[1], photo.shape[0], size, None if fixed else STRIDE).apply(photo)[None]
    if not read:
        raise DataError(f"calibration: none of the {len(records)} photos can be read", hint="run `herder data check`")


def _groups(records: Sequence[ImageRecord]) -> dict[int, list[int]]:
    """Indices of the photos of each class, every photo under its rarest one."""
    seen = Counter(int(kind) for record in records for kind in set(record.classes.tolist()))
    groups: dict[int, list[int]] = {}
    for index, record in enumerate(records):
        kinds = sorted(set(record.classes.tolist()), key=lambda kind: (seen[kind], kind))
        groups.setdefault(kinds[0] if kinds else BACKGROUND, []).append(index)
    return groups


def class_shares(records: Sequence[ImageRecord], class_names: Sequence[str]) -> str:
    """How many photos of a sample show each class, in words.

    >>> class_shares([], ["alpaca"])
    '0 photos: 0 alpaca, 0 without animals'
    """
    counts = Counter(int(kind) for record in records for kind in set(record.classes.tolist()))
    parts = [f"{counts[i]} {name}" for i, name in enumerate(class_names)]
    return f"{len(records)} photos: {', '.join(parts)}, {sum(not len(r) for r in records)} without animals"
