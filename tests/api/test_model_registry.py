"""A shipped model in a real MLflow registry on SQLite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from herder.api.model_registry import register_model
from herder.catalogue import find_model, shipped_folder
from herder.errors import ConfigError, ModelFileError

pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")

pytestmark = pytest.mark.filterwarnings("ignore")  # SQLAlchemy, alembic and MLflow warn of each other


def test_files_and_facts_arrive_and_twice_is_once(tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path / 'models.db'}"
    model = find_model("alpaca")
    made = register_model(model, uri)
    assert (made.name, made.version, made.new) == ("alpaca", "1", True)
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    version = client.get_model_version("alpaca", "1")
    assert version.tags["herder.version"] == model.version
    assert version.tags["sha256.onnx"] == model.file("onnx").sha256
    kept = Path(made.source.removeprefix("file://"))
    assert sorted(file.name for file in kept.iterdir()) == sorted([*(file.name for file in model.files), model.card])
    for file in model.files:
        assert (kept / file.name).read_bytes() == (shipped_folder() / file.name).read_bytes()
    assert client.get_run(version.run_id).data.metrics["mAP50"] > 0.5
    again = register_model(model, uri)
    assert (again.version, again.new) == ("1", False)
    other = register_model(model, uri, name="farm-alpaca")
    assert (other.name, other.version, other.new) == ("farm-alpaca", "1", True)


def test_a_model_that_was_tampered_with_is_not_registered(tmp_path: Path) -> None:
    model = find_model("alpaca")
    with pytest.raises(ModelFileError, match="classes"):
        register_model(replace(model, class_names=("goat",)), f"sqlite:///{tmp_path / 'models.db'}")
    assert not (tmp_path / "models.db").exists()


@pytest.mark.parametrize("uri", ["sqlite:////nowhere/at/all/models.db", "nonsense://a"])
def test_a_registry_that_cannot_be_opened(uri: str) -> None:
    with pytest.raises(ConfigError, match=uri.split(":")[0]):
        register_model(find_model("alpaca"), uri)
