"""Where the pictures come from that a network learns to draw: a folder of photos, the digits, or labelled animals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from herder.data.crops import Fit, cut_crops
from herder.data.formats import read_dataset
from herder.errors import ConfigError, DataError, ModelFileError
from herder.generative.pictures import Pictures, check_size, digits, photo_folder

LEAST_PICTURES = 20
"""Fewer pictures teach nothing that could be told from copying, and leave nothing to measure with."""

DIGITS_SIZE, DEFAULT_SIZE = 8, 32
"""Side in pixels of scikit-learn's digits, and of photos where nothing else is said."""

Progress = Callable[[int, int], None]
"""Hears (done, in all)."""


@dataclass(frozen=True)
class PictureSource:
    """Exactly one of a folder ``photos``, the ``digits``, and a labelled dataset ``data`` with ``classes`` to cut out.

    ``size`` in pixels. Raises ConfigError where none or several are given, or what does not belong together.
    """

    photos: str = ""
    digits: bool = False
    data: str = ""
    classes: tuple[str, ...] = ()
    size: int | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("photos", "digits", "data") if getattr(self, name)]
        if len(given) != 1:
            what = "no pictures to learn from" if not given else f"{' and '.join(given)} are given together"
            raise ConfigError(what, hint="give one of --photos DIR, --digits, or --data DATASET with --class NAME")
        if self.classes and not self.data:
            raise ConfigError(f"class {self.classes[0]!r}: {given[0]} have none to choose", hint="give --data DATASET")
        if self.digits and self.size not in (None, DIGITS_SIZE):
            raise ConfigError(f"size: the digits are {DIGITS_SIZE} pixels wide, not {self.size}", hint="leave it out")
        if self.size is None:
            object.__setattr__(self, "size", DIGITS_SIZE if self.digits else DEFAULT_SIZE)
        object.__setattr__(self, "classes", tuple(self.classes))
        check_size(self.side)

    @property
    def side(self) -> int:
        """Side of a picture in pixels."""
        return self.size or DEFAULT_SIZE

    def __str__(self) -> str:
        if self.digits:
            return "handwritten digits"
        return (
            f"photos in {self.photos}" if self.photos else f"{' and '.join(self.classes) or 'animals'} of {self.data}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values that ``from_dict`` reads back."""
        return asdict(self) | {"classes": list(self.classes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: Path) -> PictureSource:
        """The source that stands in the file ``where``. Raises ModelFileError where it makes no sense."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelFileError(f"{where}: names no pictures ({error})", hint="start a new run") from None

    def read(self, progress: Progress | None = None) -> Pictures:
        """Read all pictures. Raises DataError where they are missing or fewer than 20, and as the readers do."""
        if self.digits:
            pictures = digits()
        elif self.photos:
            pictures = photo_folder(Path(self.photos), self.side, progress=progress)
        else:
            dataset = read_dataset(Path(self.data))
            pictures = cut_crops(dataset, self.side, self.classes, fit=Fit.WIDEN, progress=progress).pictures
        check_enough(pictures, str(self))
        return pictures


def check_enough(pictures: Pictures, what: str) -> None:
    """Raise DataError where there are too few pictures to learn from."""
    if len(pictures) < LEAST_PICTURES:
        lost = f", {len(pictures.set_aside)} set aside" if pictures.set_aside else ""
        raise DataError(
            f"{what}: {len(pictures)} pictures{lost}, wanted {LEAST_PICTURES} or more",
            hint="a network learns to draw from hundreds; add more",
        )
