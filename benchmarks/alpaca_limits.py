"""Where the shipped alpaca model fails, on drawn pastures: one thing changes at a time, everything else stays.

    python benchmarks/alpaca_limits.py --out docs/images/alpaca-limits.jpg

For each condition 100 scenes of 512 pixels are drawn from one seed, so that the pastures are the same wherever the
condition leaves them alone. Precision and recall are at the model's own score threshold and IoU 0.5; ``empty`` has
no animal at all and counts false alarms. The picture shows, for each condition, the scene with the most mistakes:
labelled boxes that were missed are red, detections without an animal orange, hits blue. Figures go to
benchmarks/results/alpaca_limits.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from herder import load
from herder.data.pasture import CLASS_NAMES, Light, PastureConfig, Scene, pasture_scene
from herder.data.records import ImageRecord
from herder.detections import Detections
from herder.drawing import Picture, draw_boxes, grid, save_picture
from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.matching import match
from herder.evaluation.tables import detection_table, truth_table
from peer import RESULTS

BASE = PastureConfig(size=512, seed=5, herd=(1, 5), scale=(0.2, 0.5), occlusion=0.0, light=Light.NOON)
"""By day, nothing in front, animals a fifth to half of the picture high."""

CONDITIONS = {
    "by day, nothing in front": BASE,
    "dusk": replace(BASE, light=Light.DUSK),
    "fog": replace(BASE, light=Light.FOG),
    "against the sun": replace(BASE, light=Light.BACKLIGHT),
    "night": replace(BASE, light=Light.NIGHT),
    "half behind bushes and fences": replace(BASE, occlusion=0.5),
    "nearly all behind something": replace(BASE, occlusion=1.0),
    "small: 5 to 10 % of the picture": replace(BASE, scale=(0.05, 0.1)),
    "large: 60 to 100 %": replace(BASE, scale=(0.6, 1.0)),
    "herds of 8 to 15": replace(BASE, herd=(8, 15), scale=(0.1, 0.3)),
    "empty: rocks, bales, bushes": replace(BASE, herd=(0, 0), distractors=(3, 8)),
}

MISSED, FALSE, HIT = (220, 30, 30), (240, 150, 0), (70, 130, 230)


def record(scene: Scene) -> ImageRecord:
    """The scene as a labelled photo; it is never read from a file."""
    height, width = scene.picture.shape[:2]
    return ImageRecord(Path("scene"), width, height, scene.boxes, np.zeros(len(scene.boxes), np.int64))


def mistakes(scene: Scene, found: Detections) -> tuple[int, Picture]:
    """How many animals of a scene are missed or made up, and the scene with its boxes."""
    truth, table = truth_table([record(scene)]), detection_table([found])
    matches = match(truth, table)  # rows in the order of found
    hit = np.zeros(len(truth), bool)
    hit[matches.truth[matches.hits]] = True
    picture = draw_boxes(scene.picture, scene.boxes[~hit], color=MISSED, dashed=True)
    picture = draw_boxes(picture, found.boxes[matches.hits], color=HIT)
    picture = draw_boxes(picture, found.boxes[~matches.hits], color=FALSE)
    return int((~hit).sum() + (~matches.hits).sum()), picture


def measure(model: str, scenes: int) -> tuple[dict[str, Any], list[Picture]]:
    """Figures of each condition, and its worst scene."""
    detector = load(model)
    rows: dict[str, Any] = {}
    worst = []
    for name, config in track(CONDITIONS.items(), description="scenes"):
        drawn = [pasture_scene(config, index) for index in range(scenes)]
        found = list(detector.stream([scene.picture for scene in drawn], score=0.01, batch=8))
        rows[name] = figures(drawn, found, detector.spec.score_threshold)
        judged = [mistakes(s, f.above(detector.spec.score_threshold)) for s, f in zip(drawn, found, strict=True)]
        worst.append(max(judged, key=lambda one: one[0])[1])
    return rows, worst


def figures(drawn: Sequence[Scene], found: Sequence[Detections], threshold: float) -> dict[str, Any]:
    """Animals, mean average precision where there are any, precision, recall and false alarms a scene."""
    records = [record(scene) for scene in drawn]
    kept = [detections.above(threshold) for detections in found]
    truth, table = truth_table(records), detection_table(kept)
    hits = int(match(truth, table).hits.sum())
    row: dict[str, Any] = {
        "animals": len(truth),
        "false_alarms_a_scene": round((len(table) - hits) / len(drawn), 3),
    }
    if len(truth):
        metrics = evaluate_detections(found, records, CLASS_NAMES)
        row |= {
            "mAP50": round(metrics.map50, 3),
            "mAP50_95": round(metrics.map50_95, 3),
            "precision": round(hits / max(len(table), 1), 3),
            "recall": round(hits / len(truth), 3),
        }
    return row


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="alpaca", help="a shipped model's name, or a file")
    parser.add_argument("--scenes", type=int, default=100, help="for each condition")
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    args = parser.parse_args()
    rows, worst = measure(args.model, args.scenes)
    save_picture(args.out, grid(worst, cell=300, columns=4, captions=list(rows)))
    result = {"threshold": round(load(args.model).spec.score_threshold, 3), "scenes": args.scenes, "rows": rows}
    (RESULTS / "alpaca_limits.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
