from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from herder.errors import ConfigError, ModelFileError, ResourceError
from herder.model.files import save_model
from herder.model.network import Network
from herder.spec import ModelSpec
from herder.training.checkpoint import (
    CHECKPOINT_KEY,
    Progress,
    check_matches,
    load_checkpoint,
    restore,
    save_checkpoint,
)
from herder.training.config import TrainConfig
from herder.training.optimization import make_optimizer
from herder.training.weight_averaging import WeightAverage


@dataclasses.dataclass
class State:
    network: Network
    average: WeightAverage[Network]
    optimizer: torch.optim.Optimizer

    def step(self) -> None:
        self.network.raw(torch.rand(2, 3, 64, 64)).cls.square().sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update()


def make(spec: ModelSpec, config: TrainConfig) -> State:
    network = Network(spec).train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return State(network, WeightAverage(network, decay=0.9, warmup=3), make_optimizer(network, config))


def save(path: Path, state: State, spec: ModelSpec, config: TrainConfig, **facts: Any) -> None:
    progress = Progress(average_updates=state.average.updates, **facts)
    losses = torch.tensor([1 / 3, 2.0], dtype=torch.float64)
    save_checkpoint(path, state.network, state.average, state.optimizer, progress, losses, config, spec)


@pytest.fixture
def written(tmp_path: Path, spec: ModelSpec, config: TrainConfig) -> Path:
    torch.manual_seed(3)
    state = make(spec, config)
    state.step()
    save(tmp_path / "last.safetensors", state, spec, config, epoch=1, step=2, best=0.1 + 0.2)
    return tmp_path / "last.safetensors"


def test_a_restored_run_goes_on_bit_for_bit(tmp_path: Path, spec: ModelSpec, config: TrainConfig) -> None:
    torch.manual_seed(3)
    first = make(spec, config)
    for _ in range(3):
        first.step()
    save(tmp_path / "a", first, spec, config, epoch=1, step=2, best=0.1 + 0.2, stopping={"best": -float("inf")})
    second = make(spec, config)
    checkpoint = load_checkpoint(tmp_path / "a")
    restore(checkpoint, second.network, second.average, second.optimizer)
    assert checkpoint.progress.best == 0.1 + 0.2
    assert checkpoint.progress.stopping == {"best": -float("inf")}
    assert checkpoint.config == config
    assert checkpoint.spec == spec
    assert checkpoint.tensors["progress.losses"].dtype == torch.float64
    # restore set the random generator: both draw the same pictures from here on
    state = torch.get_rng_state()
    for _ in range(2):
        second.step()
    torch.set_rng_state(state)
    for _ in range(2):
        first.step()
    for a, b in ((first.network, second.network), (first.average.network, second.average.network)):
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name]), name
    for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True):
        for slot, value in first.optimizer.state[a].items():
            assert torch.equal(value, second.optimizer.state[b][slot])
            assert value.stride() == second.optimizer.state[b][slot].stride()


def test_a_cut_file_is_told_wherever_it_is_cut(written: Path, tmp_path: Path) -> None:
    whole = written.read_bytes()
    for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"cut\.safetensors"):
            load_checkpoint(cut)


def test_foreign_files_are_told(tmp_path: Path, spec: ModelSpec) -> None:
    save_model(Network(spec), spec, tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match="is not a training checkpoint"):
        load_checkpoint(tmp_path / "model.safetensors")
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match="is not a training checkpoint"):
        load_checkpoint(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("this is no checkpoint, it is a letter to a friend")
    with pytest.raises(ModelFileError, match=r"text\.safetensors"):
        load_checkpoint(tmp_path / "text.safetensors")
    with pytest.raises(ModelFileError, match="no such file"):
        load_checkpoint(tmp_path / "missing.safetensors")


def rewrite(path: Path, **metadata: str) -> None:
    """Change some of a checkpoint's metadata."""
    with safetensors.safe_open(path, framework="pt") as file:
        old = dict(file.metadata())
    tensors = safetensors.torch.load_file(path)
    path.unlink()
    safetensors.torch.save_file(tensors, path, metadata=old | metadata)


def test_a_newer_or_changed_checkpoint_is_told(written: Path) -> None:
    with safetensors.safe_open(written, framework="pt") as file:
        facts = json.loads(file.metadata()[CHECKPOINT_KEY])
    rewrite(written, **{CHECKPOINT_KEY: json.dumps(facts | {"version": 99})})
    with pytest.raises(ModelFileError, match="version 99 is newer"):
        load_checkpoint(written)
    rewrite(written, **{CHECKPOINT_KEY: json.dumps(facts | {"moon": 1})})
    with pytest.raises(ModelFileError, match="moon"):
        load_checkpoint(written)
    rewrite(written, **{CHECKPOINT_KEY: "{"})
    with pytest.raises(ModelFileError, match="progress cannot be read"):
        load_checkpoint(written)
    rewrite(written, **{CHECKPOINT_KEY: json.dumps(facts), "config": '{"epochs": 0}'})
    with pytest.raises(ModelFileError, match="epochs"):
        load_checkpoint(written)


def test_another_run_s_checkpoint_is_told(written: Path, spec: ModelSpec, config: TrainConfig) -> None:
    checkpoint = load_checkpoint(written)
    check_matches(checkpoint, config, spec)
    check_matches(checkpoint, dataclasses.replace(config, workers=3, checkpoint_every_steps=7), spec)
    with pytest.raises(
        ModelFileError, match=r"trained for 1 classes \['alpaca'\], this run has 2 \['alpaca', 'llama'\]"
    ):
        check_matches(checkpoint, config, spec.replace(class_names=("alpaca", "llama")))
    wider = dataclasses.replace(spec.architecture, head_width=32)
    with pytest.raises(ModelFileError, match="another architecture: head_width 16 not 32"):
        check_matches(checkpoint, config, spec.replace(architecture=wider))
    with pytest.raises(ModelFileError, match="photos or labels have changed"):
        check_matches(checkpoint, config, spec.replace(dataset_fingerprint="other"))
    with pytest.raises(ConfigError, match="epochs: the run to resume has 3, not 5"):
        check_matches(checkpoint, dataclasses.replace(config, epochs=5), spec)
    with pytest.raises(ConfigError, match=r"augmentation: the run to resume has mosaic 1\.0, not 0\.5"):
        check_matches(
            checkpoint,
            dataclasses.replace(config, augmentation=dataclasses.replace(config.augmentation, mosaic=0.5)),
            spec,
        )


def test_tensors_that_do_not_fit_are_told(written: Path, spec: ModelSpec, config: TrainConfig) -> None:
    checkpoint = load_checkpoint(written)
    del checkpoint.tensors[next(name for name in checkpoint.tensors if name.startswith("model."))]
    state = make(spec, config)
    with pytest.raises(ModelFileError, match="1 tensors do not fit"):
        restore(checkpoint, state.network, state.average, state.optimizer)


def test_a_full_disk_keeps_the_old_checkpoint(
    written: Path, spec: ModelSpec, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        save(written, make(spec, config), spec, config)
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]
