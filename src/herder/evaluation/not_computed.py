"""The value that stands where a number cannot be computed, and says why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NotComputed:
    """In place of a number: why there is none; tables show it in words, JSON as null beside the reason.

    >>> str(NotComputed("no photo has labelled boxes"))
    'not computed: no photo has labelled boxes'
    """

    reason: str

    def __str__(self) -> str:
        return f"not computed: {self.reason}"
