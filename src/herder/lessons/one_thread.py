"""Small networks, one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread for a while, then as before.

    Networks for pictures of 8 x 8 pixels have too little work in each step to be shared: threads would wait for each
    other most of the time. And sums that are split among threads are rounded in another order, so that one thread is
    also what makes a seed mean the same numbers on machines with different numbers of cores.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
