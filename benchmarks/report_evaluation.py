"""The part of the results page on the evaluation lab."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from report_tables import load, table


def evaluation() -> str:
    """Speed and equality, statistics by simulation, two models compared, 18 corruptions."""
    return "\n\n".join(part().strip() for part in (_speed, _significance, _compare, _robustness))


def _speed() -> str:
    n = load("evaluation")
    equal, seconds, times = n["equality"], n["seconds"], n["times_faster"]
    rows = [[who, f"{value:.2f}", f"{times[who]:.1f}"] for who, value in seconds.items()]
    draws = ", ".join(f"{value:.1f} s with {workers}" for workers, value in n["bootstrap"]["seconds"].items())
    worst = ", ".join(f"{who.replace('_', '-')} {value:.0e}" for who, value in equal["largest_difference"].items())
    return (
        f"## Evaluation: mAP on {n['photos']:,} photos with {n['boxes']:,} boxes and {n['detections']:,} detections\n\n"
        + table(["", "seconds", "times as fast as pycocotools"], rows)
        + f"\nWanted: 10 times. herder takes hotcoco where it is installed, else faster-coco-eval. Largest difference "
        f"from pycocotools on {equal['datasets']} random datasets with crowds, equal scores and empty photos (wanted: "
        f"1e-6): {worst}. {n['bootstrap']['draws']:,} bootstrap draws of mAP over these photos: {draws} (wanted: under "
        "60 s on 2 cores).\n\n    python benchmarks/evaluation.py\n"
    )


def _significance() -> str:
    n = load("significance")
    names = ("false positive", "difference covered", "mAP covered")
    rows = [[row["what"], f"{row['draws']:,}", *(_rate(row, name) for name in names)] for row in n["rows"]]
    others = [
        f"{row['what']}: {name} {row[name]:.3f}"
        for row in n["rows"]
        for name in row
        if name not in (*names, "what", "draws", "verdicts")
    ]
    return (
        "## Statistics under no difference, simulated\n\n"
        + table(["", "experiments", *names], rows)
        + "\nWanted: false positives 0.05 within 0.01, coverage 0.95 within 0.02. Cautious means fewer false positives "
        f"or more coverage than that: it claims nothing that is not so. {'; '.join(others)}.\n\n"
        "    python benchmarks/significance.py\n"
    )


def _rate(row: dict[str, Any], name: str) -> str:
    if name not in row:
        return ""
    verdict = row["verdicts"][name]
    return f"{row[name]:.3f}" + ("" if verdict == "as wanted" else f" ({verdict})")


def _compare() -> str:
    n = load("compare")["scratch_against_finetuned"]
    rows = [
        [
            r["metric"],
            f"{r['a']:.3f}",
            f"{r['b']:.3f}",
            f"{r['difference']:+.3f}",
            _ends(r["bounds"]),
            _p(r["adjusted"]),
        ]
        for r in n["photos"]["rows"]
    ]
    seeds = [
        [
            r["metric"],
            _spread(r["a"]),
            _spread(r["b"]),
            f"{r['difference']:+.3f}",
            _ends(r["bounds"]),
            _p(r["adjusted"]),
            f"{r['effect']:.2f}" if isinstance(r["effect"], float) else "not computed",
        ]
        for r in n["seeds"]["rows"]
    ]
    return (
        f"## Two real trainings compared: {n['a']['name']} against {n['b']['name']}\n\n"
        f"Over {n['photos']['photos']} photos of val, {n['photos']['draws']:,} draws:\n\n"
        + table(["", "from scratch", "fine-tuned", "difference", "95 % interval", "p (Holm)"], rows)
        + "\nOver the seeds:\n\n"
        + table(
            ["", "from scratch", "fine-tuned", "difference", "95 % interval", "p (Holm)", "Hedges' g"],
            seeds,
        )
        + f"\nIn words: {n['words']}\n\n"
        "    python benchmarks/compare.py --shared ../shared --scratch RUN,RUN,RUN --finetuned RUN,RUN,RUN\n"
    )


def _robustness() -> str:
    n = load("robustness")
    clean = n["clean"]
    names = list(dict.fromkeys(cell["corruption"] for cell in n["cells"]))
    rows = []
    for name in names:
        cells: list[dict[str, Any]] = sorted(
            (c for c in n["cells"] if c["corruption"] == name), key=lambda c: c["severity"]
        )
        mean = fmean(c["map50"] for c in cells)
        rows.append(
            [
                name.replace("_", " "),
                *(f"{c['map50']:.3f}" for c in cells),
                f"{mean:.3f}",
                f"{mean / clean['map50']:.3f}",
            ]
        )
    parts = [
        f"{what}: mPC {s['mPC_mAP50']:.3f} and rPC {s['rPC_mAP50']:.3f} in mAP@0.5, {s['mPC_mAP50_95']:.3f} and "
        f"{s['rPC_mAP50_95']:.3f} in mAP@0.5:0.95"
        for what, s in zip(("The 15 published", "Low light, occlusion and scale"), n["summary"].values(), strict=True)
    ]
    return (
        f"## Robustness: mAP@0.5 on val of the fine-tuned model under 18 corruptions, clean {clean['map50']:.3f}\n\n"
        + table(["", *map(str, n["settings"]["severities"]), "mean", "of clean"], rows)
        + f"\n{'. '.join(parts)}. {len(n['cells'])} cells in {n['seconds']:.0f} s with {n['workers']} processes.\n\n"
        "    python benchmarks/robustness.py BEST.safetensors --shared ../shared --work DIR --workers 2\n"
    )


def _ends(bounds: object) -> str:
    return f"{bounds[0]:+.3f} to {bounds[1]:+.3f}" if isinstance(bounds, list) else "not computed"


def _p(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "not computed"


def _spread(values: list[float]) -> str:
    return " / ".join(f"{value:.3f}" for value in values)
