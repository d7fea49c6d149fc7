"""What somebody wants to know of a dataset before using it: ``report.html``, ``report.json``, data card, credits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from herder.api.data_card import Sources, attribution_csv, data_card
from herder.api.dataset_facts import DatasetFacts, collect_facts
from herder.api.dataset_sections import report_sections
from herder.api.strange_photos import Strange, strangest
from herder.data.quality.run import QualityReport, run_checks
from herder.data.records import Dataset, Problem, Severity
from herder.errors import DataError
from herder.evaluation.report import write_report
from herder.files import write_atomic

if TYPE_CHECKING:
    from herder.api.fetching import FetchResult
    from herder.data.download import DownloadReport, Manifest

HTML, JSON, CARD, CREDITS = "report.html", "report.json", "DATA_CARD.md", "attribution.csv"

FETCHED = Path("fetched", "manifest.sqlite")
"""Where the manifest lies in a folder that was fetched."""

SHOWN = 12
"""Photos in each of the two grids."""


@dataclass(frozen=True, eq=False)
class DatasetReport:
    """What was written, and the numbers in it."""

    folder: Path
    facts: DatasetFacts
    random: tuple[int, ...]
    """Photos of ``facts.whole`` that are shown, drawn by chance."""
    strangest: tuple[Strange, ...]

    @property
    def html(self) -> Path:
        """The page to look at."""
        return self.folder / HTML


def write_dataset_report(
    out: Path,
    data: Dataset | Sequence[Dataset],
    *,
    manifest: Manifest | None = None,
    download: DownloadReport | None = None,
    quality: QualityReport | Sequence[QualityReport] = (),
    problems: Sequence[Problem] = (),
    settings: Mapping[str, str] | None = None,
    name: str = "",
    seed: int = 0,
) -> DatasetReport:
    """Write ``report.json``, ``DATA_CARD.md``, ``attribution.csv`` and ``report.html`` into the folder ``out``.

    ``data`` are the splits as they are used, after the checks. The open ``manifest`` of a fetch tells what was asked
    for and what became of it, ``download`` how fast the last run was, ``quality`` (one of all, or one a split) what was
    found, ``settings`` how the dataset was made, for people. ``seed`` chooses the photos shown. The files of an earlier
    report are replaced.

    Raises DataError when the splits have different classes, ResourceError when the disk is full, and MissingExtraError
    without Jinja2 and matplotlib; the page alone is missing then.
    """
    parts = (data,) if isinstance(data, Dataset) else tuple(data)
    checks = (quality,) if isinstance(quality, QualityReport) else tuple(quality)
    facts = collect_facts(parts, checks, problems, manifest, download)
    title = name or (parts[0].root.name if parts else "") or "dataset"
    chosen = np.random.default_rng(seed).permutation(len(facts.whole))[:SHOWN].tolist()
    report = DatasetReport(out, facts, tuple(sorted(chosen)), strangest(facts.whole.records, facts.findings, SHOWN))
    fetched = f"{datetime.fromtimestamp(facts.fetched_at, UTC):%Y-%m-%d}" if facts.fetched_at is not None else ""
    asked = dict(settings or {})
    numbers = {"name": title, "herder": version("herder"), "fetched_until": fetched, "settings": asked}
    text = json.dumps({**numbers, **_as_dict(report)}, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(out / JSON, f"{text}\n".encode())
    write_atomic(out / CARD, data_card(title, facts, asked, fetched).encode())
    write_atomic(out / CREDITS, attribution_csv(facts).encode())
    subtitle = f"Written by herder {version('herder')}" + (f", fetched until {fetched}" if fetched else "")
    write_report(report.html, title, report_sections(facts, report.random, report.strangest, asked), subtitle)
    return report


def report_on_fetch(result: FetchResult, settings: Mapping[str, str] | None = None, seed: int = 0) -> DatasetReport:
    """The report on what ``fetch_open_images`` or ``fetch_urls`` has made, written into the dataset's folder."""
    from herder.data.download import Manifest

    with Manifest(result.folder.manifest) as manifest:
        return write_dataset_report(
            result.folder.root,
            result.datasets,
            manifest=manifest,
            download=result.download,
            quality=result.quality or (),
            problems=result.problems,
            settings=settings,
            name=result.folder.root.resolve().name,
            seed=seed,
        )


def report_on_folder(
    out: Path,
    data: Path,
    parts: Sequence[Dataset],
    *,
    check: bool = True,
    name: str = "",
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> DatasetReport:
    """The report on a dataset as it lies in ``data``, of which ``parts`` were read; ``check``: all is checked first.

    ``progress`` is called with the number of photos that were looked at. Where the dataset was fetched, and the extra
    ``fetch`` is installed, its manifest is read too. Raises as ``write_dataset_report`` does, and DataError where not
    one photo is of use.
    """
    quality: list[QualityReport] = []
    done = 0

    def seen(count: int) -> None:
        if progress is not None:
            progress(done + count)

    for part in parts if check else ():
        quality.append(run_checks(part, workers=workers, progress=seen))
        done += len(part)
    used = [report.usable for report in quality if len(report.usable)] if check else list(parts)
    if not used:
        raise DataError(f"{data}: not one photo can be used", hint=f"`herder data check {data}` says why")
    title = name or data.resolve().name
    place = data / FETCHED
    if not place.is_file():
        return write_dataset_report(out, used, quality=quality, name=title, seed=seed)
    from herder.data.download import Manifest

    with Manifest(place) as manifest:
        return write_dataset_report(out, used, manifest=manifest, quality=quality, name=title, seed=seed)


def _as_dict(report: DatasetReport) -> dict[str, Any]:
    facts = report.facts
    names = [record.path.name for record in facts.whole]
    return {
        **facts.as_dict(),
        "sources": Sources(facts).as_dict(),
        "random": [names[i] for i in report.random],
        "strangest": [{**entry.as_dict(), "photo": names[entry.photo]} for entry in report.strangest],
        "set_aside": [
            {"file": problem.path.name, "reason": problem.reason, "message": problem.message, "hint": problem.hint}
            for problem in facts.problems
            if problem.severity is Severity.SET_ASIDE
        ],
    }
