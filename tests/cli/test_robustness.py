from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from herder.cli.robustness import robustness_command
from herder.errors import ConfigError, DataError, ModelFileError, ResourceError
from herder.inference import Detector
from herder.spec import example_spec


class Contrasty:
    """An engine that finds what is bright in each canvas, and counts its photos."""

    needs_nms = True
    fixed_size = None
    spec = example_spec().replace(input_size=64)

    def __init__(self) -> None:
        self.seen = 0

    def predict(self, canvases: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.seen += len(canvases)
        boxes, scores = np.zeros((len(canvases), 1, 4), np.float32), np.zeros((len(canvases), 1, 1), np.float32)
        for i, canvas in enumerate(canvases):
            y, x = np.nonzero(canvas.min(axis=2) > 200)
            if len(x):
                boxes[i, 0] = x.min(), y.min(), x.max() + 1, y.max() + 1
                scores[i, 0, 0] = 0.9
        return boxes, scores


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Contrasty:
    one = Contrasty()
    monkeypatch.setattr("herder.api.load", lambda path, **_: Detector(one))
    return one


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "spots.onnx").write_bytes(b"stands for a model")
    return tmp_path / "spots.onnx"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind / "val").mkdir(parents=True)
    for i, name in enumerate(("a", "b")):
        picture = np.full((64, 64, 3), 90, np.uint8)
        picture[8:40, 8 + i : 40 + i] = 250
        Image.fromarray(picture).save(tmp_path / "data" / "images" / "val" / f"{name}.png")
        (tmp_path / "data" / "labels" / "val" / f"{name}.txt").write_text(f"0 {(24 + i) / 64} 0.375 0.5 0.5\n")
    (tmp_path / "data" / "classes.txt").write_text("alpaca\n")
    return tmp_path / "data"


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(robustness_command)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def content(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "robustness.json").read_text(), parse_constant=pytest.fail)
    return data


