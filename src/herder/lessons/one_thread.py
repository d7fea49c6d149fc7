"""Small networks, one thread.

Networks for pictures of 8 x 8 pixels have too little work in each step to be shared: threads would wait for each other
most of the time (measured on a busy machine: 20 epochs of the dropout lesson took 0.2 s on one thread, 0.2 to 14 s on
two). And sums that are split among threads are rounded in another order, so that one thread is also what makes a seed
mean the same numbers on machines with different numbers of cores.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from herder.errors import MissingExtraError


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread for a while, then as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy multiply matrices on one thread for a while, then as before.

    Raises MissingExtraError without threadpoolctl, which comes with scikit-learn.
    """
    try:
        limits = importlib.import_module("threadpoolctl").threadpool_limits
    except ImportError:
        raise MissingExtraError("a lesson", "learn") from None
    with limits(1, user_api="blas"):
        yield
