"""What a small model must keep, which of several models keeps it best, and what to say where none does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from herder.api.optimize_choices import Prefer
from herder.api.optimize_result import Candidate
from herder.errors import ConfigError

DROP_SCALE = 0.01
"""mAP that counts as once the limit where the limit itself is smaller: a drop of 0 cannot be overshot by a factor."""

EQUAL_MAP = 0.002
"""Models whose mAP50-95 differs by no more are equally accurate, and time decides: the order of additions moves it so
far, and a few hundred photos cannot tell more."""


@dataclass(frozen=True)
class Constraints:
    """Upper limits; None: none."""

    latency_ms: float | None = None
    """From a decoded photo to boxes, one photo at a time, the median."""
    size_mb: float | None = None
    """Of the model's file or files, in 10^6 bytes."""
    memory_mb: float | None = None
    """Peak resident memory of a fresh detecting process, in 10^6 bytes."""
    drop: float | None = None
    """mAP@0.5 below the input model."""

    def __post_init__(self) -> None:
        limits = (("latency-ms", self.latency_ms), ("size-mb", self.size_mb), ("memory-mb", self.memory_mb))
        for name, limit in limits:
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise ConfigError(f"--max-{name} {limit} is not positive", hint="no model keeps it; use 10, say")
        if self.drop is not None and not 0 <= self.drop < 1:
            raise ConfigError(f"--max-drop {self.drop} is not from 0 to below 1", hint="use 0.01, say")

    def limits(self) -> list[Limit]:
        """The limits that are set."""
        each = (
            Limit("latency", "ms", self.latency_ms, 1),
            Limit("size", "MB", self.size_mb, 2),
            Limit("memory", "MB", self.memory_mb, 0),
            Limit("drop", "mAP50", self.drop, 4),
        )
        return [limit for limit in each if limit.most is not None]


@dataclass(frozen=True)
class Limit:
    """One limit that a candidate keeps or not."""

    name: str
    unit: str
    most: float | None
    digits: int

    def value(self, candidate: Candidate, reference_ms: float) -> float:
        """What the candidate has of it."""
        return {
            "latency": candidate.milliseconds(reference_ms),
            "size": candidate.file_bytes / 1e6,
            "memory": candidate.peak_rss_bytes / 1e6,
            "drop": candidate.drop,
        }[self.name]

    def overshoot(self, candidate: Candidate, reference_ms: float) -> float:
        """How far above the limit, as a share of it; 0 where it is kept."""
        assert self.most is not None
        scale = max(self.most, DROP_SCALE) if self.name == "drop" else self.most
        return max(0.0, (self.value(candidate, reference_ms) - self.most) / scale)

    def text(self, value: float) -> str:
        """A value with its unit."""
        return f"{value:.{self.digits}f} {self.unit}"

    def __str__(self) -> str:
        return f"{self.name} at most {self.text(self.most or 0.0)}"


PREFERRED = {
    Prefer.ACCURATE: "most accurate (of equals the fastest)",
    Prefer.FAST: "fastest",
    Prefer.SMALL: "smallest (of equals the fastest)",
}


def preferred(candidates: Sequence[Candidate], prefer: Prefer) -> Candidate:
    """The best of ``candidates``, of which there is one at least."""
    match prefer:
        case Prefer.FAST:
            return min(candidates, key=lambda c: (c.time.value, -c.map50_95))
        case Prefer.SMALL:
            return min(candidates, key=lambda c: (c.file_bytes, c.time.value))
        case _:
            top = max(candidate.map50_95 for candidate in candidates)
            equals = [candidate for candidate in candidates if candidate.map50_95 >= top - EQUAL_MAP]
            return min(equals, key=lambda c: c.time.value)


@dataclass(frozen=True)
class Choice:
    """The candidate that is handed back, and why."""

    best: Candidate | None
    """The best that keeps all limits; None where none does."""
    nearest: Candidate | None
    """Where none does: the one whose overshoots sum up to the least."""
    sentences: tuple[str, ...]


def choose(
    candidates: Sequence[Candidate],
    constraints: Constraints,
    reference_ms: float,
    prefer: Prefer = Prefer.ACCURATE,
) -> Choice:
    """The best, by what is preferred, of those that keep all limits.

    ``reference_ms`` is the time of the input model, which the candidates' ratios are multiplied with.
    """
    limits = constraints.limits()
    if not candidates:
        return Choice(None, None, ("nothing could be measured",))

    def over(candidate: Candidate) -> float:
        return sum(limit.overshoot(candidate, reference_ms) for limit in limits)

    keeping = [candidate for candidate in candidates if over(candidate) == 0]
    if keeping:
        best = preferred(keeping, prefer)
        which = ", ".join(map(str, limits)) or "no limit was set"
        kept = f"{len(keeping)} of {len(candidates)} candidates keep all limits ({which})"
        return Choice(best, None, (kept, f"of these, the {PREFERRED[prefer]} is chosen"))
    nearest = min(candidates, key=over)
    sentences = [f"no candidate keeps all limits ({', '.join(map(str, limits))})"]
    unmet = [limit for limit in limits if all(limit.overshoot(c, reference_ms) > 0 for c in candidates)]
    for limit in unmet:
        least, where = min((limit.value(c, reference_ms), c.label) for c in candidates)
        sentences.append(f"{limit} cannot be met: the least is {limit.text(least)} ({where})")
    if not unmet:
        sentences.append("each limit is kept by some candidate, but no candidate keeps them all")
    broken = [
        f"{limit.name} {limit.text(limit.value(nearest, reference_ms))}, not {limit.text(limit.most or 0.0)}"
        for limit in limits
        if limit.overshoot(nearest, reference_ms) > 0
    ]
    sentences.append(f"nearest comes {nearest.label}: {'; '.join(broken)}")
    return Choice(None, nearest, tuple(sentences))
