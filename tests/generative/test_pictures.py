from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from herder.errors import ConfigError, DataError, MissingExtraError
from herder.generative.pictures import Pictures, centre_square, digits, from_photo, photo_folder, to_photo

Maker = Callable[..., Path]


def test_digits_are_scikit_learns_from_minus_one_to_one() -> None:
    pictures = digits()
    bunch = load_digits()
    assert pictures.images.shape == (1797, 1, 8, 8)
    assert (float(pictures.images.min()), float(pictures.images.max())) == (-1.0, 1.0)
    np.testing.assert_allclose((pictures.images[:, 0].numpy() + 1) * 8, bunch.images)
    np.testing.assert_array_equal(pictures.labels, bunch.target)
    assert pictures.class_names == tuple("0123456789")


def test_digits_without_scikit_learn_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # makes its import fail
    with pytest.raises(MissingExtraError, match="learn"):
        digits()


def test_a_folder_gives_the_middle_squares_and_sets_broken_photos_aside(tmp_path: Path, make_photo: Maker) -> None:
    make_photo(tmp_path / "b/2.png", (64, 40), seed=1)
    make_photo(tmp_path / "a.JPG", (30, 90), seed=2)
    make_photo(tmp_path / ".hidden.png")
    (tmp_path / "b/broken.jpg").write_bytes(b"\xff\xd8 no photo")
    (tmp_path / "notes.txt").write_text("not a photo, and not reported")
    heard: list[tuple[int, int]] = []
    pictures = photo_folder(tmp_path, 20, progress=lambda done, total: heard.append((done, total)))
    assert pictures.images.shape == (2, 3, 20, 20)
    assert pictures.labels is None
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert [(problem.path.name, bool(problem.hint)) for problem in pictures.set_aside] == [("broken.jpg", True)]
    assert str(problem := pictures.set_aside[0]).startswith(str(problem.path))
    # Pillow's own middle and reduction: other rounding, so a small tolerance.
    with Image.open(tmp_path / "b/2.png") as photo:
        wanted = np.asarray(photo.crop((12, 0, 52, 40)).resize((20, 20), Image.Resampling.BOX), np.float32)
    np.testing.assert_allclose(to_photo(pictures.images[1]).astype(np.float32), wanted, atol=1.01)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "missing", "no such folder"),
        (lambda folder: (folder / "file").write_text("x") and folder / "file", "is a file, not a folder"),
        (lambda folder: folder, "no photos in this folder"),
    ],
)
def test_a_folder_without_photos_is_one_clear_error(tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    with pytest.raises(DataError, match=said):
        photo_folder(make(tmp_path), 16)


def test_only_broken_photos_are_an_error_that_names_the_first(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 2 photos can be used.*a\.png"):
        photo_folder(tmp_path, 16)


@pytest.mark.parametrize("size", [0, -8, 7, 257])
def test_sizes_that_make_no_sense(tmp_path: Path, size: int) -> None:
    with pytest.raises(ConfigError, match="wanted 8 to 256"):
        photo_folder(tmp_path, size)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6), (1, 4)])
def test_centre_square(shape: tuple[int, int]) -> None:
    photo = np.arange(shape[0] * shape[1] * 3).astype(np.uint8).reshape(*shape, 3)
    square = centre_square(photo)
    side = min(shape)
    assert square.shape == (side, side, 3)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    np.testing.assert_array_equal(square, photo[top : top + side, left : left + side])


def test_there_and_back_keeps_every_value() -> None:
    photo = np.arange(16 * 16 * 3).astype(np.uint8).reshape(16, 16, 3)
    picture = from_photo(photo, 16)
    assert (float(picture.min()), float(picture.max())) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_photo(picture), photo)
    assert to_photo(torch.full((1, 2, 3), 7.0)).tolist() == [[[255] * 3] * 3] * 2
    with pytest.raises(ValueError, match=r"found \(2, 3, 3\)"):
        to_photo(torch.zeros(2, 3, 3))


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (torch.zeros(2, 3, 4, 5), None, r"images: found \(2, 3, 4, 5\)"),
        (torch.zeros(2, 2, 4, 4), None, "1 or 3"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.float64), None, "float64"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(3, dtype=torch.int64), r"labels: found \(3,\)"),
        (torch.zeros(2, 3, 4, 4), torch.tensor([0.0, 1.0]), "torch.int64"),
        (torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]), "labels: found 0 to 1, wanted 0 to 0"),
    ],
)
def test_parts_that_do_not_fit(images: torch.Tensor, labels: torch.Tensor | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Pictures(images, labels, ("only",))
