"""Turns, orders and intervals of paired timings."""

from __future__ import annotations

import time

import numpy as np
import pytest

from herder.edge import paired_timing
from herder.edge.paired_timing import paired_milliseconds, paired_ratio


def test_runs_take_turns_and_change_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired_timing, "SETTLE_SECONDS", 0.0)
    seen: list[str] = []
    runs = [lambda: seen.append("a"), lambda: seen.append("b")]
    times = paired_milliseconds(runs, rounds=2, warmup=1, block=2)
    # Once each to warm up; then once to settle and twice to count, b's second turn follows its first at once.
    assert "".join(seen) == "ab" + "aaa" + "bbb" + "bb" + "aaa"
    assert times.shape == (2, 2)
    assert (times >= 0).all()


def test_what_another_run_leaves_behind_is_over_before_the_turn_counts() -> None:
    left_at = 0.0

    def leaves_threads() -> None:
        nonlocal left_at
        left_at = time.perf_counter()

    def slowed() -> None:
        waiting = time.perf_counter() - left_at < 0.03
        time.sleep(0.01 if waiting else 0.001)

    times = paired_milliseconds([leaves_threads, slowed], rounds=4)
    assert np.median(times[:, 1]) < 8


def test_a_turn_is_one_time_of_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired_timing, "SETTLE_SECONDS", 0.0)
    waits = iter([0.0] * 3 + [0.012, 0.001, 0.012, 0.012])
    times = paired_milliseconds([lambda: time.sleep(next(waits))], rounds=1, warmup=2, block=4, middle=min)
    assert 1 <= times[0, 0] < 12


def test_a_run_is_timed_in_milliseconds_in_its_own_column() -> None:
    times = paired_milliseconds([lambda: None, lambda: time.sleep(0.02)], rounds=3, warmup=0, block=1)
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
