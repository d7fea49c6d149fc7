"""Turns, orders and intervals of paired timings."""

from __future__ import annotations

import time

import numpy as np

from herder.edge.paired_timing import paired_milliseconds, paired_ratio


def test_runs_take_turns_and_change_their_order() -> None:
    seen: list[str] = []
    times = paired_milliseconds([lambda: seen.append("a"), lambda: seen.append("b")], rounds=2, warmup=1)
    assert "".join(seen) == "ab" + "ba" + "ab"
    assert times.shape == (2, 2)
    assert (times >= 0).all()


def test_a_run_is_timed_in_milliseconds_in_its_own_column() -> None:
    times = paired_milliseconds([lambda: None, lambda: time.sleep(0.02)], rounds=3, warmup=0)
    assert (times[:, 1] >= 20).all()
    assert (times[:, 0] < times[:, 1]).all()


def test_the_interval_holds_the_median_and_widens_with_noise() -> None:
    base = np.full(40, 10.0)
    noise = np.random.default_rng(3).normal(0, 1, 40)
    quiet, loud = paired_ratio(5 + 0.1 * noise, base), paired_ratio(5 + noise, base)
    for ratio in (quiet, loud):
        assert ratio.low <= ratio.value <= ratio.high
    assert loud.high - loud.low > 5 * (quiet.high - quiet.low)
    assert abs(quiet.value - 0.5) < 0.01


def test_a_moment_that_hits_both_does_not_change_the_ratio() -> None:
    base = np.array([10.0, 10.0, 50.0, 10.0])
    assert paired_ratio(base / 2, base).high == 0.5
