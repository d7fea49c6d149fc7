"""``herder generate`` from end to end: what is written, what is said, exit codes, stopping and going on."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from herder.api import drawers
from herder.cli.generate import generate_app
from herder.errors import ConfigError, DataError, HerderError, ModelFileError
from herder.generative.quality import fit_classifier

Runner = Callable[..., Result]

SMALL = {
    "diffusion": ["--steps", 4, "--batch", 4, "--set", "dim=8", "--set", "dim_mults=1,2", "--set", "timesteps=10"],
    "gan": ["--steps", 4, "--batch", 4, "--set", "width=8", "--set", "noise_dim=4"],
}
CPU = ["--device", "cpu", "--set", "snapshot_every=2", "--set", "checkpoint_every=2"]


@pytest.fixture
def herder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runner:
    """Run the command in an empty folder, with a judge that learns quickly; HerderErrors come through as they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("herder.api.generation.fit_classifier", partial(fit_classifier, steps=5))

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(generate_app, [str(argument) for argument in arguments])
        if isinstance(result.exception, HerderError):
            raise result.exception
        return result

    return run


@pytest.fixture
def photos(tmp_path: Path, make_photo: Callable[..., Path]) -> Path:
    for i in range(24):
        make_photo(tmp_path / "photos" / f"{i}.png", (40, 30), seed=i)
    return tmp_path / "photos"


@pytest.mark.parametrize("kind", ["diffusion", "gan"])
def test_photos_to_samples(herder: Runner, photos: Path, tmp_path: Path, kind: str) -> None:
    (photos / "broken.jpg").write_bytes(b"no photo")
    result = herder(kind, "--photos", photos, "--size", 16, "--judge", 12, *SMALL[kind], *CPU)
    assert result.exit_code == 3, result.output  # one photo was set aside
    assert "set aside: " in result.stderr
    assert "24 pictures of 16 pixels, 1 set aside" in result.stderr
    assert f"runs/{kind}" in result.stdout
    assert "Fréchet distance" in result.stdout
    assert "classifier of rotation trained on them" in result.stdout
    run = tmp_path / "runs" / kind
    assert {path.name for path in run.iterdir()} == {
        "config.json", f"{kind}.safetensors", "history.csv", "last.safetensors", "quality.json", "samples",
        "samples.png",
    }  # fmt: skip
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["step-000002.png", "step-000004.png"]
    assert len((run / "history.csv").read_text().splitlines()) == 1 + 4
    assert json.loads((run / "quality.json").read_text())["count"] == 12

    assert herder("samples", run, "--number", 5, "--out", tmp_path / "drawn").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert np.asarray(Image.open(tmp_path / "drawn" / "3.png")).shape == (16, 16, 3)
    model = run / f"{kind}.safetensors"
    assert herder("samples", model, "--number", 5, "--out", tmp_path / "again", "--seed", 0).exit_code == 0
    assert (tmp_path / "again/2.png").read_bytes() == (tmp_path / "drawn/2.png").read_bytes()
    assert herder("samples", model, "--number", 5, "--out", tmp_path / "grid.png").exit_code == 0
    assert np.asarray(Image.open(tmp_path / "grid.png")).shape[0] > 2 * 64
    with pytest.raises(ConfigError, match="is there already"):
        herder("samples", run, "--out", tmp_path / "drawn")
    with pytest.raises(ConfigError, match=r"unknown ending '\.tiff'"):
        herder("samples", run, "--out", tmp_path / "grid.tiff")
    with pytest.raises(ConfigError, match="label '3'"):
        herder("samples", run, "--out", tmp_path / "three", "--label", 3)


