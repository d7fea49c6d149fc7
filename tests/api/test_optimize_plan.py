from __future__ import annotations

import pytest

from herder.api.optimize_plan import make_plan, network_steps
from herder.errors import ConfigError


def test_neighbours_of_the_chain_alone_and_together() -> None:
    found = network_steps(["search", "distill", "prune"])
    assert found[:4] == [(), ("search",), ("distill",), ("prune",)]
    assert set(found[4:]) == {("search", "distill"), ("distill", "prune"), ("search", "distill", "prune")}


def test_what_needs_no_training_comes_first() -> None:
    plan = make_plan(["quantize", "prune", "export"], [64], ["onnx", "openvino"])
    assert plan.networks == ((), ("prune",))
    forms = [file.form.name for file in plan.files if not file.steps]
    assert {"onnx-float32", "openvino-int8", "onnx-int8"} <= set(forms)


def test_an_engine_that_is_not_wanted_runs_nothing() -> None:
    plan = make_plan(["export", "quantize"], [64, 32], ["onnx"])
    assert all(key.endswith("/onnx") for key in plan.keys())  # noqa: SIM118  # keys() is the plan's
    assert {file.size for file in plan.files} == {64, 32}
    assert not any(file.form.suffix == ".xml" for file in plan.files)


def test_a_network_alone_is_exported_too() -> None:
    plan = make_plan(["prune"], [64], ["onnx"])
    assert {file.form.strategy for file in plan.files} == {"export"}
    assert ("prune",) in plan.networks


def test_sizes_and_engines_named_twice_count_once() -> None:
    keys = list(make_plan(["export"], [64, 64], ["onnx", "onnx"]).keys())
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("strategies", "sizes", "engines", "said"),
    [
        (["exprot"], [64], ["onnx"], "exprot"),
        (["export"], [100], ["onnx"], "100"),
        (["export"], [64], ["tensorrt"], "tensorrt"),
        ([], [64], ["onnx"], "nothing to try"),
        (["export"], [], ["onnx"], "nothing to try"),
        (["export"], [64], [], "nothing to try"),
    ],
)
def test_what_cannot_be_planned(strategies: list[str], sizes: list[int], engines: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_plan(strategies, sizes, engines)
