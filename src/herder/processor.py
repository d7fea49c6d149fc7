"""What the processor calls itself, and what it can do."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def processor_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's name as the system tells it; ``cpuinfo`` is where Linux does."""
    return _entry("model name", cpuinfo) or platform.processor() or platform.machine()


def processor_features(cpuinfo: Path = _CPUINFO) -> str:
    """Its instruction sets, as Linux lists them; "" elsewhere. Rented machines often share a name and differ here."""
    return _entry("flags", cpuinfo) or _entry("Features", cpuinfo)


def _entry(name: str, cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
