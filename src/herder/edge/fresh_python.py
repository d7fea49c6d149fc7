"""How to start one of herder's own programs in a Python process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def program_words(module: str, *words: str) -> list[str]:
    """The command that runs ``module``. The folder the user stands in is not searched for modules (``-P``): a file
    called queue.py there would be taken for Python's own."""
    return [sys.executable, "-P", "-m", module, *words]


def program_environment() -> dict[str, str]:
    """This process's variables, with which the new one finds herder where this one found it, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(place or str(Path.cwd()) for place in sys.path)}
