"""The shipped alpaca model beside everything else, on the same photos in the same run: accuracy, time, size, memory.

    python benchmarks/alpaca.py --shared ../shared --recipe-run runs/alpaca --scratch-runs RUN RUN RUN \
        --peer-python PEER/bin/python --peer-weights PEER.pt

Rows: the peer's YOLOv8n and herder-n, both trained from scratch at 320 px by benchmarks/peer.py; the imported
yolox-nano before training, every COCO animal counted as an alpaca, and the seeds of the recipe after it; the shipped
model in float16 and in int8. Accuracy is on val, with BCa intervals over photos; precision and recall at the score
threshold with the best F1. Times are medians from a decoded photo to boxes, each model in its faster engine, in turns.
Figures go to benchmarks/results/alpaca.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from herder import load
from herder.catalogue import find_model, shipped_folder
from herder.data.formats import read_dataset
from herder.data.records import Dataset
from herder.detections import Detections
from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.coco_files import evaluate_files
from herder.evaluation.detector import evaluate_detector
from herder.evaluation.headline import headline, sample_measures
from herder.evaluation.metrics import Metrics
from herder.evaluation.tables import DetectionTable, TruthTable, detection_table, truth_table
from herder.model.transfer import ANIMALS
from peer import DUMP_PREDICTIONS, RESULTS, herder, last_json, machine, run, truth_file

SCRATCH_SIZE = 320
"""Pixels that both models from scratch were trained with."""

DRAWS, SEED = 2000, 0

TRAINED = "yolox-nano fine-tuned, one of the average"

PEER_MEMORY = """
import sys
from pathlib import Path
from ultralytics import YOLO
weights, images, size = sys.argv[1:4]
model = YOLO(weights, task="detect")
for path in sorted(Path(images).iterdir())[:100]:
    model.predict(str(path), imgsz=int(size), verbose=False)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


def intervals(metrics: Metrics, truth: TruthTable, found: DetectionTable, photos: int) -> dict[str, Any]:
    """Five measures of one class with their intervals."""
    sampled = sample_measures(truth, found, photos, 1, metrics.threshold, DRAWS, SEED)
    return {"threshold": round(metrics.threshold, 3), **{m.name: rounded(m.as_dict()) for m in headline(sampled)}}


def accuracy(found: Sequence[Detections], data: Dataset) -> dict[str, Any]:
    """The same of detections in the order of the photos."""
    metrics = evaluate_detections(found, data.records, data.class_names)
    return intervals(metrics, truth_table(data.records), detection_table(found), len(data))


def of_model(
    model: Path, data: Dataset, size: int | None = None, count_as: dict[str, str] | None = None
) -> dict[str, Any]:
    """The same of a herder model."""
    return accuracy(evaluate_detector(load(model), data, size=size, count_as=count_as)[1], data)


def of_peer(args: argparse.Namespace, data: Dataset) -> dict[str, Any]:
    """The same of the peer, from a file of its detections."""
    file = args.work / "peer-predictions.json"
    if not file.exists():
        run([args.peer_python, "-c", DUMP_PREDICTIONS, str(args.peer_weights), str(args.shared / "alpaca/images/val"),
             str(file), str(SCRATCH_SIZE)], args.work / "peer-predict.log")  # fmt: skip
    metrics, truth, found = evaluate_files(file, truth_file(args))
    return intervals(metrics, truth.table, found, len(data))


