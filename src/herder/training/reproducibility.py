"""One definition of seeding: the same seed on the same machine gives the same weights, bit for bit."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.utils.deterministic as memory

FILL = "fill_uninitialized_memory"
"""A property that torch sets up at run time, out of a type checker's sight."""


def seed_everything(seed: int) -> None:
    """Seed every generator that training may draw from; the photos' order and augmentation have their own."""
    random.seed(seed)
    torch.manual_seed(seed)  # CUDA's generators too


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Let torch use only algorithms that give the same bits every time, where it has them; put back on the way out.

    Where it has none it warns and goes on: on CUDA a few backward passes; on a CPU every one that herder uses has.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, fill = torch.backends.cudnn.benchmark, getattr(memory, FILL)
    # cuBLAS reads this when it is first used, and is deterministic only with it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # Filling every new tensor would cost time; nothing here reads memory that it has not written.
    setattr(memory, FILL, False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        setattr(memory, FILL, fill)
