"""How well GAN and diffusion draw the handwritten digits, and how long they learn.

    python benchmarks/generative.py [--quick] [--work DIR]

Prints the Fréchet distance of each one's samples beside that between two halves of the real digits, the classes covered
and the seconds of training; writes benchmarks/results/generative.json. The judge is a classifier of ten digits trained
here. ``--work`` keeps the runs, and a second call takes what is there.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from herder.api.drawers import Drawer, open_drawer, train_drawer
from herder.api.drawing_settings import Kind, changed, default_settings
from herder.files import write_atomic
from herder.generative.pictures import Pictures, digits
from herder.generative.quality import Judge, fit_classifier, predict, sample_quality

RESULTS = Path(__file__).parent / "results" / "generative.json"

SEEDS = (0, 1)


def train_timed(kind: Kind, pictures: Pictures, seed: int, folder: Path, quick: bool) -> tuple[Drawer, float]:
    """The trained drawer and the seconds that its training took, from an earlier call where it is there."""
    seconds_file = folder / "seconds.json"
    if seconds_file.exists():
        return open_drawer(folder), float(json.loads(seconds_file.read_text()))
    changes: dict[str, Any] = {"seed": seed, "device": "cpu", "snapshot_every": 0}
    settings = changed(default_settings(kind, pictures.size, photos=False), changes | ({"steps": 50} if quick else {}))
    start = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    drawer = train_drawer(pictures, settings, folder)
    seconds = time.monotonic() - start
    write_atomic(seconds_file, json.dumps(seconds).encode())
    return drawer, seconds


def row(kind: Kind, seed: int, drawer: Drawer, seconds: float, pictures: Pictures, judge: Judge) -> dict[str, Any]:
    """Quality and time of one training."""
    count = len(pictures) // 2
    labels = None
    if drawer.class_names and pictures.labels is not None:
        chosen = torch.randint(len(pictures), (count,), generator=torch.Generator().manual_seed(seed))
        labels = pictures.labels[chosen]
    start = time.monotonic()
    samples = drawer.draw(count, labels=labels, seed=seed)
    drawing = time.monotonic() - start
    quality = asdict(sample_quality(pictures, samples, judge, seed=seed))
    right = None
    if labels is not None:
        right = float((predict(judge.network, samples) == labels).float().mean())
    return {
        "kind": kind.value,
        "seed": seed,
        **quality,
        "drawn_as_asked": right,
        "training_seconds": round(seconds, 1),
        "drawing_seconds": round(drawing, 2),
    }


def main() -> None:
    """Train, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 steps and one seed: does it run at all?")
    parser.add_argument("--work", type=Path, help="folder that keeps the runs")
    parser.add_argument("--json", type=Path, help="file to write, benchmarks/results/generative.json by default")
    options = parser.parse_args()
    pictures = digits()
    judge = fit_classifier(pictures)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as spare:
        work = (options.work or Path(spare)) / ("quick" if options.quick else "full")
        for kind in Kind:
            for seed in SEEDS[:1] if options.quick else SEEDS:
                drawer, seconds = train_timed(kind, pictures, seed, work / f"{kind.value}-{seed}", options.quick)
                rows.append(row(kind, seed, drawer, seconds, pictures, judge))
                print(line(rows[-1]), flush=True)
    noise = torch.randn(len(pictures) // 2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    baseline = sample_quality(pictures, noise, judge)
    print(f"two halves of the real digits {baseline.real_halves:.3g}; plain noise {baseline.frechet:.3g}")
    print(f"judge: {baseline.judge}")
    result = {
        "judge": baseline.judge,
        "pictures_a_side": baseline.count,
        "real_halves": baseline.real_halves,
        "noise": baseline.frechet,
        "rows": rows,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    if options.quick and options.json is None:
        return
    write_atomic(options.json or RESULTS, (json.dumps(result, indent=2) + "\n").encode())


def line(entry: dict[str, Any]) -> str:
    """One row of the table."""
    asked = "" if entry["drawn_as_asked"] is None else f", {entry['drawn_as_asked']:.1%} as asked"
    return (
        f"{entry['kind']:>9} seed {entry['seed']}: Fréchet {entry['frechet']:.3g} "
        f"(real halves {entry['real_halves']:.3g}), "
        f"{entry['classes_covered']} of {len(entry['shares'])} digits{asked}, "
        f"{entry['training_seconds']:.0f} s of training, {entry['drawing_seconds']:.1f} s to draw {entry['count']}"
    )


if __name__ == "__main__":
    main()