@pytest.mark.parametrize("kind", ["diffusion", "gan"])
def test_a_stopped_run_goes_on_to_the_same_end(
    herder: Runner, photos: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [kind, "--photos", photos, "--size", 16, "--judge", 0, *SMALL[kind], *CPU]
    assert herder(*words, "--out", "whole").exit_code == 0
    module = f"herder.api.drawers.train_{kind}"
    real = getattr(drawers, f"train_{kind}")

    def stopped(*arguments: object, progress: Callable[..., None], **options: object) -> object:
        def at(done: int, *rest: object) -> None:
            progress(done, *rest)
            if done == 3:
                raise KeyboardInterrupt

        return real(*arguments, progress=at, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, stopped)
        result = herder(*words, "--out", "cut")
    assert result.exit_code == 130
    assert f"herder generate {kind} --resume --out cut" in result.stderr
    assert not (tmp_path / "cut" / f"{kind}.safetensors").exists()
    with pytest.raises(ModelFileError, match="holds no trained model"):
        herder("samples", "cut", "--out", "drawn")
    with pytest.raises(ConfigError, match="not empty"):
        herder(*words, "--out", "cut")
    result = herder(kind, "--resume", "--out", "cut", "--judge", 0)  # source and settings are in the folder
    assert result.exit_code == 0, result.output
    for name in (f"{kind}.safetensors", "samples.png", "history.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    with pytest.raises(ConfigError, match="steps"):
        herder(kind, "--resume", "--out", "cut", "--steps", 9)
    with pytest.raises(ConfigError, match=r"learns from photos in .*, not from handwritten digits"):
        herder(kind, "--resume", "--out", "cut", "--digits")
    other = {"diffusion": "gan", "gan": "diffusion"}[kind]
    with pytest.raises(ModelFileError, match=f"is a run of {kind}"):
        herder(other, "--resume", "--out", "cut")


def test_digits_can_be_asked_for(herder: Runner, tmp_path: Path) -> None:
    result = herder("diffusion", "--digits", "--judge", 20, "--out", "run", *SMALL["diffusion"], *CPU)
    assert result.exit_code == 0, result.output
    assert "of 10 classes drawn" in result.stdout
    assert "few pictures" in result.stdout
    asked = [
        "samples",
        "run",
        "--number",
        4,
        "--label",
        3,
        "--label",
        8,
        "--guidance",
        2,
        "--steps",
        3,
        "--out",
        "drawn",
    ]
    assert herder(*asked).exit_code == 0
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["3-0.png", "3-2.png", "8-1.png", "8-3.png"]
    with pytest.raises(ConfigError, match=r"label '33'.*\n.*did you mean 3"):
        herder("samples", "run", "--label", 33, "--out", "x")
    with pytest.raises(ConfigError, match="guidance: 2 without a class"):
        herder("samples", "run", "--guidance", 2, "--out", "x")
    with pytest.raises(ConfigError, match="steps: found 11, wanted 1 to 10"):
        herder("samples", "run", "--steps", 11, "--out", "x")


def test_animals_of_a_dataset(herder: Runner, yolo_folder: Callable[..., Path]) -> None:
    data = yolo_folder(["0 0.5 0.5 0.8 0.8\n"] * 12 + ["1 0.5 0.5 0.5 0.5\n"] * 12, names=("alpaca", "sheep"))
    words = ["--data", data, "--size", 16, "--judge", 0, *SMALL["diffusion"], *CPU]
    result = herder("diffusion", *words, "--out", "both")
    assert result.exit_code == 0, result.output
    assert "24 pictures" in result.stderr
    assert herder("samples", "both", "--label", "sheep", "--number", 2, "--out", "sheep").exit_code == 0
    with pytest.raises(DataError, match=r"alpaca of .*: 12 pictures, wanted 20 or more"):
        herder("diffusion", *words, "--class", "alpaca", "--out", "one")
    with pytest.raises(ConfigError, match="did you mean alpaca"):
        herder("diffusion", *words, "--class", "alpacas", "--out", "one")


def test_bad_input_is_one_message_and_leaves_no_folder(herder: Runner, photos: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    (few / "0.png").write_bytes((photos / "0.png").read_bytes())
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "0.jpg").write_bytes(b"no photo")
    cases: list[tuple[list[object], type[HerderError], str]] = [
        ([], ConfigError, "no pictures to learn from"),
        (["--resume"], ConfigError, "holds no diffusion run"),
        (["--photos", photos, "--digits"], ConfigError, "photos and digits are given together"),
        (["--photos", photos, "--class", "alpaca"], ConfigError, "photos have none to choose"),
        (["--digits", "--size", 32], ConfigError, "the digits are 8 pixels"),
        (["--photos", photos, "--size", 3], ConfigError, "size: 3 pixels"),
        (["--photos", tmp_path / "missing"], DataError, "no such folder"),
        (["--photos", empty], DataError, "no photos in this folder"),
        (["--photos", broken], DataError, "none of the 1 photos can be used"),
        (["--photos", few], DataError, "1 pictures, wanted 20 or more"),
        (["--data", tmp_path / "missing"], DataError, "no such folder"),
        (["--photos", photos, "--set", "dimm=3"], ConfigError, "did you mean dim"),
        (["--photos", photos, "--set", "dim=many"], ConfigError, "dim: found 'many'"),
        (["--photos", photos, "--set", "dim"], ConfigError, "wanted name=value"),
        (["--photos", photos, "--precision", "int3"], ConfigError, "number_format"),
        (["--photos", photos, "--size", 16, "--device", "toaster"], ConfigError, "device"),
    ]
    for words, kind, said in cases:
        with pytest.raises(kind, match=said):
            herder("diffusion", *words)
    with pytest.raises(ConfigError, match="side: found 18, wanted a multiple of 4"):
        herder("gan", "--photos", photos, "--size", 18)
    with pytest.raises(ModelFileError, match="no such file"):
        herder("samples", tmp_path / "nothing", "--out", "x")
    with pytest.raises(ModelFileError, match="holds no trained model"):
        herder("samples", photos, "--out", "x")
    with pytest.raises(ConfigError, match="not empty"):
        herder("diffusion", "--photos", photos, "--out", photos)
    # Only the device was found out in the folder, and that left it empty.
    assert [path for path in (tmp_path / "runs").rglob("*") if path.is_file()] == []
