"""The edge: every strategy on one detector, beside the peer. Each part alone or all; what is done is kept in --work.

    python benchmarks/edge.py all --shared ../shared --model BEST.safetensors --peer-python PEER/bin/python

``optimize`` runs ``herder optimize`` on the alpaca photos, with more options after ``--``. ``peer`` times the peer's
YOLOv8n and the files that optimize made at 640 pixels, in turns, and gives the peer a place in the picture: its
weights, trained from scratch, their mAP by herder's ruler and their time at 320 pixels. ``cost`` runs ``herder
benchmark`` on the chosen file. ``picture`` draws all.

Results go to benchmarks/results/edge_*.json and docs/images/pareto.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from peer import DUMP_PREDICTIONS, RESULTS, herder, last_json, machine, measure_predictions, run, truth_file

ROOT = Path(__file__).parent.parent

FRAMES_PER_SECOND = 93.5

WIDE = 640
"""Pixels at which both sides are timed in turns; the peer's own default."""

PEER_SIZE = 320
"""Pixels that the peer's weights were trained with."""


def optimize(args: argparse.Namespace) -> dict[str, Any]:
    """Every strategy alone and combined, measured by the command that users run."""
    out = args.work / "optimize"
    limit = round(1000 / FRAMES_PER_SECOND, 1)
    command = herder("optimize", args.model, args.shared / "alpaca", "--max-latency-ms", limit,
                     "--max-size-mb", 4, "--max-memory-mb", 250, "--max-drop", 0.01, "--out", out)  # fmt: skip
    run([*command, *args.more], args.work / "optimize.log")
    found = json.loads((out / "optimize.json").read_text())
    reference = found["reference_ms"]
    rows = [
        {
            **{name: c[name] for name in ("key", "label", "engine", "size", "precision", "map50", "map50_95", "drop",
                                          "drop_bounds", "time", "file", "file_bytes", "peak_rss_bytes")},
            "ms": round(c["time"]["value"] * reference, 2),
            "front": c["key"] in found["front"],
            "chosen": c["key"] == found["best"],
        }
        for c in found["state"]["candidates"]
    ]  # fmt: skip
    return {"input": found["state"]["input"], "reference_ms": reference, "candidates": rows, "words": found["words"],
            "not_tried": found["not_tried"]}  # fmt: skip


def peer(args: argparse.Namespace) -> dict[str, Any]:
    """The peer beside herder at 640 pixels, and at its own size beside the chosen file."""
    optimized = json.loads((RESULTS / "edge_optimize.json").read_text())
    wide, own = [], []
    for turn in range(args.turns):
        theirs = peer_times(args, WIDE, turn)
        ours = {c["label"]: herder_time(args, c, WIDE, turn) for c in fastest(optimized, args.wide)}
        best = min(ours.values())
        wide.append({"peer": theirs, "herder": ours, "ratio": round(best / min(theirs.values()), 3)})
        chosen = next(c for c in optimized["candidates"] if c["chosen"])
        row = {
            "peer": min(peer_times(args, PEER_SIZE, turn).values()),
            "herder": herder_time(args, chosen, chosen["size"], turn),
        }
        own.append({**row, "ratio": round(row["herder"] / row["peer"], 3)})
    predictions = args.work / "peer-predictions.json"
    if not predictions.exists():
        run([args.peer_python, "-c", DUMP_PREDICTIONS, str(args.peer_weights), str(args.shared / "alpaca/images/val"),
             str(predictions), str(PEER_SIZE)], args.work / "peer-predict.log")  # fmt: skip
    return {
        "wide": {"turns": wide, "ratio_median": statistics.median(row["ratio"] for row in wide)},
        "own": {"turns": own, "ratio_median": statistics.median(row["ratio"] for row in own)},
        "peer": measure_predictions(predictions, truth_file(args), args.work),
        "wide_accuracy": {c["label"]: accuracy(args, c, WIDE) for c in fastest(optimized, args.wide)},
    }


def fastest(optimized: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The fastest candidates at the model's own size within 0.01 of its mAP@0.5: those to be run at 640 pixels."""
    near = [c for c in optimized["candidates"] if c["drop"] <= 0.01 and c["size"] == optimized["input"]["size"]]
    return sorted(near, key=lambda c: c["ms"])[:count]


def peer_times(args: argparse.Namespace, size: int, turn: int) -> dict[str, float]:
    """Median milliseconds of the peer in each engine; weights do not change the time."""
    log = args.work / f"peer-{size}-{turn}.log"
    run([args.peer_python, str(args.peer_script), "infer", "--imgsz", str(size), "--engines", "onnx", "openvino",
         "--images", str(args.shared / "alpaca/images/val")], log)  # fmt: skip
    return {name.removesuffix("_ms_median"): ms for name, ms in last_json(log).items() if name.endswith("_ms_median")}


def herder_time(args: argparse.Namespace, candidate: dict[str, Any], size: int, turn: int) -> float:
    """Median milliseconds of a candidate in the engine it was measured in, in a process of its own."""
    log = args.work / f"herder-{size}-{turn}.log"
    model = args.work / "optimize" / candidate["file"]
    run([sys.executable, str(Path(__file__).parent / "latency.py"), "--model", str(model), "--size", str(size),
         "--engines", candidate["engine"], "--images", str(args.shared / "alpaca/images/val")], log)  # fmt: skip
    return float(last_json(log)[f"{candidate['engine']}_ms_median"])


def accuracy(args: argparse.Namespace, candidate: dict[str, Any], size: int) -> dict[str, float]:
    """mAP on val of a candidate at another size than its own."""
    command = herder("evaluate", args.work / "optimize" / candidate["file"], args.shared / "alpaca", "--split", "val",
                     "--size", size, "--json")  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: json.loads(said)["metrics"][name] for name in ("mAP50", "mAP50_95")}


