"""What pruning is told, and what is refused before any work begins."""

from __future__ import annotations

from dataclasses import dataclass

from herder.errors import ConfigError
from herder.model.network import Network
from herder.model.pruning import Importance, Scope, check_not_quantized, check_pruning, check_ratio


@dataclass(frozen=True)
class PruneSettings:
    """How to prune."""

    ratio: float = 0.3
    """Share of the channels that go; of the weights where unstructured."""
    steps: int = 3
    """Rounds of pruning and fine-tuning, each of which takes the same share of what is left."""
    scope: Scope = Scope.GLOBAL
    importance: Importance = Importance.TAYLOR
    multiple: int = 4
    """Channels left are multiples of this where a layer has that many: processors work on groups of them."""
    unstructured: bool = False
    """Zero single weights in place of taking channels out; they stay zero through the fine-tuning."""
    fine_tune: bool = True
    """Train after each step; without it the accuracy is what pruning leaves."""


def check_settings(network: Network, settings: PruneSettings) -> None:
    """Raise ConfigError for settings without meaning, or that would leave a layer without channels."""
    s = settings
    if s.steps < 1:
        raise ConfigError(f"steps: {s.steps}", hint="wanted 1 or more")
    if s.multiple < 1:
        raise ConfigError(f"multiple: {s.multiple}", hint="wanted 1 or more")
    check_not_quantized(network)
    if s.unstructured:
        check_ratio(s.ratio)
        plain = PruneSettings()
        for name in ("scope", "importance", "multiple"):
            if getattr(s, name) != getattr(plain, name):
                raise ConfigError(
                    f"{name}: has no meaning for unstructured pruning, which zeroes the smallest weights of all",
                    hint=f"leave out {name}, or unstructured",
                )
    else:
        check_pruning(network, s.ratio, s.scope, s.steps)
