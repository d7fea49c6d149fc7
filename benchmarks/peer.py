"""herder beside YOLOv8n of Ultralytics: accuracy, training time, throughput, latency, on one machine and dataset.

The peer is only run, in an environment of its own (see --peer-python), never imported here. Each part can be run alone;
what is done is kept in --work and not run again: a stopped benchmark goes on. Results go to benchmarks/results/.

    python benchmarks/peer.py all --shared ../shared --peer-python ~/peer/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

TRAIN_PHOTOS = 300
"""Of the alpaca photos."""

RESULTS = Path(__file__).parent / "results"

DUMP_PREDICTIONS = """
import json, sys
from pathlib import Path
from ultralytics import YOLO
weights, images, out, size = sys.argv[1:5]
model, rows = YOLO(weights), []
for path in sorted(Path(images).iterdir()):
    found = model.predict(str(path), imgsz=int(size), conf=0.001, iou=0.6, max_det=300, verbose=False)[0].boxes
    for (x1, y1, x2, y2), score, index in zip(found.xyxy.tolist(), found.conf.tolist(), found.cls.tolist()):
        box = [x1, y1, x2 - x1, y2 - y1]
        rows.append({"file_name": path.name, "category": model.names[int(index)], "bbox": box, "score": score})
Path(out).write_text(json.dumps(rows))
"""


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__,
            "date": date.today().isoformat()}  # fmt: skip


def run(command: list[str], log: Path) -> float:
    """Run a command with its output in ``log``; seconds it took. A failure ends the benchmark with the log's end."""
    start = time.perf_counter()
    with log.open("w") as file:
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    if code not in (0, 3):
        sys.exit(f"{' '.join(command)} failed with {code}:\n{log.read_text()[-2000:]}")
    return time.perf_counter() - start


def herder(*arguments: object) -> list[str]:
    """The command line of the herder that stands beside this Python."""
    return [str(Path(sys.executable).parent / "herder"), *map(str, arguments)]


def last_json(log: Path) -> dict[str, Any]:
    """The JSON line that a run printed last."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return json.loads(lines[-1])


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What an earlier run left in ``path``, or made now."""
    if not path.exists():
        value = make()
        path.write_text(json.dumps(value))
    return json.loads(path.read_text())


def measure_predictions(predictions: Path, truth: Path, work: Path) -> dict[str, float]:
    """COCO figures of a predictions file, by herder (which agrees with pycocotools to 1e-6)."""
    log = work / "evaluate.json"
    with log.open("w") as file:
        subprocess.run(
            herder("evaluate", "--predictions", predictions, "--truth", truth, "--json"), stdout=file, check=True
        )
    metrics = json.loads(log.read_text())["metrics"]
    return {name: metrics[name] for name in ("mAP50", "mAP50_95")}


def truth_file(args: argparse.Namespace) -> Path:
    """The val labels as one COCO file."""
    folder = args.work / "truth"
    if not folder.exists():
        from herder.data.formats import Format, read_dataset, write_dataset

        write_dataset(read_dataset(args.shared / "alpaca", split="val"), folder, Format.COCO)
    return next(folder.rglob("*.json"))


def peer_train(args: argparse.Namespace, name: str, epochs: int) -> dict[str, Any]:
    """Train the peer from scratch at 320 px; what it printed, and where its weights are."""

    def make() -> dict[str, Any]:
        log = args.work / f"{name}.log"
        run(
            [args.peer_python, str(args.peer_script), "train", "--data", str(peer_data(args)), "--imgsz", "320",
             "--epochs", str(epochs), "--batch", "16", "--out", str(args.work / name)], log,
        )  # fmt: skip
        return last_json(log)

    return kept(args.work / f"{name}.json", make)


def peer_data(args: argparse.Namespace) -> Path:
    """A copy of the photos that the peer may write its caches into."""
    import shutil

    copy = args.work / "peer-data"
    if not copy.exists():
        shutil.copytree(args.shared / "alpaca", copy)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


