"""What a report on a dataset tells, in numbers: what was asked for, what came, what was wrong with it, how fast.

Notation: P photos of all splits together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herder.api.dataset_throughput import Throughput, throughput
from herder.data.quality.config import QualityConfig
from herder.data.quality.duplicates import DuplicateGroup, group_duplicates
from herder.data.quality.photo_checks import PhotoFinding
from herder.data.quality.run import QualityReport
from herder.data.records import Dataset, Problem, Severity
from herder.data.statistics import DatasetStatistics, dataset_statistics
from herder.errors import DataError

if TYPE_CHECKING:
    from herder.data.download import DownloadReport, Manifest

BROKEN = "photo-broken"

PHOTO_CHECKS = {
    "empty-file": "has bytes at all",
    "html-page": "is no web page under a photo's name",
    "not-an-image": "is a picture",
    "wrong-type": "is of a kind that is read, and named so",
    "too-many-pixels": "is within the limit of pixels",
    "truncated": "is whole to its last byte",
    "photo-broken": "decodes in full",
    "too-small": "has a shorter side of enough pixels",
    "nearly-black": "is not nearly black",
    "blank": "is not one flat colour",
    "corrupted-colour": "has no lost data or dead colour",
    "exif-rotated": "lies as it was taken (EXIF)",
    "duplicate-photo": "is there once",
    "near-duplicate": "is like no other",
    "size-mismatch": "has the size that was labelled",
}
"""What is asked of each photo, by the reason that stands for "no"."""

BOX_CHECKS = {
    "not-finite": "has finite coordinates",
    "zero-area": "has an area, corners in order",
    "box-outside": "lies in the photo",
    "box-clipped": "does not pass the border",
    "class-out-of-range": "has a class with a name",
    "duplicate-box": "is there once",
    "tiny-box": "is no slip of a few pixels",
    "extreme-aspect": "is not far longer than wide",
    "whole-photo-box": "is not the whole photo",
    "twin-boxes": "has no twin around the same animal",
}
"""What is asked of each box."""


@dataclass(frozen=True)
class Totals:
    """How many photos came how far."""

    asked: int
    """Photos that were to be had."""
    downloaded: int
    """Of these, fetched: 0 where nothing was fetched from anywhere."""
    gone: int
    failed: int
    pending: int
    set_aside: int
    """Photos that are there, but of no use."""
    photos: int
    """Photos in the dataset."""
    boxes: int


@dataclass(frozen=True)
class Check:
    """One question that was asked of all photos or boxes."""

    reason: str
    question: str
    of: str
    """``photo`` or ``box``."""
    looked_at: int
    set_aside: int
    noted: int

    @property
    def passed(self) -> int:
        """How many had nothing to be said against them."""
        return max(0, self.looked_at - self.set_aside - self.noted)


@dataclass(frozen=True, eq=False)
class DatasetFacts:
    """All that is known of a dataset and how it came to be. Raises DataError where splits have different classes."""

    parts: tuple[Dataset, ...]
    quality: tuple[QualityReport, ...] = ()
    problems: tuple[Problem, ...] = ()
    states: Mapping[str, int] = field(default_factory=dict)
    """Of the manifest: how many photos are ``done``, ``gone`` and so on; empty where nothing was fetched."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Photos that could not be had, by reason."""
    quarantined: Mapping[str, int] = field(default_factory=dict)
    """Photos that were fetched and set aside, in this run or before, by reason."""
    batches: tuple[Throughput, ...] = ()
    fetched_at: float | None = None
    """When the last photo arrived, in seconds since 1970."""

    def __post_init__(self) -> None:
        for part in self.parts[1:]:
            if part.class_names != self.parts[0].class_names:
                message = f"{part.root}: {part.split} has other classes than {self.parts[0].split}"
                raise DataError(message, hint="read all splits together")

    @cached_property
    def whole(self) -> Dataset:
        """The photos of all splits."""
        first = self.parts[0] if self.parts else Dataset((), ())
        return Dataset(tuple(record for part in self.parts for record in part), first.class_names, first.root)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The split (P,) of each photo of ``whole``."""
        return tuple(part.split for part in self.parts for _ in part)

    @cached_property
    def statistics(self) -> DatasetStatistics:
        """Counts and sizes of all splits together."""
        return dataset_statistics(self.whole)

    @cached_property
    def findings(self) -> dict[Path, PhotoFinding]:
        """What a look at each photo told, where it was looked at."""
        return {finding.path: finding for report in self.quality for finding in report.photos}

    @cached_property
    def crossing(self) -> tuple[DuplicateGroup, ...]:
        """Groups of near duplicates that reach over several splits; members are indices of ``whole``."""
        found = [self.findings.get(record.path, PhotoFinding(record.path)) for record in self.whole]
        groups = group_duplicates(found, QualityConfig().near_radius) if self.findings else ()
        return tuple(group for group in groups if len({self.splits[i] for i in group.members}) > 1)

    @cached_property
    def reasons(self) -> dict[Severity, Counter[str]]:
        """How often each reason was found, those of earlier runs among them."""
        counts = {severity: Counter[str]() for severity in Severity}
        for problem in self.problems:
            counts[problem.severity][problem.reason] += 1
        # A photo set aside in this run stands in both; after that, in the manifest alone.
        aside = counts[Severity.SET_ASIDE]
        for reason, count in self.quarantined.items():
            aside[reason] = max(aside[reason], count)
        return counts

    @cached_property
    def totals(self) -> Totals:
        """How many photos came how far."""
        photos, boxes = len(self.whole), sum(map(len, self.whole))
        if not self.states:
            used = {record.path for record in self.whole}
            lost = {p.path for p in self.problems if p.severity is Severity.SET_ASIDE} - used
            # Labels without a photo are no photos.
            lost -= {p.path for p in self.problems if p.path.suffix.lower() in (".json", ".txt", ".xml")}
            return Totals(photos + len(lost), 0, 0, 0, 0, len(lost), photos, boxes)
        done, gone, failed, pending, quarantined = (
            self.states.get(name, 0) for name in ("done", "gone", "failed", "pending", "quarantined")
        )
        here = done + quarantined
        asked = here + gone + failed + pending
        return Totals(asked, here, gone, failed, pending, max(0, here - photos), photos, boxes)

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Every question that was asked, with its answers; none where nothing was checked."""
        if not self.quality:
            return ()
        photos = max(self.totals.photos + self.totals.set_aside, sum(len(report.dataset) for report in self.quality))
        boxes = sum(len(record) for report in self.quality for record in report.dataset)
        boxes += sum(self.reasons[Severity.SET_ASIDE][reason] for reason in BOX_CHECKS)
        boxes -= sum(
            report.counts(Severity.SET_ASIDE).get(reason, 0) for report in self.quality for reason in BOX_CHECKS
        )
        decoded = any(report.photos for report in self.quality)
        asked = [("photo", photos, PHOTO_CHECKS if decoded else {}), ("box", boxes, BOX_CHECKS)]
        return tuple(
            Check(reason, text, of, count, *(self.reasons[s][reason] for s in (Severity.SET_ASIDE, Severity.NOTE)))
            for of, count, checks in asked
            for reason, text in checks.items()
        )

    @cached_property
    def conversions(self) -> dict[str, int]:
        """What became of photos and boxes on their way into the dataset."""
        notes, aside = self.reasons[Severity.NOTE], self.reasons[Severity.SET_ASIDE]
        return {
            "photos written": len(self.whole),
            "boxes converted to pixels of the upright photo": sum(map(len, self.whole)),
            "boxes to be ignored": int(sum(record.ignore.sum() for record in self.whole)),
            "photos turned upright by their EXIF": notes["exif-rotated"],
            "boxes cut at the border": notes["box-clipped"],
            "boxes left out": sum(aside[reason] for reason in BOX_CHECKS),
        }

    def as_dict(self) -> dict[str, Any]:
        """The numbers as plain values for JSON."""
        seconds, photos = sum(b.seconds for b in self.batches), sum(b.photos for b in self.batches)
        return {
            "totals": vars(self.totals),
            "not_downloaded": dict(self.failures),
            "validation_failures": dict(self.reasons[Severity.SET_ASIDE].most_common()),
            "notes": dict(self.reasons[Severity.NOTE].most_common()),
            "conversions": self.conversions,
            "quality_checks": [{**vars(check), "passed": check.passed} for check in self.checks],
            "throughput": {
                "photos": photos,
                "bytes": sum(b.bytes for b in self.batches),
                "seconds": seconds,
                "photos_per_second": photos / seconds if seconds else None,
                "batches": [{**vars(batch), "photos_per_second": batch.rate} for batch in self.batches],
            },
            "statistics": self.statistics.as_dict(),
            "splits": [
                {
                    "name": part.split,
                    "photos": len(part),
                    "boxes": sum(map(len, part)),
                    "fingerprint": part.fingerprint(),
                }
                for part in self.parts
            ],
            "duplicate_groups": sum(len(report.duplicates) for report in self.quality),
            "duplicate_groups_across_splits": len(self.crossing),
        }


