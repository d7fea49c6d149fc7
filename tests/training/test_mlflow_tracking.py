from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from herder.training.config import TrainConfig
from herder.training.mlflow_tracking import MlflowTracker
from herder.training.tracking import RunFacts

# MLflow and SQLAlchemy warn about themselves; what is under test is what they hold in the end.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_a_run_and_its_resumption_are_one_mlflow_run(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    (tmp_path / "best.safetensors").write_bytes(b"weights")
    config = TrainConfig(epochs=3)

    def facts(first_epoch: int) -> RunFacts:
        return RunFacts(tmp_path, config, ("box", "cls", "dfl"), 10, first_epoch)

    first = MlflowTracker()
    first.start(facts(0))
    first.epoch({"epoch": 1.0, "box": 0.5, "mAP50": math.nan}, best=tmp_path / "best.safetensors")
    second = MlflowTracker()
    second.start(facts(1))
    second.epoch({"epoch": 2.0, "box": 0.25, "mAP50": 0.75}, best=tmp_path / "best.safetensors")
    second.end("finished")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "true"

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("herder")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1
    run = runs[0]
    assert run.info.status == "FINISHED"
    assert run.data.params["epochs"] == "3"
    assert run.data.params["loss.box"] == str(config.loss.box)
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "box")] == [(1, 0.5), (2, 0.25)]
    assert run.data.metrics["mAP50"] == 0.75
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["best.safetensors"]
    assert not Path("mlruns").exists()
