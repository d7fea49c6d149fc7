"""What a report finds in folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from herder.api.lab_runs import find_run
from herder.errors import DataError


def result(path: Path, kind: str = "robustness", **values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"kind": kind, "command": ["herder", kind], **values}))
    return path


def test_a_run_folder_and_what_other_commands_left_in_it(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").touch()
    (tmp_path / "config.json").write_text(json.dumps({"data": "photos", "config": {"epochs": 3}}))
    (tmp_path / "metrics.csv").write_text("epoch,mAP50\n1,0.5\n2,0.6\n")
    result(tmp_path / "cost.json", "cost")
    result(tmp_path / "outside" / "robustness.json")
    (tmp_path / "plots").mkdir()
    run = find_run(tmp_path)
    assert (run.name, run.model, run.data) == (tmp_path.name, tmp_path / "best.safetensors", "photos")
    assert run.settings == {"epochs": 3}
    assert [row["mAP50"] for row in run.epochs] == [0.5, 0.6]
    assert [found.kind for found in run.results] == ["cost", "robustness"]
    assert run.results[1].command == "herder robustness"


def test_a_model_and_a_single_result(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    assert find_run(tmp_path / "m.onnx").model == tmp_path / "m.onnx"
    run = find_run(result(tmp_path / "robustness.json"))
    assert run.model is None
    assert [found.kind for found in run.results] == ["robustness"]


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such run"):
        find_run(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no best\.safetensors"):
        find_run(tmp_path / "empty")
    with pytest.raises(DataError, match="kind: found 'recipe'"):
        find_run(result(tmp_path / "cost.json", "recipe"))
    (tmp_path / "cost.json").write_text("{")
    with pytest.raises(DataError, match=r"cost\.json"):
        find_run(tmp_path / "cost.json")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "config.json").write_text("[]")
    with pytest.raises(DataError, match="wanted an object"):
        find_run(tmp_path / "r")
