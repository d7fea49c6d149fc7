from __future__ import annotations

import json
from pathlib import Path

import pytest

from herder.data.records import Dataset
from herder.errors import ConfigError, ModelFileError, ResourceError
from herder.training.config import TrainConfig
from herder.training.run import RunSettings, find_run, new_run_folder, read_run_settings, write_run_facts

SETTINGS = RunSettings("photos", "herder-n", "", TrainConfig(epochs=7))


def test_runs_get_the_next_free_name(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    assert [new_run_folder(None, root=root).name for _ in range(3)] == ["train", "train-2", "train-3"]


def test_a_folder_that_holds_anything_is_never_used(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert new_run_folder(tmp_path / "mine") == tmp_path / "mine"
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(ConfigError, match=r"mine: the folder is not empty.*\n.*--resume"):
        new_run_folder(tmp_path / "mine")
    assert new_run_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="file: cannot be written"):
        new_run_folder(tmp_path / "file")


def test_the_last_run_is_found(tmp_path: Path, photos: Dataset) -> None:
    root = tmp_path / "runs"
    assert find_run(None, root=root) is None
    for _ in range(11):
        folder = new_run_folder(None, root=root)
        write_run_facts(folder, SETTINGS, photos, photos)
    (root / "train-copy").mkdir()
    new_run_folder(None, root=root)  # has no config.json yet: killed before it began
    found = find_run(None, root=root)
    assert found == root / "train-11"
    assert find_run(found) == found
    assert find_run(tmp_path) is None


def test_facts_are_complete_and_come_back(tmp_path: Path, photos: Dataset) -> None:
    write_run_facts(tmp_path, SETTINGS, photos, photos.select([0, 9], "val"))
    assert read_run_settings(tmp_path) == SETTINGS
    dataset = json.loads((tmp_path / "dataset.json").read_text())
    assert dataset["train"]["fingerprint"] == photos.fingerprint()
    assert dataset["train"]["boxes_by_class"] == {"alpaca": 9}
    assert (dataset["validation"]["photos"], dataset["validation"]["photos_without_boxes"]) == (2, 1)
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["packages"]["torch"]
    assert environment["torch_threads"] >= 1


def test_a_damaged_config_is_told(tmp_path: Path) -> None:
    for text in ("{", "[]", "{}", '{"data": "a", "model": "b", "init": "", "config": 3}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ModelFileError, match=r"config\.json: cannot be read"):
            read_run_settings(tmp_path)
