"""Write docs/results.md and the model card's figures from benchmarks/results/*.json: none is ever typed by hand.

python benchmarks/report.py
"""

from __future__ import annotations

import statistics
from typing import Any

from report_alpaca import alpaca, write_card
from report_course import foundations, generative
from report_data import data_pipeline
from report_edge import edge
from report_evaluation import evaluation
from report_tables import RESULTS, ROOT, load, table

PEER = "python benchmarks/peer.py {} --shared ../shared --peer-python PEER/bin/python"


def middle(rows: list[dict[str, Any]], name: str) -> float:
    """The median of one figure over seeds."""
    return statistics.median(row[name] for row in rows)


def scratch() -> str:
    """Training from nothing beside the peer."""
    r = load("peer_scratch")
    peer, ours = r["peer"], r["herder"]
    rows = [
        ["peer, YOLOv8n", f"{peer['mAP50']:.3f}", f"{peer['mAP50_95']:.3f}", f"{peer['wall_s'] / 60:.1f} min"],
        *(
            [f"herder-n, seed {o['seed']}", f"{o['mAP50']:.3f}", f"{o['mAP50_95']:.3f}", f"{o['wall_s'] / 60:.1f} min"]
            for o in ours
        ),
    ]
    return (
        "## From scratch: 300 alpaca photos, 320 px, 60 epochs, batch 16\n\n"
        + table(["", "mAP@0.5 on val", "mAP@0.5:0.95 on val", "wall time"], rows)
        + f"\nWall time of herder over the peer's: {r['wall_ratio']} (wanted: at most 0.5). Both sides' best "
        "epoch is picked on val, as both do by default, and both are measured from their predictions by one ruler "
        f"(`herder evaluate --predictions`).\n\n    {PEER.format('scratch')}\n"
    )


def finetune() -> str:
    """Training from the imported weights."""
    r = load("peer_finetune")
    rows = [["before training", f"{r['before']['mAP50']:.3f}", f"{r['before']['mAP50_95']:.3f}", ""]]
    for o in r["herder"]:
        rows.append([f"seed {o['seed']}", f"{o['mAP50']:.3f}", f"{o['mAP50_95']:.3f}", f"{o['wall_s'] / 60:.1f} min"])
    return (
        "## From `yolox-nano`, 416 px\n\n"
        + table(["", "mAP@0.5 on val", "mAP@0.5:0.95 on val", "wall time"], rows)
        + "\nWanted: 0.70 and 0.52 in at most 45 minutes. The best epoch is picked on val.\n\n"
        + f"    {PEER.format('finetune')}\n"
    )


def latency() -> str:
    """Photo to boxes."""
    r = load("peer_latency")
    rows = []
    for turn in r["turns"]:
        row = [
            f"{turn[side][f'{engine}_ms_median']:.1f}" for side in ("herder", "peer") for engine in ("onnx", "openvino")
        ]
        rows.append([*row, turn["ratio"]])
    head = [
        "herder-n, ONNX Runtime",
        "herder-n, OpenVINO",
        "YOLOv8n, ONNX Runtime",
        "YOLOv8n, OpenVINO",
        "fastest / fastest",
    ]
    return (
        "## Photo to boxes, 640 px, milliseconds (median of 50 photos)\n\n"
        + table(head, rows)
        + f"\nMedian ratio {r['ratio_median']} (wanted: at most 0.6). herder pads a photo only to the next multiple "
        "of 32; the peer's exported files take squares.\n\n"
        f"    {PEER.format('latency')}\n"
    )


def throughput() -> str:
    """Images per second of training."""
    r = load("peer_throughput")
    rows = [[t["herder"], t["peer"], t["ratio"]] for t in r["turns"]]
    profile = load("training_profile")
    parts = ", ".join(f"{name} {ms:.0f} ms" for name, ms in profile["milliseconds"].items())
    top = ", ".join(f"`{name}` {share:.0%}" for name, share in list(profile["share_of_operators"].items())[:6])
    return (
        "## Training throughput: images a second, 320 px, batch 16\n\n"
        + table(["herder-n", "YOLOv8n", "ratio"], rows)
        + f"\nMedian ratio {r['ratio_median']} (wanted: at least 2). Short runs in turn; each side's fastest epoch, "
        "validation included.\n\n"
        f"    {PEER.format('throughput')}\n\n"
        f"Where a step of herder's goes (median, {profile['images_per_second']} images a second in this run): {parts}. "
        f"By operator: {top}.\n\n"
        "    python benchmarks/training_profile.py ../shared/alpaca\n"
    )


def main() -> None:
    """Write the page."""
    m = load("peer_scratch")["machine"]
    page = [
        "# Measured",
        f"On {m['cores']} cores of an {m['cpu']}, Python {m['python']}, torch {m['torch']}, {m['date']}. Written by "
        "`python benchmarks/report.py` from `benchmarks/results/`. The photos are the alpaca set (300 train, 100 val); "
        "the peer is YOLOv8n of Ultralytics 8.4, run in an environment of its own.",
    ]
    parts = (scratch, finetune, latency, throughput, data_pipeline, evaluation, edge, alpaca, foundations, generative)
    page += [part() for part in parts]
    notes = RESULTS / "notes.md"
    if notes.exists():
        page.append(notes.read_text().strip() + "\n")
    (ROOT / "docs" / "results.md").write_text("\n\n".join(part.strip() for part in page) + "\n")
    write_card()


if __name__ == "__main__":
    main()
