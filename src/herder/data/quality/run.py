"""All checks over a whole dataset: photos by several threads, boxes, classes, and what is there twice."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from herder.data.quality.box_checks import check_boxes, check_classes
from herder.data.quality.config import QualityConfig
from herder.data.quality.duplicates import DuplicateGroup, DuplicateLink, group_duplicates
from herder.data.quality.photo_checks import PhotoFinding, check_photo
from herder.data.records import Dataset, ImageRecord, Problem, Severity
from herder.data.statistics import DatasetStatistics, dataset_statistics

Progress = Callable[[int], None]
"""Called with the number of photos done."""

_AHEAD = 64
"""Photos that wait for each thread: enough to keep it busy, few enough for Ctrl-C to be quick."""


@dataclass(frozen=True)
class QualityReport:
    """What was found in a dataset; ``usable`` is what is left of it without what was set aside."""

    dataset: Dataset
    """As it was given."""
    usable: Dataset
    kept: tuple[int, ...]
    """Which of the given records are left, by their indices."""
    problems: tuple[Problem, ...]
    """Everything found, on reading and now."""
    photos: tuple[PhotoFinding, ...]
    """One of each record, in order; none at all where photos were not decoded."""
    duplicates: tuple[DuplicateGroup, ...]
    """Members are indices of records."""
    seconds: float

    @property
    def set_aside(self) -> tuple[Problem, ...]:
        """The findings that cost a photo or a box."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.SET_ASIDE)

    @cached_property
    def statistics(self) -> DatasetStatistics:
        """Counts and sizes of what is left."""
        return dataset_statistics(self.usable)

    def counts(self, severity: Severity | None = None) -> dict[str, int]:
        """How often each reason occurs, the most frequent first; ``severity`` None counts all."""
        wanted = (p.reason for p in self.problems if severity is None or p.severity is severity)
        return dict(Counter(wanted).most_common())

    def as_dict(self) -> dict[str, Any]:
        """Totals, reasons and groups as plain values for JSON."""
        names = [str(record.path) for record in self.dataset]
        return {
            "photos": len(self.dataset),
            "photos_decoded": sum(finding.decoded for finding in self.photos),
            "photos_usable": len(self.usable),
            "boxes": sum(map(len, self.dataset)),
            "boxes_usable": sum(map(len, self.usable)),
            "set_aside": self.counts(Severity.SET_ASIDE),
            "notes": self.counts(Severity.NOTE),
            "duplicates": [
                {
                    "photos": [names[i] for i in group.members],
                    "same_file": group.exact,
                    "most_bits_apart": group.widest,
                    "chained": group.chained,
                }
                for group in self.duplicates
            ],
            "seconds": self.seconds,
            "photos_per_second": len(self.photos) / self.seconds if self.photos and self.seconds > 0 else None,
        }


