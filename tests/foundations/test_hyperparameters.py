import math

import numpy as np
import pytest

from herder.foundations.hyperparameters import check_real


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
def test_numbers_come_back_as_floats(value: float) -> None:
    found = check_real("reg", value, 0, 1)
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, "0.5", None, True, [0.5], np.zeros(1)])
def test_anything_else_is_named(value: object) -> None:
    with pytest.raises(ValueError, match=r"^reg: found .*, wanted a finite number from 0 to 1$"):
        check_real("reg", value, 0, 1)


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [
        ({}, "a finite number"),
        ({"low": 0}, "a finite number of at least 0"),
        ({"high": 2}, "a finite number of at most 2"),
        ({"low": 0, "open_low": True}, "a finite number above 0"),
        ({"low": 0, "high": 1, "open_low": True}, "a finite number above 0, at most 1"),
    ],
)
def test_the_bounds_are_written(bounds: dict[str, float], wanted: str) -> None:
    with pytest.raises(ValueError, match=f"wanted {wanted}$"):
        check_real("rate", math.nan, **bounds)


def test_an_open_bound_is_left_out() -> None:
    with pytest.raises(ValueError, match="found 0"):
        check_real("rate", 0, 0, open_low=True)
    assert check_real("rate", 1e-300, 0, open_low=True) == 1e-300
