"""``herder learn``: the algorithms of the course, run on real data, each with its numbers and its figure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from herder.files import writing
from herder.lessons.course import LESSONS, find_lesson
from herder.lessons.lesson import Lesson, LessonSettings, NumberTable, column_texts, write_result
from herder.lessons.one_thread import one_blas_thread


def learn_command(
    name: Annotated[str | None, typer.Argument(help="A lesson, or all of them; without one they are listed.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figures (PNG) and the numbers (JSON).")] = Path(
        "herder-lessons"
    ),
    cifar: Annotated[
        Path | None, typer.Option(help="Folder of the CIFAR-10 python batches, instead of handwritten digits.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same numbers.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look in seconds: fewer steps, rougher numbers.")
    ] = False,
) -> None:
    """Run a lesson: see what an algorithm does, its numbers and its figure, in under two minutes on 2 cores.

    Lessons use the handwritten digits that scikit-learn carries, or CIFAR-10 where you have it. Nothing is downloaded.
    """
    console = Console(soft_wrap=True, highlight=False)
    if name is None:
        _list(console)
        return
    lessons = LESSONS if name.lower() == "all" else (find_lesson(name),)
    with writing(out):  # before the work, not after it
        out.mkdir(parents=True, exist_ok=True)
    with console.status("reading the pictures") as status:
        settings = LessonSettings(cifar, seed, quick, say=lambda text: status.update(escape(text)))
        with one_blas_thread():
            for lesson in lessons:
                _run(console, lesson, settings, out)


def _list(console: Console) -> None:
    table = Table("lesson", "what it shows", box=None, header_style="bold", pad_edge=False)
    for lesson in LESSONS:
        table.add_row(lesson.name, f"{lesson.title}: {lesson.summary}")
    console.print(table)
    console.print("\nherder learn NAME runs one, herder learn all runs them all.")


def _run(console: Console, lesson: Lesson, settings: LessonSettings, out: Path) -> None:
    start = time.monotonic()
    console.rule(f"[bold]{lesson.name}: {lesson.title}", align="left", style="dim")
    if lesson.uses_cifar:
        console.print(settings.data.describe())
    elif settings.cifar:
        console.print("Photos would take hours on 2 cores: this lesson draws the handwritten digits.")
    result = lesson.run(settings)
    for table in result.tables:
        console.print(_table(table))
    for sentence in result.sentences:
        console.print(f"- {sentence}", markup=False)
    paths = write_result(lesson, result, settings, out)
    console.print(f"written: {', '.join(map(str, paths))}", markup=False, style="dim")
    console.print(f"{lesson.name} took {time.monotonic() - start:.0f} s", style="dim")


def _table(numbers: NumberTable) -> Table:
    table = Table(title=escape(numbers.title), title_justify="left", title_style="italic")
    texts = []
    for heading, *cells in zip(numbers.columns, *numbers.rows, strict=True):
        words = all(isinstance(cell, str) for cell in cells)
        table.add_column(escape(heading), justify="left" if words else "right")
        texts.append([escape(text) for text in column_texts(cells)])
    for row in zip(*texts, strict=True):
        table.add_row(*row)
    return table
