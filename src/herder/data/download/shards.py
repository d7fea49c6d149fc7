"""Shares of the work for several machines that know nothing of each other."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from herder.errors import ConfigError


def slot_of(key: str) -> int:
    """A number from 0 to 2^63 - 1 that depends on the key alone: the same on every machine and in every year.

    The first 63 bits of the key's SHA-256; Python's own ``hash`` differs from process to process.
    """
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) >> 1


@dataclass(frozen=True)
class Shard:
    """Share ``index`` of ``count``, counted from 1; every key belongs to exactly one. Raises ConfigError for nonsense.

    >>> sum(Shard(i, 3).owns("0a1b") for i in (1, 2, 3))
    1
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ConfigError(f"shard {self}: no such share", hint="shares are 1/n to n/n, such as --shard 2/5")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that ``"2/5"`` means. Raises ConfigError for anything else.

        >>> Shard.parse("2/5")
        Shard(index=2, count=5)
        """
        found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
        if found is None:
            raise ConfigError(f"shard {text!r}: wanted a share such as 2/5", hint="give k/n: share k of n, from 1")
        return cls(int(found[1]), int(found[2]))

    def owns(self, key: str) -> bool:
        """Whether the item of this key is in this share."""
        return slot_of(key) % self.count == self.index - 1
