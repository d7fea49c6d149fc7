"""Which of several models nothing beats: the Pareto front over accuracy, time, size and memory.

A model is on the front where no other is at least as good in every respect and better in one (V. Pareto; for search see
K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", https://doi.org/10.1109/4235.996017).
Notation: n models, d objectives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(costs: ArrayLike) -> NDArray[np.bool_]:
    """Which rows of ``costs`` (n, d), where less is better in every column, no other row dominates.

    Equal rows do not dominate each other. Raises ValueError for another shape or NaN, which is neither more nor less.

    >>> pareto_front([[1, 5], [2, 3], [3, 4], [2, 3]]).tolist()
    [True, True, False, True]
    """
    values = np.asarray(costs, np.float64)
    if values.size == 0:
        return np.zeros(len(values), np.bool_)
    if values.ndim != 2 or np.isnan(values).any():
        raise ValueError(f"costs: found shape {values.shape} with {int(np.isnan(values).sum())} NaN, wanted (n, d)")
    no_worse = (values[:, None] <= values[None]).all(axis=2)  # (n, n): row i is no worse than row j
    better = (values[:, None] < values[None]).any(axis=2)
    return np.asarray(~(no_worse & better).any(axis=0), np.bool_)
