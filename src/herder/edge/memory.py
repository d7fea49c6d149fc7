"""How much memory this process holds, and held at most."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_bytes(status: Path = _STATUS) -> int:
    """Bytes of physical memory (resident set size) that this process holds now."""
    return _linux("VmRSS", status) or _told("rss")


def peak_resident_bytes(status: Path = _STATUS) -> int:
    """Bytes of physical memory that this process held at most since its program was started.

    On Linux this is VmHWM of ``status``: what getrusage tells also counts the parent that started the process.
    """
    return _linux("VmHWM", status) or _told("peak_wset") or _most()


def _linux(name: str, status: Path) -> int:
    """One entry of ``status`` in bytes; 0 where the system has none."""
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    found = [line.split() for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(found[0][1]) if found else 0


def _told(name: str) -> int:
    """What psutil knows; 0 where it is not installed, or the system does not tell."""
    try:
        import psutil
    except ImportError:
        return 0
    return int(getattr(psutil.Process().memory_info(), name, 0))


def _most() -> int:
    """What getrusage tells; only asked where there is neither /proc nor Windows' own count."""
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
