"""The loop with a loss that learns along: checkpoints, resuming, columns, and what is left of the adapters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from herder.api.teachers import teaching_loss
from herder.errors import ConfigError, ModelFileError
from herder.model.distillation import DistillationLoss, Teachers
from herder.model.distillation_config import DistillationConfig
from herder.model.files import load_model
from herder.model.losses import DetectionLoss
from herder.model.network import Network
from herder.spec import ModelSpec
from herder.training.checkpoint import load_checkpoint
from herder.training.config import Precision, TrainConfig
from herder.training.interfaces import TrainResult
from herder.training.run_state import BEST, LAST
from herder.training.tracking import read_rows

Runner = Callable[..., TrainResult]


class Killed(BaseException):
    """What stands for kill -9."""


@pytest.fixture
def make_loss(spec: ModelSpec) -> Callable[[], DistillationLoss]:
    """A new loss with the same wider teacher, as a new process makes it."""

    def make() -> DistillationLoss:
        torch.manual_seed(3)
        wider = dataclasses.replace(spec.architecture, widths=(8, 16, 24, 32, 48))
        teacher = Network(spec.replace(architecture=wider))
        return DistillationLoss(DetectionLoss(spec), Teachers([teacher], spec), Network(spec), DistillationConfig())

    return make


def test_killed_and_resumed_ends_the_same_with_its_adapters(
    run: Runner, config: TrainConfig, make_loss: Callable[[], DistillationLoss], tmp_path: Path
) -> None:
    run(config, tmp_path / "whole", loss=make_loss())

    def dies(drawn: int, batch: object) -> object:
        if drawn == 3:
            raise Killed
        return batch

    with pytest.raises(Killed):
        run(config, tmp_path / "killed", loss=make_loss(), wrap=dies)
    run(config, tmp_path / "killed", loss=make_loss(), resume=True)
    whole, resumed = (load_checkpoint(tmp_path / name / LAST).tensors for name in ("whole", "killed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    weight = "loss.adapters.0.0.weight"
    assert {weight, f"optimizer.exp_avg.{weight}"} <= whole.keys()
    assert not torch.equal(whole[weight], make_loss().state_dict()["adapters.0.0.weight"])


def test_the_result_is_an_ordinary_model_and_each_term_has_a_column(
    run: Runner, config: TrainConfig, make_loss: Callable[[], DistillationLoss], spec: ModelSpec, tmp_path: Path
) -> None:
    run(config, tmp_path, loss=make_loss())
    assert load_model(tmp_path / BEST).state_dict().keys() == Network(spec).state_dict().keys()
    rows = read_rows(tmp_path / "metrics.csv")
    assert list(rows[0])[1:8] == ["box", "cls", "dfl", "soft_cls", "soft_box", "soft_dfl", "features"]
    assert rows[-1]["features"] < rows[0]["features"]


def test_a_distilled_run_does_not_go_on_without_its_teacher(
    run: Runner, config: TrainConfig, make_loss: Callable[[], DistillationLoss], whole: Path, tmp_path: Path
) -> None:
    run(config, tmp_path / "plain")
    more = dataclasses.replace(config, checkpoint_every_steps=1)
    with pytest.raises(ModelFileError, match=r"tensors do not fit the network: \['adapters"):
        run(more, tmp_path / "plain", loss=make_loss(), resume=True)


def test_maps_of_half_precision_are_taught_in_float32(
    run: Runner, config: TrainConfig, make_loss: Callable[[], DistillationLoss], tmp_path: Path
) -> None:
    short = dataclasses.replace(config, precision=Precision.BF16, epochs=1)
    run(short, tmp_path, loss=make_loss())
    assert read_rows(tmp_path / "metrics.csv")[0]["features"] > 0


def test_several_processes_share_no_adapters(make_loss: Callable[[], DistillationLoss], spec: ModelSpec) -> None:
    given = {"device": torch.device("cpu"), "several": True}
    labels, student, wider = DetectionLoss(spec), Network(spec), make_loss().teachers.networks[0]
    with pytest.raises(ConfigError, match="several processes cannot share"):
        teaching_loss(labels, [wider], student, DistillationConfig(), **given)
    assert teaching_loss(labels, [], student, DistillationConfig(), **given) is labels
    alike = teaching_loss(labels, [student], student, DistillationConfig(), **given)
    assert isinstance(alike, DistillationLoss)
    loss = teaching_loss(labels, [wider], student, DistillationConfig(features=0.0), **given)
    assert isinstance(loss, DistillationLoss)
