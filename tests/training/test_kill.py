"""kill -9 for real: a run in a process of its own, killed at random moments until it comes to its end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from herder.data.records import Dataset
from herder.model.files import load_model
from herder.training.checkpoint import load_checkpoint
from herder.training.run_state import BEST, LAST
from herder.training.tracking import TIMING_COLUMNS, read_rows

PROGRAM = """
import sys
from pathlib import Path
import numpy as np, torch
from herder.data.augmentation import AugmentationConfig
from herder.data.pipeline import TrainingPipeline
from herder.data.records import Dataset, ImageRecord
from herder.evaluation import evaluate_detector
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.model.network import Network
from herder.spec import example_spec
from herder.training.config import TrainConfig
from herder.training.loop import train
from herder.training.reproducibility import seed_everything

photos, folder, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
boxes = np.load(photos / "boxes.npy")
records = tuple(
    ImageRecord(path, 96, 64, box[None], [0]) for path, box in zip(sorted(photos.glob("0[0-8].png")), boxes)
)
dataset = Dataset(records, ("alpaca",), photos)
config = TrainConfig(
    epochs=4, batch_size=3, image_size=64, warmup_epochs=1, mosaic_off_epochs=1, checkpoint_every_steps=2,
    freeze_backbone_epochs=1, ema_warmup=5, workers=workers, device="cpu",
)
seed_everything(config.seed)
spec = example_spec().replace(input_size=64)
network = Network(spec)
pipeline = TrainingPipeline(
    dataset, size=64, batch_size=3, augmentation=AugmentationConfig(), seed=config.seed, workers=workers
)


class Report:
    def start(self, run): print("ready", flush=True)
    def step(self, facts): pass
    def epoch(self, row, *, best): pass
    def end(self, summary): pass


def evaluate(network):
    return evaluate_detector(Detector(TorchEngine(network)), dataset)[0].as_dict()


with pipeline:
    train(network, spec, pipeline, config, folder, evaluate=evaluate, trackers=[Report()], resume=True)
"""


def untimed(path: Path) -> list[dict[str, str]]:
    """The rows but for what the clock says; as text, since NaN is no equal of itself."""
    return [{k: repr(v) for k, v in row.items() if k not in TIMING_COLUMNS} for row in read_rows(path)]


@pytest.mark.slow
def test_killed_with_9_at_random_moments_ends_like_the_run_never_killed(photos: Dataset, tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "program.py").write_text(PROGRAM)
    np.save(photos.root / "boxes.npy", np.stack([record.boxes[0] for record in photos.records[:9]]))

    def start(folder: Path, workers: int) -> subprocess.Popen[str]:
        folder.mkdir(exist_ok=True)
        arguments = [sys.executable, str(tmp_path / "program.py"), str(photos.root), str(folder), str(workers)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def wait_until_ready(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            lines.readline()

    whole = start(tmp_path / "whole", 0)
    wait_until_ready(whole)
    begun = time.monotonic()
    assert whole.wait(120) == 0
    length = time.monotonic() - begun

    rng, kills = random.Random(1), 0
    while True:
        process = start(tmp_path / "killed", kills % 2)  # with and without a worker process
        wait_until_ready(process)
        try:
            process.wait(timeout=rng.uniform(0.02, 0.6) * length if kills < 6 else 120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0
        break
    assert kills >= 2

    one, two = (load_checkpoint(tmp_path / name / LAST) for name in ("whole", "killed"))
    assert one.tensors.keys() == two.tensors.keys()
    for name, value in one.tensors.items():
        assert torch.equal(value, two.tensors[name]), name
    best = [load_model(tmp_path / name / BEST).state_dict() for name in ("whole", "killed")]
    assert safetensors.torch.save(best[0]) == safetensors.torch.save(best[1])
    rows = [untimed(tmp_path / name / "metrics.csv") for name in ("whole", "killed")]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 4
