"""Several comparisons at once: Holm's correction keeps the chance of even one false alarm at the level.

S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979, https://www.jstor.org/stable/4615733.
"""

from __future__ import annotations

from collections.abc import Sequence

from herder.evaluation.not_computed import NotComputed


def holm(p_values: Sequence[float | NotComputed]) -> list[float | NotComputed]:
    """The adjusted p-values, in the same order; what was not computed stays so and counts as no comparison.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = [(p, i) for i, p in enumerate(p_values) if not isinstance(p, NotComputed)]
    adjusted = list(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(sorted(known)):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = highest
    return adjusted
