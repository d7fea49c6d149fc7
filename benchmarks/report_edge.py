"""The part of the results page on the edge: every strategy beside the peer."""

from __future__ import annotations

from typing import Any

from report_tables import load, table

COMMAND = (
    "python benchmarks/edge.py all --shared ../shared --model runs/finetuned/best.safetensors "
    "--peer-python PEER/bin/python --peer-weights PEER.pt -- --strategies export,quantize,prune,distill,aware,search "
    "--ratio 0.15 --epochs 8 --scratch-epochs 40 --trials 12 --student runs/distilled/best.safetensors"
)


def edge() -> str:
    """What optimize found, the peer beside it, what the chosen file costs."""
    return "\n\n".join(part().strip() for part in (_optimize, _peer, _cost))


def _optimize() -> str:
    n = load("edge_optimize")
    rows = []
    for c in sorted(n["candidates"], key=lambda c: c["ms"]):
        low, high = c["drop_bounds"]
        time = c["time"]
        rows.append(
            [
                f"**{c['label']}**" if c["chosen"] else c["label"],
                f"{c['map50']:.3f}",
                f"{c['map50_95']:.3f}",
                f"{c['drop']:+.3f} ({low:+.3f} to {high:+.3f})",
                f"{c['ms']:.1f}",
                f"{1000 / c['ms']:.0f}",
                f"{1 / time['value']:.2f} ({1 / time['high']:.2f} to {1 / time['low']:.2f})",
                f"{c['file_bytes'] / 1e6:.2f}",
                f"{c['peak_rss_bytes'] / 1e6:.0f}",
            ]
        )
    given = n["input"]
    head = ["candidate", "mAP@0.5", "mAP@0.5:0.95", "drop of mAP@0.5 (95 %)", "ms", "photos a second",
            "times as fast (95 %)", "MB", "peak memory, MB"]  # fmt: skip
    reasons: dict[str, list[str]] = {}
    for each in n["not_tried"]:
        reasons.setdefault(each["reason"], []).append(each["label"])
    left = "".join(f"\n\nLeft out, because {why}: {'; '.join(labels)}." for why, labels in reasons.items())
    return (
        f"## The edge: every strategy on a {given['name']} of {given['size']} px\n\n"
        + table(head, rows)
        + f"\nThe model as given has mAP@0.5 {given['map50']:.3f} on val; its plain float32 export takes "
        f"{n['reference_ms']:.1f} ms from a decoded photo to boxes in ONNX Runtime on 2 threads. The chosen one is "
        "bold. Wanted: 10.7 ms (93.5 photos a second) with a drop of at most 0.01, 6.2 MB as float16, 2 MB as int8, "
        f"250 MB of memory. {' '.join(_sentence(words) for words in n['words'])} The choice was made on val, "
        f"which flatters it.{left}\n\n"
        "![mAP@0.5 against milliseconds, every strategy and the peer](images/pareto.png)\n\n"
        f"    {COMMAND}\n"
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _peer() -> str:
    n = load("edge_peer")
    wide, own = n["wide"], n["own"]
    names = list(wide["turns"][0]["herder"])
    head = ["turn", *(f"peer, {name}" for name in wide["turns"][0]["peer"]), *names, "fastest / fastest"]
    rows = [
        [
            i + 1,
            *(f"{ms:.1f}" for ms in t["peer"].values()),
            *(f"{t['herder'][name]:.1f}" for name in names),
            t["ratio"],
        ]
        for i, t in enumerate(wide["turns"])
    ]
    accuracy = "; ".join(f"{name}: {_maps(values)}" for name, values in n["wide_accuracy"].items())
    return (
        "### Photo to boxes at 640 px beside the peer's YOLOv8n, milliseconds\n\n"
        + table(head, rows)
        + f"\nMedian ratio {wide['ratio_median']} (wanted: at most 0.35). mAP on val of these files at 640 px, which "
        f"is not the size they were trained for: {accuracy}. At its own size of 320 px the peer, trained from scratch, "
        f"has {_maps(n['peer'])}; the chosen file at its own size takes {own['ratio_median']} of its time there.\n"
    )


def _maps(values: dict[str, Any]) -> str:
    return f"mAP@0.5 {values['mAP50']:.3f}, mAP@0.5:0.95 {values['mAP50_95']:.3f}"


def _cost() -> str:
    n = load("edge_cost")
    rows = []
    for m in n["measurements"]:
        c, whole = m["configuration"], m["latency_ms"]
        rows.append(
            [
                c["engine"],
                c["threads"],
                c["size"],
                f"{whole['p50']:.1f}, {whole['p95']:.1f}, {whole['p99']:.1f}",
                f"{m['network_ms']['p50']:.1f}",
                f"{m['frames_per_second']:.1f}",
                f"{m['peak_rss_bytes'] / 1e6:.0f}",
            ]
        )
    head = ["engine", "threads", "px", "photo to boxes, ms (p50, p95, p99)", "network, ms", "photos a second",
            "peak memory, MB"]  # fmt: skip
    return (
        f"### `herder benchmark` of the chosen file ({n['label']})\n\n"
        + table(head, rows)
        + "\nEach row is a fresh process.\n\n    herder benchmark BEST --data alpaca --threads 1,2 --json\n"
    )
