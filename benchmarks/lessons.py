"""Run every lesson and put its figure and its numbers on its page.

python benchmarks/lessons.py [NAME ...]

Writes docs/lessons/images/*.png, benchmarks/results/lessons.json (with the seconds each took) and the part of each page
between its marks.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from pathlib import Path

from herder.files import write_atomic
from herder.lessons.course import LESSONS, find_lesson
from herder.lessons.lesson import Lesson, LessonResult, LessonSettings, column_texts
from herder.lessons.one_thread import one_blas_thread

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "lessons"
RESULTS = ROOT / "benchmarks" / "results" / "lessons.json"
PART = re.compile(r"(<!-- numbers -->\n).*?(<!-- end of numbers -->)", re.DOTALL)


def as_markdown(result: LessonResult) -> str:
    """What the lesson says, and its tables."""
    parts = ["\n".join(f"- {sentence}" for sentence in result.sentences)]
    for table in result.tables:
        texts = [column_texts(cells) for cells in zip(*table.rows, strict=True)]
        rows = [table.columns, ["---"] * len(table.columns), *zip(*texts, strict=True)]
        lines = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        parts.append(f"{table.title}:\n\n{lines}")
    return "\n\n".join(parts) + "\n"


def run(lesson: Lesson) -> float:
    """Run one lesson, write figure and page, and return its seconds."""
    start = time.perf_counter()
    with one_blas_thread():
        result = lesson.run(LessonSettings())
    seconds = time.perf_counter() - start
    for name, png in result.figures.items():
        write_atomic(PAGES / "images" / f"{name}.png", png)
    page = PAGES / f"{lesson.name}.md"
    text = PART.sub(lambda marks: f"{marks[1]}\n{as_markdown(result)}\n{marks[2]}", page.read_text())
    write_atomic(page, text.encode())
    return seconds


def main() -> None:
    """Run the lessons asked for, all without a name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"seconds": {}}
    for lesson in [find_lesson(name) for name in names] or LESSONS:
        took = run(lesson)
        results["cores"], results["seconds"][lesson.name] = os.cpu_count(), round(took, 1)
        print(f"{lesson.name}: {took:.1f} s (wanted: under 120)", flush=True)
        write_atomic(RESULTS, (json.dumps(results, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
