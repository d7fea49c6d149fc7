from __future__ import annotations

import json
import math

from herder.training.early_stopping import EarlyStopping, PlateauFactor


def feed(rule: EarlyStopping, metrics: list[float]) -> list[bool]:
    answers = []
    for metric in metrics:
        rule.update(metric)
        answers.append(rule.compute())
    return answers


def test_stops_after_patience_evaluations_without_a_rise() -> None:
    assert feed(EarlyStopping(3), [0.1, 0.2, 0.2, 0.1, 0.15]) == [False, False, False, False, True]


def test_small_rises_add_up() -> None:
    assert not any(feed(EarlyStopping(2, min_delta=0.01), [0.100, 0.106, 0.112, 0.118, 0.124]))
    assert feed(EarlyStopping(2, min_delta=0.01), [0.100, 0.104, 0.108])[-1]


def test_patience_zero_never_stops() -> None:
    assert not any(feed(EarlyStopping(0), [0.5] * 50))


def test_nan_counts_as_no_rise() -> None:
    assert feed(EarlyStopping(2), [math.nan, math.nan]) == [False, True]
    assert feed(EarlyStopping(2), [math.nan, 0.1, math.nan, 0.2]) == [False] * 4


def test_reset_starts_over() -> None:
    rule = EarlyStopping(1)
    feed(rule, [0.5, 0.1])
    rule.reset()
    assert feed(rule, [0.1]) == [False]


def test_plateau_divides_down_to_its_floor() -> None:
    plateau = PlateauFactor(patience=2, factor=0.1, floor=0.005)
    factors = []
    for metric in [0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]:
        plateau.update(metric)
        factors.append(round(plateau.compute(), 6))
    assert factors == [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.005, 0.005, 0.005]
    plateau.reset()
    assert plateau.compute() == 1


def test_state_goes_through_json_at_any_moment() -> None:
    metrics = [math.nan, 0.1, 0.1, 0.3, 0.2, 0.2, 0.2, 0.2]
    for cut in range(len(metrics)):
        whole, first, second = PlateauFactor(2, 0.5, 0.1), PlateauFactor(2, 0.5, 0.1), PlateauFactor(2, 0.5, 0.1)
        for metric in metrics:
            whole.update(metric)
        for metric in metrics[:cut]:
            first.update(metric)
        second.restore(json.loads(json.dumps(first.state())))
        for metric in metrics[cut:]:
            second.update(metric)
        assert second.state() == whole.state()
