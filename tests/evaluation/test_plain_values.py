"""Results as plain values and back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest

from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import from_plain, to_plain


@dataclass(frozen=True)
class Inner:
    name: str
    value: float | NotComputed


@dataclass(frozen=True)
class Outer:
    rows: tuple[Inner, ...]
    pair: tuple[int, str]
    known: bool
    maybe: Inner | None = None


def test_there_and_back_through_json() -> None:
    value = Outer((Inner("a", 0.25), Inner("b", NotComputed("too few"))), (3, "x"), True)
    plain = json.loads(json.dumps(to_plain(value), allow_nan=False))
    assert plain == {
        "rows": [{"name": "a", "value": 0.25}, {"name": "b", "value": {"value": None, "reason": "too few"}}],
        "pair": [3, "x"],
        "known": True,
        "maybe": None,
    }
    assert from_plain(Outer, plain) == value
    assert from_plain(Inner, {"name": "whole", "value": 1}).value == 1.0


def test_a_value_that_is_not_finite_is_refused_both_ways() -> None:
    with pytest.raises(ValueError, match="nan has no place"):
        to_plain(Inner("a", math.nan))
    with pytest.raises(ValueError, match="wanted"):
        from_plain(Inner, {"name": "a", "value": math.inf})


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"name": "a"},
        {"name": 1, "value": 1.0},
        {"name": "a", "value": True},
        {"name": "a", "value": "1"},
        {"name": "a", "value": {"value": None}},
    ],
)
def test_what_does_not_fit_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"found|missing"):
        from_plain(Inner, data)


def test_lists_of_the_wrong_length_or_kind() -> None:
    with pytest.raises(ValueError, match="found 1 values, wanted 2"):
        from_plain(tuple[int, str], [1])
    with pytest.raises(ValueError, match="wanted a list"):
        from_plain(tuple[int, ...], {"0": 1})


def test_a_field_that_is_missing_takes_its_default() -> None:
    data = {"rows": [], "pair": [3, "x"], "known": True}
    assert from_plain(Outer, data) == Outer((), (3, "x"), True, None)
