"""The part of the results page on the data pipeline."""

from __future__ import annotations

from data_pipeline_targets import rows_of
from report_tables import load, table


def data_pipeline() -> str:
    """What was measured beside what was wanted."""
    numbers = load("data_pipeline")
    rows = [[what, value, target] for name in numbers for what, value, target, _ in rows_of(name, numbers[name])]
    rates = []
    for who, runs in numbers["download"]["runs"].items():
        rates.append(f"{who} " + " / ".join(f"{run['photos_per_second']:,.0f}" for run in runs))
    return (
        "## Data pipeline: 10,000 photos from a server on the same machine, 30 ms latency\n\n"
        + table(["", "measured", "wanted"], rows)
        + "\nFaults: 3 % of the answers are 503, 1 % resets, 0.5 % cut short. Medians of three rounds in turn; "
        f"photos a second of each round: {', '.join(rates)}. The server runs on the same two cores."
        "\n\n    python benchmarks/data_pipeline.py\n"
    )
