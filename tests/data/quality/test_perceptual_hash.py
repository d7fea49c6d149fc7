"""Hashes against the package ImageHash, and against what they promise."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from herder.data.quality.perceptual_hash import as_array, difference_hash, hamming, hash_photo, perceptual_hash

Photo = Callable[..., Image.Image]
WORDS = st.lists(st.integers(0, 2**64 - 1), max_size=20)


@pytest.mark.parametrize("size", [(320, 240), (33, 200), (9, 8), (1, 1), (1000, 40)])
def test_the_same_as_imagehash(textured: Photo, size: tuple[int, int]) -> None:
    imagehash = pytest.importorskip("imagehash")
    for seed in range(4):
        for photo in (textured(size, seed), textured(size, seed).convert("L")):
            found = hash_photo(photo)
            assert found.perceptual == int(str(imagehash.phash(photo)), 16)
            assert found.difference == int(str(imagehash.dhash(photo)), 16)


@pytest.mark.shared
def test_the_same_as_imagehash_on_real_photos(shared_dir: Path) -> None:
    imagehash = pytest.importorskip("imagehash")
    for path in sorted((shared_dir / "alpaca/images/val").glob("*.jpg"))[:25]:
        with Image.open(path) as photo:
            found = hash_photo(photo)
            assert found.perceptual == int(str(imagehash.phash(photo)), 16)
            assert found.difference == int(str(imagehash.dhash(photo)), 16)


def test_known_hashes() -> None:
    """Brighter to the right: each pixel is brighter than the one before. To the left: none is."""
    right = Image.linear_gradient("L").rotate(90)
    assert difference_hash(right) == 2**64 - 1
    assert difference_hash(right.rotate(180)) == 0
    assert difference_hash(Image.new("L", (50, 50), 77)) == 0
    # A gradient along the rows has no frequency down the columns: half of the bits, at most, tell of something.
    assert perceptual_hash(right).bit_count() <= 32


def test_small_changes_change_little(textured: Photo) -> None:
    photo = textured((640, 480))
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=40)
    changed = {
        "saved again": Image.open(buffer),
        "half the size": photo.resize((320, 240)),
        "brighter": ImageEnhance.Brightness(photo).enhance(1.1),
        "grey": photo.convert("L"),
    }
    for name, other in changed.items():
        assert max(hash_photo(photo).distance(hash_photo(other))) <= 6, name
    assert min(hash_photo(photo).distance(hash_photo(textured((640, 480), seed=1)))) > 10


@given(WORDS, WORDS)
def test_hamming_counts_bits(a: list[int], b: list[int]) -> None:
    pairs = list(zip(a, b, strict=False))
    found = hamming(as_array(x for x, _ in pairs), as_array(y for _, y in pairs))
    assert found.tolist() == [bin(x ^ y).count("1") for x, y in pairs]
