"""The parts of docs/results.md on the model that ships: beside the peers, robustness, limits, and as a start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from report_tables import ROOT, load, table

REPORT = ["the course report's model, on its own photos", "0.847", "0.623", "0.891", "0.823", "", "93.5", "6.2", ""]
"""As the report has it."""

FILES = {
    "weights": "float16 weights in torch",
    "onnx": "float16 ONNX",
    "int8": "int8 ONNX in OpenVINO",
}
"""What each shipped file is, by its role."""

MEASURES = ("mAP50", "mAP50_95", "precision", "recall")

NAMES = ("mAP@0.5", "mAP@0.5:0.95", "precision", "recall")

WANTED = {"low_light": 0.782, "occlusion": 0.745, "scale": 0.834}
"""mAP@0.5 of the course report's model on its own photos."""


def alpaca() -> str:
    """All parts."""
    return "\n\n".join(part().strip() for part in (_peers, _robustness, _limits, _start))


CARD = ROOT / "src" / "herder" / "weights" / "alpaca.md"

BEGIN, END = "<!-- benchmarks/report.py: begin -->", "<!-- benchmarks/report.py: end -->"


def write_card() -> None:
    """Put the figures into the model card, between the marks that stand there; MODEL_CARD.md is the same text."""
    before, _, rest = CARD.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    text = f"{before}{BEGIN}\n{_figures().strip()}\n{END}{after}"
    CARD.write_text(text, encoding="utf-8")
    (ROOT / "MODEL_CARD.md").write_text(text, encoding="utf-8")


def _figures() -> str:
    """What the model reached, as its card tells it."""
    r, limits = load("alpaca"), load("alpaca_limits")
    shipped = {name.removeprefix("alpaca "): row for name, row in r["rows"].items() if name.startswith("alpaca ")}
    rows = [
        [FILES[name], *(value(row[measure]) for measure in MEASURES), row.get("ms", ""), row.get("memory_mb", "")]
        for name, row in shipped.items()
    ]
    c = r["crossval"]
    inside = [f"{c['photos']} training photos, cross-validated", *(value(c[key]) for key in MEASURES), "", ""]
    seeds = r["seeds"]["yolox-nano fine-tuned, one of the average"]
    lights = [
        [name, *(row.get(key, "") for key in ("mAP50", "precision", "recall")), row["false_alarms_a_scene"]]
        for name, row in limits["rows"].items()
    ]
    return (
        f"On {r['photos']} photos of Open Images that took no part in training, 95 % intervals over photos:\n\n"
        + table(["", *NAMES, "ms, 2 cores", "memory, MB"], [*rows, inside])
        + f"\nThe {len(seeds)} trainings that were averaged reached mAP@0.5 {spread(seeds, 'mAP50')} and mAP@0.5:0.95 "
        f"{spread(seeds, 'mAP50_95')} one by one. Precision and recall at the threshold with the best F1.\n\n"
        + "## Where light fails, something stands in front, or animals are small\n\n"
        + _corrupted(r["robustness"])
        + f"\nOn drawn scenes, {limits['scenes']} of each kind, at its own score threshold:\n\n"
        + table(["", "mAP@0.5", "precision", "recall", "false alarms a scene"], lights)
    )


def _corrupted(cells: dict[str, list[float]]) -> str:
    rows = [
        [name.replace("_", " "), *(f"{v:.3f}" for v in each), f"{sum(each) / len(each):.3f}", f"{WANTED[name]:.3f}"]
        for name, each in cells.items()
    ]
    return table(["mAP@0.5 at severity", "1", "2", "3", "4", "5", "mean", "the report's model, on its photos"], rows)


def value(cell: dict[str, Any]) -> str:
    """A figure with its interval."""
    bounds = cell.get("interval")
    if not bounds:
        return f"{cell['value']:.3f}"
    low, high = (bounds["low"], bounds["high"]) if isinstance(bounds, dict) else bounds[:2]
    return f"{cell['value']:.3f} ({low:.3f} to {high:.3f})"


