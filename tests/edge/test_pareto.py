from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from herder.edge.pareto import pareto_front


def by_definition(costs: NDArray[np.float64]) -> list[bool]:
    """Pair by pair, as the definition reads."""

    def dominates(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))

    return [not any(dominates(other, row) for other in costs) for row in costs]


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=12))
def test_no_other_is_at_least_as_good_everywhere_and_better_somewhere(rows: list[tuple[int, int, int]]) -> None:
    costs = np.array(rows, np.float64).reshape(-1, 3)
    assert pareto_front(costs).tolist() == by_definition(costs)


def test_nothing_and_one() -> None:
    assert pareto_front(np.empty((0, 4))).tolist() == []
    assert pareto_front([[1.0, 2.0]]).tolist() == [True]


def test_one_objective_leaves_the_least_and_its_equals() -> None:
    assert pareto_front([[2], [1], [1], [3]]).tolist() == [False, True, True, False]


@pytest.mark.parametrize("broken", [[1.0, 2.0], [[1.0, np.nan]]])
def test_what_cannot_be_compared(broken: object) -> None:
    with pytest.raises(ValueError, match="costs"):
        pareto_front(broken)
