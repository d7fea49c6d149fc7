"""Splitting a dataset so that each part has its share of every class and no group of photos is torn apart.

Source: K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011,
https://doi.org/10.1007/978-3-642-23808-6_10: the rarest label is dealt out first, each time to the part that still
lacks most of it. A label is a class that a photo shows, or how many boxes it has. Here a group of photos (one camera,
one farm, one burst, near duplicates) is dealt out as a whole, and groups are moved afterwards as long as a move brings
the shares nearer to what was asked for.

Notation: G groups of photos; P parts; K classes; L = K + 6 labels.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.data.records import Dataset
from herder.errors import ConfigError, DataError

FloatVector = NDArray[np.float64]

BOX_COUNTS = (0, 1, 2, 4, 8)
"""Photos are told apart by their number of boxes: none, 1, 2 to 3, 4 to 7, 8 and more."""


def split_dataset(
    dataset: Dataset, fractions: Mapping[str, float], seed: int, *, groups: Sequence[Sequence[int]] = ()
) -> dict[str, Dataset]:
    """Split into parts of the given shares of photos, such as ``{"train": 0.7, "val": 0.2, "test": 0.1}``.

    Photos with the same ``group`` stay together, and so do those of each of ``groups``, which are indices of records
    such as near duplicates; groups that have a photo in common are one. The same photos, groups and seed give the same
    parts, in whatever order and folder the photos are. Each part keeps the order of the records; the findings of
    reading go with the first part.
    Raises ConfigError for shares that are not positive or do not sum to 1, DataError for fewer groups than parts,
    ValueError for an index that is no record's.
    """
    if not fractions or not all(math.isfinite(share) and share > 0 for share in fractions.values()):
        raise ConfigError(f"shares {dict(fractions)} must be positive", hint="for example --val 0.2 --test 0.1")
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise ConfigError(f"shares {dict(fractions)} sum to {sum(fractions.values()):g}, not to 1", hint="correct them")
    together = joined_groups(dataset, groups)
    if len(together) < len(fractions):
        what = f"{len(dataset)} photos in {len(together)} groups cannot be split into {len(fractions)} parts"
        raise DataError(f"{dataset.root}: {what}", hint="label more photos, or ask for fewer parts")
    part_of = deal_out(_label_counts(dataset, together), np.array(list(fractions.values())), seed)  # (G,)
    parts: dict[str, Dataset] = {}
    for number, name in enumerate(fractions):
        indices = sorted(i for members, part in zip(together, part_of, strict=True) if part == number for i in members)
        part = dataset.select(indices, name)
        parts[name] = part if number == 0 else Dataset(part.records, part.class_names, part.root, part.split)
    return parts


def joined_groups(dataset: Dataset, groups: Sequence[Sequence[int]] = ()) -> list[list[int]]:
    """Indices of the photos that must stay together, in an order that does not depend on that of the records.

    Joined are photos with the same ``group``, without one those of the same name, and each of ``groups``; by union-find
    (R. E. Tarjan, "Efficiency of a Good But Not Linear Set Union Algorithm", J. ACM 1975,
    https://doi.org/10.1145/321879.321884). Raises ValueError for an index that is no record's.
    """
    parent = list(range(len(dataset)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    keys = [(record.group, "") if record.group else ("", record.path.name) for record in dataset]
    first: dict[tuple[str, str], int] = {}
    for i, key in enumerate(keys):
        parent[i] = first.setdefault(key, i)
    for group in groups:
        for i in group:
            if not 0 <= i < len(dataset):
                raise ValueError(f"groups: no photo {i}, there are {len(dataset)}")
            parent[root(i)] = root(group[0])
    members: dict[int, list[int]] = defaultdict(list)
    for i in range(len(dataset)):
        members[root(i)].append(i)
    return sorted(members.values(), key=lambda group: min(keys[i] for i in group))


def _label_counts(dataset: Dataset, groups: list[list[int]]) -> IntArray:
    """Photos of each group (G, L): those that show each class, those of each range of ``BOX_COUNTS``, and all."""
    classes = len(dataset.class_names)
    counts = np.zeros((len(groups), classes + len(BOX_COUNTS) + 1), np.int64)
    for row, members in enumerate(groups):
        for i in members:
            counts[row, np.unique(dataset[i].classes)] += 1
            counts[row, classes + bisect(BOX_COUNTS, len(dataset[i])) - 1] += 1
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
    """Move single groups, in place, while that lessens the squared distance of all shares from those wanted.

    The share of photos, which was asked for, weighs as much as those of all labels together.
    """
    weights = np.ones(counts.shape[1])
    weights[-1] = math.sqrt(counts.shape[1] - 1)
    amounts = weights * counts / np.maximum(counts.sum(axis=0), 1)  # (G, L): a group's share of each label
    # (P, L)
    lacks = np.stack([share * weights - amounts[part_of == part].sum(axis=0) for part, share in enumerate(shares)])
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