def run_checks(
    dataset: Dataset,
    config: QualityConfig | None = None,
    *,
    decode: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> QualityReport:
    """Check every photo and every box; nothing on disk is changed, and nothing is raised for what is found.

    With ``decode`` each photo is decoded once, in full, by ``workers`` threads (None: one a core). A photo of which all
    boxes are useless is set aside as well (``no-usable-box``): as background it would mislead.
    """
    config = config or QualityConfig()
    started = time.perf_counter()
    paths = [record.path for record in dataset]
    photos = tuple(check_photos(paths, config, workers=workers, progress=progress)) if decode else ()
    problems = [_closer(problem, config) if decode else problem for problem in dataset.problems]
    kept: list[int] = []
    records: list[ImageRecord] = []
    for i, record in enumerate(dataset):
        if photos:
            found = [*photos[i].problems, *_changed(record, photos[i])]
            problems += found
            if any(problem.severity is Severity.SET_ASIDE for problem in found):
                continue
        boxes = check_boxes(record, dataset.class_names, config)
        problems += boxes.problems
        if len(record) and not boxes.usable.any():
            message = "none of its boxes can be used, and as background it would mislead"
            problems.append(Problem(record.path, "no-usable-box", message, "draw its boxes again"))
            continue
        kept.append(i)
        records.append(record if boxes.usable.all() else record.select(boxes.usable))
    left = set(kept)
    groups = group_duplicates(
        [p if i in left else PhotoFinding(p.path) for i, p in enumerate(photos)], config.near_radius
    )
    problems += [problem for group in groups for problem in _doubled(group, paths)]
    usable = replace(dataset, records=tuple(records))
    problems += check_classes(usable, config)
    usable = replace(usable, problems=tuple(problems))
    seconds = time.perf_counter() - started
    return QualityReport(dataset, usable, tuple(kept), tuple(problems), photos, groups, seconds)


def check_photos(
    paths: Sequence[Path],
    config: QualityConfig | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[PhotoFinding]:
    """``check_photo`` of each file, in order, by ``workers`` threads (None: one a core)."""
    config = config or QualityConfig()
    count = max(1, workers or os.cpu_count() or 1)
    # Decoders let go of the interpreter's lock, so that threads are enough.
    with ThreadPoolExecutor(max_workers=count) as pool:
        done = 0
        for first in range(0, len(paths), _AHEAD * count):
            for finding in pool.map(lambda path: check_photo(path, config), paths[first : first + _AHEAD * count]):
                done += 1
                if progress is not None:
                    progress(done)
                yield finding


def near_duplicate_groups(
    dataset: Dataset,
    config: QualityConfig | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[list[int]]:
    """Groups of records, by their indices, that are the same or nearly the same photo, as ``split_dataset`` takes them.

    Each photo is decoded in full. Photos that are in no group, and those that cannot be decoded, are left out.
    """
    config = config or QualityConfig()
    findings = list(check_photos([record.path for record in dataset], config, workers=workers, progress=progress))
    return [list(group.members) for group in group_duplicates(findings, config.near_radius)]


def _closer(problem: Problem, config: QualityConfig) -> Problem:
    """What is wrong with a photo that could not even be read: reading looks at headers, and says ``photo-broken``."""
    if problem.reason != "photo-broken":
        return problem
    found = check_photo(problem.path, config).problems
    return next((closer for closer in found if closer.severity is problem.severity), problem)


def _changed(record: ImageRecord, finding: PhotoFinding) -> Iterator[Problem]:
    if finding.decoded and (finding.width, finding.height) != (record.width, record.height):
        now, then = f"{finding.width} x {finding.height}", f"{record.width} x {record.height}"
        message = f"is {now} now, but was {then} when its labels were read"
        yield Problem(record.path, "size-mismatch", message, "read the dataset again")


def _doubled(group: DuplicateGroup, paths: Sequence[Path]) -> Iterator[Problem]:
    """A note for each member but the first: which photo it is like, and how much."""
    # Links are told from the first member outwards, so that each photo is compared with one that was named before.
    links: dict[int, list[DuplicateLink]] = defaultdict(list)
    for link in group.links:
        links[link.a].append(link)
        links[link.b].append(link)
    known, waiting = {group.members[0]}, deque((group.members[0], link) for link in links[group.members[0]])
    while waiting:
        old, link = waiting.popleft()
        new = link.b if link.a == old else link.a
        if new in known:
            continue
        known.add(new)
        waiting.extend((new, further) for further in links[new])
        if link.same_file:
            hint = "keep one of them, above all where one is for training and one for validation"
            yield Problem(paths[new], "duplicate-photo", f"the same file as {paths[old]}", hint, Severity.NOTE)
        else:
            bits = f"{link.perceptual} and {link.difference} of 64 bits of its hashes differ"
            message = f"nearly the same photo as {paths[old]} ({bits})"
            hint = "keep both on one side of a split, or keep one"
            yield Problem(paths[new], "near-duplicate", message, hint, Severity.NOTE)
