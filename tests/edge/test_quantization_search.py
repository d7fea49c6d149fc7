from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from herder.edge.quantization_search import fewest_float_layers
from herder.errors import ConfigError

LAYERS = [f"layer{i}" for i in range(40)]


def falling(needed: int, tried: list[int]) -> Callable[[Sequence[str]], float]:
    def drop(kept: Sequence[str]) -> float:
        assert list(kept) == LAYERS[: len(kept)]
        tried.append(len(kept))
        return 0.0 if len(kept) >= needed else 0.1

    return drop


def unasked() -> Sequence[str]:
    raise AssertionError("the order costs minutes and is not needed")


def test_no_layer_is_kept_where_none_has_to_be() -> None:
    assert fewest_float_layers(falling(0, []), unasked, 0.01) == []


@pytest.mark.parametrize("needed", [1, 2, 3, 5, 7, 12, 20])
def test_about_as_few_as_needed_are_kept(needed: int) -> None:
    tried: list[int] = []
    kept = fewest_float_layers(falling(needed, tried), lambda: LAYERS, 0.01)
    assert needed <= len(kept) <= max(needed, needed * 4 / 3 + 1)
    assert len(kept) in tried
    assert len(tried) == len(set(tried)) <= 10


def test_says_what_came_nearest_where_nothing_is_good_enough() -> None:
    drops = {0: 0.3, 1: 0.2, 2: 0.15, 4: 0.12, 8: 0.11, 16: 0.13, 20: 0.14}
    with pytest.raises(ConfigError, match=r"loses 0\.1100 \(8 of 40 layers"):
        fewest_float_layers(lambda kept: drops[len(kept)], lambda: LAYERS, 0.01)


def test_a_single_layer() -> None:
    assert fewest_float_layers(lambda kept: 0.0 if kept else 1.0, lambda: ["only"], 0.01) == ["only"]
