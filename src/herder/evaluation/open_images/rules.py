"""What Open Images adds to its boxes: which classes were looked for in a photo, and which class is a kind of which.

Source: https://storage.googleapis.com/openimages/web/evaluation.html. A box of an alpaca is one of an animal, too. A
photo is labelled for the classes that somebody has verified in it, as there or as not there; what a detector finds of
other classes is neither right nor wrong.

Notation: P photos, K classes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from herder.data.formats.labels import SETTINGS_BYTES, read_text
from herder.errors import DataError
from herder.evaluation.tables import TruthTable

COLUMNS = ("ImageID", "LabelName", "Confidence")
"""What the file of verified labels must have; ``Source`` and others may stand between."""


@dataclass(frozen=True)
class ClassLabels:
    """From a label as the files of Open Images have it, such as ``/m/0pcr``, to the name of a class."""

    names: Mapping[str, str]
    """Ids, and names in lower case, to names."""

    @classmethod
    def of(cls, class_names: Sequence[str], table: Path | None = None) -> ClassLabels:
        """For the classes of a dataset; ``table`` is ``class-descriptions-boxable.csv``, which names the ids.

        >>> ClassLabels.of(["alpaca"]).name("Alpaca"), ClassLabels.of(["alpaca"]).name("/m/0pcr")
        ('alpaca', '/m/0pcr')
        """
        own = {name.casefold(): name for name in class_names}
        # Here, since these tables come with packages that only fetching needs: 34 MB, and an extra.
        from herder.data.open_images.class_names import read_class_table

        described = read_class_table(table) if table else ()
        return cls(own | {entry.id: own.get(entry.name.casefold(), entry.name) for entry in described})

    def name(self, label: str) -> str:
        """The name of the class; the label itself where none is known."""
        return self.names.get(label) or self.names.get(label.casefold(), label)


@dataclass(frozen=True)
class Hierarchy:
    """For each class all classes that it is a kind of."""

    above: Mapping[str, frozenset[str]]

    def below(self, name: str) -> frozenset[str]:
        """All kinds of the class ``name``."""
        return frozenset(kind for kind, classes in self.above.items() if name in classes)

    @classmethod
    def read(cls, path: Path, labels: ClassLabels) -> Hierarchy:
        """Read ``bbox_labels_600_hierarchy.json``: objects of ``LabelName`` and a list ``Subcategory`` of the same.

        The outermost one holds all classes, and is none. A class may come below several others. Raises DataError.
        """
        try:
            tree = json.loads(read_text(path, SETTINGS_BYTES))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {error.lineno}: {error.msg}", hint="give the hierarchy as JSON") from None
        except RecursionError:
            raise DataError(f"{path}: nested too deeply", hint="give the hierarchy of Open Images") from None
        above: dict[str, set[str]] = {}
        waiting: list[tuple[Any, tuple[str, ...], bool]] = [(tree, (), True)]
        while waiting:
            node, over, outermost = waiting.pop()
            label = node.get("LabelName") if isinstance(node, dict) else None
            below = node.get("Subcategory", []) if isinstance(node, dict) else None
            if not isinstance(label, str) or not isinstance(below, list):
                raise DataError(
                    f"{path}: {str(node)[:60]}: wanted an object with a text LabelName and a list Subcategory",
                    hint="give bbox_labels_600_hierarchy.json of Open Images, or a file of the same form",
                )
            if not outermost:
                name = labels.name(label)
                above.setdefault(name, set()).update(over)
                over = (*over, name)
            waiting += [(child, over, False) for child in below]
        return cls({name: frozenset(over) for name, over in above.items()})


@dataclass(frozen=True)
class VerifiedLabels:
    """What somebody has said of whole photos: for each photo's name without its ending, class to there or not there."""

    photos: Mapping[str, Mapping[str, bool]]

    @classmethod
    def read(cls, path: Path, photos: Sequence[str], class_names: Sequence[str], labels: ClassLabels) -> VerifiedLabels:
        """Read a CSV with the columns ImageID, LabelName and Confidence (1 there, 0 not).

        Other photos and classes are skipped. Raises DataError, with the line, for a missing column, for a confidence
        between 0 and 1 (that is a machine's guess), and for a file that says nothing of these photos and classes.
        """
        wanted, kinds = set(photos), set(class_names)
        found: dict[str, dict[str, bool]] = {}
        lines = _rows(path)
        header = next(lines, [])
        if missing := [name for name in COLUMNS if name not in header]:
            raise DataError(
                f"{path}: line 1: no column {', '.join(missing)}",
                hint="give the human-verified image-level labels of Open Images",
            )
        photo, label, confidence = (header.index(name) for name in COLUMNS)
        for number, row in enumerate(lines, 2):
            if len(row) != len(header):
                raise DataError(f"{path}: line {number}: {len(row)} fields, wanted {len(header)}")
            if row[photo] not in wanted or (name := labels.name(row[label])) not in kinds:
                continue
            if row[confidence] not in ("0", "1", "0.0", "1.0"):
                raise DataError(
                    f"{path}: line {number}: a confidence of {row[confidence]!r}, wanted 0 or 1",
                    hint="give the human-verified labels, not the machine-generated ones",
                )
            found.setdefault(row[photo], {})[name] = row[confidence] in ("1", "1.0")
        if not found and photos:
            raise DataError(
                f"{path}: no label of these photos (such as {photos[0]}) and classes ({', '.join(class_names[:3])})",
                hint="give the labels of the same split; --class-table FILE names ids such as /m/0pcr",
            )
        return cls(found)


def _rows(path: Path) -> Iterator[list[str]]:
    """The lines of a CSV that may be larger than memory. Raises DataError for what cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.reader(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}", hint="give a text file with commas") from None


def expand_truth(truth: TruthTable, names: Sequence[str], hierarchy: Hierarchy) -> TruthTable:
    """Every box once more for each class of ``names`` that its own is a kind of."""
    index = {name: i for i, name in enumerate(names)}
    over = [sorted(index[other] for other in hierarchy.above.get(name, ()) if other in index) for name in names]
    rows = np.repeat(np.arange(len(truth)), [1 + len(over[kind]) for kind in truth.classes])
    classes = np.array([kind for own in truth.classes.tolist() for kind in (own, *over[own])], np.int64)
    return TruthTable(truth.photos[rows], classes, truth.boxes[rows], truth.ignore[rows], truth.areas[rows])


def looked_for(
    truth: TruthTable,
    photos: Sequence[str],
    names: Sequence[str],
    verified: VerifiedLabels,
    hierarchy: Hierarchy | None = None,
) -> NDArray[np.bool_]:
    """(P, K) True where the class was verified in the photo, or has a box there.

    What is there is there as every class above it, too; what is not there, is not there as any kind of it.
    """
    index = {name: i for i, name in enumerate(names)}
    above = hierarchy.above if hierarchy else {}
    below = {name: hierarchy.below(name) for name in names} if hierarchy else {}
    mask = np.zeros((len(photos), len(names)), np.bool_)
    mask[truth.photos, truth.classes] = True
    for row, photo in enumerate(photos):
        for name, there in verified.photos.get(photo, {}).items():
            for other in (name, *(above if there else below).get(name, ())):
                if other in index:
                    mask[row, index[other]] = True
    return mask
