"""Results made of frozen dataclasses, as plain values for JSON, and back by their types.

A tuple becomes a list, and what is not computed ``{"value": null, "reason": ...}``. A number that is not finite raises:
JSON has none, and a reader would not know why it is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from herder.evaluation.not_computed import NotComputed

Result = TypeVar("Result")


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples, numbers, text and None as what ``json.dumps`` takes. Raises ValueError for NaN.

    >>> to_plain((1.5, NotComputed("too few")))
    [1.5, {'value': None, 'reason': 'too few'}]
    """
    if isinstance(value, NotComputed):
        return {"value": None, "reason": value.reason}
    if is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} has no place in JSON")
    return value


def from_plain(kind: type[Result], data: Any) -> Result:
    """The reverse of ``to_plain`` for a value of type ``kind``. Raises ValueError for what does not fit it.

    A field that is not there takes its default, so that what an older herder wrote is still read.

    >>> from_plain(tuple[float | NotComputed, ...], [1.5, {"value": None, "reason": "too few"}])
    (1.5, NotComputed(reason='too few'))
    """
    found: Result = _built(kind, data)
    return found


def _built(kind: Any, data: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return _one_of(get_args(kind), data)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), data)
    if kind is NoneType and data is None:
        return None
    if kind is NotComputed and isinstance(data, Mapping) and set(data) == {"value", "reason"}:
        return NotComputed(str(data["reason"]))
    if kind is float and isinstance(data, (int, float)) and not isinstance(data, bool) and math.isfinite(data):
        return float(data)
    if kind in (int, str, bool) and type(data) is kind:
        return data
    if isinstance(kind, type) and is_dataclass(kind) and kind is not NotComputed and isinstance(data, Mapping):
        types = get_type_hints(kind)
        given = [f for f in fields(kind) if f.name in data]
        missing = [f.name for f in fields(kind) if f not in given and f.default is MISSING]
        if missing:
            raise ValueError(f"{', '.join(missing)} is missing")
        return kind(**{f.name: _built(types[f.name], data[f.name]) for f in given})
    raise ValueError(f"found {str(data)[:60]!r}, wanted {getattr(kind, '__name__', kind)}")


def _one_of(kinds: tuple[Any, ...], data: Any) -> Any:
    for kind in kinds:
        try:
            return _built(kind, data)
        except ValueError as error:
            last = error
    raise last


def _tuple(kinds: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"found {str(data)[:60]!r}, wanted a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_built(kinds[0], item) for item in data)
    if len(kinds) != len(data):
        raise ValueError(f"found {len(data)} values, wanted {len(kinds)}")
    return tuple(_built(kind, item) for kind, item in zip(kinds, data, strict=True))
