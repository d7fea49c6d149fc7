"""Where everything of Open Images lies: tables, photos, and the names of the splits.

Source: https://storage.googleapis.com/openimages/web/download_v7.html. Boxes of V7 are those of V6 (train) and V5
(validation, test). The photos are the copies of the CVDF, scaled so that the longer side is at most 1024 pixels
(https://github.com/cvdfoundation/open-images-dataset).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from herder.errors import ConfigError

ANNOTATIONS_URL = "https://storage.googleapis.com/openimages/"
"""The base of all tables."""

PHOTOS_URL = "https://open-images-dataset.s3.amazonaws.com/"
"""The base of all photos."""

BOX_TABLES = {
    "train": "v6/oidv6-train-annotations-bbox.csv",
    "validation": "v5/validation-annotations-bbox.csv",
    "test": "v5/test-annotations-bbox.csv",
}

PHOTO_TABLES = {
    "train": "2018_04/train/train-images-boxable-with-rotation.csv",
    "validation": "2018_04/validation/validation-images-with-rotation.csv",
    "test": "2018_04/test/test-images-with-rotation.csv",
}

CLASS_TABLE = "v5/class-descriptions-boxable.csv"

OUR_SPLITS = {"train": "train", "validation": "val", "test": "test"}
"""What each split is called in a dataset of herder."""

PHOTO_ID = re.compile(r"[0-9a-f]{16}")
"""How the name of a photo looks."""


@dataclass(frozen=True)
class OpenImagesLayout:
    """The addresses of Open Images, or of a mirror of the same layout. Raises ConfigError for what is no address.

    >>> OpenImagesLayout().photo_url("train", "000a1249af2bc5f0")
    'https://open-images-dataset.s3.amazonaws.com/train/000a1249af2bc5f0.jpg'
    """

    annotations_url: str = ANNOTATIONS_URL
    photos_url: str = PHOTOS_URL

    def __post_init__(self) -> None:
        for name in ("annotations_url", "photos_url"):
            url = getattr(self, name).strip()
            try:
                parts = urlsplit(url)
                usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
            except ValueError:
                usable = False
            if not usable:
                flag = name.replace("_", "-")
                raise ConfigError(
                    f"--{flag} {url!r}: is no address of a folder", hint=f"give one such as {ANNOTATIONS_URL}"
                )
            object.__setattr__(self, name, url.rstrip("/") + "/")

    @property
    def classes_url(self) -> str:
        """The table of class ids and names."""
        return self.annotations_url + CLASS_TABLE

    def boxes_url(self, split: str) -> str:
        """The table of the boxes of a split."""
        return self.annotations_url + BOX_TABLES[split]

    def photo_table_url(self, split: str) -> str:
        """The table of authors, licences and so on of the photos of a split."""
        return self.annotations_url + PHOTO_TABLES[split]

    def photo_url(self, split: str, photo_id: str) -> str:
        """The photo itself."""
        return f"{self.photos_url}{split}/{photo_id}.jpg"


def checked_splits(names: Sequence[str]) -> tuple[str, ...]:
    """The splits of these names as Open Images calls them, each once. Raises ConfigError for an unknown name, or none.

    >>> checked_splits(["train", "val", "train"])
    ('train', 'validation')
    """
    also = {ours: theirs for theirs, ours in OUR_SPLITS.items()}
    found = [also.get(name.strip().lower(), name.strip().lower()) for name in names]
    for name, asked in zip(found, names, strict=True):
        if name not in BOX_TABLES:
            raise ConfigError(f"--splits {asked}: no such split", hint=f"there are {', '.join(BOX_TABLES)}")
    if not found:
        raise ConfigError("--splits: no split", hint=f"give some of {', '.join(BOX_TABLES)}")
    return tuple(dict.fromkeys(found))
