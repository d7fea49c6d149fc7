"""Hashes that stay nearly the same when a photo is scaled, brightened or saved again, by Hamming distance.

Source of the DCT hash: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010,
https://www.phash.org/docs/pubs/thesis_zauner.pdf; of the difference hash: N. Krawetz, "Kind of Like That", 2013,
https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html. Bits and their order are those of the
package ImageHash, so that hashes can be compared with hers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HashArray = NDArray[np.uint64]

BITS = 64
"""Bits of a hash: eight by eight."""

_SIDE = 32
"""The photo is scaled to 32 x 32 before the cosine transform, of which the lowest 8 x 8 frequencies count."""


def _cosines(count: int, side: int) -> NDArray[np.float64]:
    """The first ``count`` rows (count, side) of the DCT-II, each of 2 cos(pi k (2 n + 1) / (2 side))."""
    k, n = np.arange(count)[:, None], np.arange(side)[None, :]
    return 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * side))


_DCT = _cosines(8, _SIDE)


@dataclass(frozen=True, slots=True)
class PhotoHash:
    """Both hashes of one photo; two photos are near-duplicates only where both agree."""

    perceptual: int
    """Which of the lowest frequencies are stronger than their median: coarse shapes and light."""
    difference: int
    """Where the photo gets brighter from left to right: the direction of edges."""

    def distance(self, other: PhotoHash) -> tuple[int, int]:
        """Bits that differ: of the perceptual and of the difference hash."""
        return (self.perceptual ^ other.perceptual).bit_count(), (self.difference ^ other.difference).bit_count()


def hash_photo(photo: Image.Image) -> PhotoHash:
    """Both hashes of an upright photo of any mode that Pillow can turn to grey."""
    grey = photo if photo.mode == "L" else photo.convert("L")
    return PhotoHash(perceptual_hash(grey), difference_hash(grey))


def perceptual_hash(grey: Image.Image) -> int:
    """The DCT hash of a grey photo, as 64 bits; the first bit (that of the mean) is the highest.

    >>> hex(perceptual_hash(Image.radial_gradient("L")))
    '0xee989837e69ac819'
    """
    pixels = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), np.float64)  # (32, 32)
    low = (_DCT @ pixels @ _DCT.T).round(6)  # (8, 8), without the noise of rounding where a photo is flat
    return _pack(low > np.median(low))


def difference_hash(grey: Image.Image) -> int:
    """The difference hash of a grey photo, as 64 bits, row by row from the top left, which is the highest.

    >>> hex(difference_hash(Image.linear_gradient("L").rotate(90)))
    '0xffffffffffffffff'
    """
    pixels = np.asarray(grey.resize((9, 8), Image.Resampling.LANCZOS))  # (8, 9)
    return _pack(pixels[:, 1:] > pixels[:, :-1])


def _pack(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def as_array(hashes: Iterable[int]) -> HashArray:
    """Hashes as one array (N,)."""
    return np.fromiter(hashes, np.uint64)


def hamming(a: HashArray, b: HashArray) -> NDArray[np.uint8]:
    """Bits that differ, element by element.

    >>> hamming(as_array([0b1011]), as_array([0b1110])).tolist()
    [2]
    """
    bits: NDArray[np.uint8] = np.bitwise_count(a ^ b)
    return bits
