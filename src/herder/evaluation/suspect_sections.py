"""Suspect labels as a report and as picture grids, to be looked at one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from herder.boxes import FloatArray, as_boxes
from herder.data.records import Dataset
from herder.drawing import TRUTH, draw_boxes, grid
from herder.errors import DataError
from herder.evaluation.error_sections import crop_around
from herder.evaluation.label_suspects import Confidence, Suspect, SuspectKind
from herder.evaluation.report import Picture, Section, Table
from herder.evaluation.sections import FALSE_ALARM, MISS
from herder.images import read_image

SHOWN = 24
"""Suspects of a kind in its grid."""

ROWS = 200
"""Suspects in the report's table."""

MEANINGS = {
    SuspectKind.MISSING: "an animal is surely found where nothing is labelled",
    SuspectKind.UNSUPPORTED: "labelled, but nothing is found there",
    SuspectKind.MISPLACED: "surely found, but the label fits poorly",
    SuspectKind.HERD: "one label over several animals that are found one by one",
    SuspectKind.CLASS: "surely found as another class",
}


def draw_suspect(photo: NDArray[np.uint8], suspect: Suspect, labels: FloatArray) -> NDArray[np.uint8]:
    """The part of ``photo`` (H, W, 3) around a suspect: all ``labels`` (M, 4) dashed, what was found there with scores.

    The label of an unsupported one is yellow.
    """
    found = suspect.found
    part, place = crop_around(photo, as_boxes(np.concatenate([suspect.labelled, found.boxes])))
    part = draw_boxes(part, place(labels), color=TRUTH, dashed=True)
    if suspect.kind is SuspectKind.UNSUPPORTED:
        part = draw_boxes(part, place(suspect.labelled), color=MISS)
    names = [f"{name} {score:.2f}" for name, score in zip(found.names, found.scores.tolist(), strict=True)]
    return draw_boxes(part, place(found.boxes), names, color=FALSE_ALARM)


def suspect_grid(dataset: Dataset, suspects: Sequence[Suspect], shown: int = SHOWN) -> NDArray[np.uint8] | None:
    """The most suspicious side by side, each with its suspicion and its photo's name; None where there is none.

    A photo that can no longer be read is left out.
    """
    pictures, captions = [], []
    for suspect in suspects[:shown]:
        path = dataset[suspect.photo].path
        try:
            photo = read_image(path)
        except DataError:
            continue  # it could be read when the models looked at it, and the list still names it
        pictures.append(draw_suspect(photo, suspect, dataset[suspect.photo].boxes))
        captions.append(f"{suspect.suspicion:.2f} {path.name}")
    return grid(pictures, cell=300, columns=min(4, len(pictures)), captions=captions) if pictures else None


def suspect_sections(
    dataset: Dataset, suspects: Sequence[Suspect], confidence: Confidence, grids: dict[SuspectKind, NDArray[np.uint8]]
) -> list[Section]:
    """An overview, a grid for each kind, and the list."""
    photos = len({suspect.photo for suspect in suspects})
    counts = [(kind.value, MEANINGS[kind], sum(s.kind is kind for s in suspects)) for kind in SuspectKind]
    sure = [
        (f"Sure of {name}", f"from a score of {t:.2f}")
        for name, t in zip(dataset.class_names, confidence.classes, strict=True)
    ]
    overview = Section(
        "What looks wrong",
        "Models that have not seen a photo are compared with its labels, after confident learning "
        "(https://arxiv.org/abs/1911.00068). What contradicts a label is only a suspicion: models miss animals and see "
        "some where there are none. Look at each before you change anything; nothing was changed here.",
        numbers=[("photos", len(dataset)), ("suspect labels", len(suspects)), ("photos with any", photos)],
        facts=[*sure, ("Sure that there is nothing", f"under a score of {1 - confidence.background:.2f}")],
        tables=[Table(("Kind", "What it is", "Count"), counts)],
    )
    parts = [
        Section(
            kind.value.capitalize(),
            f"{MEANINGS[kind].capitalize()}. Labels are dashed green, what was found orange, what was not yellow.",
            pictures=[Picture.of(grids[kind], f"Parts of photos with suspect labels: {kind.value}")],
        )
        for kind in SuspectKind
        if kind in grids
    ]
    rows = [(s.suspicion, s.kind.value, dataset.class_names[s.class_id], dataset[s.photo].path.name) for s in suspects]
    table = Table(("Suspicion", "Kind", "Class", "Photo"), rows[:ROWS])
    more = f"The first {ROWS} of {len(rows):,}; suspects.json has all." if len(rows) > ROWS else ""
    return [overview, *parts, Section("All of them", more, tables=[table])] if rows else [overview]
