"""How far a fetch is: a bar on standard error; where nobody watches, a line each half minute."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 30.0
"""At most so often a line where the output is no terminal."""


class FetchProgress:
    """A ``Watcher`` for the terminal, for a ``with`` block."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[steps]}"),
            TimeRemainingColumn(),
        )
        note = TextColumn("{task.fields[note]}", markup=False)
        self._bar = Progress(*columns, note, console=self._console, transient=True, disable=not sys.stderr.isatty())
        self._task: TaskID | None = None
        self._what = ""
        self._said = time.monotonic()

    def __enter__(self) -> FetchProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def at(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """``done`` of ``total`` steps of ``what`` are done; a new ``what`` takes the place of the one before."""
        steps = "" if total is None or total >= 1_000_000 else f"{done:,}/{total:,}"
        if self._task is None or what != self._what:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._what = what
            self._task = self._bar.add_task(what, total=total, note=note, steps=steps)
        self._bar.update(self._task, completed=done, total=total, note=note, steps=steps)
        if self._bar.disable and time.monotonic() - self._said > PLAIN_SECONDS:
            self._said = time.monotonic()
            share = f"{done:,}" if total is None else f"{done:,}/{total:,}"
            self.say(f"{what} {share}  {note}".rstrip())

    def say(self, text: str) -> None:
        """A sentence for the user, above the bar."""
        self._console.print(text, markup=False, highlight=False)
