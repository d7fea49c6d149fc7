"""Groups of duplicates against comparing all pairs, and what chains are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.data.quality.duplicates import DuplicateGroup, close_pairs, group_duplicates
from herder.data.quality.perceptual_hash import PhotoHash
from herder.data.quality.photo_checks import PhotoFinding


def finding(sha256: str, bits: int | None, difference: int = 0) -> PhotoFinding:
    found = None if bits is None else PhotoHash(bits, difference)
    return PhotoFinding(Path("a.jpg"), (), sha256, "JPEG", 64, 48, hash=found)


def members(groups: tuple[DuplicateGroup, ...]) -> list[tuple[int, ...]]:
    return [group.members for group in groups]


def all_pairs(hashes: list[PhotoHash], radius: int) -> list[tuple[int, ...]]:
    """Groups by comparing everything with everything, again and again until nothing changes."""
    label = list(range(len(hashes)))
    changed = True
    while changed:
        changed = False
        for i, a in enumerate(hashes):
            for j, b in enumerate(hashes):
                if label[i] != label[j] and max(a.distance(b)) <= radius:
                    label[i] = label[j] = min(label[i], label[j])
                    changed = True
    groups = [tuple(i for i, at in enumerate(label) if at == top) for top in sorted(set(label))]
    return [group for group in groups if len(group) > 1]


@given(st.integers(0, 2**32), st.integers(0, 20), st.integers(0, 40))
def test_the_same_groups_as_all_pairs(seed: int, radius: int, count: int) -> None:
    """Hashes around a few centres, with about as many bits turned as the radius allows."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**63, (4, 2))
    hashes = []
    for _ in range(count):
        words = [int(word) for word in centres[rng.integers(4)]]
        for k in range(2):
            for bit in rng.integers(0, 64, rng.integers(0, radius + 3)).tolist():
                words[k] ^= 1 << bit
        hashes.append(PhotoHash(*words))
    found = group_duplicates([finding(str(i), h.perceptual, h.difference) for i, h in enumerate(hashes)], radius)
    assert members(found) == all_pairs(hashes, radius)
    for group in found:
        assert len(group.links) == len(group.members) - 1
        assert {i for link in group.links for i in (link.a, link.b)} == set(group.members)
        apart = [max(hashes[i].distance(hashes[j])) for i in group.members for j in group.members]
        assert group.widest == max(apart)
        assert group.chained == (max(apart) > radius)
        assert all(
            (link.perceptual, link.difference) == hashes[link.a].distance(hashes[link.b]) for link in group.links
        )


def test_nothing_and_one() -> None:
    assert group_duplicates([], 8) == ()
    assert group_duplicates([finding("a", 5)], 8) == ()
    assert close_pairs([None, PhotoHash(1, 1), None], 8) == []


def test_both_hashes_must_agree() -> None:
    assert group_duplicates([finding("a", 0, 0), finding("b", 0, 0xFFFF)], 8) == ()
    assert group_duplicates([finding("a", 0, 0), finding("b", 0xFFFF, 0)], 8) == ()


def test_a_chain_is_told() -> None:
    """0 and 2 differ by 10 bits; only 1 between them makes them a group."""
    (group,) = group_duplicates([finding("a", 0), finding("b", 0b11111), finding("c", 0b1111111111)], 5)
    assert group.members == (0, 1, 2)
    assert [(link.a, link.b, link.perceptual) for link in group.links] == [(0, 1, 5), (1, 2, 5)]
    assert group.chained
    assert group.widest == 10
    assert not group.exact


def test_the_same_file_without_a_hash() -> None:
    """Blank photos have no hash that means anything: only the same bytes join them."""
    (group,) = group_duplicates([finding("x", None), finding("y", None), finding("x", None)], 8)
    assert group.members == (0, 2)
    assert group.exact
    assert not group.chained
    broken = PhotoFinding(Path("b.jpg"), (), "x")  # not decoded
    assert members(group_duplicates([finding("x", None), broken, broken], 8)) == []


def test_same_files_and_a_near_one() -> None:
    found = group_duplicates([finding("x", 0), finding("x", 0), finding("y", 1), finding("z", 2**64 - 1)], 8)
    assert members(found) == [(0, 1, 2)]
    assert [link.same_file for link in found[0].links] == [True, False]
    assert not found[0].exact
    assert members(group_duplicates([finding("x", 0), finding("x", 0), finding("y", 1)], -1)) == [(0, 1)]


@pytest.mark.slow
def test_a_hundred_thousand_photos() -> None:
    import time

    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**63, (100_000, 2)).astype(np.uint64)
    words[90_000:] = words[:10_000] ^ np.uint64(0b1011)
    start = time.process_time()
    links = close_pairs([PhotoHash(int(a), int(b)) for a, b in words], 8)
    assert time.process_time() - start < 60
    assert sorted((link.a, link.b) for link in links) == [(i, i + 90_000) for i in range(10_000)]