def scratch(args: argparse.Namespace) -> dict[str, Any]:
    """From scratch, 320 px, 60 epochs, batch 16: both sides' accuracy on val, by one ruler, and wall time."""
    truth, work = truth_file(args), args.work
    peer = peer_train(args, "peer-scratch", 60)
    predictions = work / "peer-scratch-predictions.json"
    if not predictions.exists():
        weights = next((work / "peer-scratch").rglob("best.pt"))
        run([args.peer_python, "-c", DUMP_PREDICTIONS, str(weights), str(args.shared / "alpaca/images/val"),
             str(predictions), "320"], work / "peer-predict.log")  # fmt: skip
    ours = []
    for seed in args.seeds:
        out = work / f"herder-scratch-{seed}"

        def make(out: Path = out, seed: int = seed) -> dict[str, Any]:
            wall = run(
                herder("train", args.shared / "alpaca", "--model", "herder-n", "--imgsz", 320, "--epochs", 60,
                       "--batch", 16, "--seed", seed, "--out", out), work / f"herder-scratch-{seed}.log",
            )  # fmt: skip
            return {"wall_s": round(wall, 1), **herder_metrics(out / "best.safetensors", args, 320)}

        ours.append({"seed": seed, **kept(work / f"herder-scratch-{seed}.json", make)})
    return {
        "peer": {"wall_s": peer["wall_s"], "own_mAP50": peer["mAP50"], "own_mAP50_95": peer["mAP50_95"],
                 **measure_predictions(predictions, truth, work)},
        "herder": ours,
        "wall_ratio": round(statistics.median(run["wall_s"] for run in ours) / peer["wall_s"], 3),
    }  # fmt: skip


def herder_metrics(model: Path, args: argparse.Namespace, size: int) -> dict[str, float]:
    """A herder model on val, through its predictions file and the same ruler as the peer's."""
    predictions = model.parent / "predictions.json"
    run(herder("evaluate", model, args.shared / "alpaca", "--split", "val", "--size", size, "--save-coco", predictions),
        model.parent / "evaluate.log")  # fmt: skip
    return measure_predictions(predictions, truth_file(args), args.work)


def finetune(args: argparse.Namespace) -> dict[str, Any]:
    """From the imported yolox-nano, 416 px."""
    start = args.work / "yolox-nano.safetensors"
    if not start.exists():
        run(herder("import", args.shared / "pretrained/yolox_nano.onnx", "--out", start), args.work / "import.log")
    rows = []
    for seed in args.seeds:
        out = args.work / f"herder-finetune-{seed}"

        def make(out: Path = out, seed: int = seed) -> dict[str, Any]:
            wall = run(
                herder("train", args.shared / "alpaca", "--model", "yolox-nano", "--init", start, "--imgsz", 416,
                       "--seed", seed, "--out", out, *args.finetune_options), args.work / f"herder-finetune-{seed}.log",
            )  # fmt: skip
            return {"wall_s": round(wall, 1), **herder_metrics(out / "best.safetensors", args, 416)}

        rows.append({"seed": seed, **kept(args.work / f"herder-finetune-{seed}.json", make)})
    return {"before": zero_shot(args, start), "herder": rows}


def zero_shot(args: argparse.Namespace, model: Path) -> dict[str, float]:
    """The imported network without training, every COCO animal counted as the one class."""
    import numpy as np

    from herder import load, read_dataset
    from herder.boxes import nms
    from herder.detections import Detections
    from herder.evaluation.average_precision import evaluate_detections
    from herder.model.transfer import ANIMALS

    detector, data = load(model), read_dataset(args.shared / "alpaca", split="val")
    animals = [detector.class_names.index(name) for name in ANIMALS]
    found = []
    for one in detector.stream([record.path for record in data], score=0.01, iou=0.6):
        one = one[np.isin(one.classes, animals)]
        same = np.zeros(len(one), np.int64)
        kept_rows = nms(one.boxes, one.scores, same, 0.6)
        found.append(Detections(one.boxes[kept_rows], one.scores[kept_rows], same[kept_rows], data.class_names))
    metrics = evaluate_detections(found, data.records, data.class_names)
    return {"mAP50": round(metrics.map50, 4), "mAP50_95": round(metrics.map50_95, 4)}


