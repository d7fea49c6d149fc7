"""Shipped models in an MLflow model registry: files, card and facts, as a version that others can ask for.

A registry is named by its URI: ``sqlite:///models.db`` needs no server. Nothing is sent anywhere else: MLflow's own
usage reports are switched off before it is imported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herder.api.model_check import check_model, file_metadata
from herder.catalogue import WEIGHTS, ShippedModel, shipped_folder
from herder.errors import ConfigError, MissingExtraError, ModelFileError
from herder.spec import METADATA_KEY, ModelSpec

EXPERIMENT = "herder models"

SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Registered:
    """A version in the registry."""

    name: str
    version: str
    """The registry's own count: 1, 2, ..."""
    source: str
    """URI of the folder with the files."""
    new: bool
    """False where the registry had this very version."""


def register_model(model: ShippedModel, uri: str, *, name: str | None = None, folder: Path | None = None) -> Registered:
    """Add a shipped model to the registry at ``uri`` under ``name`` (None: its own), once for each set of files.

    Files, card, version, licence, origin, SHA-256 and the figures of its spec go with it. Raises ModelFileError for a
    model whose files do not agree with the catalogue, ConfigError for a registry that cannot be opened,
    MissingExtraError without MLflow.
    """
    folder = folder or shipped_folder()
    problems = check_model(model, folder)
    if problems:
        raise ModelFileError(f"{model.name}: {problems[0]}", hint="install herder again")
    client, exceptions = _client(uri)
    called = name or model.name
    tags = _tags(model)
    try:
        for version in _versions(client, called):
            if all(version.tags.get(key) == value for key, value in tags.items()):
                return Registered(called, str(version.version), version.source, new=False)
        run = client.create_run(_experiment(client, uri), run_name=f"{model.name} {model.version}")
        for file in (*(file.name for file in model.files), model.card):
            client.log_artifact(run.info.run_id, str(folder / file), "model")
        for key, value in _figures(model, folder).items():
            client.log_metric(run.info.run_id, key, value)
        client.set_terminated(run.info.run_id)
        source = f"{run.info.artifact_uri}/model"
        made = client.create_model_version(
            called, source, run.info.run_id, tags=tags, description=f"{model.name} {model.version}: {model.origin}"
        )
    except exceptions as error:
        raise ConfigError(
            f"{uri}: {_first_line(error)}", hint="check the registry's URI and your rights there"
        ) from None
    return Registered(called, str(made.version), source, new=True)


def _client(uri: str) -> tuple[Any, tuple[type[Exception], ...]]:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise MissingExtraError("a model registry", "mlflow") from None
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).parent.is_dir():
        raise ConfigError(f"{uri}: its folder is not there", hint="make the folder, or name another")
    try:
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri), (MlflowException,)
    except MlflowException as error:
        raise ConfigError(f"{uri}: {_first_line(error)}", hint="such as sqlite:///models.db") from None


def _versions(client: Any, name: str) -> list[Any]:
    """The versions under this name, which is made where it is not there."""
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    return list(client.search_model_versions(filter_string=f"name = '{name}'"))


def _experiment(client: Any, uri: str) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    # Beside a database of one's own; a server says itself where files go.
    own = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None
    place = None if own is None else (own.parent / f"{own.stem}_files").resolve().as_uri()
    return str(client.create_experiment(EXPERIMENT, place))


def _tags(model: ShippedModel) -> dict[str, str]:
    facts = {"herder.version": model.version, "licence": model.licence, "classes": ", ".join(model.class_names)}
    return {**facts, **{f"sha256.{file.role}": file.sha256 for file in model.files}}


def _figures(model: ShippedModel, folder: Path) -> dict[str, float]:
    """What the spec says that the model reached."""
    name = model.file(WEIGHTS).name
    return dict(ModelSpec.from_json(file_metadata(folder / name)[METADATA_KEY], source=name).metrics)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
