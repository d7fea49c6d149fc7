"""What can be chosen about ``herder optimize``, in a file that loads quickly: ``herder --help`` names the choices."""

from __future__ import annotations

from enum import StrEnum


class Prefer(StrEnum):
    """Which of the models that keep all limits is the best."""

    ACCURATE = "accurate"
    """Highest mAP50-95; of equals the fastest."""
    FAST = "fast"
    SMALL = "small"
    """Fewest bytes; of equals the fastest."""
