"""Photos that are broken in ways seen in the wild."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def textured() -> Callable[..., Image.Image]:
    """A photo with coarse shapes and fine texture, so that losing any part of its data shows."""

    def make(size: tuple[int, int] = (320, 240), seed: int = 0) -> Image.Image:
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        fine = rng.normal(0, 12, (size[1], size[0], 3))
        return Image.fromarray(np.clip(np.asarray(coarse) + fine, 0, 255).astype(np.uint8))

    return make


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """The bytes of a photo as a file."""

    def encode(photo: Image.Image, format: str = "JPEG", **options: object) -> bytes:
        buffer = io.BytesIO()
        photo.save(buffer, format, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a file of this name and content."""

    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return write
