"""Folds for cross-validation: each photo is validated by a detector that saw neither it nor anything close to it.

The folds are scikit-learn's (https://scikit-learn.org/stable/modules/cross_validation.html), dealt over groups of
photos: photos of one ``group`` (a camera, a farm, a burst) and near duplicates are one group, whatever the strategy.

Notation: G groups of photos, K folds.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from herder.boxes import IntArray
from herder.data.capture import read_capture
from herder.data.records import Dataset, ImageRecord
from herder.data.splits import BOX_COUNTS, joined_groups
from herder.errors import ConfigError, DataError, MissingExtraError

MOST_SEED = 2**32
"""scikit-learn takes seeds below this."""


class Strategy(StrEnum):
    """How photos are dealt out to folds."""

    STRATIFIED = "stratified"
    """Every fold gets its share of every class, and of photos with few and with many boxes."""
    KFOLD = "kfold"
    """By chance."""
    GROUP = "group"
    """By the groups that the photos name, so that folds have about equally many photos: how the detector does on a
    camera or farm that it has not seen."""
    TIME = "time"
    """Trained on what came before, validated on what came after: how the detector does next month."""


@dataclass(frozen=True)
class Fold:
    """One training: the photos to train on and those to validate on, as indices of records in ascending order."""

    strategy: Strategy
    repeat: int
    """Counted from 1, as is ``number``."""
    number: int
    train: tuple[int, ...]
    validation: tuple[int, ...]

    @property
    def name(self) -> str:
        """Short and fit for a folder, such as ``stratified-1-3``."""
        return f"{self.strategy}-{self.repeat}-{self.number}"


@dataclass(frozen=True)
class FoldPlan:
    """All folds of one strategy, each repeat's together, and what is to be said of them."""

    folds: tuple[Fold, ...]
    groups: tuple[tuple[int, ...], ...]
    """Photos that never part, by their indices; most groups hold a single photo."""
    notes: tuple[str, ...] = ()


def make_folds(
    dataset: Dataset,
    strategy: Strategy = Strategy.STRATIFIED,
    folds: int = 5,
    *,
    repeats: int = 1,
    seed: int = 0,
    groups: Sequence[Sequence[int]] = (),
    near_duplicates: Sequence[Sequence[int]] = (),
) -> FoldPlan:
    """Deal the photos out to ``folds`` folds, ``repeats`` times, each time anew.

    ``groups`` are indices of records that stay together beside those of one ``record.group``, as
    ``herder.data.grouping`` finds them, and so are ``near_duplicates``; groups that have a photo in common are one. The
    same photos, groups and seed give the same folds, in whatever order the photos are. Time has one order, and so no
    repeats. Its folds validate on all groups but the first ones, which are only trained on; a group stands where its
    earliest photo does, so that a later twin of a photo that was trained on is trained on, too.
    Raises ConfigError for settings that have no meaning, DataError where the photos do not allow such folds.
    """
    if folds < 2:
        raise ConfigError(f"folds: found {folds}, wanted 2 or more", hint="5 is common")
    if repeats < 1:
        raise ConfigError(f"repeats: found {repeats}, wanted 1 or more", hint="1 deals the photos out once")
    if not 0 <= seed < MOST_SEED:
        raise ConfigError(f"seed: found {seed}, wanted 0 to {MOST_SEED - 1}", hint="any such number will do")
    if not any(len(record) for record in dataset):
        raise DataError(f"{dataset.root}: no labelled box in {len(dataset)} photos", hint="label some animals first")
    together = joined_groups(dataset, [*groups, *near_duplicates])
    needed = folds + (strategy is Strategy.TIME)
    if len(together) < needed:
        what = f"{len(dataset)} photos in {len(together)} groups, but {folds} folds by {strategy} need {needed} groups"
        raise ConfigError(
            f"{dataset.root}: {what}", hint=f"ask for {max(2, len(together) - needed + folds)} folds at most"
        )
    notes = _class_notes(dataset, together, folds)
    if strategy is Strategy.TIME:
        together, note = _in_time(dataset, together)
        notes.append(note)
        if repeats > 1:
            notes.append("time has one order: its folds are made once")
            repeats = 1
    if strategy is Strategy.GROUP and not _named_groups(dataset, groups):
        raise ConfigError(
            f"{dataset.root}: strategy group, but no two photos are known to belong together",
            hint="name what they have in common with --group-by, or choose another strategy",
        )
    made = []
    for repeat in range(1, repeats + 1):
        random = int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])
        for number, (train, validation) in enumerate(_dealt(dataset, strategy, folds, together, random), start=1):
            fold = Fold(strategy, repeat, number, _photos(together, train), _photos(together, validation))
            _check(dataset, fold)
            made.append(fold)
    return FoldPlan(tuple(made), tuple(tuple(group) for group in together), tuple(notes))


