"""Runs in MLflow: by default a SQLite file in the run folder, any tracking server by its URI."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from herder.errors import MissingExtraError
from herder.training.tracking import RunFacts, StepFacts

RUN_FILE = "mlflow_run.txt"
"""Holds the MLflow run's id in the run folder, so that a resumed run goes on in it."""


class MlflowTracker:
    """Parameters, metrics and the best model of a run, sent to MLflow.

    ``uri`` is a tracking URI; empty means ``mlflow.db`` in the run folder, which
    ``mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db`` shows.
    Raises MissingExtraError when MLflow is not installed.
    """

    def __init__(self, uri: str = "", *, experiment: str = "herder") -> None:
        # MLflow counts its users over the network unless told not to before it is imported; herder sends nothing home.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["DO_NOT_TRACK"] = "true"
        try:
            import mlflow
        except ImportError:
            raise MissingExtraError("tracking with MLflow", "mlflow") from None
        self._mlflow = mlflow
        self.uri = uri
        self.experiment = experiment
        self.best: Path | None = None

    def start(self, run: RunFacts) -> None:
        """Open the MLflow run, or go on in the one that this folder began."""
        local = (run.folder / "mlflow.db").resolve()
        self._client: Any = self._mlflow.MlflowClient(tracking_uri=self.uri or f"sqlite:///{local}")
        known = run.folder / RUN_FILE
        if run.first_epoch and known.exists():
            self.run_id = known.read_text(encoding="utf-8").strip()
            self._client.update_run(self.run_id, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(self.experiment)
        place = None if self.uri else (run.folder / "mlflow_artifacts").resolve().as_uri()
        experiment_id = found.experiment_id if found else self._client.create_experiment(self.experiment, place)
        self.run_id = self._client.create_run(experiment_id, run_name=run.folder.name).info.run_id
        known.write_text(self.run_id, encoding="utf-8")
        for name, value in run.config.as_dict().items():
            for key, leaf in value.items() if isinstance(value, dict) else [("", value)]:
                self._client.log_param(self.run_id, f"{name}.{key}".rstrip("."), leaf)

    def step(self, facts: StepFacts) -> None:
        """Nothing: one point an epoch is enough."""

    def epoch(self, row: Mapping[str, float], *, best: Path | None) -> None:
        """Log the row's numbers; the best model is sent once, at the end."""
        now, epoch = int(time.time() * 1000), int(row["epoch"])
        points = {name: value for name, value in row.items() if name != "epoch" and math.isfinite(value)}
        metric = self._mlflow.entities.Metric
        self._client.log_batch(self.run_id, metrics=[metric(name, v, now, epoch) for name, v in points.items()])
        self.best = best or self.best

    def end(self, summary: str) -> None:
        """Send the best model and close the MLflow run."""
        if self.best is not None:
            self._client.log_artifact(self.run_id, str(self.best))
        self._client.set_tag(self.run_id, "herder.end", summary)
        self._client.set_terminated(self.run_id)
