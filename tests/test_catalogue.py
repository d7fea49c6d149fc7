"""The shipped models' catalogue: names, files, and which of them a name stands for."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from herder.catalogue import (
    INT8,
    ONNX,
    WEIGHTS,
    ShippedFile,
    ShippedModel,
    Use,
    beside,
    catalogue_json,
    file_digest,
    find_model,
    for_engine,
    is_shipped,
    read_catalogue,
    resolve,
    shipped_folder,
)
from herder.errors import ConfigError, ModelFileError


def model(name: str = "lama") -> ShippedModel:
    files = (ShippedFile(WEIGHTS, f"{name}.safetensors", 3, "ab"), ShippedFile(ONNX, f"{name}.onnx", 4, "cd"))
    return ShippedModel(name, "1.0", ("lama",), "Apache-2.0", "drawn", f"{name}.md", files)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_catalogue_is_read_as_it_was_written(tmp_path: Path) -> None:
    models = (model("a"), model("b"))
    (tmp_path / "catalogue.json").write_text(catalogue_json(models))
    assert read_catalogue(tmp_path) == models
    assert find_model("b", tmp_path) == models[1]


def test_no_catalogue_holds_no_model(tmp_path: Path) -> None:
    assert read_catalogue(tmp_path) == ()
    with pytest.raises(ModelFileError, match="no model of this name ships"):
        find_model("alpaca", tmp_path)


BROKEN = {
    "no JSON": "{",
    "a list": "[]",
    "a version from tomorrow": '{"catalogue_version": 2, "models": []}',
    "no models": '{"catalogue_version": 1}',
    "a model that is a number": '{"catalogue_version": 1, "models": [1]}',
    "a field too few": '{"catalogue_version": 1, "models": [{"name": "a"}]}',
    "the same twice": catalogue_json((model("a"), model("a"))),
    "a name with a way up": catalogue_json((model("a"),)).replace('"a"', '"../a"'),
    "a file elsewhere": catalogue_json((model("a"),)).replace("a.onnx", "/etc/passwd"),
    "a card elsewhere": catalogue_json((model("a"),)).replace("a.md", "../a.md"),
    "no classes": catalogue_json((model("a"),)).replace('[\n        "lama"\n      ]', "[]"),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_catalogue_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "catalogue.json").write_text(content)
    with pytest.raises(ModelFileError, match=r"catalogue\.json"):
        read_catalogue(tmp_path)


def test_the_shipped_names_and_files() -> None:
    names = [shipped.name for shipped in read_catalogue()]
    assert "alpaca" in names
    for shipped in read_catalogue():
        for file in shipped.files:
            content = (shipped_folder() / file.name).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)
        # Everybody downloads them with the package.
        assert sum(file.bytes for file in shipped.files) < 8_000_000


def test_a_name_is_the_onnx_file_to_run_and_the_weights_to_train(here: Path) -> None:
    assert resolve("alpaca") == shipped_folder() / "alpaca.onnx"
    assert resolve("alpaca", Use.WEIGHTS) == shipped_folder() / "alpaca.safetensors"


def test_paths_stay_what_they_are(here: Path) -> None:
    for path in ("runs/a/best.safetensors", "./alpaca", "alpaca.onnx", "nowhere/alpaca"):
        assert resolve(path) == Path(path)


def test_a_model_of_ones_own_goes_first_but_nothing_else(here: Path) -> None:
    own = here / "alpaca"
    own.mkdir()
    assert resolve("alpaca") == shipped_folder() / "alpaca.onnx", "a folder of photos, perhaps"
    (own / "best.safetensors").touch()
    assert resolve("alpaca") == Path("alpaca")
    (own / "best.safetensors").unlink()
    own.rmdir()
    own.write_bytes(b"notes on alpacas")
    assert resolve("alpaca") == shipped_folder() / "alpaca.onnx"
    own.write_bytes((20).to_bytes(8, "little") + b'{"a":{}}')
    assert resolve("alpaca") == Path("alpaca"), "begins like a safetensors file"


def test_int8_has_a_name_of_its_own_to_run_and_none_to_train(here: Path) -> None:
    if INT8 not in {file.role for file in find_model("alpaca").files}:
        pytest.skip("no int8 file ships")
    assert resolve("alpaca-int8") == shipped_folder() / "alpaca-int8.onnx"
    with pytest.raises(ModelFileError, match="only run"):
        resolve("alpaca-int8", Use.WEIGHTS)


def test_an_unknown_name_is_refused_with_one_that_is_nearly_the_same(here: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        resolve("alpacca")
    assert "did you mean alpaca?" in caught.value.hint
    (here / "best").mkdir()
    assert resolve("best") == Path("best"), "who reads it says best what is wrong"


def test_an_engine_gets_the_file_that_it_runs(here: Path) -> None:
    onnx, weights = shipped_folder() / "alpaca.onnx", shipped_folder() / "alpaca.safetensors"
    assert for_engine(onnx, "torch") == weights
    assert for_engine(weights, "openvino") == onnx
    assert for_engine(weights, "auto") == weights
    assert for_engine(Path("alpaca.onnx"), "torch") == Path("alpaca.onnx"), "one's own"


def test_what_is_made_of_a_shipped_model_goes_into_the_current_folder(here: Path) -> None:
    onnx = shipped_folder() / "alpaca.onnx"
    assert is_shipped(onnx)
    assert beside(onnx, "alpaca-int8.onnx") == Path("alpaca-int8.onnx")
    assert beside(Path("runs/best.onnx"), "best-int8.onnx") == Path("runs/best-int8.onnx")


def test_a_missing_role_says_what_there_is() -> None:
    with pytest.raises(ConfigError, match="int8") as caught:
        model().file(INT8)
    assert caught.value.hint == "it has weights, onnx"


def test_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.onnx"):
        file_digest(tmp_path / "gone.onnx")


@pytest.mark.parametrize(
    "code",
    ["import herder; herder.load('alpaca').class_names", "from herder.catalogue import read_catalogue as r; r()"],
)
def test_no_torch_is_needed_to_run_the_shipped_model(code: str) -> None:
    text = f"{code}\nimport json, sys\nprint(json.dumps('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
