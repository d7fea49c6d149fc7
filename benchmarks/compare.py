r"""Is the fine-tuned detector better than the one trained from scratch? Three seeds of each, on real photos.

    python benchmarks/compare.py --scratch RUN-0,RUN-1,RUN-2 --finetuned RUN-0,RUN-1,RUN-2 --shared ../shared --work DIR

The runs are those of `python benchmarks/peer.py scratch` and `finetune`. Prints the tables and writes
benchmarks/results/compare.json; the same numbers come from

    herder compare RUN-0,RUN-1,RUN-2 RUN-0,RUN-1,RUN-2 --data ../shared/alpaca --gate better --out DIR

A second table asks the same of two seeds of one training, where there should be nothing to find.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from herder.api.comparison import ComparisonSettings, compare_sides
from herder.data.formats import read_dataset
from herder.data.records import Dataset
from herder.evaluation.comparison.cells import photo_cells, seed_cells
from herder.evaluation.comparison.result import Comparison
from herder.evaluation.significance import Gate
from herder.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "compare.json"


def measure(a: str, b: str, dataset: Dataset, work: Path) -> dict[str, Any]:
    """One comparison, printed, and what is kept of it."""
    settings = ComparisonSettings(gate=Gate("better"))
    start = time.perf_counter()
    run = compare_sides(a, b, settings, work, dataset=dataset)
    seconds = time.perf_counter() - start
    show(run.result)
    kept = rounded(run.result.as_dict())
    for row in kept["photos"]["rows"]:
        del row["edges"], row["counts"]
    return {"data": run.data, **kept, "seconds": round(seconds, 1)}


def show(result: Comparison) -> None:
    """The tables and the words on the terminal."""
    print(f"A: {result.a}\nB: {result.b}")
    for caption, columns, rows in (photo_cells(result), seed_cells(result)):
        print(caption)
        for line in (columns, *rows):
            print("  ".join(f"{cell:>16}" for cell in line))
    print(result.words)
    if result.verdict:
        print(f"gate {'passed' if result.verdict.passed else 'not passed'}: {result.verdict.words}\n")


def rounded(value: Any) -> Any:
    """Four digits are what 100 photos can bear."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Compare, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", required=True, help="run folders with commas")
    parser.add_argument("--finetuned", required=True, help="run folders with commas")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, required=True, help="keeps what the models found")
    options = parser.parse_args()
    dataset = read_dataset(options.shared / "alpaca", split="val")
    first, second = options.finetuned.split(",")[:2]
    found = {
        "scratch_against_finetuned": measure(options.scratch, options.finetuned, dataset, options.work),
        "two_seeds_of_finetuned": measure(first, second, dataset, options.work),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }
    write_atomic(RESULTS, (json.dumps(found, indent=2, allow_nan=False) + "\n").encode())


if __name__ == "__main__":
    main()
