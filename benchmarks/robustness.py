r"""The table of all 18 corruptions: what is left of a real model on real photos.

    python benchmarks/robustness.py MODEL --shared ../shared --work DIR [--size 416] [--workers N]

MODEL is the fine-tuned model of `python benchmarks/peer.py finetune`, or any other that knows alpacas. Prints the table
and writes benchmarks/results/robustness.json; the same numbers come from

    herder robustness MODEL ../shared/alpaca --size 416 --out DIR

Finished cells are kept in --work: a stopped benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

from herder.api.robustness import RobustnessRun, RobustnessSettings, measure_robustness
from herder.data.formats import read_dataset
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.robustness.result import METRICS, as_json
from herder.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "robustness.json"


def summary(run: RobustnessRun, model: Path, seconds: float, workers: int | None) -> dict[str, Any]:
    """What is kept: the table and the means, without the counts of single photos."""
    whole = run.as_dict(model, ["herder", "robustness"])
    counts = {"hits", "misses", "false_alarms"}
    rounded = [
        {name: round(value, 4) if isinstance(value, float) else value for name, value in cell.items()}
        for cell in ({k: v for k, v in row.items() if k not in counts} for row in [whole["clean"], *whole["cells"]])
    ]
    return {
        "model": whole["model"],
        "data": whole["data"],
        "settings": whole["settings"],
        "threshold": run.result.threshold,
        "summary": whole["summary"],
        "clean": rounded[0],
        "cells": rounded[1:],
        "rPC_by_corruption": {
            name: {metric: as_json(run.result.relative(metric, (name,))) for metric in METRICS}
            for name in run.result.corruptions
        },
        "slices": whole["slices"],
        # Of a run that went on where another had stopped the time would say nothing.
        "seconds": None if run.reused else round(seconds, 1),
        "workers": workers,
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
    }


def show(run: RobustnessRun) -> None:
    """Print mAP50-95 by corruption and severity, then the means."""
    result = run.result
    print(f"clean: mAP50 {result.clean.map50:.3f}, mAP50-95 {result.clean.map50_95:.3f}")
    for name in result.corruptions:
        values = " ".join(f"{cell.map50_95:.3f}" for cell in result.of(name))
        print(f"{name:20s} {values}   of clean {text(result.relative('mAP50_95', (name,)))}")
    for names in (result.published, result.own):
        for metric in ("mAP50", "mAP50_95"):
            mean, share = result.performance(metric, names), result.relative(metric, names)
            print(f"{len(names)} corruptions, {metric}: mPC {text(mean)}, rPC {text(share)}")


def text(value: float | NotComputed) -> str:
    """A number with three digits, or why there is none."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Read the options, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--shared", type=Path, required=True, help="the folder with alpaca/")
    parser.add_argument("--work", type=Path, required=True, help="folder for finished cells")
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    dataset = read_dataset(options.shared / "alpaca", split="val")
    start = time.perf_counter()
    run = measure_robustness(
        options.model,
        dataset,
        options.work,
        RobustnessSettings(size=options.size, workers=options.workers),
        progress=lambda what, done, total: print(f"{what}: {done} of {total}", flush=True),
    )
    seconds = time.perf_counter() - start
    show(run)
    content = summary(run, options.model, seconds, options.workers)
    write_atomic(RESULTS, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


if __name__ == "__main__":
    main()
