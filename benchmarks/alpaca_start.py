"""What the shipped model is worth as a start: little labelled data of one's own, three ways to begin.

    python benchmarks/alpaca_start.py --shared ../shared --pretrained yolox-nano.safetensors --work DIR

The validation photos, which the shipped model has never seen, stand for a new farm with few labels: in two halves,
each half's 50 photos train a detector that is measured on the other half. Starts: nothing (herder-n, 60 epochs), the
imported yolox-nano, and the shipped model, the last two with the same settings. The shipped model as it is, untrained
on the farm, is the fourth row. Figures go to benchmarks/results/alpaca_start.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import herder as library
from herder.data.formats import read_dataset
from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.detector import evaluate_detector
from peer import RESULTS, herder, run

SETTINGS = ("--set", "evaluate_every=1000")


def folds(name: str, args: argparse.Namespace, *words: object) -> Path:
    """The cross-validation over the farm's photos with this start; kept where it is done."""
    out = args.work / name
    if not (out / "crossval.json").exists():
        resume = ["--resume"] if (out / "folds.json").exists() else []
        run(
            herder("crossval", args.shared / "alpaca", "--split", "val", "--folds", 2, *SETTINGS, *words, "--out", out,
                   *resume),
            args.work / f"{name}.log",
        )  # fmt: skip
    return out


def pooled(out: Path) -> dict[str, Any]:
    """The figures of all folds together, with intervals."""
    found = json.loads((out / "crossval.json").read_text())["pooled"][0]
    return {m["name"]: {"value": round(m["value"], 4), "interval": m["interval"]} for m in found["measures"]}


def untrained(args: argparse.Namespace) -> dict[str, Any]:
    """The shipped model on the same photos."""
    data = read_dataset(args.shared / "alpaca", split="val")
    metrics = evaluate_detections(
        evaluate_detector(library.load("alpaca"), data)[1], data.records, data.class_names
    ).as_dict()
    return {name: {"value": round(metrics[name], 4)} for name in ("mAP50", "mAP50_95", "precision", "recall")}


def main() -> None:
    """Train, measure, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--pretrained", type=Path, required=True, help="yolox-nano as `herder import` writes it")
    parser.add_argument("--work", type=Path, required=True, help="folder for the trainings")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    runs = {
        "from nothing": folds("scratch", args, "--model", "herder-n", "--set", "epochs=60"),
        "from yolox-nano": folds("imported", args, "--init", args.pretrained, "--set", "image_size=416"),
        "from alpaca": folds("alpaca", args, "--init", "alpaca", "--set", "image_size=416"),
    }
    result = {
        "rows": {name: pooled(out) for name, out in runs.items()} | {"alpaca as it ships": untrained(args)},
        "photos_a_half": 50,
    }
    (RESULTS / "alpaca_start.json").write_text(json.dumps(result, indent=2) + "\n")
    for name, row in result["rows"].items():
        print(f"{name:24}", *(f"{key} {value['value']}" for key, value in row.items()))


if __name__ == "__main__":
    main()
