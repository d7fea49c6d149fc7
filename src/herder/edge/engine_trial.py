"""Which engine runs a file faster on this machine, measured in about half a second.

``python -m herder.edge.engine_trial FILE THREADS HEIGHT WIDTH`` prints the answer as JSON. It runs in a process of its
own, so that the memory of the engine that loses, and a crash of either, stay out of the process that detects.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from herder.edge.engine_files import open_engine
from herder.edge.paired_timing import paired_milliseconds
from herder.errors import HerderError, MissingExtraError

SECONDS = 0.5
"""Time for the rounds that count, both engines together."""

ROUNDS = (3, 10)
"""Fewest and most rounds: a slow model still gets a quiet moment, a fast one does not need many."""


@dataclass(frozen=True)
class EngineTime:
    """What one engine takes for a file on this machine."""

    milliseconds: float
    """For one canvas, in the quietest turn: what other programs take from the processor only ever adds."""
    start_seconds: float
    """Opening the file, compiling it and running it once."""


def try_engines(
    path: Path, threads: int, height: int, width: int, *, seconds: float = SECONDS
) -> dict[str, EngineTime]:
    """Time every engine that is installed and runs ``path`` on canvases of ``height`` x ``width``, in turns; on those
    of the file's own size where that is fixed.

    Raises what opening raises where no engine can run the file.
    """
    runs: dict[str, Callable[[], object]] = {}
    starts: dict[str, float] = {}
    failed: HerderError | None = None
    for name in ("openvino",) if path.suffix == ".xml" else ("onnx", "openvino"):
        begun = time.perf_counter()
        try:
            engine = open_engine(path, name, threads)
            sides = (engine.fixed_size,) * 2 if engine.fixed_size else (height, width)
            canvas = np.random.default_rng(0).integers(0, 256, (1, *sides, 3), np.uint8)
            run = partial(engine.predict, canvas)
            run()
        except HerderError as error:
            # Not installed, or an operator that this engine lacks: the other one may run the file.
            failed = error if failed is None or isinstance(failed, MissingExtraError) else failed
            continue
        starts[name] = time.perf_counter() - begun
        runs[name] = run
    if not runs:
        assert failed is not None
        raise failed
    begun = time.perf_counter()
    first = paired_milliseconds(list(runs.values()), rounds=1, warmup=1)
    taken = time.perf_counter() - begun
    rounds = int(min(max(seconds / taken, ROUNDS[0]), ROUNDS[1]))
    times = np.concatenate((first, paired_milliseconds(list(runs.values()), rounds=rounds - 1, warmup=0))).min(axis=0)
    return {name: EngineTime(float(ms), starts[name]) for name, ms in zip(runs, times, strict=True)}


def main(path: str, threads: str, height: str, width: str) -> None:
    """Print what ``try_engines`` finds, or the error with its kind, as one line of JSON."""
    try:
        times = try_engines(Path(path), int(threads), int(height), int(width))
        answer: dict[str, object] = {name: asdict(one) for name, one in times.items()}
    except HerderError as error:
        answer = {"error": {"kind": type(error).__name__, "message": error.message, "hint": error.hint}}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
