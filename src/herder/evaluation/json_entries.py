"""JSON from outside, read with a clear error for each thing that can be wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herder.errors import DataError

MAX_BYTES = 1 << 30
"""A larger file is refused: read as JSON it would take some ten times as much memory."""

MAX_COORDINATE = 1e7
"""Pixels; no photo is larger, and squares of larger numbers lose their precision."""


@dataclass(frozen=True)
class Entry:
    """One object of a list in a file, with its place for errors; every method raises DataError that names both."""

    path: Path
    place: str
    content: Any

    def error(self, message: str, hint: str = "") -> DataError:
        """An error that names the file and the place; ``message`` goes on from there."""
        return DataError(f"{self.path}: {self.place}{message}", hint=hint or "correct or remove this entry")

    @property
    def row(self) -> dict[str, Any]:
        """The object itself; raises where it is something else."""
        if not isinstance(self.content, dict):
            raise self.error(f": found {kind(self.content)}, wanted an object")
        return self.content

    def field(self, key: str) -> Any:
        """What stands under ``key``; raises where it is missing."""
        if key not in self.row:
            raise self.error(f": {key} is missing")
        return self.row[key]

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self.field(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f".{key}: found {shown(value)}, wanted a whole number")
        return value

    def text(self, key: str) -> str:
        """Text that is not empty."""
        value = self.field(key)
        if not isinstance(value, str) or not value:
            raise self.error(f".{key}: found {shown(value)}, wanted a name")
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        return self._finite(f".{key}", self.field(key))

    def share(self, key: str) -> float:
        """A number from 0 to 1."""
        value = self.number(key)
        if not 0 <= value <= 1:
            raise self.error(
                f".{key}: found {value:g}, wanted 0 to 1", hint="write probabilities, not logits or per cent"
            )
        return value

    def box(self) -> list[float]:
        """``bbox`` as [x, y, width, height]: finite, sides not negative."""
        value = self.field("bbox")
        if not isinstance(value, list) or len(value) != 4:
            raise self.error(f".bbox: found {shown(value)}, wanted [x, y, width, height]")
        box = [self._finite(f".bbox[{i}]", v) for i, v in enumerate(value)]
        if box[2] < 0 or box[3] < 0:
            raise self.error(f".bbox: width and height of {shown(value)} must not be negative")
        if max(map(abs, box)) > MAX_COORDINATE:
            raise self.error(f".bbox: {shown(value)} is past {MAX_COORDINATE:,.0f} pixels")
        return box

    def known(self, key: str, value: Any, among: Mapping[Any, int], source: Path, named: str = "") -> int:
        """The index that ``among`` has for the value of ``key``; ``source`` is the file that should hold it."""
        if value not in among:
            raise self.error(
                f".{key}: {shown(named or value)} is not in {source}", hint="use the truth that fits the predictions"
            )
        return among[value]

    def _finite(self, where: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(f"{where}: found {shown(value)}, wanted a number")
        # A whole number of hundreds of digits is no float: comparing does not convert it.
        if not -math.inf < value < math.inf or abs(value) > 1e300:
            raise self.error(f"{where}: found {shown(value)}, wanted a finite number")
        return float(value)


def read_json(path: Path) -> object:
    """Parse a file; raises DataError when it is missing, larger than ``MAX_BYTES``, or not JSON."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(
                f"{path}: {size:,} bytes is past the limit of {MAX_BYTES:,}",
                hint="split it by photos into smaller files",
            )
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", hint="check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint="check the path and permissions") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error})", hint="write the file again") from None


def kind(value: object) -> str:
    """What sort of JSON value this is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def shown(value: object) -> str:
    """The value as JSON, cut to a length that fits into a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
