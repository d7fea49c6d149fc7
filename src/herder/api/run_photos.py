"""The photos of a training run: read, split where they are not, and added to by what teachers label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from herder.api.teachers import label_photos, read_teachers
from herder.data.formats import read_splits
from herder.data.records import Dataset, ImageRecord, Problem, Severity
from herder.data.splits import split_dataset
from herder.errors import DataError
from herder.training.config import TrainConfig

VALIDATION_SHARE = 0.2
"""Share of the photos that are held back for validation where the dataset has no split of its own."""

USED = ("train", "val")
"""Splits that a training run reads."""

SPLIT_SEED = 0
"""The same photos are held back whatever the run's seed, so that runs can be compared."""

PROBLEMS_SHOWN = 5
"""Findings written to the terminal; the rest is counted."""


@dataclass(frozen=True)
class Photos:
    """The photos of a run, where they come from, and what there is to say about them."""

    source: Path
    train: Dataset
    validation: Dataset
    notes: tuple[str, ...] = ()
    labelled: str = ""
    """Folder of the photos in ``train`` that teachers have labelled."""
    others: tuple[ImageRecord, ...] = ()
    """Photos of the dataset's other splits, such as test: nothing is learned from them."""

    @property
    def set_aside(self) -> int:
        """How many findings left something out."""
        parts = (self.train, self.validation)
        return sum(problem.severity is Severity.SET_ASIDE for part in parts for problem in part.problems)


def read_photos(data: Path) -> Photos:
    """Training and validation photos of the dataset at ``data``; 20 % are held back where it has no validation split.

    Raises DataError when there is nothing to train on.
    """
    parts = {part.split: part for part in read_splits(data)}
    notes = []
    if "train" in parts and "val" in parts:
        training, validation = parts["train"], parts["val"]
    elif len(parts) > 1 and "train" not in parts:
        raise DataError(f"{data}: has splits {', '.join(parts)} but no train", hint="name one of them train")
    else:
        whole = parts.get("train", next(iter(parts.values())))
        halves = split_dataset(whole, {"train": 1 - VALIDATION_SHARE, "val": VALIDATION_SHARE}, SPLIT_SEED)
        training, validation = halves["train"], halves["val"]
        notes.append(
            f"no validation split: {len(validation)} of {len(whole)} photos are held back, always the same; "
            "`herder data split` makes a lasting one"
        )
    if not sum(len(record) for record in training):
        raise DataError(f"{data}: no labelled box in {len(training)} training photos", hint="label some animals first")
    notes += findings([p for part in (training, validation) for p in part.problems], f"`herder data check {data}`")
    others = tuple(record for split, part in parts.items() if "train" in parts and split not in USED for record in part)
    return Photos(data, training, validation, tuple(notes), others=others)


def findings(problems: Sequence[Problem], listed_by: str) -> list[str]:
    """The first findings in full and how many more there are; ``listed_by`` is what lists them all."""
    notes = [f"{problem.severity.value}: {problem}" for problem in problems[:PROBLEMS_SHOWN]]
    if len(problems) > PROBLEMS_SHOWN:
        notes.append(f"... and {len(problems) - PROBLEMS_SHOWN:,} more findings; {listed_by} lists them")
    return notes


def taught_photos(photos: Photos, config: TrainConfig, device: torch.device | str = "cpu") -> Photos:
    """The photos with those that the settings' teachers label, once; as they are where the settings name no folder.

    Raises as ``label_photos`` and ``read_teachers`` do.
    """
    c = config.distillation
    if not c.unlabelled or photos.labelled == c.unlabelled:
        return photos
    known, names = (*photos.train, *photos.validation, *photos.others), photos.train.class_names
    found = label_photos(Path(c.unlabelled), read_teachers(c.teachers), known, names, c, device=device)
    training = replace(
        photos.train,
        records=photos.train.records + found.photos.records,
        problems=photos.train.problems + found.photos.problems,
    )
    notes = (*photos.notes, found.sentence, *findings(found.photos.problems, "the run folder's dataset.json"))
    return replace(photos, train=training, notes=notes, labelled=c.unlabelled)
