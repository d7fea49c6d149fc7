"""Photos that are there twice: the same file, or nearly the same photo, in groups that belong together.

Near-duplicates are found by multi-index hashing (M. Norouzi, A. Punjani, D. J. Fleet, "Fast Search in Hamming Space
with Multi-Index Hashing", CVPR 2012, https://arxiv.org/abs/1307.2982): of m bands of two hashes that differ by r bits
one differs by r // m at most, so that only photos in neighbouring buckets of a band are compared, not all pairs.

Notation: N photos; M different hashes; m bands; P pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from herder.boxes import IntArray
from herder.data.quality.perceptual_hash import BITS, HashArray, PhotoHash, as_array, hamming
from herder.data.quality.photo_checks import PhotoFinding

_AT_ONCE = 1 << 22
"""Pairs that are compared at once: a hundred megabytes at most."""


@dataclass(frozen=True, slots=True)
class DuplicateLink:
    """Two photos, by their indices, and the bits that differ in their hashes; both 0 for the same file."""

    a: int
    b: int
    perceptual: int = 0
    difference: int = 0
    same_file: bool = False


@dataclass(frozen=True)
class DuplicateGroup:
    """Photos that belong together, and the fewest and closest links that join them (one less than members).

    Links make chains: where a is near b, and b near c, all three are one group, even where a and c are not near: on two
    sides of a split b would leak all the same. ``chained`` says so.
    """

    members: tuple[int, ...]
    links: tuple[DuplicateLink, ...]
    widest: int
    """The most bits that differ in a hash of any two members."""
    chained: bool
    """Whether two members are further apart than the radius, and are here only through others."""

    @property
    def exact(self) -> bool:
        """Whether all of them are the same file."""
        return all(link.same_file for link in self.links)


def group_duplicates(findings: Sequence[PhotoFinding], radius: int) -> tuple[DuplicateGroup, ...]:
    """Groups of two photos or more that are the same file or whose hashes both differ by ``radius`` bits at most.

    A ``radius`` of -1 finds the same files only. Photos without a hash (not decoded, blank or black) are compared by
    their bytes alone. Groups and members stand in the order of the photos.
    """
    first: dict[str, int] = {}
    links: list[DuplicateLink] = []
    for i, finding in enumerate(findings):
        if finding.sha256 and finding.decoded:
            same = first.setdefault(finding.sha256, i)
            links += [DuplicateLink(same, i, same_file=True)] if same != i else []
    hashes = [finding.hash for finding in findings]
    again = {link.b for link in links}  # the first of the same files speaks for all of them
    links += close_pairs([None if i in again else h for i, h in enumerate(hashes)], radius)
    return tuple(_groups(links, hashes, radius))


def close_pairs(hashes: Sequence[PhotoHash | None], radius: int) -> list[DuplicateLink]:
    """The links between photos with hashes near each other: enough to join what belongs together, not all of them.

    Photos with the very same hashes are linked to the first of them, and only that one to others.
    """
    known = [(i, h) for i, h in enumerate(hashes) if h is not None]
    if radius < 0 or len(known) < 2:
        return []
    first: dict[PhotoHash, int] = {}
    links = [DuplicateLink(same, i) for i, h in known if (same := first.setdefault(h, i)) != i]
    where = list(first.values())
    perceptual, difference = as_array(h.perceptual for h in first), as_array(h.difference for h in first)  # (M,)
    found = [pairs for pairs in _near(perceptual, difference, radius) if len(pairs)]
    if found:
        pairs = np.unique(np.concatenate(found), axis=0)  # (P, 2): several bands find the same pair
        p = hamming(perceptual[pairs[:, 0]], perceptual[pairs[:, 1]]).tolist()
        d = hamming(difference[pairs[:, 0]], difference[pairs[:, 1]]).tolist()
        for (a, b), bits, turned in zip(pairs.tolist(), p, d, strict=True):
            links.append(DuplicateLink(min(where[a], where[b]), max(where[a], where[b]), bits, turned))
    return links


def _near(perceptual: HashArray, difference: HashArray, radius: int) -> Iterator[IntArray]:
    """Pairs (P, 2) of hashes (M,) that are near in both, a chunk at a time; a pair may come more than once."""
    # Bands of such a width that a neighbouring bucket is at most one bit away: wide enough to hold few strangers.
    count = radius // 2 + 1
    edges = np.linspace(0, BITS, count + 1).astype(int).tolist()
    for low, high in pairwise(edges):
        width = min(high - low, 16)  # of a very wide band a part is enough: it must agree as well
        band = ((perceptual >> np.uint64(low)) & np.uint64((1 << width) - 1)).astype(np.int64)  # (M,)
        order = np.argsort(band, kind="stable")
        start = np.concatenate([[0], np.bincount(band, minlength=1 << width).cumsum()])
        flips = [
            sum(1 << bit for bit in bits) for n in range(radius // count + 1) for bits in combinations(range(width), n)
        ]
        for flip in flips:
            probe = band ^ flip
            sizes = start[probe + 1] - start[probe]  # (M,): hashes in the bucket that each one looks into
            for rows in _chunks(sizes):
                a = np.repeat(rows, sizes[rows])
                within = np.arange(len(a)) - np.repeat(sizes[rows].cumsum() - sizes[rows], sizes[rows])
                b = order[start[probe[a]] + within]
                a, b = a[a < b], b[a < b]  # the other way round it is found from b
                near = hamming(perceptual[a], perceptual[b]) <= radius
                a, b = a[near], b[near]
                near = hamming(difference[a], difference[b]) <= radius
                yield np.stack([a[near], b[near]], axis=1)


def _chunks(sizes: IntArray) -> Iterator[IntArray]:
    """Indices in runs whose sizes sum to about ``_AT_ONCE`` at most."""
    ends = np.flatnonzero(np.diff(sizes.cumsum() // _AT_ONCE)) + 1
    yield from np.split(np.arange(len(sizes)), ends)


def _groups(
    links: Sequence[DuplicateLink], hashes: Sequence[PhotoHash | None], radius: int
) -> Iterator[DuplicateGroup]:
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        parent.setdefault(i, i)
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    # Kruskal's minimum spanning forest: closest links first, and none between photos that are joined already.
    kept: list[DuplicateLink] = []
    for link in sorted(links, key=lambda e: (not e.same_file, e.perceptual + e.difference, e.a, e.b)):
        a, b = root(link.a), root(link.b)
        if a != b:
            parent[max(a, b)] = min(a, b)
            kept.append(link)
    members: dict[int, list[int]] = defaultdict(list)
    for i in sorted(parent):
        members[root(i)].append(i)
    joined: dict[int, list[DuplicateLink]] = defaultdict(list)
    for link in kept:
        joined[root(link.a)].append(link)
    for top, group in sorted(members.items()):
        widest = _widest([h for i in group if (h := hashes[i]) is not None])
        yield DuplicateGroup(tuple(group), tuple(joined[top]), widest, widest > radius >= 0)


def _widest(hashes: Sequence[PhotoHash]) -> int:
    """The most bits in which a hash of any two differ; for hundreds of them, from the first one only."""
    different = list(dict.fromkeys(hashes))
    ones = different if len(different) <= 500 else different[:1]
    widest: NDArray[np.uint8] = np.zeros(1, np.uint8)
    for values in (as_array(h.perceptual for h in different), as_array(h.difference for h in different)):
        for value in values[: len(ones)]:
            widest = np.maximum(widest, hamming(values, value).max(initial=0))
    return int(widest.max())
