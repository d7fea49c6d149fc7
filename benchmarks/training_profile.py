"""Where the time of a training step goes: milliseconds for each part, and the share of each operator. Prints JSON.

python benchmarks/training_profile.py ../shared/alpaca --model herder-n --imgsz 320 --batch 16
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from herder.data.formats import read_dataset
from herder.data.pipeline import TrainingPipeline
from herder.model.families import make_spec
from herder.model.losses import DetectionLoss
from herder.model.network import Network
from herder.training.config import TrainConfig
from herder.training.optimization import clip_gradients, make_optimizer
from herder.training.weight_averaging import WeightAverage


def measure(data: Path, model: str, size: int, batch_size: int, steps: int) -> dict[str, Any]:
    """Median milliseconds of each part of a step, and the operators that take most of it."""
    dataset = read_dataset(data, split="train")
    spec = make_spec(model, dataset.class_names, input_size=size)
    network = Network(spec).to(memory_format=torch.channels_last).train()
    config = TrainConfig(image_size=size, batch_size=batch_size)
    loss = DetectionLoss(spec)
    average = WeightAverage(network, decay=config.ema_decay, warmup=config.ema_warmup)
    optimizer = make_optimizer(network, config)
    parts: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, start: float) -> float:
        now = time.perf_counter()
        parts[name].append(1000 * (now - start))
        return now

    def step(batch: Any, start: float) -> None:
        images = batch.images.contiguous(memory_format=torch.channels_last)
        now = timed("layout", start)
        raw = network(images)
        now = timed("forward", now)
        terms = loss(raw, batch.boxes, batch.classes, batch.valid, batch.ignore)
        now = timed("assignment and loss", now)
        terms.total.backward()
        now = timed("backward", now)
        clip_gradients(list(network.parameters()), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        now = timed("clip and AdamW", now)
        average.update()
        timed("average", now)

    def batches() -> Any:
        epoch = 0
        while True:
            yield from pipeline.epoch(epoch)
            epoch += 1

    with TrainingPipeline(
        dataset, size=size, batch_size=batch_size, augmentation=config.augmentation, seed=0
    ) as pipeline:
        source = batches()
        for _ in range(pipeline.steps_per_epoch + 2):  # photos come into the cache
            batch = next(source)
        for _ in range(steps):
            start = time.perf_counter()
            batch = next(source)
            step(batch, timed("waiting for photos", start))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(3):
                step(next(source), time.perf_counter())
        source.close()
    medians = {name: round(statistics.median(values[2:]), 2) for name, values in parts.items()}
    total = sum(medians.values())
    operators = sorted(profile.key_averages(), key=lambda row: -row.self_cpu_time_total)[:10]
    whole = sum(row.self_cpu_time_total for row in profile.key_averages())
    return {
        "model": model,
        "imgsz": size,
        "batch": batch_size,
        "threads": torch.get_num_threads(),
        "images_per_second": round(1000 * batch_size / total, 1),
        "milliseconds": medians,
        "share_of_operators": {row.key: round(row.self_cpu_time_total / whole, 3) for row in operators},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="herder-n")
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    result = measure(args.data, args.model, args.imgsz, args.batch, args.steps)
    (Path(__file__).parent / "results").mkdir(exist_ok=True)
    (Path(__file__).parent / "results" / "training_profile.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
