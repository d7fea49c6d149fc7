"""What can be chosen about a search, in a file that loads quickly: ``herder --help`` names the choices."""

from __future__ import annotations

from enum import StrEnum


class PrunerName(StrEnum):
    """Which trainings are given up before their end."""

    MEDIAN = "median"
    """Those below the median of earlier trials at the same epoch, from the sixth trial on."""
    HYPERBAND = "hyperband"
    """Successive halving with several budgets (L. Li et al. 2018, https://arxiv.org/abs/1603.06560): many trials."""
    NONE = "none"


class On(StrEnum):
    """What a trial's settings are measured on."""

    HOLDOUT = "holdout"
    """The validation photos, once."""
    FOLDS = "folds"
    """The mean over folds: slower, and less a matter of luck."""


class SamplerName(StrEnum):
    """What proposes the next architecture."""

    NSGA2 = "nsga2"
    """Crosses and mutates the networks on the front: many trials."""
    TPE = "tpe"
    """Draws what good networks have in common: few trials."""


class NasEngine(StrEnum):
    """What architectures are timed in."""

    ONNX = "onnx"
    """ONNX Runtime."""
    OPENVINO = "openvino"


class ProxyName(StrEnum):
    """What of a short training stands for the accuracy after a long one."""

    MAP = "map"
    """The metric on validation photos: what is wanted in the end, but noisy after few epochs."""
    LOSS = "loss"
    """The training loss of the last epoch: steadier, but not what is wanted in the end."""
