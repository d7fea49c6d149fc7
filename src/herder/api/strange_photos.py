"""Which photos are least like the others, in what, and by how much.

Each photo is described by a few numbers (brightness, size, boxes, ...). A number is strange by how many spreads it is
away from the median of all photos; the spread is 1.4826 times the median absolute deviation, which is the standard
deviation where values are normally distributed, and which a few odd photos do not move.

Source: B. Iglewicz, D. C. Hoaglin, "How to Detect and Handle Outliers", ASQC Quality Press, 1993: beyond 3.5 spreads
they speak of outliers.

Notation: P photos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, area
from herder.data.quality.photo_checks import PhotoFinding
from herder.data.records import ImageRecord

CONSISTENT = 1.4826
"""Median absolute deviations in a standard deviation of the normal distribution."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Feature:
    """A number of each photo (P,), NaN where it has none."""

    name: str
    values: Values
    text: str
    """How a value is written, such as ``{:.0f} of 255``."""
    ratio: bool = False
    """Compared by its logarithm, as sizes are: half of the usual is as strange as double."""
    offset: float = 0.0
    """Added before the logarithm, for numbers that may be 0."""

    def spreads(self) -> Values:
        """How many spreads (P,) each photo is away from the median, signed; 0 where all photos are the same."""
        scaled = np.log(np.maximum(self.values + self.offset, 1e-9)) if self.ratio else self.values
        known = scaled[np.isfinite(scaled)]
        if not len(known):
            return np.zeros(len(scaled))
        middle = float(np.median(known))
        # Where more than half of the photos agree the deviation's median is 0, and only its mean tells.
        spread = CONSISTENT * float(np.median(np.abs(known - middle))) or float(known.std())
        return np.nan_to_num((scaled - middle) / spread) if spread > 1e-12 else np.zeros(len(scaled))

    def usual(self) -> str:
        """The median, written out."""
        return self.text.format(float(np.nanmedian(self.values)))


@dataclass(frozen=True)
class Strange:
    """A photo, by its index, with the number that is strangest about it."""

    photo: int
    what: str
    value: str
    usual: str
    """The median of all photos."""
    spreads: float
    """How far it is from there; negative: below."""

    def __str__(self) -> str:
        return f"{self.what} {self.value}, usually {self.usual}: {abs(self.spreads):.1f} spreads away"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def strangest(
    records: Sequence[ImageRecord], findings: Mapping[Path, PhotoFinding], limit: int = 12
) -> tuple[Strange, ...]:
    """The ``limit`` strangest photos, strangest first; none is there twice, and no one number takes all places.

    Brightness, contrast and colour need ``findings``; without them sizes and boxes alone are compared.
    """
    found: list[Strange] = []
    for feature in features(records, findings):
        spreads = feature.spreads()
        for i in np.argsort(-np.abs(spreads), kind="stable")[: 2 * limit].tolist():
            if spreads[i]:
                value = feature.text.format(feature.values[i])
                found.append(Strange(i, feature.name, value, feature.usual(), float(spreads[i])))
    found.sort(key=lambda entry: (-abs(entry.spreads), entry.photo))
    chosen: list[Strange] = []
    for most in (max(1, limit // 4), limit):
        for entry in found:
            taken = Counter(other.what for other in chosen)
            new = all(other.photo != entry.photo for other in chosen)
            if len(chosen) < limit and new and taken[entry.what] < most:
                chosen.append(entry)
    return tuple(sorted(chosen, key=lambda entry: (-abs(entry.spreads), entry.photo)))


def features(records: Sequence[ImageRecord], findings: Mapping[Path, PhotoFinding]) -> list[Feature]:
    """What photos are compared by."""
    looked = [findings.get(record.path) for record in records]
    seen = [finding if finding is not None and finding.decoded else None for finding in looked]
    shares = [area(record.boxes) / (float(record.width) * record.height) for record in records]

    def pixels(number: Callable[[PhotoFinding], float]) -> Values:
        return np.array([np.nan if finding is None else number(finding) for finding in seen], np.float64)

    def boxes(number: Callable[[FloatArray], float]) -> Values:
        return np.array([number(share) if len(share) else np.nan for share in shares], np.float64)

    sizes = np.array([(record.width, record.height) for record in records], np.float64).reshape(-1, 2)
    found = [
        Feature("brightness", pixels(lambda f: f.brightness), "{:.0f} of 255"),
        Feature("contrast", pixels(lambda f: float(np.mean(f.std))), "{:.0f}"),
        Feature("colour cast", pixels(lambda f: max(f.mean) - min(f.mean)), "{:.0f} of 255"),
        Feature("width / height", sizes[:, 0] / sizes[:, 1], "{:.2f}", ratio=True),
        Feature("megapixels", sizes.prod(axis=1) / 1e6, "{:.2g}", ratio=True),
        Feature("boxes", np.array([len(r) for r in records], np.float64), "{:.0f}", ratio=True, offset=1),
        Feature("largest box", boxes(lambda s: float(s.max())), "{:.2%} of the photo", ratio=True),
        Feature("smallest box", boxes(lambda s: float(s.min())), "{:.2%} of the photo", ratio=True),
    ]
    return [feature for feature in found if np.isfinite(feature.values).any()]
