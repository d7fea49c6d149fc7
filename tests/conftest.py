"""Fixtures that tests of several rooms share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples in every run: a failure is seen again, and a slow machine is no failure.
settings.register_profile("herder", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("herder")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real photos and weights, HERDER_SHARED or beside the checkout; without it a test is skipped."""
    folder = Path(os.environ.get("HERDER_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the real photos and weights are not at {folder} (set HERDER_SHARED)")
    return folder


@pytest.fixture(scope="session")
def make_photo() -> Callable[..., Path]:
    """Write a photo of (width, height) with some texture, so that no two seeds give the same file."""

    def make(path: Path, size: tuple[int, int] = (64, 48), seed: int = 0, **options: object) -> Path:
        width, height = size
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path, **options)
        return path

    return make


@pytest.fixture
def yolo_folder(tmp_path: Path, make_photo: Callable[..., Path]) -> Callable[..., Path]:
    """Make a YOLO folder ``images/train`` + ``labels/train`` of 64 x 48 photos from the text of each label file."""

    def make(labels: Sequence[str | None], names: Sequence[str] = ("alpaca",), split: str = "train") -> Path:
        root = tmp_path / "dataset"
        (root / "labels" / split).mkdir(parents=True)
        (root / "classes.txt").write_text("".join(f"{name}\n" for name in names))
        for i, text in enumerate(labels):
            make_photo(root / "images" / split / f"photo{i}.jpg", seed=i)
            if text is not None:
                (root / "labels" / split / f"photo{i}.txt").write_text(text)
        return root

    return make


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """An untrained model file of 64 pixels."""
    import torch

    from herder.model.files import save_model
    from herder.model.network import Network
    from herder.spec import example_spec

    torch.manual_seed(0)
    spec = example_spec().replace(input_size=64)
    save_model(Network(spec), spec, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"