def test_table_files_and_going_on(engine: Contrasty, model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = (model, photos, "--workers", 1, "--out", out)
    result = run(*words, "--corruptions", "contrast,fog", "--severities", "5,1")
    assert result.exit_code == 0, result.output
    assert engine.seen >= 2 + 2 * 4
    data = content(out)
    assert (data["kind"], data["version"]) == ("robustness", 1)
    assert data["model"] == {"name": "tiny", "path": "spots.onnx", "sha256": data["model"]["sha256"]}
    assert (data["data"]["name"], data["data"]["split"], data["data"]["photos"]) == ("data", "val", 2)
    assert data["settings"] == {"seed": 0, "size": None, "engine": "auto", "severities": [1, 5]}
    assert [(c["corruption"], c["severity"]) for c in data["cells"]] == [
        ("fog", 1),
        ("fog", 5),
        ("contrast", 1),
        ("contrast", 5),
    ]
    assert data["clean"]["map50"] == pytest.approx(1)
    assert data["cells"][3]["map50"] == 0
    assert data["summary"]["own"]["mPC_mAP50"]["value"] is None
    assert "2 of the 15 published, mAP50: mPC" in result.stdout
    html = (out / "robustness.html").read_text("utf-8")
    assert "contrast 5: 0 missed and 0 false, then 1 missed" in html
    assert str(tmp_path) not in html

    before = engine.seen
    again = run(*words, "--corruptions", "contrast,fog,snow", "--severities", "5,1", "--json")
    assert json.loads(again.stdout)["cells"][2:] == [data["cells"][i] for i in range(4)]  # snow comes first
    assert engine.seen - before <= 2 * 2 + 6  # two new cells, and the photos drawn
    third = run(*words, "--corruptions", "snow,contrast,fog", "--severities", "1,5")
    assert "6 of 6 cells from an earlier run" in third.stdout


def test_a_cell_that_was_half_written_is_computed_again(
    engine: Contrasty, model: Path, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = (model, photos, "--workers", 1, "--out", tmp_path, "--corruptions", "contrast", "--severities", "3")
    run(*words)
    first = content(tmp_path)
    (cell,) = tmp_path.glob("cells/*/contrast-3.json")
    cell.write_bytes(cell.read_bytes()[:40])
    assert run(*words).exit_code == 0
    assert "computed again" in caplog.text
    assert content(tmp_path)["cells"] == first["cells"]


def test_another_seed_shares_no_cells(engine: Contrasty, model: Path, photos: Path, tmp_path: Path) -> None:
    words = (model, photos, "--workers", 1, "--out", tmp_path, "--corruptions", "gaussian_noise", "--severities", "5")
    assert "earlier run" not in run(*words).stdout
    assert "1 of 1 cells from an earlier run" in run(*words).stdout
    assert "earlier run" not in run(*words, "--seed", 1).stdout


def test_a_broken_photo_is_set_aside(engine: Contrasty, model: Path, photos: Path, tmp_path: Path) -> None:
    path = photos / "images" / "val" / "a.png"
    path.write_bytes(path.read_bytes()[:-30])
    for _ in range(2):  # the second time the clean detections come from the store
        result = run(model, photos, "--workers", 1, "--out", tmp_path, "--corruptions", "fog", "--severities", "1")
        assert result.exit_code == 3
        data = content(tmp_path)
        assert data["data"]["photos"] == data["cells"][0]["photos"] == 1
        assert data["set_aside"][0].startswith("a.png: ")
        assert "a.png" in result.stderr
        assert "Set aside" in (tmp_path / "robustness.html").read_text("utf-8")


def test_photos_without_a_label(engine: Contrasty, model: Path, photos: Path, tmp_path: Path) -> None:
    for label in (photos / "labels" / "val").iterdir():
        label.write_text("")
    result = run(model, photos, "--workers", 1, "--out", tmp_path, "--corruptions", "fog", "--severities", "1")
    assert result.exit_code == 0, result.output
    assert "not computed: " in result.stdout
    assert content(tmp_path)["clean"]["map50"] is None
    assert "not computed: " in (tmp_path / "robustness.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--corruptions", "rain"], "corruption 'rain' is not known"),
        (["--corruptions", ","], "no name given"),
        (["--severities", "6"], "not from 1 to 5"),
        (["--severities", "x"], "wanted whole numbers"),
        (["--severities", ""], "no number given"),
        (["--split", "test"], "no split 'test'"),
        (["--size", "50"], "multiple of 32"),
    ],
)
def test_what_has_no_meaning_is_an_error(
    engine: Contrasty, model: Path, photos: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        raise run(model, photos, "--workers", 1, "--out", tmp_path / "out", *options).exception


def test_a_missing_model_and_a_place_that_cannot_be_written(
    engine: Contrasty, model: Path, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        raise run(tmp_path / "no.onnx", photos).exception
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        raise run(model, photos, "--workers", 1, "--out", tmp_path / "file" / "out", "--severities", "1").exception


def test_names_of_groups(engine: Contrasty, model: Path, photos: Path, tmp_path: Path) -> None:
    words = (model, photos, "--workers", 1, "--severities", "1", "--out", tmp_path)
    run(*words, "--corruptions", "own")
    assert [c["corruption"] for c in content(tmp_path)["cells"]] == ["low_light", "occlusion", "scale"]
    run(*words, "--corruptions", "published")
    assert len(content(tmp_path)["cells"]) == 15


@pytest.fixture
def real_model(tmp_path: Path) -> Path:
    from herder.model.files import save_model
    from herder.model.network import Network

    spec = example_spec().replace(input_size=64)
    save_model(Network(spec), spec, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.mark.slow
def test_several_processes_give_what_one_gives(real_model: Path, photos: Path, tmp_path: Path) -> None:
    words = (real_model, photos, "--corruptions", "gaussian_noise,scale", "--severities", "1,5")
    for workers in (1, 2):
        result = run(*words, "--workers", workers, "--out", tmp_path / str(workers))
        assert result.exit_code == 0, result.output
    one, two = content(tmp_path / "1"), content(tmp_path / "2")
    assert one["cells"] == two["cells"]
    assert one["clean"] == two["clean"]
