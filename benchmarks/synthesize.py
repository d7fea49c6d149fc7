r"""Do drawn animals help a detector? Few training photos, with and without animals pasted into them.

    python benchmarks/synthesize.py --work DIR [--quick]
    python benchmarks/synthesize.py --work DIR --data ../shared/alpaca --photos 30 --epochs 25 --size 320 --crop 32 \
        --model yolox-nano --init yolox-nano.safetensors

The same small detector is trained on the same few photos in four ways, with several seeds each:

    none        no animal is pasted
    photos      copy-paste from the other training photos
    real        copy-paste of the real crops, cut at the size that the drawn ones have
    drawn       copy-paste of animals that a diffusion model drew, which learned from those same crops alone

and measured on validation photos that none of them saw. ``real`` against ``photos`` says what the crops' resolution and
sizes cost or give; ``drawn`` against ``real`` what drawing does. Without --data the photos are generated pastures.
All is kept in --work: a stopped benchmark goes on where it was. Writes benchmarks/results/synthesize.json, a part for
each dataset.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from herder.api.run_photos import Photos
from herder.api.synthesis import synthesize, write_crops
from herder.api.training_run import run_training
from herder.cli.generate import GenerationProgress
from herder.data.crops import Fit, cut_crops
from herder.data.formats import read_splits
from herder.data.pasture import PastureConfig, write_pasture
from herder.data.records import Dataset
from herder.files import write_atomic
from herder.training.config import TrainConfig
from herder.training.run import CONFIG

RESULTS = Path(__file__).parent / "results" / "synthesize.json"

ARMS = ("none", "photos", "real", "drawn")

METRICS = ("mAP50", "mAP50_95")


def photos_of(options: argparse.Namespace) -> tuple[str, Dataset, Dataset]:
    """The dataset's name, a few training photos that have animals, and all validation photos."""
    if options.data is None:
        folder = options.work / f"scenes-{options.scene}-{options.photos}-{options.validation}"
        if not folder.exists():
            config = PastureConfig(size=options.scene, seed=11)
            write_pasture(folder, train=4 * options.photos, val=options.validation, config=config)
        name = "pasture"
    else:
        folder, name = options.data, options.data.name
    parts = {part.split: part for part in read_splits(folder)}
    training, validation = parts["train"], parts["val"]
    usable = [i for i, record in enumerate(training) if (~record.ignore).any()]
    chosen = sorted(np.random.default_rng(0).permutation(usable)[: options.photos].tolist())
    return name, training.select(chosen), validation.select(range(min(len(validation), options.validation)))


