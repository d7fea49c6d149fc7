"""What the two arguments of ``herder compare`` may name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from herder.api.comparison_sides import Source, different_settings, pair_up, read_side
from herder.errors import ConfigError, DataError, ModelFileError
from herder.spec import METADATA_KEY, example_spec


@pytest.fixture
def make_run(tmp_path: Path) -> Any:
    def make(name: str, seed: int, value: float = 0.5, photos: str = "f", **settings: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        spec = example_spec().replace(metrics={"mAP50": value, "mAP50_95": value / 2, "F1": value})
        tensor = {"w": np.zeros(1, np.float32)}
        data = safetensors.numpy.save(tensor, metadata={METADATA_KEY: spec.to_json()})
        (folder / "best.safetensors").write_bytes(data)
        config = {"data": "d", "model": "tiny", "config": {"seed": seed, "loss": {"box": 1.0}, **settings}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "dataset.json").write_text(json.dumps({"validation": {"fingerprint": photos}}))
        return folder

    return make


def test_a_model_file_and_a_file_of_predictions(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    side = read_side(str(tmp_path / "m.onnx"))
    assert (side.name, [m.source for m in side.members]) == ("m", [Source.MODEL])
    side = read_side(str(tmp_path / "found.json"))  # reading it says that it is not there
    assert (side.name, side.source) == ("found", Source.PREDICTIONS)


def test_a_run_folder_and_its_best_model_are_the_same(make_run: Any) -> None:
    folder = make_run("a-0", 4)
    for text in (str(folder), str(folder / "best.safetensors")):
        (member,) = read_side(text).members
        assert (member.name, member.pair, member.photos, member.recorded["mAP50"]) == ("a-0", "seed 4", "f", 0.5)
        assert member.path == folder / "best.safetensors"


def test_a_folder_of_runs_in_natural_order(make_run: Any, tmp_path: Path) -> None:
    for number in (10, 9, 2):
        make_run(f"runs/a-{number}", number)
    (tmp_path / "runs" / "notes").mkdir()
    side = read_side(str(tmp_path / "runs"))
    assert side.name == "runs"
    assert [m.name for m in side.members] == ["a-2", "a-9", "a-10"]
    assert different_settings(side) == ""


def test_runs_of_different_settings_are_no_side(make_run: Any, tmp_path: Path) -> None:
    one, other = make_run("runs/a", 0), make_run("runs/b", 1, loss={"box": 2.0}, epochs=3)
    with pytest.raises(ConfigError, match=r"a and b were trained with different settings \(epochs, loss.box\)"):
        read_side(str(tmp_path / "runs"))
    side = read_side(f"{one}, {other}")  # said one by one it is allowed, and told
    assert side.name == "a, b"
    assert "different settings" in different_settings(side)


def test_pairs_by_seed(make_run: Any) -> None:
    a = read_side(f"{make_run('a0', 0)},{make_run('a1', 1)}")
    b = read_side(f"{make_run('b1', 1)},{make_run('b0', 0)}")
    second, by = pair_up(a, b)
    assert by == "seed"
    assert [m.name for m in second.members] == ["b0", "b1"]
    other = read_side(f"{make_run('c2', 2)},{make_run('c0', 0)}")
    assert pair_up(a, other) == (other, "")
    twice = read_side(f"{make_run('d0', 0)},{make_run('d00', 0)}")
    assert pair_up(twice, twice) == (twice, "")
    single = read_side(str(make_run("e", 0)))
    assert pair_up(single, single) == (single, "")


def test_members_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.onnx").write_bytes(b"")
    side = read_side(f"{tmp_path / 'x' / 'm.onnx'},{tmp_path / 'y' / 'm.onnx'}")
    assert [m.name for m in side.members] == ["x/m.onnx", "y/m.onnx"]


def test_what_cannot_be_compared(make_run: Any, tmp_path: Path) -> None:
    folder = make_run("a", 0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo.jpg").write_bytes(b"")
    for text, message in (
        ("", "a side is empty"),
        (" , ", "a side is empty"),
        (str(tmp_path / "no"), "no such file or folder"),
        (str(tmp_path / "empty"), r"holds no best\.safetensors"),
        (str(tmp_path / "photo.jpg"), "is no model and no predictions"),
        (f"{folder},{folder / 'best.safetensors'}", "comes twice"),
        (f"{folder},{tmp_path / 'found.json'}", "models and predictions on one side"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_side(text)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(DataError, match=r"config.json: wanted an object"):
        read_side(str(folder))
    (folder / "best.safetensors").write_bytes(b"x")
    (folder / "config.json").unlink()
    with pytest.raises(ModelFileError, match=r"best\.safetensors"):
        read_side(str(folder))
