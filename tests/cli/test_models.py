"""``herder models``, and the names of shipped models in every command that takes a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from herder.catalogue import find_model, read_catalogue, shipped_folder
from herder.cli import app
from herder.data.pasture import PastureConfig, write_pasture
from herder.errors import HerderError, ModelFileError


def run(*words: object) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.exception


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def test_list_tells_people_and_programs() -> None:
    code, text, _ = run("models", "list")
    assert code == 0
    model = find_model("alpaca")
    for word in ("alpaca", model.version, "Apache-2.0", model.files[0].sha256[:12], "Megvii"):
        assert word in text
    told = json.loads(run("models", "list", "--json")[1])
    assert [entry["name"] for entry in told] == [shipped.name for shipped in read_catalogue()]
    assert told[0]["files"][0]["sha256"] == model.files[0].sha256


def test_an_empty_folder_holds_no_model(here: Path) -> None:
    assert "no model ships" in run("models", "list", "--folder", here)[1]


@pytest.mark.parametrize("file", ["weights", "onnx", "card"])
def test_path_names_a_file_that_is_there(file: str) -> None:
    code, text, _ = run("models", "path", "alpaca", "--file", file)
    assert code == 0
    assert Path(text.strip()).is_file()


@pytest.mark.parametrize("words", [("alpacca",), ("alpaca", "--file", "tflite")])
def test_path_refuses_what_is_not_there(words: tuple[str, ...]) -> None:
    assert isinstance(run("models", "path", *words)[2], HerderError)


def test_verify_passes_for_what_ships_and_fails_for_what_was_changed(here: Path) -> None:
    code, text, _ = run("models", "verify")
    assert (code, "agree with the catalogue" in text) == (0, True)
    shutil.copytree(shipped_folder(), here / "copy")
    file = here / "copy" / find_model("alpaca").file("onnx").name
    file.write_bytes(file.read_bytes()[:-1])
    _, _, error = run("models", "verify", "--folder", here / "copy")
    assert isinstance(error, ModelFileError)  # exit code 2 in the terminal
    assert file.name in error.message


def test_verify_of_a_folder_without_a_catalogue(here: Path) -> None:
    assert isinstance(run("models", "verify", "--folder", here)[2], HerderError)


def test_pack_writes_what_verify_accepts(here: Path, tiny_model: Path) -> None:
    words = ("models", "pack", tiny_model, "--name", "lama", "--version", "1.0", "--out", here / "w")
    code, text, error = run(*words)
    assert (code, error) == (0, None)
    assert "lama 1.0 is in" in text
    assert run("models", "verify", "--folder", here / "w")[0] == 0
    assert isinstance(run("models", "pack", "a.onnx", *words[3:])[2], HerderError)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes with animals that the shipped model finds."""
    folder = tmp_path_factory.mktemp("data") / "farm"
    write_pasture(folder, train=16, val=20, config=PastureConfig(size=96, occlusion=0, scale=(0.4, 0.6)))
    return folder


COMMANDS: dict[str, tuple[str, ...]] = {
    "detect": ("detect", "alpaca", "{data}/images/val"),
    "detect in torch": ("detect", "alpaca", "{data}/images/val", "--engine", "torch"),
    "evaluate": ("evaluate", "alpaca", "{data}", "--size", "96"),
    "compare": ("compare", "alpaca", "{model}", "--data", "{data}", "--size", "96", "--draws", "100"),
    "robustness": ("robustness", "alpaca", "{data}", "--corruptions", "fog", "--severities", "1", "--size", "96"),
    "calibrate": ("calibrate", "alpaca", "{data}", "--size", "96", "--floor", "0.05"),
    "export": ("export", "alpaca", "--size", "96"),
    "grow": ("grow", "alpaca", "--width", "1.25", "--out", "wide.safetensors"),
    "soup": ("soup", "alpaca", "{copy}", "--out", "soup.safetensors"),
    "report": ("report", "alpaca", "--data", "{data}", "--size", "96", "--draws", "100"),
    "suspects": ("data", "suspects", "alpaca", "{data}", "--unseen", "--split", "val", "--out", "suspects"),
    "pack": ("models", "pack", "alpaca", "--name", "again", "--version", "1", "--out", "again"),
}


QUANTIZE = pytest.param(("quantize", "alpaca", "{data}", "--size", "96"), id="quantize", marks=pytest.mark.slow)


@pytest.mark.parametrize("words", [*(pytest.param(words, id=name) for name, words in COMMANDS.items()), QUANTIZE])
def test_the_name_works_and_nothing_is_written_into_the_package(
    here: Path, data: Path, tiny_model: Path, words: tuple[str, ...]
) -> None:
    from herder.model.files import load_model, save_model

    if "{copy}" in words:
        network = load_model(find := shipped_folder() / "alpaca.safetensors")
        with_other_bytes = network.spec.replace(origin=f"{find.name} again")
        save_model(network, with_other_bytes, here / "copy.safetensors")
    before = sorted(file.name for file in shipped_folder().iterdir())
    values = {"data": data, "model": tiny_model, "copy": here / "copy.safetensors"}
    code, text, error = run(*(word.format(**values) for word in words))
    assert code == 0, (text, error)
    assert sorted(file.name for file in shipped_folder().iterdir()) == before