def make_donors(name: str, training: Dataset, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write the real and the drawn crops, as far as they are not there, and return what drawing reached."""
    real, drawn = work / "real", work / "drawn"
    classes = sorted({training.class_names[c] for record in training for c in record.classes.tolist()})
    if not real.exists():
        crops = cut_crops(training, options.crop, classes, fit=Fit.SQUEEZE)
        labels = crops.pictures.labels
        ids = np.zeros(len(crops), np.int64) if labels is None else labels.numpy()
        write_crops(real, crops.pictures.images, ids, crops.aspects, crops.pictures.class_names, {"made_from": name})
    if not drawn.exists():
        with GenerationProgress() as watcher:
            synthesize(
                training,
                classes,
                options.number,
                options.crop,
                drawn,
                resume=True,
                changes={"steps": options.steps},
                watcher=watcher,
            )
    about: dict[str, Any] = json.loads((drawn / "about.json").read_text())
    return {"crops": len(list((real / "images").iterdir())), "drawn": about["number"], "quality": about.get("quality")}


def settings_of(arm: str, seed: int, work: Path, options: argparse.Namespace) -> TrainConfig:
    """How one arm trains: all alike but for what is pasted."""
    config = TrainConfig(
        epochs=options.epochs,
        image_size=options.size,
        batch_size=8,
        seed=seed,
        warmup_epochs=min(3.0, options.epochs / 4),
        mosaic_off_epochs=max(1, options.epochs // 5),
        evaluate_every=options.epochs,  # the last model is the one that counts: no choosing on the validation photos
        device="cpu",
    )
    pasted = 0.0 if arm == "none" else 0.5
    augmentation = replace(config.augmentation, mosaic=0.5, scale=0.3, copy_paste=pasted)
    return replace(config, augmentation=augmentation, paste_from=str(work / arm) if arm in ("real", "drawn") else "")


def train_arm(arm: str, seed: int, photos: Photos, work: Path, options: argparse.Namespace) -> dict[str, float]:
    """The metrics of one training, from an earlier call where they are there."""
    folder = work / f"{arm}-seed{seed}"
    done = folder / "final.json"
    if not done.exists():
        config = settings_of(arm, seed, work, options)
        begun = (folder / CONFIG).exists()
        result = run_training(photos, options.model, options.init, config, folder, resume=begun)
        if len(result.metrics) == 0 or not result.best.exists():
            raise SystemExit(f"{folder}: stopped; the same command goes on")
        facts = {name: result.metrics[name] for name in METRICS} | {"seconds": round(result.seconds, 1)}
        write_atomic(done, json.dumps(facts).encode())
    metrics: dict[str, float] = json.loads(done.read_text())
    return metrics


def table(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Mean, deviation over seeds and difference to ``none`` (paired by seed) of each arm; printed too."""
    summary: dict[str, Any] = {}
    print(f"{'pasted':>8}" + "".join(f"{name:>12} {'+-':>6} {'to none':>8}" for name in METRICS))
    for arm, rows in runs.items():
        summary[arm], text = {}, f"{arm:>8}"
        for name in METRICS:
            values = [row[name] for row in rows]
            paired = [row[name] - base[name] for row, base in zip(rows, runs["none"], strict=True)]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            of_difference = statistics.stdev(paired) if len(paired) > 1 else 0.0
            summary[arm][name] = {
                "mean": statistics.mean(values),
                "deviation": spread,
                "to_none": statistics.mean(paired),
                "to_none_deviation": of_difference,
                "seeds": values,
            }
            text += f"{statistics.mean(values):12.3f} {spread:6.3f} {statistics.mean(paired):+8.3f}"
        print(text)
    return summary


def digest(options: argparse.Namespace) -> str:
    """A few letters that other settings would not have: nothing is taken for what it is not."""
    fixed = {key: str(value) for key, value in vars(options).items() if key not in ("work", "seeds")}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:8]


def main() -> None:
    """Make donors, train all arms, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument("--data", type=Path, help="labelled dataset with train and val; generated pastures without it")
    parser.add_argument("--photos", type=int, default=40, help="training photos")
    parser.add_argument("--validation", type=int, default=150, help="validation photos, at most")
    parser.add_argument("--scene", type=int, default=256, help="side of a generated scene")
    parser.add_argument("--size", type=int, default=256, help="side of the detector's canvas")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--crop", type=int, default=48, help="side of the crops")
    parser.add_argument("--steps", type=int, default=3000, help="training steps of the diffusion model")
    parser.add_argument("--number", type=int, default=300, help="animals to draw of each class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default="herder-n", help="family of the detector")
    parser.add_argument("--init", type=Path, help="starting weights of the detector; random ones without")
    parser.add_argument("--quick", action="store_true", help="does it run at all? writes no results")
    options = parser.parse_args()
    if options.quick:
        options.photos, options.validation, options.scene, options.size = 24, 16, 128, 128
        options.epochs, options.crop, options.steps, options.number, options.seeds = 2, 16, 20, 20, 2
    name, training, validation = photos_of(options)
    work = options.work / f"{name}-{digest(options)}"
    work.mkdir(parents=True, exist_ok=True)
    donors = make_donors(name, training, work, options)
    print(f"{name}: {len(training)} training photos, {donors['crops']} crops, {donors['drawn']} animals drawn")
    photos = Photos(options.data or work, training, validation)
    runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for seed in range(options.seeds):  # seed by seed, so that a stopped benchmark has all arms of the seeds it did
        for arm in ARMS:
            runs[arm].append(train_arm(arm, seed, photos, work, options))
            print(f"seed {seed} {arm:>8}: " + ", ".join(f"{m} {runs[arm][-1][m]:.3f}" for m in METRICS), flush=True)
    summary = table(runs)
    if options.quick:
        return
    settings = {k: v.name if isinstance(v, Path) else v for k, v in vars(options).items() if k not in ("work", "data")}
    entry = {
        "photos": len(training),
        "validation": len(validation),
        **donors,
        "arms": summary,
        "settings": settings,
        "machine": {
            "cores": os.cpu_count(),
            "cpu": platform.processor() or platform.machine(),
            "torch": torch.__version__,
        },
    }
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    write_atomic(RESULTS, (json.dumps(before | {name: entry}, indent=2) + "\n").encode())
    print(f"written: {RESULTS}")


if __name__ == "__main__":
    main()
