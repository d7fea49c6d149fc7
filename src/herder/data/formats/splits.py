"""What folders and files call the splits of a dataset."""

from __future__ import annotations

import re

_KNOWN = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_name(text: str) -> str:
    """The split that a folder or file name stands for: ``train``, ``val``, ``test``, or ``""`` for none of them.

    >>> split_name("instances_val2017"), split_name("valid"), split_name("photos")
    ('val', 'val', '')
    """
    word = re.sub(r"^(instances|annotations)[_-]|[_-]?(annotations|coco)$|[_-]?\d{4}$", "", text.lower())
    return _KNOWN.get(word, "")
