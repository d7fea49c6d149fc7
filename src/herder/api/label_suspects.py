"""``herder data suspects`` from Python: which labels look wrong to models that have not seen the photos."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from herder.api.unseen import Judge, judge_photos, photo_names
from herder.data.formats import Format, write_splits
from herder.data.records import BoxFlags, Dataset, ImageRecord, Problem
from herder.errors import DataError
from herder.evaluation.detector import log_problem
from herder.evaluation.label_suspects import Confidence, Suspect, SuspectKind, find_suspects
from herder.evaluation.prediction_store import file_sha256

PREDICTIONS = "predictions"
"""Folder of what the models found, in the folder of the result."""


@dataclass(frozen=True, eq=False)
class SuspectRun:
    """What was found, and who said so."""

    dataset: Dataset
    """The photos that were judged."""
    judges: tuple[Judge, ...]
    judges_of: tuple[int, ...]
    """How many models judged each photo."""
    confidence: Confidence
    suspects: tuple[Suspect, ...]
    not_judged: int
    """Photos that all models have seen, or that cannot be read."""

    def of(self, kind: SuspectKind) -> list[Suspect]:
        """The suspects of one kind, the most suspicious first."""
        return [suspect for suspect in self.suspects if suspect.kind is kind]

    def photo_order(self) -> list[int]:
        """Indices of photos with suspects, the one with the most suspicious label first."""
        return list(dict.fromkeys(suspect.photo for suspect in self.suspects))

    def as_dict(self, command: Sequence[str]) -> dict[str, Any]:
        """The content of ``suspects.json``."""
        names, classes = photo_names(self.dataset), self.dataset.class_names
        rows = [
            {
                "photo": names[s.photo],
                "kind": s.kind.value,
                "suspicion": round(s.suspicion, 4),
                "class": classes[s.class_id],
                "label": s.label,
                "labelled": [round(float(v), 2) for v in s.labelled[0]] if len(s.labelled) else None,
                "found": s.found.to_coco(names[s.photo]),
                "models": self.judges_of[s.photo],
            }
            for s in self.suspects
        ]
        c = self.confidence
        return {
            "kind": "suspects",
            "version": 1,
            "herder_version": version("herder"),
            "command": list(command),
            "models": [
                {"name": "/".join(j.path.parts[-2:]), "sha256": file_sha256(j.path), "seen": len(j.seen)}
                for j in self.judges
            ],
            "data": {
                "name": self.dataset.root.name,
                "split": self.dataset.split,
                "fingerprint": self.dataset.fingerprint(),
                "photos": len(self.dataset),
                "not_judged": self.not_judged,
            },
            "confidence": {
                "classes": dict(zip(classes, c.classes, strict=True)),
                "small, medium, large": list(c.sizes),
                "background": c.background,
            },
            "photos": [
                {"photo": names[i], "suspicion": round(max(s.suspicion for s in self.suspects if s.photo == i), 4)}
                for i in self.photo_order()
            ],
            "counts": {kind.value: len(self.of(kind)) for kind in SuspectKind},
            "suspects": rows,
        }


def suspect_labels(
    judges: Sequence[Judge],
    dataset: Dataset,
    folder: Path,
    *,
    size: int | None = None,
    batch: int = 8,
    progress: Callable[[str, int, int], None] | None = None,
    on_problem: Callable[[Problem], None] = log_problem,
) -> SuspectRun:
    """Rank the labels of ``dataset`` by how wrong they look to ``judges`` that have not seen the photo.

    What the models find is kept in ``folder``. Raises DataError where no photo has a judge, or no label counts.
    """
    if not any((~record.ignore).any() for record in dataset):
        raise DataError(f"{dataset.root}: no labelled box that counts", hint="check the path and the split")
    judged, found, counts = judge_photos(
        dataset, judges, folder / PREDICTIONS, size=size, batch=batch, progress=progress, on_problem=on_problem
    )
    part = dataset.select(judged)
    confidence = Confidence.of(part.records, found, len(part.class_names))
    suspects = find_suspects(part.records, found, confidence)
    return SuspectRun(part, tuple(judges), tuple(counts), confidence, tuple(suspects), len(dataset) - len(judged))


def with_ignored(record: ImageRecord, suspects: Sequence[Suspect]) -> ImageRecord:
    """The record with what is suspect to be ignored: a new box for each missing animal, the label itself for others.

    Boxes and classes of the labels stay as they are.
    """
    missing = [suspect for suspect in suspects if suspect.label is None]
    marked = np.isin(np.arange(len(record)), [suspect.label for suspect in suspects if suspect.label is not None])
    record = replace(record, ignore=record.ignore | marked)
    if not missing:
        return record
    unknown = np.full(len(missing), -1, np.int8)
    return replace(
        record,
        boxes=np.concatenate([record.boxes, *(suspect.found.boxes[:1] for suspect in missing)]),
        classes=np.concatenate([record.classes, [suspect.class_id for suspect in missing]]),
        ignore=np.concatenate([record.ignore, np.ones(len(missing), np.bool_)]),
        flags=BoxFlags(*(np.concatenate([getattr(record.flags, name), unknown]) for name in BoxFlags.names())),
    )


def write_as_ignore(
    run: SuspectRun,
    parts: Sequence[Dataset],
    out: Path,
    format: Format,
    *,
    kinds: Collection[SuspectKind] = (SuspectKind.MISSING,),
    least: float = 0.0,
    link: bool = False,
) -> int:
    """Write a copy of a dataset in which suspects of these ``kinds`` are to be ignored; returns how many there are.

    ``parts`` are all splits, of which only the photos that were judged change; suspicions under ``least`` are left out.
    Raises DataError where ``out`` holds anything.
    """
    chosen: dict[Path, list[Suspect]] = {}
    for suspect in run.suspects:
        if suspect.kind in kinds and suspect.suspicion >= least:
            chosen.setdefault(run.dataset[suspect.photo].path, []).append(suspect)
    changed = [
        replace(part, records=tuple(with_ignored(record, chosen.get(record.path, [])) for record in part))
        for part in parts
    ]
    write_splits(changed, out, format, link=link)
    return sum(map(len, chosen.values()))
