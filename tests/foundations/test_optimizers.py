"""The update rules against torch.optim and published values."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from herder.foundations.optimizers import UPDATE_RULES, UpdateRule, adam, rmsprop, sgd, sgd_momentum

RULES = list(UPDATE_RULES.values())
W = np.linspace(-0.4, 0.6, 20).reshape(4, 5)
DW = np.linspace(-0.6, 0.4, 20).reshape(4, 5)


def published(shared_dir: Path, name: str) -> dict[str, Any]:
    checks = json.loads((shared_dir / "acceptance" / "foundations.json").read_text())["checks"]
    (expected,) = (check["expected"] for check in checks if check["function"] == name)
    return {key: np.array(value) for key, value in expected.items()}


@pytest.mark.shared
def test_published_momentum(shared_dir: Path) -> None:
    expected = published(shared_dir, "sgd_momentum")
    config = {"learning_rate": 1e-3, "velocity": np.linspace(0.6, 0.9, 20).reshape(4, 5)}
    next_w, _ = sgd_momentum(W, DW, config=config)
    # Published with 8 decimals; the velocity is kept in the dict that was given.
    assert np.abs(next_w - expected["next_w"]).max() < 5.1e-9
    assert np.abs(config["velocity"] - expected["velocity"]).max() < 5.1e-9


@pytest.mark.shared
def test_published_adam(shared_dir: Path) -> None:
    expected = published(shared_dir, "adam")
    m, v = np.linspace(0.6, 0.9, 20).reshape(4, 5), np.linspace(0.7, 0.5, 20).reshape(4, 5)
    config = {"learning_rate": 1e-2, "m": m, "v": v, "t": 5}
    next_w, _ = adam(W, DW, config=config)
    for name, found in (("next_w", next_w), ("m", config["m"]), ("v", config["v"])):
        assert np.abs(found - expected[name]).max() < 5.1e-9, name  # published with 8 decimals
    assert config["t"] == 6


TORCH: dict[UpdateRule, tuple[dict[str, float], Callable[[Any], torch.optim.Optimizer]]] = {
    sgd: ({"learning_rate": 0.1}, lambda w: torch.optim.SGD([w], lr=0.1)),
    sgd_momentum: (
        {"learning_rate": 0.1, "momentum": 0.8},
        lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.8),
    ),
    rmsprop: (
        {"learning_rate": 0.02, "decay_rate": 0.95, "epsilon": 1e-6},
        lambda w: torch.optim.RMSprop([w], lr=0.02, alpha=0.95, eps=1e-6),
    ),
    adam: (
        {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6},
        lambda w: torch.optim.Adam([w], lr=0.03, betas=(0.8, 0.99), eps=1e-6),
    ),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("settings", ["given", "default"])
def test_torch_agrees_over_many_steps(rule: UpdateRule, settings: str) -> None:
    given_config, make = TORCH[rule]
    defaults: dict[UpdateRule, Callable[[Any], torch.optim.Optimizer]] = {
        sgd: lambda w: torch.optim.SGD([w], lr=1e-2),
        sgd_momentum: lambda w: torch.optim.SGD([w], lr=1e-2, momentum=0.9),
        rmsprop: lambda w: torch.optim.RMSprop([w]),
        adam: lambda w: torch.optim.Adam([w]),
    }
    config: Any = dict(given_config) if settings == "given" else None
    w, theirs = W, torch.tensor(W, requires_grad=True)
    optimizer = make(theirs) if settings == "given" else defaults[rule](theirs)
    for step in range(25):
        dw = np.sin(w * 7 + step)  # any gradient will do, as long as both see the same
        theirs.grad = torch.tensor(dw)
        optimizer.step()
        w, config = rule(w, dw, config)
        np.testing.assert_allclose(w, theirs.detach().numpy(), rtol=1e-9, atol=1e-13)


def test_momentum_keeps_the_rate_its_velocity_was_made_with() -> None:
    """Where torch differs: its velocity is free of the rate, so a new rate speeds up old gradients too."""
    config = {"learning_rate": 1.0, "momentum": 0.5}
    w, config = sgd_momentum(np.zeros(1), np.ones(1), config)  # v = -1
    config["learning_rate"] = 0.0
    w, config = sgd_momentum(w, np.ones(1), config)  # v = -0.5: what is left of the first step
    assert w.tolist() == [-1.5]

    theirs = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([theirs], lr=1.0, momentum=0.5)
    for rate in (1.0, 0.0):
        optimizer.param_groups[0]["lr"] = rate
        theirs.grad = torch.ones(1)
        optimizer.step()
    assert theirs.tolist() == [-1.0]


@given(st.sampled_from(RULES), st.integers(0, 3), st.integers(0, 99))
def test_no_gradient_no_step_and_any_shape(rule: UpdateRule, dimensions: int, seed: int) -> None:
    w = np.random.default_rng(seed).standard_normal((2, 0, 3)[:dimensions] if seed % 2 else (2, 1, 3)[:dimensions])
    following, config = rule(w, np.zeros_like(w), None)
    np.testing.assert_array_equal(following, w)
    again, _ = rule(following, np.zeros_like(w), config)
    np.testing.assert_array_equal(again, w)


@pytest.mark.parametrize("rule", RULES)
def test_arrays_are_left_alone_and_types_kept(rule: UpdateRule) -> None:
    w, dw = W.copy(), DW.copy()
    config: dict[str, Any] = {}
    following, returned = rule(w, dw, config)
    assert returned is config
    assert following is not w
    np.testing.assert_array_equal(w, W)
    np.testing.assert_array_equal(dw, DW)
    single, config = rule(w.astype(np.float32), dw.astype(np.float32), None)
    assert single.dtype == np.float32
    assert all(value.dtype == np.float32 for value in config.values() if isinstance(value, np.ndarray))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(3), np.zeros(4)), r"dw: found shape \(4,\), wanted \(3,\)"),
        ((np.zeros(3, int), np.zeros(3)), "w: found dtype int64, wanted floating point"),
        ((np.zeros(3), np.full(3, "a")), "dw: found dtype <U1"),
        (
            (np.zeros(3), np.zeros(3), {"learning_rat": 1}),
            "config: found unknown 'learning_rat', wanted only learning_r",
        ),
        ((np.zeros(3), np.zeros(3), {"learning_rate": -1}), r"config\['learning_rate'\]: found -1"),
        ((np.zeros(3), np.zeros(3), {"learning_rate": np.nan}), r"config\['learning_rate'\]: found nan"),
    ],
)
def test_what_does_not_fit_is_named(rule: UpdateRule, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        rule(*arguments)


@pytest.mark.parametrize(
    ("rule", "config", "message"),
    [
        (sgd_momentum, {"momentum": 1.0}, r"config\['momentum'\]: found 1.0, wanted a number from 0 to less than 1"),
        (sgd_momentum, {"velocity": np.zeros(2)}, r"config\['velocity'\]: found shape \(2,\), wanted \(3,\)"),
        (rmsprop, {"decay_rate": 1}, r"config\['decay_rate'\]: found 1"),
        (rmsprop, {"cache": np.zeros((3, 1))}, r"config\['cache'\]: found shape \(3, 1\)"),
        (adam, {"beta1": 1}, r"config\['beta1'\]: found 1"),
        (adam, {"beta2": -0.1}, r"config\['beta2'\]: found -0.1"),
        (adam, {"t": 1.5}, r"config\['t'\]: found 1.5, wanted a whole number"),
        (adam, {"t": -1}, r"config\['t'\]: found -1"),
        (adam, {"m": np.zeros(2)}, r"config\['m'\]: found shape"),
    ],
)
def test_state_and_settings_that_do_not_fit(rule: UpdateRule, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        rule(np.zeros(3), np.zeros(3), config)
