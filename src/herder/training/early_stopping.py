"""Rules that watch a metric: stop when it has stopped rising, or lower the learning rate.

Both accumulate with ``update``, answer with ``compute``, start over with ``reset``, and give their state as plain
numbers so that a checkpoint can hold it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


class EarlyStopping:
    """True once ``patience`` evaluations in a row brought no rise of at least ``min_delta`` (patience 0: never).

    >>> stopping = EarlyStopping(patience=2, min_delta=0.01)
    >>> for metric in (0.30, 0.305, 0.309):
    ...     stopping.update(metric)
    >>> stopping.compute()
    True
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self.best = -math.inf
        self.waited = 0

    def update(self, metric: float) -> None:
        """Take one evaluation's metric; NaN (nothing to measure) counts as no rise."""
        # A rise is measured from the last rise that counted: many small steps add up.
        if metric > self.best and metric - self.best >= self.min_delta:
            self.best, self.waited = metric, 0
        else:
            self.waited += 1

    def compute(self) -> bool:
        """Whether to stop."""
        return self.patience > 0 and self.waited >= self.patience

    def state(self) -> dict[str, float]:
        """What ``restore`` needs."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go back to a state."""
        self.best, self.waited = float(state["best"]), int(state["waited"])


class PlateauFactor:
    """A factor of the learning rate, multiplied by ``factor`` after each ``patience`` evaluations without a rise.

    It never falls below ``floor``.

    >>> plateau = PlateauFactor(patience=1, factor=0.5, floor=0.2)
    >>> for metric in (0.3, 0.3, 0.3, 0.3):
    ...     plateau.update(metric)
    >>> plateau.compute()
    0.2
    """

    def __init__(self, patience: int, factor: float, floor: float) -> None:
        self.factor = factor
        self.floor = floor
        self.watch = EarlyStopping(patience)
        self.reset()

    def reset(self) -> None:
        """Forget everything seen; the factor is 1 again."""
        self.watch.reset()
        self.value = 1.0

    def update(self, metric: float) -> None:
        """Take one evaluation's metric."""
        self.watch.update(metric)
        if self.watch.compute():
            self.value = max(self.floor, self.value * self.factor)
            self.watch.waited = 0

    def compute(self) -> float:
        """The factor."""
        return self.value

    def state(self) -> dict[str, float]:
        """What ``restore`` needs."""
        return {**self.watch.state(), "value": self.value}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go back to a state."""
        self.watch.restore(state)
        self.value = float(state["value"])