def throughput(args: argparse.Namespace) -> dict[str, Any]:
    """Images per second of training at 320 px, batch 16: short runs in turn, so that both meet the same machine."""
    rows = []
    for turn in range(args.turns):
        peer = peer_train(args, f"peer-short-{turn}", 3)
        out = args.work / f"herder-short-{turn}"
        if not (out / "best.safetensors").exists():
            run(
                herder("train", args.shared / "alpaca", "--model", "herder-n", "--imgsz", 320, "--epochs", 3,
                       "--batch", 16, "--out", out), args.work / f"herder-short-{turn}.log",
            )  # fmt: skip
        ours = fastest_epoch(out / "metrics.csv", "seconds")
        theirs = fastest_epoch(next((args.work / f"peer-short-{turn}").rglob("results.csv")), "time")
        rows.append({"herder": ours, "peer": theirs, "ratio": round(ours / theirs, 2), "peer_wall_s": peer["wall_s"]})
    return {"turns": rows, "ratio_median": statistics.median(row["ratio"] for row in rows)}


def fastest_epoch(path: Path, column: str) -> float:
    """Photos a second, validation included, in the fastest epoch; ``column`` holds seconds since the start."""
    import csv

    with path.open() as file:
        clock = [float(row[column]) for row in csv.DictReader(file)]
    return round(TRAIN_PHOTOS / min(b - a for a, b in zip([0.0, *clock], clock, strict=False)), 2)


def latency(args: argparse.Namespace) -> dict[str, Any]:
    """Photo to boxes at 640 px, each side in its own fastest engine, in turn."""
    photos = args.shared / "alpaca" / "images" / "val"
    model = args.work / "latency.onnx"
    if not model.exists():
        run([sys.executable, str(Path(__file__).parent / "latency.py"), "--make", str(model)], args.work / "make.log")
    rows = []
    for turn in range(args.turns):
        log = args.work / f"peer-infer-{turn}.log"
        run([args.peer_python, str(args.peer_script), "infer", "--imgsz", "640", "--engines", "onnx", "openvino",
             "--images", str(photos)], log)  # fmt: skip
        peer = last_json(log)
        own = args.work / f"herder-infer-{turn}.log"
        run(
            [sys.executable, str(Path(__file__).parent / "latency.py"), "--model", str(model), "--images", str(photos)],
            own,
        )
        ours = last_json(own)
        best = {side: min(v for k, v in row.items() if k.endswith("_ms_median")) for side, row in
                (("herder", ours), ("peer", peer))}  # fmt: skip
        rows.append({"herder": ours, "peer": peer, "ratio": round(best["herder"] / best["peer"], 3)})
    return {"turns": rows, "ratio_median": statistics.median(row["ratio"] for row in rows)}


PARTS = {"scratch": scratch, "finetune": finetune, "throughput": throughput, "latency": latency}


def main() -> None:
    """Run one part or all, print the figures, keep them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--peer-python", default="python3", help="the Python that has the peer installed")
    parser.add_argument("--peer-script", type=Path, help="default: SHARED/peers/ultralytics_peer.py")
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / ".work")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--finetune-options", nargs="*", default=[], help="more flags for herder train")
    args = parser.parse_args()
    args.shared, args.work = args.shared.resolve(), args.work.resolve()
    args.peer_script = args.peer_script or args.shared / "peers" / "ultralytics_peer.py"
    args.work.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    for name in PARTS if args.part == "all" else [args.part]:
        result = {"machine": machine(), **PARTS[name](args)}
        (RESULTS / f"peer_{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        print(name, json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
