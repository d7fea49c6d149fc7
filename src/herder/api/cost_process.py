"""One configuration measured in a process of its own: ``python -m herder.api.cost_process JOB RESULT``, two JSON files.

A fresh process has just the threads it was given and nobody else's memory. It is started by ``herder.api.cost``.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from herder.api import load
from herder.edge.benchmark import measure_speed
from herder.edge.engine_files import open_engine
from herder.edge.memory import peak_resident_bytes, resident_bytes
from herder.edge.stream_speed import measure_streams
from herder.errors import HerderError
from herder.files import write_atomic
from herder.inference import Detector


@dataclass(frozen=True)
class CostJob:
    """What the process is to run."""

    model: str
    """Path of the artifact."""
    engine: str
    device: str
    threads: int
    batch: int
    size: int
    photos: tuple[str, ...]
    """Paths."""
    timings: int
    """Batches to time at least."""
    warmup: int
    streams: int = 1
    """Batches on their way at a time."""


def run_job(job: CostJob) -> dict[str, Any]:
    """Measure in this process; the result is plain JSON. Raises what loading and detecting raise."""
    cv2.setNumThreads(job.threads)
    base = resident_bytes()
    detector = open_detector(Path(job.model), job.engine, job.device, job.threads, job.streams)
    paths = [Path(photo) for photo in job.photos]
    batches = math.ceil(len(paths) / job.batch)  # more where the photos have several canvas shapes
    repeats = math.ceil(job.timings / batches)
    how = {"size": job.size, "batch": job.batch, "repeats": repeats, "warmup": job.warmup}
    if job.streams > 1:
        speed = measure_streams(detector, paths, job.streams, **how)
    else:
        speed = measure_speed(detector, paths, **how)
    return {"speed": speed.as_dict(), "base": base, "peak": peak_resident_bytes(), "cuda": _cuda_bytes(job.device)}


def open_detector(model: Path, engine: str, device: str, threads: int | None = None, streams: int = 1) -> Detector:
    """``herder.load`` for any device, and for several callers at a time."""
    if streams > 1:
        return Detector(open_engine(model, engine, threads, streams))
    if device == "cpu":
        return load(model, engine=engine, threads=threads)
    from herder.model.engine import TorchEngine
    from herder.model.files import load_model

    return Detector(TorchEngine(load_model(model), device=device))


def _cuda_bytes(device: str) -> int | None:
    """What torch held at most on the device; None on the processor."""
    if device == "cpu":
        return None
    import torch

    return int(torch.cuda.max_memory_allocated())


def _end_with_parent() -> None:
    """Standard input is a pipe that only the parent holds: when it closes, the parent is gone, however it ended."""
    sys.stdin.buffer.read()
    os._exit(1)


def main(job_file: Path, result_file: Path) -> None:
    """Read the job, measure, write the result, or what went wrong as far as herder knows it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    values = json.loads(job_file.read_text(encoding="utf-8"))
    job = CostJob(**{**values, "photos": tuple(values["photos"])})
    try:
        result = run_job(job)
    except HerderError as error:
        result = {"error": {"kind": type(error).__name__, "message": error.message, "hint": error.hint}}
    except MemoryError:
        result = {"error": {"kind": "ResourceError", "message": "memory ran out", "hint": "use a smaller batch"}}
    write_atomic(result_file, json.dumps(result).encode())


def job_text(job: CostJob) -> str:
    """The job as ``main`` reads it."""
    return json.dumps(asdict(job))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
