"""The gate that a model must pass before it takes another's place: decided on an interval, not on one number.

``not-worse`` is a non-inferiority test: the interval of the difference must not reach below minus the margin (G.
Piaggio et al., JAMA 2012, https://doi.org/10.1001/jama.2012.87802). ``better`` asks that it lie above the margin. An
interval has two sides and a gate looks at one: where B is no better it passes ``better`` at 95 % in about 2.5 of 100
tries, not in 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from herder.errors import ConfigError
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance.intervals import Interval

Kind = Literal["better", "not-worse"]

KINDS: tuple[Kind, ...] = ("better", "not-worse")


@dataclass(frozen=True)
class Gate:
    """What B has to show against A. Raises ConfigError for nonsense."""

    kind: Kind
    margin: float = 0.0
    """``better``: B must be better by more than this; ``not-worse``: it may be worse by up to this."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"gate {self.kind!r} is not known", hint=f"use one of {', '.join(KINDS)}")
        if not 0 <= self.margin < 1:
            raise ConfigError(f"margin {self.margin:g} is out of range", hint="give 0 or more, such as 0.01")

    @property
    def threshold(self) -> float:
        """The difference B - A that the interval must lie above, or for ``not-worse`` not below."""
        return self.margin if self.kind == "better" else -self.margin

    def decide(self, difference: Interval | NotComputed) -> GateDecision:
        """Whether the interval of the difference B - A lets B through.

        >>> print(Gate("not-worse", 0.01).decide(Interval(-0.004, 0.02, 0.95, "BCa")))
        passed: at 95 % confidence B is not worse than A by more than 0.010 (the difference is -0.004 to 0.020)
        """
        if isinstance(difference, NotComputed):
            return GateDecision(False, f"the interval of the difference is {difference}")
        if self.kind == "better":
            passed = difference.low > self.threshold
            what = f"better than A by more than {self.margin:.3f}" if self.margin else "better than A"
        else:
            passed = difference.low >= self.threshold  # a model that finds the very same is not worse
            what = f"not worse than A by more than {self.margin:.3f}" if self.margin else "not worse than A"
        sentence = f"at {difference.level:.0%} confidence B is {what}"
        if not passed:
            sentence = f"it is not shown at {difference.level:.0%} confidence that B is {what}"
        return GateDecision(passed, f"{sentence.replace('%', ' %')} (the difference is {difference})")


@dataclass(frozen=True)
class GateDecision:
    """Whether B may take A's place, and why."""

    passed: bool
    sentence: str

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'not passed'}: {self.sentence}"
