"""A dataset looked at closely before a long training: every photo decoded, every box asked whether it makes sense.

Reading a dataset checks headers and labels; what only shows in the pixels, or by comparing photos, is found here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from herder.data.quality import QualityConfig, QualityReport, run_checks
from herder.data.records import Dataset, Problem, Severity
from herder.errors import DataError

SHOWN = 10
"""So many findings of one kind are written out in a report for people; the rest is counted."""


@dataclass(frozen=True)
class CheckReport:
    """What ``check_dataset`` found; ``usable`` is the dataset without what was set aside."""

    usable: Dataset
    problems: tuple[Problem, ...]
    """Everything found, on reading and now."""
    photos: int
    """Photos looked at: those that could be read."""
    boxes: int
    quality: QualityReport
    """All of it: what each photo looked like, and groups of duplicates."""

    @property
    def set_aside(self) -> tuple[Problem, ...]:
        """The findings that cost a photo or a box."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.SET_ASIDE)

    @property
    def clean(self) -> bool:
        """Whether nothing had to be set aside; notes do not count."""
        return not self.set_aside

    def counts(self) -> dict[str, int]:
        """How often each reason occurs, the most frequent first."""
        return dict(Counter(problem.reason for problem in self.problems).most_common())

    def render(self, shown: int = SHOWN) -> str:
        """The report as text: findings by kind, at most ``shown`` of each, and a summary line."""
        groups: dict[tuple[str, str], list[Problem]] = defaultdict(list)
        for problem in self.problems:
            groups[problem.severity.value, problem.reason].append(problem)
        lines: list[str] = []
        # What was set aside stands last, right above the summary, where a person looks first.
        for (severity, reason), found in sorted(groups.items()):
            lines.append(f"{severity}: {reason} ({len(found)})")
            lines += [f"  {problem}" for problem in found[:shown]]
            if len(found) > shown:
                lines.append(f"  ... and {len(found) - shown} more")
        notes = len(self.problems) - len(self.set_aside)
        lines.append(
            f"{len(self.usable)} photos with {sum(map(len, self.usable))} boxes can be used; "
            f"{len(self.set_aside)} findings set aside, {notes} notes"
        )
        return "\n".join(lines)


def check_dataset(
    dataset: Dataset,
    *,
    config: QualityConfig | None = None,
    decode: bool = True,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> CheckReport:
    """Look closely at a dataset that was read, by all the checks of ``herder.data.quality``.

    With ``decode`` each photo is decoded in full by ``workers`` threads (None: one a core), which finds damaged and
    changed files and photos that are there twice or nearly so; ``progress`` is called with the number of photos done.
    Raises DataError when nothing is left to use.
    """
    found = run_checks(dataset, config, decode=decode, workers=workers, progress=progress)
    if not len(found.usable):
        first = next(iter(found.set_aside or found.problems), None)
        raise DataError(f"{dataset.root}: no photo can be used", hint=f"first: {first}" if first else "")
    return CheckReport(found.usable, found.problems, len(dataset), sum(map(len, dataset)), found)
