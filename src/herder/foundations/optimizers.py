"""First-order update rules: from weights and their gradient to the next weights.

Every rule is a function ``rule(w, dw, config=None) -> (next_w, config)``. ``w`` and ``dw`` are arrays of one shape, any
shape. ``config`` is a dict of settings; the rule fills in what is missing, keeps its state (velocity, moments, step
count) in the same dict, and returns it, ready for the next call. ``w`` and ``dw`` are left as they are. A shape that
does not fit, a dtype without real numbers, an unknown key or a setting out of its range is a ValueError.

Where PyTorch's conventions differ: ``torch.optim.SGD`` leaves the learning rate out of the velocity, so the two part
ways when the rate changes between steps, and agree while it stays. ``torch.optim.RMSprop`` and ``torch.optim.Adam``
compute the same as ``rmsprop`` and ``adam``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from herder.foundations.arguments import Array, check_numbers, check_shape
from herder.foundations.hyperparameters import check_real

Config = dict[str, Any]
UpdateRule = Callable[[Array, Array, Config | None], tuple[Array, Config]]


def sgd(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Stochastic gradient descent: w <- w - learning_rate * dw.

    Settings: ``learning_rate`` 1e-2.

    >>> sgd(np.array([1.0, 2.0]), np.array([10.0, -10.0]), {"learning_rate": 0.1})[0]
    array([0., 3.])
    """
    w, dw, config = _checked(w, dw, config, settings={"learning_rate": 1e-2}, state=())
    return w - config["learning_rate"] * dw, config


def sgd_momentum(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Gradient descent with momentum (Polyak, https://doi.org/10.1016/0041-5553(64)90137-5).

        v <- momentum * v - learning_rate * dw
        w <- w + v

    Settings: ``learning_rate`` 1e-2, ``momentum`` 0.9. State: ``velocity``, zeros at first.

    >>> config = {"learning_rate": 0.1}
    >>> w, config = sgd_momentum(np.array([1.0]), np.array([1.0]), config)  # v = -0.1
    >>> w, config = sgd_momentum(w, np.array([1.0]), config)  # v = -0.19
    >>> w.round(6)
    array([0.71])
    """
    defaults = {"learning_rate": 1e-2, "momentum": 0.9}
    w, dw, config = _checked(w, dw, config, settings=defaults, state=("velocity",))
    velocity = config["momentum"] * config["velocity"] - config["learning_rate"] * dw
    config["velocity"] = velocity
    return w + velocity, config


def rmsprop(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """RMSProp: each weight's step is divided by a running size of its gradient.

        cache <- decay_rate * cache + (1 - decay_rate) * dw^2
        w     <- w - learning_rate * dw / (sqrt(cache) + epsilon)

    Hinton's lecture 6e, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf.
    Settings: ``learning_rate`` 1e-2, ``decay_rate`` 0.99, ``epsilon`` 1e-8. State: ``cache``, zeros at first.

    >>> w, config = rmsprop(np.array([1.0, 1.0]), np.array([4.0, 0.04]), {"decay_rate": 0.0})
    >>> w.round(6)  # both weights go the same way, whatever the size of the gradient
    array([0.99, 0.99])
    """
    defaults = {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8}
    w, dw, config = _checked(w, dw, config, settings=defaults, state=("cache",))
    cache = config["decay_rate"] * config["cache"] + (1 - config["decay_rate"]) * dw**2
    config["cache"] = cache
    return w - config["learning_rate"] * dw / (np.sqrt(cache) + config["epsilon"]), config


def adam(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Adam (Kingma and Ba, https://arxiv.org/abs/1412.6980, algorithm 1): momentum and RMSProp without a cold start.

        t <- t + 1
        m <- beta1 * m + (1 - beta1) * dw          m_hat = m / (1 - beta1^t)
        v <- beta2 * v + (1 - beta2) * dw^2        v_hat = v / (1 - beta2^t)
        w <- w - learning_rate * m_hat / (sqrt(v_hat) + epsilon)

    Settings: ``learning_rate`` 1e-3, ``beta1`` 0.9, ``beta2`` 0.999, ``epsilon`` 1e-8. State: ``m`` and ``v``, zeros at
    first, and ``t``, the number of steps taken.

    >>> w, config = adam(np.array([1.0, 1.0]), np.array([4.0, 0.04]))
    >>> w.round(6), config["t"]  # the first step is one learning rate long
    (array([0.999, 0.999]), 1)
    """
    defaults = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    w, dw, config = _checked(w, dw, config, settings=defaults, state=("m", "v"), counter="t")
    t = config["t"] + 1
    m = config["beta1"] * config["m"] + (1 - config["beta1"]) * dw
    v = config["beta2"] * config["v"] + (1 - config["beta2"]) * dw**2
    config.update(t=t, m=m, v=v)
    m_hat = m / (1 - config["beta1"] ** t)
    v_hat = v / (1 - config["beta2"] ** t)
    return w - config["learning_rate"] * m_hat / (np.sqrt(v_hat) + config["epsilon"]), config


UPDATE_RULES: Mapping[str, UpdateRule] = {rule.__name__: rule for rule in (sgd, sgd_momentum, rmsprop, adam)}
"""The rules of this file by their names, for ``Solver(update_rule=...)``."""

_BELOW_ONE = ("momentum", "decay_rate", "beta1", "beta2")


def _checked(
    w: Array,
    dw: Array,
    config: Config | None,
    *,
    settings: Mapping[str, float],
    state: tuple[str, ...],
    counter: str = "",
) -> tuple[Array, Array, Config]:
    """Check all three arguments, and fill in the settings and zeros of state that ``config`` lacks."""
    w = check_numbers("w", w)
    if w.dtype.kind != "f":
        raise ValueError(f"w: found dtype {w.dtype}, wanted floating point, such as float64")
    dw = check_shape("dw", dw, *w.shape)
    config = {} if config is None else config
    known = (*settings, *state, *([counter] if counter else ()))
    unknown = [key for key in config if key not in known]
    if unknown:
        raise ValueError(f"config: found unknown {', '.join(map(repr, unknown))}, wanted only {', '.join(known)}")
    for name, default in settings.items():
        value = check_real(f"config[{name!r}]", config.setdefault(name, default), 0)
        if name in _BELOW_ONE and value >= 1:
            raise ValueError(f"config[{name!r}]: found {value}, wanted a number from 0 to less than 1")
    for name in state:
        if config.get(name) is None:
            config[name] = np.zeros_like(w)
        config[name] = check_shape(f"config[{name!r}]", config[name], *w.shape)
    if counter:
        count = config.setdefault(counter, 0)
        if not isinstance(count, (int, np.integer)) or count < 0:
            raise ValueError(f"config[{counter!r}]: found {count!r}, wanted a whole number of at least 0")
    return w, dw, config
