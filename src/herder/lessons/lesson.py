"""What a lesson is: a name, a sentence, and a function from settings to sentences, numbers and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from herder.files import write_atomic
from herder.lessons.datasets import CourseData, course_data

Cell = str | int | float
"""What stands in a table: a word or a number, never a formatted number."""


def _silent(_text: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class LessonSettings:
    """What a lesson is run with; the same settings give the same numbers, times of the clock aside."""

    cifar: Path | None = None
    """Folder of the published CIFAR-10 python batches; None takes the handwritten digits of scikit-learn."""
    seed: int = 0
    """Decides the split of training and validation pictures, first weights, batches and noise."""
    quick: bool = False
    """Fewer steps and settings: a first look in seconds, with rougher numbers."""
    say: Callable[[str], None] = _silent
    """Told in a few words what is being done."""

    @cached_property
    def data(self) -> CourseData:
        """The pictures, read once. Raises DataError for an unusable folder, MissingExtraError without scikit-learn."""
        return course_data(self.cifar, self.seed)


@dataclass(frozen=True)
class NumberTable:
    """Numbers under headings."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    timing: bool = False
    """Holds times of the clock, which differ from run to run."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: found a row of {len(row)}, wanted {len(self.columns)} cells")


@dataclass(frozen=True)
class LessonResult:
    """What a lesson showed: in words, in numbers, in pictures."""

    sentences: tuple[str, ...]
    tables: tuple[NumberTable, ...]
    figures: Mapping[str, bytes] = field(default_factory=dict)
    """Bytes of PNG files by name, without the ending."""


@dataclass(frozen=True)
class Lesson:
    """One entry of the syllabus."""

    name: str
    title: str
    summary: str
    run: Callable[[LessonSettings], LessonResult]
    uses_cifar: bool = True
    """False where two minutes are too short for colour photos: the lesson takes the digits whatever is given."""


def write_result(lesson: Lesson, result: LessonResult, settings: LessonSettings, folder: Path) -> list[Path]:
    """Write a lesson's figures and its numbers (NAME.json) into ``folder``; return the paths, figures first.

    Raises ResourceError when the folder cannot be written.
    """
    paths = []
    for name, png in result.figures.items():
        paths.append(folder / f"{name}.png")
        write_atomic(paths[-1], png)
    paths.append(folder / f"{lesson.name}.json")
    text = json.dumps(_as_json(lesson, result, settings), indent=2, allow_nan=False)
    write_atomic(paths[-1], f"{text}\n".encode())
    return paths


def column_texts(cells: Sequence[Cell]) -> list[str]:
    """A column of a table as people read it, its numbers with equally many decimals.

    >>> column_texts([0.98766, 0.9]), column_texts([0.001, 0.1, 1.0]), column_texts([1200, 3]), column_texts(["k"])
    (['0.988', '0.900'], ['0.001', '0.1', '1'], ['1,200', '3'], ['k'])
    >>> column_texts([152.345, 0.00001234, math.inf])
    ['152', '1.23e-05', 'inf']
    """
    numbers = [cell for cell in cells if isinstance(cell, float)]
    chosen = all(number == float(f"{number:.1g}") for number in numbers)  # settings, such as 0.1, not measurements
    even = all(number == 0 or 0.001 <= abs(number) < 100 for number in numbers)
    return [_cell_text(cell, "g" if chosen else ".3f" if even else ".3g") for cell in cells]


def _cell_text(cell: Cell, kind: str) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:{kind}}"


def _as_json(lesson: Lesson, result: LessonResult, settings: LessonSettings) -> dict[str, Any]:
    return {
        "lesson": lesson.name,
        "data": "cifar-10" if settings.cifar and lesson.uses_cifar else "digits",
        "seed": settings.seed,
        "quick": settings.quick,
        "shows": list(result.sentences),
        "tables": [
            {
                "title": table.title,
                "timing": table.timing,
                "columns": list(table.columns),
                "rows": [[_finite(cell) for cell in row] for row in table.rows],
            }
            for table in result.tables
        ],
    }


def _finite(cell: Cell) -> Cell | None:
    """JSON has neither NaN nor infinity: what diverged becomes null."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
