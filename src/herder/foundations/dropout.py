"""Inverted dropout: in training each value is kept with probability p, else set to zero, so that no unit can rely on
another (Srivastava et al., https://jmlr.org/papers/v15/srivastava14a.html).

    train:  out = x * mask,   mask = 1/p with probability p, 0 otherwise
    test:   out = x

Kept values are divided by p at once ("inverted"), so that the expected value of out is x and testing needs no change.
Here p is the probability of KEEPING a value; in the paper too, but in ``torch.nn.Dropout`` it is that of dropping one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from herder.foundations.arguments import Array, check_choice, check_numbers, check_shape
from herder.foundations.hyperparameters import check_real

DropoutCache = tuple[Mapping[str, Any], Array | None, tuple[int, ...]]
"""What the forward pass leaves for the backward pass: dropout_param, the mask (None in test mode), the shape of x."""


def dropout_forward(x: Array, dropout_param: Mapping[str, Any]) -> tuple[Array, DropoutCache]:
    """Drop values of x, of any shape. Returns out of that shape, and the cache.

    dropout_param: ``mode``, "train" or "test"; ``p``, the probability of keeping a value, above 0, at most 1. With
    ``seed``, a whole number, the mask is the same at every call, as a numeric gradient check needs it; otherwise it is
    drawn from ``rng``, a ``numpy.random.Generator``, if there is one, else anew. Raises ValueError for settings out of
    range.

    >>> out, cache = dropout_forward(np.ones(8), {"mode": "train", "p": 0.5, "seed": 1})
    >>> out.tolist()
    [0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0]
    """
    x = check_numbers("x", x)
    mode = dropout_param.get("mode")
    check_choice("dropout_param['mode']", mode, ("train", "test"))
    p = check_real("dropout_param['p']", dropout_param.get("p"), 0, 1, open_low=True)
    if mode == "test":
        return x, (dropout_param, None, x.shape)
    kept = _generator(dropout_param).random(x.shape) < p
    mask = kept.astype(np.result_type(x, np.float32)) / p
    return x * mask, (dropout_param, mask, x.shape)


def dropout_backward(dout: Array, cache: DropoutCache) -> Array:
    """The gradient dx for the upstream gradient dout, both of the shape of x: dout * mask."""
    _, mask, shape = cache
    dout = check_shape("dout", dout, *shape)
    return dout if mask is None else dout * mask


def _generator(dropout_param: Mapping[str, Any]) -> np.random.Generator:
    seed, rng = dropout_param.get("seed"), dropout_param.get("rng")
    if seed is None and rng is not None:
        if not isinstance(rng, np.random.Generator):
            raise ValueError(f"dropout_param['rng']: found {type(rng).__name__}, wanted a numpy.random.Generator")
        return rng
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise ValueError(f"dropout_param['seed']: found {seed!r}, wanted a whole number of at least 0")
    return np.random.default_rng(seed)
