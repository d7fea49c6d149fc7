"""Checks of single settings, such as a rate: a ValueError names the setting, what is found and what is wanted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def check_real(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False
) -> float:
    """Return ``value`` as a finite number from ``low`` to ``high``; ``open_low`` leaves ``low`` itself out.

    >>> check_real("reg", 0.5, 0)
    0.5
    >>> check_real("learning_rate", 0, 0, open_low=True)
    Traceback (most recent call last):
    ValueError: learning_rate: found 0, wanted a finite number above 0
    >>> check_real("momentum", 2, 0, 1)
    Traceback (most recent call last):
    ValueError: momentum: found 2, wanted a finite number from 0 to 1
    """
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    inside = real and math.isfinite(value) and (low < value if open_low else low <= value) and value <= high
    if not inside:
        raise ValueError(f"{name}: found {value!r}, wanted a finite number{_written(low, high, open_low)}")
    return float(value)


def _written(low: float, high: float, open_low: bool) -> str:
    if low == -math.inf:
        return "" if high == math.inf else f" of at most {high:g}"
    if open_low:
        return f" above {low:g}" + ("" if high == math.inf else f", at most {high:g}")
    return f" of at least {low:g}" if high == math.inf else f" from {low:g} to {high:g}"