def _dealt(
    dataset: Dataset, strategy: Strategy, folds: int, groups: list[list[int]], seed: int
) -> list[tuple[IntArray, IntArray]]:
    """For each fold the groups to train on and to validate on, by their numbers."""
    select = _model_selection()
    alone = np.arange(len(groups))
    if strategy is Strategy.TIME:
        return list(select.TimeSeriesSplit(folds).split(alone))
    if strategy is Strategy.KFOLD:
        return list(select.KFold(folds, shuffle=True, random_state=seed).split(alone))
    photos = np.concatenate([np.array(group) for group in groups])  # in an order that is not that of the records
    group_of = np.repeat(alone, [len(group) for group in groups])
    # GroupKFold deals large groups first and equal ones in order of their numbers: new numbers, new folds.
    numbers = np.random.default_rng(seed).permutation(len(groups))
    if strategy is Strategy.GROUP:
        cuts = select.GroupKFold(folds).split(photos, groups=numbers[group_of])
    else:
        labels = strata([dataset[i] for i in photos], len(dataset.class_names), folds)
        if len(groups) == len(photos):
            cuts = select.StratifiedKFold(folds, shuffle=True, random_state=seed).split(photos, labels)
        else:
            splitter = select.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            cuts = splitter.split(photos, labels, numbers[group_of])
    return [(np.unique(group_of[train]), np.unique(group_of[validation])) for train, validation in cuts]


def strata(records: Sequence[ImageRecord], classes: int, folds: int) -> IntArray:
    """A label for each photo (P,): the rarest class that it shows, and which of ``BOX_COUNTS`` its boxes come to.

    A label of fewer photos than folds can not be in every fold: it becomes the class alone, and where that is still too
    rare, one label with all others that are.
    """
    shown = np.zeros(classes, np.int64)
    for record in records:
        shown[np.unique(record.classes)] += 1
    fine: list[tuple[int, int]] = []
    for record in records:
        kinds = np.unique(record.classes)
        rarest = int(kinds[np.argmin(shown[kinds])]) if len(kinds) else -1
        fine.append((rarest, bisect(BOX_COUNTS, len(record)) - 1))
    many = Counter(fine)
    coarse = [label if many[label] >= folds else (label[0], -1) for label in fine]
    many = Counter(coarse)
    final = [label if many[label] >= folds else (-2, -1) for label in coarse]
    many = Counter(final)
    if 0 < many[-2, -1] < folds:  # too few even together: they join the largest
        largest = max((label for label in many if label != (-2, -1)), key=lambda label: many[label], default=(-2, -1))
        final = [largest if label == (-2, -1) else label for label in final]
    return np.unique(np.array(final), axis=0, return_inverse=True)[1].reshape(-1)


def _in_time(dataset: Dataset, groups: list[list[int]]) -> tuple[list[list[int]], str]:
    """The groups in the order of their earliest photos, and a sentence on what that order is."""
    taken = [read_capture(record.path).taken for record in dataset]
    known = [time for time in taken if time is not None]
    several = sum(len(group) > 1 for group in groups)
    late = "; 1 group of several photos stands where its earliest does" if several == 1 else ""
    late = f"; {several:,} groups of several photos stand where their earliest do" if several > 1 else late
    if len(known) == len(taken) and len(set(known)) > 1:
        return _by_time(groups, taken), f"time: photos in the order of their EXIF times{late}"
    names = [_natural(record.path) for record in dataset]
    ordered = sorted(groups, key=lambda group: min(names[i] for i in group))
    lacking = f"{len(taken) - len(known):,} of {len(taken):,} photos have no EXIF time"
    why = lacking if len(known) < len(taken) else "all EXIF times are the same"
    return ordered, f"time: photos in the order of their file names, since {why}{late}"


def _by_time(groups: list[list[int]], taken: Sequence[datetime | None]) -> list[list[int]]:
    """The sort is stable: groups of the same second keep their order."""
    return sorted(groups, key=lambda group: min(time for i in group if (time := taken[i]) is not None))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts photo10 after photo9.

    >>> _natural(Path("photo10.jpg")) > _natural(Path("photo9.jpg"))
    True
    """
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _named_groups(dataset: Dataset, groups: Sequence[Sequence[int]]) -> bool:
    names = Counter(record.group for record in dataset if record.group)
    return any(count > 1 for count in names.values()) or any(len(set(group)) > 1 for group in groups)


def _photos(groups: Sequence[Sequence[int]], chosen: IntArray) -> tuple[int, ...]:
    return tuple(sorted(i for group in chosen.tolist() for i in groups[group]))


def _check(dataset: Dataset, fold: Fold) -> None:
    """Raise DataError for a fold that cannot be trained or validated."""
    if not fold.validation or not fold.train:
        raise DataError(
            f"{dataset.root}: fold {fold.name} would have no photo, since some groups are too large",
            hint="ask for fewer folds, or use --strategy kfold",
        )
    for part, photos in (("train on", fold.train), ("validate on", fold.validation)):
        if not any((~dataset[i].ignore).any() for i in photos):
            raise DataError(
                f"{dataset.root}: fold {fold.name} has no labelled box to {part} in {len(photos)} photos",
                hint="ask for fewer folds, or use --strategy stratified",
            )


def _class_notes(dataset: Dataset, groups: Sequence[Sequence[int]], folds: int) -> list[str]:
    """What the numbers of classes that few groups show are worth."""
    holders = np.zeros(len(dataset.class_names), np.int64)
    for group in groups:
        holders[np.unique(np.concatenate([dataset[i].classes for i in group]))] += 1
    named = list(zip(dataset.class_names, holders.tolist(), strict=True))
    notes = []
    if empty := [name for name, count in named if not count]:
        notes.append(f"no labelled box of {', '.join(empty)}: these classes are in no number")
    if rare := [f"{name} ({count})" for name, count in named if 0 < count < folds]:
        notes.append(f"in fewer groups of photos than there are folds, so missing in some fold: {', '.join(rare)}")
    return notes


def _model_selection() -> Any:
    try:
        from sklearn import model_selection
    except ImportError:
        raise MissingExtraError("cross-validation", "lab") from None
    return model_selection
