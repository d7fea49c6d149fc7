"""Cells of the robustness table in several processes, each with an engine of its own and its share of the cores.

Processes are spawned, not forked: a fork would copy an engine whose threads are gone. They end with their parent,
however it ends: each listens to a pipe whose other end only the parent holds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import cv2

from herder.data.records import Dataset
from herder.edge.threads import physical_cores
from herder.errors import ResourceError
from herder.evaluation.robustness.cells import run_cell, write_cell
from herder.evaluation.robustness.result import Cell, CellResult
from herder.inference import Detector


@dataclass(frozen=True, eq=False)
class CellWork:
    """What a process needs to compute cells, and where it keeps them."""

    model: Path
    engine: str
    dataset: Dataset
    """Photos that can be read."""
    threshold: float
    """The score that hits and errors are counted at."""
    seed: int
    size: int | None
    batch: int
    folder: Path

    def run(self, detector: Detector, cell: Cell) -> CellResult:
        """Compute one cell and keep it in ``folder``."""
        result = run_cell(
            detector, self.dataset, cell, self.threshold, seed=self.seed, size=self.size, batch=self.batch
        )
        write_cell(self.folder, result)
        return result


def run_cells(work: CellWork, cells: Sequence[Cell], detector: Detector, workers: int = 1) -> Iterator[CellResult]:
    """The cells as they are finished, in any order: with ``detector`` in this process, or in ``workers`` of them.

    Each is in its file before it is given back. Whoever stops asking stops the processes at once. Raises ResourceError
    where one of them was killed, and what a cell raises.
    """
    workers = min(workers, len(cells))
    if workers < 2:
        for cell in cells:
            yield work.run(detector, cell)
        return
    context = multiprocessing.get_context("spawn")
    threads = max(1, physical_cores() // workers)
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _start, (work, threads, theirs))
    try:
        waiting: set[Future[CellResult]] = {pool.submit(_compute, cell) for cell in cells}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise ResourceError(
            f"robustness: one of {workers} processes ended in the middle of its work, most likely for want of memory",
            hint="use fewer --workers, or a smaller --batch or --size; finished cells are kept",
        ) from None
    finally:
        ours.close()  # what still runs is of no use any more, and ends here
        theirs.close()
        pool.shutdown(wait=False, cancel_futures=True)


_prepared: tuple[CellWork, Detector] | None = None
"""What a process computes with, from ``_start`` on."""


def _start(work: CellWork, threads: int, parent: Connection) -> None:
    """Prepare a process: its end, its share of the cores, its engine."""
    global _prepared
    from herder.api import load  # here: herder.api imports nothing heavy until it must

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group, and is the parent's to answer
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    cv2.setNumThreads(threads)
    _prepared = work, load(work.model, engine=work.engine, threads=threads)


def _compute(cell: Cell) -> CellResult:
    if _prepared is None:
        raise RuntimeError("a process was asked for a cell before it was prepared")
    work, detector = _prepared
    return work.run(detector, cell)


def _end_with(parent: Connection) -> None:
    """End this process as soon as the parent's end of the pipe is closed, by itself or by its death."""
    try:
        parent.recv()
    except (EOFError, OSError):
        os._exit(1)
