"""A clean copy of a dataset: what is good as a new dataset, what is not in its quarantine; the original stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from herder.data.formats import Format, coco, join, write_splits, yolo
from herder.data.formats.detect import find_layout
from herder.data.formats.write import staged
from herder.data.quality.config import QualityConfig
from herder.data.quality.duplicates import DuplicateGroup
from herder.data.quality.quarantine import Entry, Handling, set_aside
from herder.data.quality.run import Progress, QualityReport, run_checks
from herder.data.records import Dataset, Problem, Severity
from herder.errors import DataError, ResourceError


class Duplicates(Enum):
    """Which photos that are there twice go to quarantine, all but one of each group."""

    KEEP = "keep"
    """None."""
    EXACT = "exact"
    """The same file."""
    NEAR = "near"
    """Nearly the same photo as well."""


@dataclass(frozen=True)
class Cleaned:
    """What was written."""

    parts: tuple[Dataset, ...]
    """The clean splits, with the paths of the original photos."""
    report: QualityReport
    set_aside: tuple[Problem, ...]
    """What cost a photo or a box: the report's, and the duplicates that were taken out."""
    entries: tuple[Entry, ...]
    """The list in the quarantine."""


def format_of(data: Path) -> Format:
    """The format in which a dataset lies on disk. Raises DataError when there is none."""
    layout = find_layout(Path(data))
    return (
        Format.YOLO
        if isinstance(layout, yolo.Layout)
        else Format.COCO
        if isinstance(layout, coco.Layout)
        else Format.VOC
    )


def clean_dataset(
    parts: Sequence[Dataset],
    out: Path,
    format: Format,
    *,
    duplicates: Duplicates = Duplicates.EXACT,
    config: QualityConfig | None = None,
    link: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Cleaned:
    """Check the splits of one dataset together and write what is good to the new folder ``out``.

    What is not comes to ``out/quarantine/<reason>/``, photos and label files, with ``quarantine.json``. Of duplicates
    that one stays which is in test or val before train, and has most boxes. Raises DataError when ``out`` holds
    anything or nothing is left, ResourceError when the disk is full; ``out`` is then as it was.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out}: is there already", hint="give a new folder: nothing is ever written over")
    whole = join(parts)
    report = run_checks(whole, config, workers=workers, progress=progress)
    split_of = [part.split for part in parts for _ in part]
    doubled = {i: p for group in report.duplicates for i, p in _surplus(group, whole, split_of, duplicates).items()}
    clean: list[Dataset] = []
    usable = dict(zip(report.kept, report.usable.records, strict=True))
    first = 0
    for part in parts:
        left = [usable[i] for i in range(first, first + len(part)) if i in usable and i not in doubled]
        clean.append(replace(part, records=tuple(left), problems=()))
        first += len(part)
    if not any(map(len, clean)):
        found = next(iter(report.set_aside), None)
        raise DataError(f"{whole.root}: no photo can be used", hint=f"first: {found}" if found else "")
    lost = (*report.set_aside, *doubled.values())
    with staged(out) as stage:
        try:
            write_splits([part for part in clean if len(part)], stage, format, link=link)
            handling = Handling.LINK if link else Handling.COPY
            good = {record.path for part in clean for record in part}  # a photo that lost a box only is no loss
            entries = set_aside(whole.root, lost, into=stage, handling=handling, keep=good)
        except ResourceError as error:
            raise ResourceError(error.message.replace(str(stage), str(out)), hint=error.hint) from None
    return Cleaned(tuple(clean), report, lost, tuple(entries))


def _surplus(
    group: DuplicateGroup, whole: Dataset, split_of: Sequence[str], duplicates: Duplicates
) -> dict[int, Problem]:
    """The members of a group that are not needed, by index, each with the finding that sets it aside."""
    if duplicates is Duplicates.KEEP:
        return {}
    found: dict[int, Problem] = {}
    # What a model was judged by stays: taken from val or test, its figures could not be compared any more.
    rank = {"test": 0, "val": 1}
    for same in _sets(group) if duplicates is Duplicates.EXACT else [set(group.members)]:
        stays = min(same, key=lambda i: (rank.get(split_of[i], 2), -len(whole[i]), i))
        for i in sorted(same - {stays}):
            exact = duplicates is Duplicates.EXACT or any({i, stays} <= files for files in _sets(group))
            like = "the same file as" if exact else "nearly the same photo as"
            reason = "duplicate-photo" if exact else "near-duplicate"
            message = f"{like} {whole[stays].path}, which stays"
            found[i] = Problem(whole[i].path, reason, message, "--duplicates keep keeps both", Severity.SET_ASIDE)
    return found


def _sets(group: DuplicateGroup) -> list[set[int]]:
    """Members that are the same file, together."""
    sets: list[set[int]] = []
    for link in group.links:
        if link.same_file:
            joined = [s for s in sets if link.a in s or link.b in s]
            sets = [s for s in sets if s not in joined] + [{link.a, link.b}.union(*joined)]
    return sets
