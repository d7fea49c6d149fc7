"""How many threads serve a network best: one for each physical core that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def physical_cores(cpus: Path = _CPUS, quota: Path = _QUOTA) -> int:
    """Count the physical cores this process may run on; at least 1.

    Two threads of one core share its multiplier, so counting them twice makes convolutions slower. A container's share
    of the processor (cgroup v2, ``cpu.max``) counts too. ``cpus`` and ``quota`` are where Linux tells; elsewhere
    every logical core counts.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_siblings(cpus, number) for number in allowed}
    return max(1, min(len(cores), _share(quota)))


def _siblings(cpus: Path, number: int) -> str:
    """The logical cores that share a physical one with core ``number``, as Linux lists them."""
    try:
        return (cpus / f"cpu{number}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(number)


def _share(quota: Path) -> int:
    """How many cores' worth of time the container may use, rounded up."""
    try:
        allowed, period = quota.read_text().split()
    except (OSError, ValueError):
        return 1_000_000
    return 1_000_000 if allowed == "max" else math.ceil(int(allowed) / int(period))
