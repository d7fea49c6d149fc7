from __future__ import annotations

import math
from dataclasses import replace

import pytest

from herder.api.optimize_choices import Prefer
from herder.api.optimize_constraints import Constraints, choose
from herder.api.optimize_result import Candidate
from herder.edge.paired_timing import Ratio
from herder.errors import ConfigError

INPUT_MS = 20.0


def candidate(label: str, map50_95: float, times: float, megabytes: float = 1.0, drop: float = 0.0) -> Candidate:
    """One that takes ``times`` the time of the input model."""
    return Candidate(
        key=f"base/{label}/onnx",
        label=label,
        strategies=("export",),
        file=f"networks/base/{label}.onnx",
        engine="onnx",
        size=64,
        precision="float32",
        map50=0.7 - drop,
        map50_95=map50_95,
        drop=drop,
        drop_bounds=(drop - 0.01, drop + 0.01),
        time=Ratio(times, times, times),
        input_ms=INPUT_MS,
        file_bytes=int(megabytes * 1e6),
        sha256="0" * 64,
        peak_rss_bytes=100_000_000,
    )


def test_the_most_accurate_that_keeps_all_limits() -> None:
    slow = candidate("slow", 0.60, 1.0)
    good, poor = candidate("good", 0.55, 0.4), candidate("poor", 0.50, 0.2)
    choice = choose([poor, slow, good], Constraints(latency_ms=10), INPUT_MS)
    assert choice.best == good  # 8 ms; the slow one takes 20
    assert choice.nearest is None
    assert "2 of 3" in choice.sentences[0]


def test_of_equals_the_faster_one() -> None:
    a, b = candidate("a", 0.5, 0.5), candidate("b", 0.5, 0.4)
    assert choose([a, b], Constraints(), INPUT_MS).best == b


def test_what_rounding_moves_is_equal() -> None:
    a, b, c = candidate("a", 0.5, 0.5), candidate("b", 0.4985, 0.4), candidate("c", 0.4975, 0.3)
    assert choose([a, b, c], Constraints(), INPUT_MS).best == b


@pytest.mark.parametrize(("prefer", "best"), [(Prefer.ACCURATE, "a"), (Prefer.FAST, "b"), (Prefer.SMALL, "c")])
def test_what_is_preferred_of_those_that_keep_the_limits(prefer: Prefer, best: str) -> None:
    a, b, c = candidate("a", 0.6, 0.4, 3.0), candidate("b", 0.5, 0.2, 2.0), candidate("c", 0.4, 0.3, 1.0)
    too_large = candidate("d", 0.7, 0.1, 0.5, drop=0.5)
    choice = choose([a, b, c, too_large], Constraints(drop=0.1), INPUT_MS, prefer)
    assert choice.best is not None
    assert choice.best.label == best
    assert {"a": "most accurate", "b": "fastest", "c": "smallest"}[best] in choice.sentences[1]


def test_of_the_smallest_the_faster_one() -> None:
    a, b = candidate("a", 0.6, 0.4), candidate("b", 0.5, 0.2)
    assert choose([a, b], Constraints(), INPUT_MS, Prefer.SMALL).best == b


def test_without_limits_accuracy_alone() -> None:
    a, b = candidate("a", 0.5, 9.0), candidate("b", 0.4, 0.1)
    choice = choose([a, b], Constraints(), INPUT_MS)
    assert choice.best == a
    assert "no limit" in choice.sentences[0]


def test_a_limit_that_nothing_keeps_is_named_with_the_least_there_is() -> None:
    a, b = candidate("a", 0.5, 0.5, 4.0), candidate("b", 0.4, 0.3, 1.0)
    choice = choose([a, b], Constraints(latency_ms=5, size_mb=2), INPUT_MS)
    assert choice.best is None
    assert choice.nearest == b
    said = " ".join(choice.sentences)
    assert "latency at most 5.0 ms cannot be met: the least is 6.0 ms (b)" in said
    assert "size at most" not in said.replace(choice.sentences[0], "")  # b keeps it


def test_limits_that_are_kept_one_by_one_but_not_together() -> None:
    fast, small = candidate("fast", 0.5, 0.1, 2.1), candidate("small", 0.5, 0.9, 1.0)
    choice = choose([fast, small], Constraints(latency_ms=5, size_mb=2), INPUT_MS)
    assert choice.best is None
    assert choice.nearest == fast  # 5 % too large; the other one is 260 % too slow
    assert any("no candidate keeps them all" in sentence for sentence in choice.sentences)
    assert "size 2.10 MB, not 2.00 MB" in choice.sentences[-1]


def test_a_drop_of_zero_is_a_limit_like_others() -> None:
    same, worse = candidate("same", 0.5, 0.5), candidate("worse", 0.6, 0.5, drop=0.004)
    assert choose([same, worse], Constraints(drop=0), INPUT_MS).best == same
    assert choose([worse], Constraints(drop=0), INPUT_MS).nearest == worse


def test_better_than_the_input_keeps_any_drop() -> None:
    assert choose([candidate("a", 0.5, 1.0, drop=-0.02)], Constraints(drop=0), INPUT_MS).best is not None


def test_nothing_measured() -> None:
    choice = choose([], Constraints(latency_ms=1), INPUT_MS)
    assert (choice.best, choice.nearest) == (None, None)
    assert choice.sentences == ("nothing could be measured",)


def test_memory() -> None:
    large = replace(candidate("large", 0.5, 1.0), peak_rss_bytes=300_000_000)
    assert choose([large], Constraints(memory_mb=250), INPUT_MS).nearest == large


@pytest.mark.parametrize(
    "limits",
    [
        {"latency_ms": 0},
        {"latency_ms": math.nan},
        {"size_mb": -1},
        {"memory_mb": math.inf},
        {"drop": -0.1},
        {"drop": 1},
    ],
)
def test_limits_without_meaning(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="--max-"):
        Constraints(**limits)