def spread(seeds: Sequence[dict[str, float]], name: str) -> str:
    """From the lowest to the highest seed."""
    values = [seed[name] for seed in seeds]
    return f"{min(values):.3f} to {max(values):.3f}"


def _peers() -> str:
    r = load("alpaca")
    rows = [
        [
            name,
            *(value(row[measure]) for measure in MEASURES),
            row.get("ms", ""),
            row.get("frames_per_second", ""),
            row.get("megabytes", ""),
            row.get("memory_mb", ""),
        ]
        for name, row in r["rows"].items()
    ]
    rows.append(REPORT)
    seeds = "; ".join(
        f"{name}: mAP@0.5 {spread(each, 'mAP50')}, mAP@0.5:0.95 {spread(each, 'mAP50_95')} over {len(each)} trainings"
        for name, each in r["seeds"].items()
    )
    c = r["crossval"]
    inside = ", ".join(f"{name} {value(c[key])}" for name, key in zip(NAMES, MEASURES, strict=True))
    return (
        f"## The alpaca model that ships (version {r['version']}), {r['photos']} validation photos\n\n"
        + table(["", *NAMES, "ms", "photos a second", "MB", "peak memory, MB"], rows)
        + "\nIn brackets BCa intervals over photos, 95 %. Precision and recall at the threshold with the best F1. "
        f"Times: photo to boxes in the faster engine, 2 threads, in turns. {seeds}.\n\n"
        f"Cross-validation inside train ({c['photos']} photos, three folds of one of the recipe's settings, each photo "
        f"judged by the fold that has not seen it): {inside}. Train's labels are cleaner than val's.\n\n"
        "    herder recipe recipes/alpaca.toml --input photos=ALPACA --input pretrained=yolox_nano.onnx --out RUN\n"
        "    python benchmarks/alpaca.py --shared ../shared --recipe-run RUN --scratch-runs RUN... "
        "--peer-python PYTHON --peer-weights PEER.pt\n"
    )


def _robustness() -> str:
    return (
        "### Its robustness: mAP@0.5 at severities 1 to 5\n\n"
        + _corrupted(load("alpaca")["robustness"])
        + "\nThe report does not say how strong its corruptions are; these are herder's "
        "([robustness](robustness.md)).\n\n"
        "    herder robustness alpaca ALPACA --corruptions low_light,occlusion,scale\n"
    )


def _limits() -> str:
    r = load("alpaca_limits")
    rows = [
        [name, row["animals"], *(row.get(key, "") for key in MEASURES), row["false_alarms_a_scene"]]
        for name, row in r["rows"].items()
    ]
    return (
        f"### Where it fails, on {r['scenes']} drawn scenes each\n\n"
        + table(["", "animals", *NAMES, "false alarms a scene"], rows)
        + f"\nPrecision, recall and false alarms at its own score threshold, {r['threshold']:.2f}. Drawn animals stand "
        "out more than real ones: what changes from row to row counts, not the height.\n\n"
        "![The worst scene of each kind: missed red, made up orange, found blue](images/alpaca-limits.jpg)\n\n"
        "    python benchmarks/alpaca_limits.py --out docs/images/alpaca-limits.jpg\n"
    )


def _start() -> str:
    r = load("alpaca_start")
    rows = [[name, *(value(row[measure]) for measure in MEASURES)] for name, row in r["rows"].items()]
    return (
        "### The alpaca model as a start\n\n"
        + table(["50 labelled photos of a new farm, trained", *NAMES], rows)
        + f"\nThe validation photos in two halves: each half's {r['photos_a_half']} photos train, the other half "
        "judges, all judged photos together. The shipped model has seen neither.\n\n"
        "    python benchmarks/alpaca_start.py --shared ../shared --pretrained yolox-nano.safetensors --work DIR\n"
    )
