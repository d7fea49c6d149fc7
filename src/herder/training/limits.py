"""Where a machine says no: memory that runs out, and a person who wants to stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch

from herder.errors import ResourceError
from herder.model.memory import is_out_of_memory
from herder.training.config import STRIDE, TrainConfig

_WORKER_KILLED = ("is killed by signal", "exited unexpectedly", "insufficient shared memory")


@dataclass
class StopRequest:
    """Whether somebody asked the run to stop."""

    asked: bool = False


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """The first Ctrl-C or SIGTERM only asks the run to stop after its step; the second one stops it at once.

    Outside the main thread, where Python takes no signals, nothing is caught.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def memory_limits(config: TrainConfig) -> Iterator[None]:
    """Turn what torch and the system say when memory runs out into a ResourceError that names smaller settings.

    >>> with memory_limits(TrainConfig(batch_size=16, image_size=640)):
    ...     raise MemoryError
    Traceback (most recent call last):
    herder.errors.ResourceError: out of memory with batch 16 at 640 pixels
      what to do: use --batch 8 or --imgsz 448
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if is_out_of_memory(error):
            smaller = []
            if config.batch_size > 1:
                smaller.append(f"--batch {config.batch_size // 2}")
            if config.image_size > 2 * STRIDE:
                smaller.append(f"--imgsz {max(STRIDE, config.image_size * 7 // 10 // STRIDE * STRIDE)}")
            raise ResourceError(
                f"out of memory with batch {config.batch_size} at {config.image_size} pixels",
                hint=f"use {' or '.join(smaller) or 'a smaller model'}",
            ) from error
        if any(words in str(error).lower() for words in _WORKER_KILLED):
            raise ResourceError(
                f"a process that prepares photos has died, most likely out of memory ({config.workers} workers)",
                hint=f"use --workers {config.workers // 2}, or a smaller --batch",
            ) from error
        raise


def peak_memory_mb(device: torch.device) -> float:
    """The most memory in MB (2 ** 20 bytes) so far: the GPU's on CUDA, else this process's; NaN where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KB on Linux
