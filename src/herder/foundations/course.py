"""Run the notebooks of Stanford's CS231n (https://cs231n.github.io) on herder: its module names, our functions.

    from herder.foundations.course import as_cs231n
    as_cs231n(cifar="cifar-10-batches-py")

as the first cell; every ``from cs231n.layers import *`` after it then finds this package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import herder.foundations.cifar as cifar_batches
from herder.foundations import (
    convolution,
    dropout,
    fast_convolution,
    gradient_check,
    layer_sandwiches,
    layers,
    linear_classifiers,
    linear_losses,
    nearest_neighbors,
    normalization,
    optimizers,
    pooling,
    solver,
    spatial_normalization,
)
from herder.foundations.conv_net import ThreeLayerConvNet
from herder.foundations.fully_connected import FullyConnectedNet
from herder.foundations.two_layer_net import TwoLayerNet as OlderTwoLayerNet


class TwoLayerNet(FullyConnectedNet):
    """The two-layer network as the course's newer notebooks ask for it: images in, ``reg`` kept, no ``train``.

    >>> model = TwoLayerNet(input_dim=5, hidden_dim=50, num_classes=7, weight_scale=1e-3)
    >>> sorted(model.params), model.loss(np.zeros((3, 5))).shape
    (['W1', 'W2', 'b1', 'b2'], (3, 7))
    """

    def __init__(
        self,
        input_dim: int = 3 * 32 * 32,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float = 1e-3,
        reg: float = 0.0,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__(
            [hidden_dim], input_dim, num_classes, reg=reg, weight_scale=weight_scale, dtype=dtype, normalization=None
        )


_LAYERS = (layers, normalization, spatial_normalization, dropout, convolution, pooling)
_FAST = (fast_convolution, pooling)

_MODULES: dict[str, tuple[ModuleType | Callable[..., Any], ...]] = {
    "cs231n": (),
    "cs231n.classifiers": (
        nearest_neighbors.KNearestNeighbor,
        linear_classifiers,
        OlderTwoLayerNet,
    ),
    "cs231n.classifiers.k_nearest_neighbor": (nearest_neighbors.KNearestNeighbor,),
    "cs231n.classifiers.linear_classifier": (linear_classifiers,),
    "cs231n.classifiers.linear_svm": (linear_losses.svm_loss_naive, linear_losses.svm_loss_vectorized),
    "cs231n.classifiers.softmax": (linear_losses.softmax_loss_naive, linear_losses.softmax_loss_vectorized),
    "cs231n.classifiers.neural_net": (OlderTwoLayerNet,),
    "cs231n.classifiers.fc_net": (TwoLayerNet, FullyConnectedNet, *_LAYERS, layer_sandwiches),
    "cs231n.classifiers.cnn": (ThreeLayerConvNet, *_LAYERS, *_FAST, layer_sandwiches),
    "cs231n.layers": _LAYERS,
    "cs231n.fast_layers": _FAST,
    "cs231n.layer_utils": (layer_sandwiches, *_LAYERS, *_FAST),
    "cs231n.optim": (optimizers,),
    "cs231n.solver": (solver.Solver,),
    "cs231n.gradient_check": (gradient_check,),
    "cs231n.data_utils": (cifar_batches,),
}
"""The course's modules, and what each holds: all public names of a module of ours, or one function or class."""


def as_cs231n(cifar: str | os.PathLike[str] | None = None) -> None:
    """Answer to ``import cs231n`` in this process; ``cifar`` is where ``get_CIFAR10_data()`` finds its batches.

    Raises ValueError when the course's own package was imported before: one of the two must go.
    """
    there = sys.modules.get("cs231n")
    if there is not None and there.__doc__ != __doc__:
        raise ValueError(f"cs231n: found {there.__file__} imported already, wanted a fresh Python")
    for name, parts in _MODULES.items():
        module = ModuleType(name, __doc__)
        module.__path__ = []  # what has submodules is a package
        for part in parts:
            module.__dict__.update(_public(part) if isinstance(part, ModuleType) else {part.__name__: part})
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    if cifar is not None:
        data_utils = sys.modules["cs231n.data_utils"].__dict__
        data_utils["get_CIFAR10_data"] = partial(cifar_batches.get_CIFAR10_data, cifar)


def _public(module: ModuleType) -> dict[str, Any]:
    """Names that ``module`` itself defines, but for the checks of arguments."""
    return {
        name: value
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith(("_", "check_"))
    }
