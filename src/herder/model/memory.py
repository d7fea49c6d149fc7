"""Telling that memory ran out from all else that a RuntimeError can mean."""

from __future__ import annotations

import torch

_SAYINGS = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` means that memory ran out: torch raises a plain RuntimeError for it on a CPU.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = str(error).lower()
    return isinstance(error, (RuntimeError, OSError)) and any(words in said for words in _SAYINGS)
