"""Packing a small network as a shipped model, and finding whatever does not agree afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from herder import load
from herder.api.model_check import RELEASE_KEY, check_model, file_metadata
from herder.api.model_packing import Packing, pack_model
from herder.catalogue import CATALOGUE, catalogue_json, find_model, read_catalogue
from herder.data.formats import read_dataset
from herder.errors import ConfigError, ModelFileError
from herder.model.files import load_model, save_model
from herder.tensor_files import read_metadata


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one packed model; not to be changed."""
    import torch

    from herder.model.network import Network
    from herder.spec import example_spec

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("packed")
    spec = example_spec().replace(origin="drawn by chance", input_size=64)
    save_model(Network(spec), spec, place / "source.safetensors")
    pack_model(place / "source.safetensors", Packing("lama", "1.0"), place / "weights")
    return place


@pytest.fixture
def copy(packed: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be tampered with."""
    for file in (packed / "weights").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_files_card_and_catalogue_agree(packed: Path) -> None:
    folder = packed / "weights"
    model = find_model("lama", folder)
    assert check_model(model, folder) == []
    assert sorted(file.name for file in folder.iterdir()) == [
        CATALOGUE, "lama.md", "lama.onnx", "lama.safetensors",
    ]  # fmt: skip
    assert model.origin == "drawn by chance"
    for file in model.files:
        assert json.loads(file_metadata(folder / file.name)[RELEASE_KEY]) == {"name": "lama", "version": "1.0"}
    # float16: half of the bytes, but for what says what it is.
    assert model.file("weights").bytes < 0.6 * (packed / "source.safetensors").stat().st_size
    assert load(folder / "lama.onnx").class_names == load_model(packed / "source.safetensors").spec.class_names


def test_measured_where_there_are_labelled_photos(
    packed: Path, tmp_path: Path, yolo_folder: Callable[..., Path]
) -> None:
    names = load_model(packed / "source.safetensors").spec.class_names
    data = read_dataset(yolo_folder(["0 0.5 0.5 0.4 0.4"], names=names, split="val"), split="val")
    pack_model(packed / "source.safetensors", Packing("lama", "1.0"), tmp_path / "out", data=data)
    metrics = load_model(tmp_path / "out" / "lama.safetensors").spec.metrics
    assert 0 <= metrics["mAP50"] <= 1


def test_a_second_model_joins_and_a_new_version_replaces(copy: Path, packed: Path) -> None:
    source = packed / "source.safetensors"
    pack_model(source, Packing("alpaca", "2.0"), copy)
    (copy / "lama.md").write_text((copy / "lama.md").read_text() + "\nPeople wrote this.\n")
    pack_model(source, Packing("lama", "1.1"), copy)
    models = read_catalogue(copy)
    assert [(model.name, model.version) for model in models] == [("alpaca", "2.0"), ("lama", "1.1")]
    assert [check_model(model, copy) for model in models] == [[], []]
    assert "People wrote this." in (copy / "lama.md").read_text()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


def _other_release(path: Path) -> None:
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == RELEASE_KEY:
            entry.value = '{"name": "lama", "version": "0.9"}'
    path.write_bytes(model.SerializeToString())


TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a bit": (lambda f: _flip(f / "lama.onnx"), "lama.onnx: SHA-256"),
    "cut short": (lambda f: (f / "lama.safetensors").write_bytes(b"12"), "lama.safetensors: 2 bytes"),
    "gone": (lambda f: (f / "lama.onnx").unlink(), "lama.onnx"),
    "no card": (lambda f: (f / "lama.md").unlink(), "lama.md: cannot be read"),
    "another card": (lambda f: (f / "lama.md").write_text("# lama"), "lama.md: has no block of facts"),
}


@pytest.mark.parametrize(("change", "said"), TAMPERED.values(), ids=TAMPERED.keys())
def test_what_was_tampered_with_is_found(copy: Path, change: Callable[[Path], None], said: str) -> None:
    change(copy)
    problems = check_model(find_model("lama", copy), copy)
    assert any(said in problem for problem in problems)


def test_another_version_or_class_inside_a_file_is_found_even_with_the_right_hash(copy: Path) -> None:
    from herder.catalogue import file_digest

    _other_release(copy / "lama.onnx")
    model = find_model("lama", copy)
    size, digest = file_digest(copy / "lama.onnx")
    files = tuple(replace(f, bytes=size, sha256=digest) if f.role == "onnx" else f for f in model.files)
    (copy / CATALOGUE).write_text(catalogue_json((replace(model, files=files, class_names=("goat",)),)))
    problems = "\n".join(check_model(find_model("lama", copy), copy))
    assert "version" in problems
    assert "0.9" in problems
    assert "('goat',)" in problems


REFUSED = {
    "a name with a dot": (Packing("la.ma", "1.0"), "--name"),
    "no version": (Packing("lama", " "), "--version"),
    "too large": (Packing("lama", "1.0", limit_mb=0.001), "MB, more than 0.001"),
    "no such card": (Packing("lama", "1.0", card=Path("gone.md")), "gone.md"),
    "int8 that is no model": (Packing("lama", "1.0", int8=Path(__file__)), "is not an ONNX file"),
}


@pytest.mark.parametrize(("packing", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_packed_changes_nothing(copy: Path, packed: Path, packing: Packing, said: str) -> None:
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    with pytest.raises((ConfigError, ModelFileError), match=said):
        pack_model(packed / "source.safetensors", packing, copy)
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before


def test_int8_of_another_model_is_refused(copy: Path, packed: Path, tmp_path: Path) -> None:
    network = load_model(packed / "source.safetensors")
    other = network.spec.replace(input_size=96)
    save_model(network, other, tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match="input_size 64"):
        pack_model(tmp_path / "other.safetensors", Packing("x", "1", int8=copy / "lama.onnx"), tmp_path / "out")


def test_the_release_is_in_the_safetensors_metadata(packed: Path) -> None:
    assert json.loads(read_metadata(packed / "weights" / "lama.safetensors")[RELEASE_KEY])["version"] == "1.0"
