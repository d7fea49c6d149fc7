"""The proof that a split does not leak: counted from its parts, not from how they were made.

A detector that has seen a photo's twin, or the same animal from the same camera a second earlier, scores on the test
set what it will never score in the field: D. Barz, J. Denzler, "Do We Train on Test Data? Purging CIFAR of
Near-Duplicates", J. Imaging 2020, https://doi.org/10.3390/jimaging6060041.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from herder.data.grouping import Groups
from herder.data.records import Dataset


@dataclass(frozen=True)
class PartProof:
    """One part, counted."""

    name: str
    wanted: float
    """The share of photos that was asked for."""
    photos: int
    share: float
    """Of all photos."""
    boxes: int
    boxes_share: float
    """Of all boxes."""
    backgrounds: int
    """Photos without a box."""
    groups: int
    """Different groups that its photos name."""
    near_duplicates: int
    """Sets of near duplicates that have a photo here."""
    class_shares: Mapping[str, float]
    """Of the photos that show each class, the share that is here; classes that no photo shows are left out."""


@dataclass(frozen=True)
class Crossing:
    """Photos that should be together and are in several parts."""

    kind: str
    """``file``, ``group``, ``near-duplicates``, or what else photos have in common, such as ``camera``."""
    what: str
    """The file or group; of near duplicates the first photos."""
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.what} is in {', '.join(self.parts)}"


@dataclass(frozen=True)
class SplitProof:
    """What was counted, and all that crosses from one part to another."""

    parts: tuple[PartProof, ...]
    groups: int
    """Different groups that were followed."""
    near_duplicates: int | None
    """Sets of near duplicates that were followed; None where nobody looked for any."""
    crossings: tuple[Crossing, ...]
    common: Mapping[str, int] = field(default_factory=dict)
    """How many groups were followed of photos that have a camera, say, in common."""

    @property
    def holds(self) -> bool:
        """Whether nothing crosses."""
        return not self.crossings

    def __str__(self) -> str:
        if self.crossings:
            return f"{len(self.crossings)} cross from one part to another, first: {self.crossings[0]}"
        near = "near duplicates were not looked for"
        if self.near_duplicates is not None:
            near = f"none of {self.near_duplicates:,} sets of near duplicates"
        common = "".join(f", {count:,} by {kind}" for kind, count in self.common.items())
        return f"no file and none of {self.groups:,} groups{common} is in two parts; {near}"

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON."""
        return {**asdict(self), "holds": self.holds}


def split_proof(
    dataset: Dataset,
    parts: Mapping[str, Dataset],
    fractions: Mapping[str, float],
    near_duplicates: Sequence[Sequence[int]] | None = None,
    common: Mapping[str, Groups] | None = None,
) -> SplitProof:
    """Count what each of ``parts`` has of ``dataset``, and follow each file, group and set of near duplicates.

    ``parts`` hold the records of the dataset themselves, as ``split_dataset`` gives them; ``near_duplicates`` are
    indices of its records, and so is what ``common`` holds: photos with the same camera and so on, as
    ``herder.data.grouping`` finds them.
    """
    home = {id(record): name for name, part in parts.items() for record in part}
    followed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in dataset:
        if (name := home.get(id(record))) is not None:
            # The same file can be listed twice, under two names of its folder.
            followed["file", os.path.normpath(record.path)].append(name)
            if record.group:
                followed["group", record.group].append(name)
    near = [list(dict.fromkeys(group)) for group in near_duplicates or ()]
    for number, group in enumerate(near):
        names = [home[id(dataset[i])] for i in group if id(dataset[i]) in home]
        first = ", ".join(str(dataset[i].path) for i in group[:2]) + (" ..." if len(group) > 2 else "")
        followed["near-duplicates", f"{number + 1} ({first})"] = names
    for kind, groups_of_kind in (common or {}).items():
        for what, members in groups_of_kind.items():
            followed[kind, what] = [home[id(dataset[i])] for i in members if id(dataset[i]) in home]
    order = {name: i for i, name in enumerate(parts)}
    crossings = tuple(
        Crossing(kind, what, tuple(sorted(set(names), key=order.__getitem__)))
        for (kind, what), names in followed.items()
        if len(set(names)) > 1
    )
    counted = tuple(
        _count(name, part, dataset, fractions.get(name, 0.0), _touching(followed, name)) for name, part in parts.items()
    )
    groups = sum(kind == "group" for kind, _ in followed)
    counts = {kind: len(groups_of_kind) for kind, groups_of_kind in (common or {}).items()}
    return SplitProof(counted, groups, None if near_duplicates is None else len(near), crossings, counts)


def _touching(followed: Mapping[tuple[str, str], Iterable[str]], name: str) -> dict[str, int]:
    """How many of each kind have a photo in the part."""
    counts: dict[str, int] = defaultdict(int)
    for (kind, _), names in followed.items():
        counts[kind] += name in names
    return counts


def _count(name: str, part: Dataset, whole: Dataset, wanted: float, touching: Mapping[str, int]) -> PartProof:
    here, everywhere = _class_photos(part), _class_photos(whole)
    boxes, all_boxes = sum(map(len, part)), sum(map(len, whole))
    return PartProof(
        name,
        wanted,
        photos=len(part),
        share=len(part) / max(1, len(whole)),
        boxes=boxes,
        boxes_share=boxes / max(1, all_boxes),
        backgrounds=sum(len(record) == 0 for record in part),
        groups=touching.get("group", 0),
        near_duplicates=touching.get("near-duplicates", 0),
        class_shares={c: here[i] / everywhere[i] for i, c in enumerate(whole.class_names) if everywhere[i]},
    )


def _class_photos(dataset: Dataset) -> list[int]:
    """How many photos show each class."""
    counts = np.zeros(len(dataset.class_names), np.int64)
    for record in dataset:
        counts[np.unique(record.classes)] += 1
    return [int(count) for count in counts]