def cost(args: argparse.Namespace) -> dict[str, Any]:
    """``herder benchmark`` of the chosen file: percentiles, frames per second, memory, for engines and threads."""
    chosen = next(c for c in json.loads((RESULTS / "edge_optimize.json").read_text())["candidates"] if c["chosen"])
    command = herder("benchmark", args.work / "optimize" / chosen["file"], "--data", args.shared / "alpaca", "--split",
                     "val", "--threads", "1,2", "--sizes", chosen["size"], "--json")  # fmt: skip
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {"label": chosen["label"], "measurements": said["measurements"], "machine_seen": said["machine"]}


def picture(args: argparse.Namespace) -> dict[str, Any]:
    """mAP against milliseconds: every candidate, and the peer."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    optimized, beside = (json.loads((RESULTS / f"edge_{name}.json").read_text()) for name in ("optimize", "peer"))
    chosen = next(c for c in optimized["candidates"] if c["chosen"])
    peer_ms = chosen["ms"] / beside["own"]["ratio_median"]
    figure, axes = pyplot.subplots(figsize=(9, 5.2), layout="constrained")
    networks = list(dict.fromkeys(c["key"].split("/")[0] for c in optimized["candidates"]))
    markers = {"float32": "o", "float16": "s", "int8": "^"}
    for c in optimized["candidates"]:
        colour = f"C{networks.index(c['key'].split('/')[0])}"
        face = colour if c["front"] else "white"
        axes.plot(c["ms"], c["map50"], markers[c["precision"]], color=colour, markerfacecolor=face, markersize=7)
    axes.plot(chosen["ms"], chosen["map50"], "*", color="none", markeredgecolor="black", markersize=20)
    axes.annotate("chosen", (chosen["ms"], chosen["map50"]), xytext=(9, 7), textcoords="offset points", fontsize=9)
    axes.plot(peer_ms, beside["peer"]["mAP50"], "X", color="black", markersize=9)
    axes.annotate(f"peer YOLOv8n, {PEER_SIZE} px", (peer_ms, beside["peer"]["mAP50"]), xytext=(9, -4),
                  textcoords="offset points", fontsize=9)  # fmt: skip
    axes.axvline(1000 / FRAMES_PER_SECOND, color="grey", linewidth=1, linestyle=":")
    axes.annotate(f"{FRAMES_PER_SECOND} photos a second ", (1000 / FRAMES_PER_SECOND, axes.get_ylim()[0]), rotation=90,
                  fontsize=8, color="grey", ha="right", va="bottom")  # fmt: skip
    for index, name in enumerate(networks):
        axes.plot([], [], "o", color=f"C{index}", label="as given" if name == "base" else name.replace("-", " + "))
    for name, marker in markers.items():
        axes.plot([], [], marker, color="black", markerfacecolor="white", label=name)
    axes.set(xlabel="milliseconds from photo to boxes, one photo, 2 cores", ylabel="mAP@0.5 on val")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(ROOT / "docs" / "images" / "pareto.png", dpi=120)
    return {"peer_ms": round(peer_ms, 2)}


PARTS = {"optimize": optimize, "peer": peer, "cost": cost, "picture": picture}


def main() -> None:
    """Run one part or all, print the figures, keep them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", type=Path, required=True, help="a detector of the alpaca photos, .safetensors")
    parser.add_argument("--peer-python", default="python3", help="the Python that has the peer installed")
    parser.add_argument("--peer-script", type=Path, help="default: SHARED/peers/ultralytics_peer.py")
    parser.add_argument(
        "--peer-weights", type=Path, help="best.pt of the peer trained at 320 px, by benchmarks/peer.py"
    )
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / ".work")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--wide", type=int, default=3, help="candidates that are run at 640 px")
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    args = parser.parse_args(given[:split])
    args.more = given[split + 1 :]
    for name in ("shared", "work", "model"):
        setattr(args, name, getattr(args, name).resolve())
    args.peer_script = args.peer_script or args.shared / "peers" / "ultralytics_peer.py"
    args.peer_weights = args.peer_weights or args.work / "peer-scratch" / "peer" / "weights" / "best.pt"
    args.work.mkdir(parents=True, exist_ok=True)
    for name in PARTS if args.part == "all" else [args.part]:
        result = {"machine": machine(), **PARTS[name](args)}
        (RESULTS / f"edge_{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        print(name, json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
