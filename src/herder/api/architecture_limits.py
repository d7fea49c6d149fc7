"""What a network may cost at most, and refusing limits that no network of the space keeps before the search begins."""

from __future__ import annotations

import math
from dataclasses import dataclass

from herder.api.architecture_bench import NetworkBench, NetworkCost
from herder.errors import ConfigError
from herder.model.architecture_space import ArchitectureSpace


@dataclass(frozen=True)
class Limit:
    """An upper limit, and by how much a network breaks it."""

    option: str
    unit: str
    most: float
    found: float

    @property
    def over(self) -> float:
        """How far above the limit, as a share of it; 0 or below where it is kept."""
        return self.found / self.most - 1

    def __str__(self) -> str:
        return f"{self.found:.2f} {self.unit}, {self.most:g} allowed"


@dataclass(frozen=True)
class CostLimits:
    """Upper limits; None: none. Raises ConfigError for one that is not positive."""

    milliseconds: float | None = None
    """Of the network alone, one photo at a time."""
    megabytes: float | None = None
    """10^6 bytes of the ONNX file in float32."""
    times: float | None = None
    """Of the reference's time: the same whether the machine is busy or not."""

    def __post_init__(self) -> None:
        for name, limit in (("max-latency-ms", self.milliseconds), ("max-size-mb", self.megabytes)):
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise ConfigError(f"--{name} {limit} is not positive", hint="no network keeps it; use 10, say")

    def of(self, times: float, reference_ms: float, megabytes: float) -> list[Limit]:
        """The limits that are set, beside what a network has: its time for each of the reference's, and its file."""
        each = (
            ("--max-latency-ms", "ms", self.milliseconds, times * reference_ms),
            ("--max-size-mb", "MB", self.megabytes, megabytes),
            ("the limit on its time,", "times the reference", self.times, times),
        )
        return [Limit(option, unit, most, found) for option, unit, most, found in each if most is not None]


def check_limits(
    limits: CostLimits, space: ArchitectureSpace, bench: NetworkBench, class_names: tuple[str, ...]
) -> None:
    """Raise ConfigError where even the smallest networks of the space break a limit."""
    if not limits.of(0.0, 0.0, 0.0):
        return
    costs: list[NetworkCost] = []
    for depthwise in space.depthwise:  # which of them is fastest depends on the engine
        costs.append(bench.measure(space.spec(space.smallest(depthwise), class_names, "smallest")))
    # The lower end of the interval: what is only just too slow is for the trials to find out.
    fastest = min(cost.time.low for cost in costs)
    for limit in limits.of(fastest, bench.reference_milliseconds(), min(cost.megabytes for cost in costs)):
        if limit.over > 0:
            raise ConfigError(
                f"{limit.option} {limit.most:g}: even the smallest network of the space takes "
                f"{limit.found:.2f} {limit.unit}",
                hint="allow more, or give smaller choices with --space and --sizes",
            )
