"""Tiny photos, a tiny network and short settings: a whole training run in about a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from herder.data.augmentation import AugmentationConfig
from herder.data.pipeline import Batch, TrainingPipeline
from herder.data.records import Dataset, ImageRecord
from herder.model.network import Network
from herder.spec import ModelSpec, example_spec
from herder.training.config import TrainConfig
from herder.training.interfaces import TrainResult
from herder.training.loop import train
from herder.training.reproducibility import seed_everything

SIDE = 64


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Ten photos, 96 x 64 pixels, each with one bright box on dark noise; the last one without a box."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    records = []
    for i in range(10):
        picture = rng.integers(0, 80, (64, 96, 3), dtype=np.uint8)
        x, y = int(rng.integers(0, 60)), int(rng.integers(0, 30))
        boxes = np.array([[x, y, x + 30, y + 24]], np.float32) if i < 9 else np.zeros((0, 4), np.float32)
        if len(boxes):
            picture[y : y + 24, x : x + 30] = 230
        path = folder / f"{i:02}.png"
        Image.fromarray(picture).save(path)
        records.append(ImageRecord(path, 96, 64, boxes, np.zeros(len(boxes), np.int64)))
    return Dataset(tuple(records), ("alpaca",), folder)


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return example_spec().replace(input_size=SIDE)


@pytest.fixture(scope="session")
def config() -> TrainConfig:
    """Three epochs of three steps, the last without mosaic, a checkpoint every two steps."""
    return TrainConfig(
        epochs=3,
        batch_size=4,
        image_size=SIDE,
        warmup_epochs=1,
        mosaic_off_epochs=1,
        checkpoint_every_steps=2,
        ema_warmup=5,
        device="cpu",
    )


def fake_metrics(network: torch.nn.Module) -> Mapping[str, float]:
    """Numbers that follow from the weights alone, so that they show any difference."""
    value = float(torch.stack([p.detach().double().abs().mean() for p in network.parameters()]).mean())
    return {"mAP50_95": value, "mAP50": value * 1.5, "precision": 0.5, "recall": 0.25, "threshold": 0.125}


Runner = Callable[..., TrainResult]


@pytest.fixture(scope="session")
def run(photos: Dataset, spec: ModelSpec) -> Runner:
    """``run(config, folder, **train's arguments)``; ``wrap`` changes each batch or raises in its place."""

    def go(
        config: TrainConfig,
        folder: Path,
        *,
        wrap: Callable[[int, Batch], Batch] | None = None,
        spec: ModelSpec = spec,
        **arguments: Any,
    ) -> TrainResult:
        seed_everything(config.seed)
        network = arguments.pop("network", None) or Network(spec)
        pipeline = TrainingPipeline(
            photos,
            size=config.image_size,
            batch_size=config.batch_size,
            augmentation=AugmentationConfig.light(),
            seed=config.seed,
        )
        source = Wrapped(pipeline, wrap) if wrap else pipeline
        arguments.setdefault("evaluate", fake_metrics)
        folder.mkdir(exist_ok=True)
        return train(network, spec, source, config, folder, **arguments)

    return go


@pytest.fixture(scope="session")
def whole(run: Runner, config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of ``config`` that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run(config, folder)
    return folder


class Wrapped:
    """A pipeline whose every batch goes through a function of the number of batches drawn before."""

    def __init__(self, pipeline: TrainingPipeline, wrap: Callable[[int, Batch], Batch]) -> None:
        self.pipeline, self.wrap, self.drawn = pipeline, wrap, 0
        self.calls: list[tuple[int, int, bool]] = []

    @property
    def steps_per_epoch(self) -> int:
        return self.pipeline.steps_per_epoch

    def epoch(self, epoch: int, start_step: int = 0, *, mosaic: bool = True) -> Iterator[Batch]:
        self.calls.append((epoch, start_step, mosaic))
        for batch in self.pipeline.epoch(epoch, start_step, mosaic=mosaic):
            self.drawn += 1
            yield self.wrap(self.drawn - 1, batch)