def cost(model: Path, size: int, args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds, photos a second and peak memory in the faster engine, each in a fresh process."""
    said = subprocess.run(
        herder("benchmark", model, "--data", args.shared / "alpaca", "--split", "val", "--sizes", size, "--json"),
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    best = min(json.loads(said)["measurements"], key=lambda m: m["latency_ms"]["p50"])
    return {
        "engine": best["configuration"]["engine"],
        "ms": best["latency_ms"]["p50"],
        "memory_mb": round(best["peak_rss_bytes"] / 1e6),
    }


def peer_cost(args: argparse.Namespace) -> dict[str, Any]:
    """The same of the peer, in the faster of its engines."""
    log = args.work / "peer-infer.log"
    run([args.peer_python, str(args.shared / "peers/ultralytics_peer.py"), "infer", "--imgsz", str(SCRATCH_SIZE),
         "--engines", "onnx", "openvino", "--weights", str(args.peer_weights),
         "--images", str(args.shared / "alpaca/images/val")], log)  # fmt: skip
    times = {name.removesuffix("_ms_median"): ms for name, ms in last_json(log).items() if name.endswith("_ms_median")}
    engine = min(times, key=lambda name: times[name])
    file = args.peer_weights.with_suffix(".onnx") if engine == "onnx" else args.peer_weights
    memory = subprocess.run(
        [args.peer_python, "-c", PEER_MEMORY, str(file), str(args.shared / "alpaca/images/val"), str(SCRATCH_SIZE)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return {"engine": engine, "ms": times[engine], "memory_mb": round(int(memory.split()[-1]) * 1024 / 1e6)}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All rows; times are taken in turns, so that all meet the same machine."""
    data = read_dataset(args.shared / "alpaca", split="val")
    shipped = find_model("alpaca")
    folder = shipped_folder()
    start, seeds = args.recipe_run / "start.safetensors", sorted(args.recipe_run.glob("train-*/best.safetensors"))
    files = {
        "herder-n from scratch": (args.scratch_runs[0], SCRATCH_SIZE),
        TRAINED: (seeds[0], None),
        **{f"alpaca {file.role}": (folder / file.name, None) for file in shipped.files},
    }
    rows: dict[str, Any] = {
        "peer YOLOv8n from scratch": of_peer(args, data),
        "yolox-nano imported": of_model(start, data, None, dict.fromkeys(ANIMALS, "alpaca")),
    }
    for name, (model, size) in files.items():
        rows[name] = of_model(model, data, size)
    spread = {
        "herder-n from scratch": [of_model(path, data, SCRATCH_SIZE) for path in args.scratch_runs],
        TRAINED: [of_model(path, data) for path in seeds],
    }
    times: dict[str, list[dict[str, Any]]] = {}
    for _ in range(args.turns):
        times.setdefault("peer YOLOv8n from scratch", []).append(peer_cost(args))
        for name, (model, size) in files.items():
            if model.suffix == ".onnx" or name.endswith("scratch"):
                runs = exported(model, args.work)
                times.setdefault(name, []).append(cost(runs, size or load(runs).spec.input_size, args))
    for name, each in times.items():
        fastest = min(each, key=lambda one: one["ms"])
        ms = statistics.median(one["ms"] for one in each)
        rows[name] |= {**fastest, "ms": round(ms, 2), "frames_per_second": round(1000 / ms, 1)}
    for name, (model, _) in files.items():
        rows[name]["megabytes"] = round(model.stat().st_size / 1e6, 2)
    rows["peer YOLOv8n from scratch"]["megabytes"] = round(args.peer_weights.stat().st_size / 1e6, 2)
    crossval = json.loads((args.recipe_run / "crossval" / "crossval.json").read_text())["pooled"][0]
    return {
        "rows": rows,
        "seeds": {name: list(map(only_values, each)) for name, each in spread.items()},
        "names": [path.parent.name for path in seeds],
        "crossval": rounded({"photos": crossval["photos"], "threshold": crossval["threshold"],
                             **{m["name"]: m for m in crossval["measures"]}}),
        "robustness": robustness(folder / shipped.file("onnx").name, args),
        "photos": len(data),
        "version": shipped.version,
    }  # fmt: skip


def exported(model: Path, work: Path) -> Path:
    """The ONNX file of a model, made where there is none."""
    if model.suffix == ".onnx":
        return model
    out = work / f"{model.parent.name}.onnx"
    if not out.exists():
        run(herder("export", model, "--out", out), work / "export.log")
    return out


def robustness(model: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """mAP@0.5 of the shipped model under the report's three corruptions, at severities 1 to 5."""
    said = subprocess.run(
        herder("robustness", model, args.shared / "alpaca", "--split", "val",
               "--corruptions", "low_light,occlusion,scale", "--out", args.work / "alpaca-robustness", "--json"),
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    cells: dict[str, list[float]] = {}
    for cell in sorted(json.loads(said)["cells"], key=lambda one: one["severity"]):
        cells.setdefault(cell["corruption"], []).append(round(cell["map50"], 4))
    return cells


def only_values(row: dict[str, Any]) -> dict[str, float]:
    """Without intervals."""
    return {name: each["value"] for name, each in row.items() if isinstance(each, dict)}


def rounded(value: Any) -> Any:
    """Four digits are what 100 photos can bear."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def show(result: dict[str, Any]) -> None:
    """The table on the terminal."""
    names = ("mAP50", "mAP50_95", "precision", "recall", "ms", "frames_per_second", "megabytes", "memory_mb")
    print(f"{'':44}" + "".join(f"{name:>18}" for name in names))
    for label, row in result["rows"].items():
        cells = [row.get(name, "") for name in names]
        print(f"{label:44}" + "".join(f"{c['value'] if isinstance(c, dict) else c!s:>18}" for c in cells))


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--recipe-run", type=Path, required=True, help="--out of herder recipe recipes/alpaca.toml")
    parser.add_argument("--scratch-runs", type=Path, nargs="+", required=True, help="best.safetensors of each seed")
    parser.add_argument("--peer-python", default="python3", help="the Python that has the peer installed")
    parser.add_argument("--peer-weights", type=Path, required=True, help="best.pt, trained at 320 px")
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / ".work")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(), **measure(args)}
    (RESULTS / "alpaca.json").write_text(json.dumps(result, indent=2) + "\n")
    show(result)


if __name__ == "__main__":
    main()
