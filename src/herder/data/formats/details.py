"""What a label file may say besides boxes and classes: flags of a box, licence, group and source of a photo.

COCO and the side file of YOLO folders hold these as JSON, Pascal VOC as XML elements; here stands what is common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

import numpy as np

from herder.data.records import UNKNOWN, BoxFlags, ImageRecord, PhotoSource

FlagRow = tuple[int, ...]
"""The flags of one box, in the order of ``BoxFlags.names``."""

NO_FLAGS: FlagRow = (UNKNOWN,) * len(BoxFlags.names())

SOURCE_FIELDS = tuple(f.name for f in fields(PhotoSource))

_VALUES: Mapping[object, int] = {"1": 1, "0": 0, "true": 1, "false": 0}


@dataclass(frozen=True)
class Details:
    """What is known of one photo besides its boxes."""

    licence: str = ""
    group: str = ""
    source: PhotoSource = field(default_factory=PhotoSource)

    @classmethod
    def of(cls, record: ImageRecord) -> Details:
        """The details of a record."""
        return cls(record.licence, record.group, record.source)


NO_DETAILS = Details()


def text_of(value: object) -> str:
    """A text or a number as text; "" for anything else, such as a ``null`` where a name should stand."""
    return str(value).strip() if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def source_of(item: Mapping[str, object]) -> PhotoSource:
    """The source that a mapping from field to text tells."""
    return PhotoSource(**{name: text_of(item.get(name)) for name in SOURCE_FIELDS})


def source_fields(source: PhotoSource) -> dict[str, str]:
    """The fields of a source that are known."""
    return {name: text for name, text in asdict(source).items() if text}


def flags_of(item: Mapping[str, object], prefix: str = "") -> FlagRow:
    """The flags that a mapping tells under names such as ``is_occluded``: 1 and 0 as numbers, texts or booleans.

    >>> flags_of({"is_occluded": 1, "is_inside": "maybe"}, "is_")
    (1, -1, -1, -1, -1)
    """
    return tuple(_VALUES.get(str(item.get(prefix + name)).strip().lower(), UNKNOWN) for name in BoxFlags.names())


def known_flags(row: Sequence[int], prefix: str = "") -> dict[str, int]:
    """The flags of one box that are known, by name.

    >>> known_flags((1, -1, 0, -1, -1), "is_")
    {'is_occluded': 1, 'is_group_of': 0}
    """
    return {prefix + name: value for name, value in zip(BoxFlags.names(), row, strict=True) if value != UNKNOWN}


def box_flags(rows: Sequence[FlagRow]) -> BoxFlags:
    """The flags of boxes, a row each."""
    table = np.array(rows, np.int8).reshape(-1, len(NO_FLAGS))
    return BoxFlags(*table.T)