def collect_facts(
    parts: Sequence[Dataset],
    quality: Sequence[QualityReport] = (),
    problems: Sequence[Problem] = (),
    manifest: Manifest | None = None,
    download: DownloadReport | None = None,
) -> DatasetFacts:
    """Bring together what the dataset, its checks, the manifest and the last download tell."""
    found = dict.fromkeys([*problems, *(p for report in quality for p in report.problems)])
    found.update(dict.fromkeys(p for part in parts for p in part.problems))
    # Reading says that a photo is broken, and a check that looked closer says how: that is one failure, not two.
    closer = {p.path for p in found if p.severity is Severity.SET_ASIDE and p.reason in PHOTO_CHECKS.keys() - {BROKEN}}
    found = {p: None for p in found if p.reason != BROKEN or p.path not in closer}
    if manifest is None:
        states = {str(state): count for state, count in download.totals.items()} if download else {}
        batches = tuple(Throughput(b.items, b.bytes, b.seconds) for b in download.batches) if download else ()
        failures = download.failures if download else {}
        return DatasetFacts(tuple(parts), tuple(quality), tuple(found), states, failures, {}, batches)
    states = {str(state): count for state, count in manifest.counts().items()}
    lost, aside, ends = Counter[str](), Counter[str](), list[tuple[float, int]]()
    for row in manifest.rows():
        if row.state in ("gone", "failed"):
            lost[row.outcome.reason] += 1
        elif row.state == "quarantined":
            aside[row.outcome.reason] += 1
        if row.state in ("done", "quarantined") and row.finished_at is not None:
            ends.append((row.finished_at, row.outcome.size or 0))
    ends.sort()
    # The downloader knows when it began; the manifest knows of earlier runs too.
    if download is not None and download.fetched and download.fetched == len(ends):
        batches = tuple(Throughput(b.items, b.bytes, b.seconds) for b in download.batches)
    else:
        batches = tuple(throughput(ends))
    return DatasetFacts(
        tuple(parts),
        tuple(quality),
        tuple(found),
        states,
        dict(lost.most_common()),
        dict(aside.most_common()),
        batches,
        ends[-1][0] if ends else None,
    )
