"""Splitting a dataset so that each part has its share of every class and no group of photos is torn apart.

Source: K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011,
https://doi.org/10.1007/978-3-642-23808-6_10: the rarest label is dealt out first, each time to the part that still
lacks most of it. Here a group of photos (one camera, one farm, one burst) is dealt out as a whole, and groups are moved
afterwards as long as a move brings the shares nearer to what was asked for.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.data.records import Dataset
from herder.errors import ConfigError, DataError

FloatVector = NDArray[np.float64]


def split_dataset(dataset: Dataset, fractions: Mapping[str, float], seed: int) -> dict[str, Dataset]:
    """Split into parts of the given shares of photos, such as ``{"train": 0.7, "val": 0.2, "test": 0.1}``.

    The same photos and seed give the same parts, in whatever order and folder the photos are. Each part keeps the order
    of the records; the findings of reading go with the first part.
    Raises ConfigError for shares that are not positive or do not sum to 1, DataError for fewer groups than parts.
    """
    if not fractions or not all(math.isfinite(share) and share > 0 for share in fractions.values()):
        raise ConfigError(f"shares {dict(fractions)} must be positive", hint="for example --val 0.2 --test 0.1")
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise ConfigError(f"shares {dict(fractions)} sum to {sum(fractions.values()):g}, not to 1", hint="correct them")
    groups = _groups(dataset)
    if len(groups) < len(fractions):
        what = f"{len(dataset)} photos in {len(groups)} groups cannot be split into {len(fractions)} parts"
        raise DataError(f"{dataset.root}: {what}", hint="label more photos, or ask for fewer parts")
    part_of = deal_out(_label_counts(dataset, groups), np.array(list(fractions.values())), seed)  # (G,)
    parts: dict[str, Dataset] = {}
    for number, name in enumerate(fractions):
        indices = sorted(i for members, part in zip(groups, part_of, strict=True) if part == number for i in members)
        part = dataset.select(indices, name)
        parts[name] = part if number == 0 else Dataset(part.records, part.class_names, part.root, part.split)
    return parts


def _groups(dataset: Dataset) -> list[list[int]]:
    """Indices of the photos of each group, in an order that does not depend on that of the records."""
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, record in enumerate(dataset.records):
        members[(record.group, "") if record.group else ("", record.path.name)].append(i)
    return [members[key] for key in sorted(members)]


def _label_counts(dataset: Dataset, groups: list[list[int]]) -> IntArray:
    """Photos of each group that show each class (G, K + 2); then its photos without a box, and all its photos."""
    counts = np.zeros((len(groups), len(dataset.class_names) + 2), np.int64)
    for row, members in enumerate(groups):
        for i in members:
            present = np.unique(dataset[i].classes)
            counts[row, present] += 1
            counts[row, -2] += len(present) == 0
            counts[row, -1] += 1
    return counts


def deal_out(counts: IntArray, shares: FloatVector, seed: int) -> IntArray:
    """The part (G,) of each group: iterative stratification of ``counts`` (G, L), whose last column counts photos.

    ``shares`` (P,) sum to 1, and G >= P; no part stays empty.
    """
    rng = np.random.default_rng(seed)
    wanted = shares[:, None] * counts.sum(axis=0)[None, :]  # (P, L): what each part still lacks
    part_of = np.full(len(counts), -1, np.int64)
    tie_break = rng.permutation(len(counts))
    while (free := np.flatnonzero(part_of < 0)).size:
        left = counts[free].sum(axis=0)  # (L,)
        label = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        holders = free[counts[free, label] > 0]
        # Large groups first: small ones fill the gaps that they leave.
        for group in holders[np.lexsort((tie_break[holders], -counts[holders, label]))]:
            need, photos = wanted[:, label], wanted[:, -1]
            best = np.lexsort((rng.random(len(shares)), -photos, -need))[0]
            part_of[group] = best
            wanted[best] -= counts[group]
    for part in range(len(shares)):
        if not (part_of == part).any():
            sizes = np.bincount(part_of, minlength=len(shares))
            donors = np.flatnonzero(sizes[part_of] > 1)
            part_of[donors[np.lexsort((tie_break[donors], counts[donors, -1]))[0]]] = part
    _improve(part_of, counts, shares, np.argsort(tie_break))
    return part_of


def _improve(part_of: IntArray, counts: IntArray, shares: FloatVector, order: IntArray, passes: int = 10) -> None:
    """Move single groups, in place, while that lessens the squared distance of all shares from those wanted."""
    amounts = counts / np.maximum(counts.sum(axis=0), 1)  # (G, L): a group's share of each label
    lacks = np.stack([share - amounts[part_of == part].sum(axis=0) for part, share in enumerate(shares)])  # (P, L)
    sizes = np.bincount(part_of, minlength=len(shares))
    for _ in range(passes):
        moved = False
        for group in order.tolist():
            here, amount = int(part_of[group]), amounts[group]
            # |lack_here + amount|^2 + |lack_there - amount|^2, less the same before the move
            change = 2 * (amount @ lacks[here] - lacks @ amount + amount @ amount)  # (P,)
            change[here] = 0
            there = int(np.argmin(change))
            if change[there] < -1e-12 and sizes[here] > 1:
                part_of[group], moved = there, True
                lacks[here] += amount
                lacks[there] -= amount
                sizes[here] -= 1
                sizes[there] += 1
        if not moved:
            return
