"""Fetching a dataset from end to end: download, check, set aside, write. Open Images, or any list of URLs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from herder.data import url_dataset
from herder.data.download import DownloadConfig, DownloadItem, DownloadProgress, DownloadReport, Manifest, Shard, State
from herder.data.download.joining import take_over
from herder.data.download.url_list import read_url_list
from herder.data.fetched_folder import FetchedFolder
from herder.data.formats import Format, join
from herder.data.open_images import dataset as open_images
from herder.data.open_images.plan import Plan, Wish, make_plan
from herder.data.quality.photo_checks import check_photo
from herder.data.quality.quarantine import set_aside
from herder.data.quality.run import QualityReport, run_checks
from herder.data.records import Dataset, Problem, Severity
from herder.errors import ConfigError, DataError

Engine = Literal["local", "ray"]

LABELS_ALONE = frozenset({"no-label", "no-usable-box", "size-mismatch"})
"""Reasons for which a photo is not used, and that say nothing against the photo."""


class Watcher(Protocol):
    """Who is told how far things are."""

    def at(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """``done`` of ``total`` steps of ``what`` are done, None where nobody knows how many there are."""

    def say(self, text: str) -> None:
        """A sentence for the user."""


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch, whatever it is. Raises ConfigError for settings that contradict each other."""

    download: DownloadConfig = field(default_factory=DownloadConfig)
    shard: Shard | None = None
    """The share of this machine, None for all."""
    engine: Engine = "local"
    ray_shards: int = 4
    """Shares on the Ray cluster."""
    ray_address: str | None = None
    join: tuple[Path, ...] = ()
    """Folders that other machines fetched their shares into: what they hold is not fetched again."""
    format: Format = Format.YOLO
    check: bool = True
    """Decode every photo, check every box, and set aside what is broken."""

    def __post_init__(self) -> None:
        if self.engine == "ray" and self.shard is not None:
            raise ConfigError("--shard and --engine ray contradict each other", hint="Ray deals out the shares itself")


@dataclass(frozen=True, eq=False)
class FetchResult:
    """What came of it."""

    folder: FetchedFolder
    datasets: tuple[Dataset, ...]
    """What was written: one a split; none where this share holds no photo."""
    download: DownloadReport
    states: dict[State, int]
    """What has become of the photos that were asked for (of this share)."""
    failures: dict[str, int]
    """How many of them did not arrive or were set aside, by reason."""
    quality: QualityReport | None = None
    """Of all splits together; None where nothing was checked."""
    problems: tuple[Problem, ...] = ()
    """What was found in lists, labels and photos."""
    plan: Plan | None = None
    """Of Open Images."""
    changed: bool = True
    """False where the dataset is as the run before left it."""

    @property
    def set_aside(self) -> bool:
        """Whether anything that was asked for is missing from the dataset."""
        lost = sum(self.states[state] for state in (State.GONE, State.FAILED, State.QUARANTINED, State.PENDING))
        return lost > 0 or any(problem.severity is Severity.SET_ASIDE for problem in self.problems)


def fetch_open_images(
    wish: Wish, out: Path, cache: Path, options: FetchOptions | None = None, watcher: Watcher | None = None
) -> FetchResult:
    """Fetch photos and boxes of Open Images into the dataset folder ``out``; tables are kept in ``cache``.

    Run again it goes on, and fetches nothing twice. Raises ConfigError for unknown classes, DataError for tables that
    cannot be used and when not one photo arrives, ResourceError when the disk is full; KeyboardInterrupt on Ctrl-C.
    """
    options, watcher = options or FetchOptions(), watcher or _Nobody()
    folder = FetchedFolder(out)

    def seen(url: str, done: int, total: int | None) -> None:
        name = url.rpartition("/")[2]
        watcher.at(f"fetching {name}", done, total, f"{done / 1e6:,.0f} MB")

    plan = make_plan(wish, cache, options.download, progress=seen, notice=watcher.say)
    for split in plan.splits:
        taken, filtered = len(split.ids), ", ".join(f"{n:,} x {reason}" for reason, n in split.filtered.most_common())
        watcher.say(
            f"{split.name}: {taken:,} of {split.found:,} photos, {len(split.boxes):,} boxes"
            + (f" ({filtered})" if filtered else "")
        )
    items = list(plan.items())
    result = _fetch(folder, items, lambda: open_images.build(plan, folder.photos, folder.upright), options, watcher)
    return replace(result, plan=plan)


def fetch_urls(
    listing: Path, labels: Path | None, out: Path, options: FetchOptions | None = None, watcher: Watcher | None = None
) -> FetchResult:
    """Fetch the photos of a list of URLs into the dataset folder ``out``, with their labels.

    ``labels`` is a folder of YOLO or VOC labels, or a COCO file; None takes the list itself where it is a COCO file.
    Raises as ``fetch_open_images`` does.
    """
    options, watcher = options or FetchOptions(), watcher or _Nobody()
    if labels is None:
        if listing.suffix.lower() != ".json":
            raise ConfigError("--labels: not given", hint="give the folder of the labels, or a COCO file")
        labels = listing
    theirs = labels
    url_dataset.labels_format(theirs)
    found = read_url_list(listing)
    folder = FetchedFolder(out)
    stage = folder.state / "labels.new"
    result = _fetch(
        folder, found.items, lambda: url_dataset.build(found.items, theirs, folder.photos, stage), options, watcher
    )
    return replace(result, problems=found.problems + result.problems)


def _fetch(
    folder: FetchedFolder,
    items: Sequence[DownloadItem],
    build: Callable[[], tuple[Dataset, ...]],
    options: FetchOptions,
    watcher: Watcher,
) -> FetchResult:
    shard = options.shard
    mine = [item for item in items if shard is None or shard.owns(item.key)]
    with Manifest(folder.manifest) as manifest:
        for other in options.join:
            theirs = FetchedFolder(other, existing=True)
            taken = take_over(mine, folder.photos, manifest, theirs.photos, theirs.manifest)
            watcher.say(f"{other}: {taken:,} photos taken over")
        report = _download(items, folder, manifest, options, watcher)
        datasets = build()
        quality: QualityReport | None = None
        problems = tuple(dict.fromkeys(problem for part in datasets for problem in part.problems))
        if options.check and datasets:
            quality = _check(datasets, watcher)
            problems = quality.problems
            _set_aside(folder, manifest, items, quality)
            datasets = _usable(datasets, quality)
        states, failures = _count(manifest, mine)
    if not datasets and mine:
        reasons = ", ".join(f"{count:,} x {reason}" for reason, count in failures.items()) or "none can be used"
        raise DataError(f"{folder.root}: not one of {len(mine):,} photos can be used ({reasons})", hint=_hint(failures))
    changed = folder.place(datasets, options.format) if datasets else False
    return FetchResult(folder, datasets, report, states, failures, quality, problems, changed=changed)


def _hint(failures: dict[str, int]) -> str:
    if "refused-address" in failures:
        return "--allow-private fetches from this machine or a private network"
    return "check the addresses and the network, then run the same again"


def _download(
    items: Iterable[DownloadItem], folder: FetchedFolder, manifest: Manifest, options: FetchOptions, watcher: Watcher
) -> DownloadReport:
    def seen(p: DownloadProgress) -> None:
        rate = f"{p.ended / p.seconds:,.0f} photos/s, {p.bytes / 1e6:,.0f} MB" if p.seconds > 0 else ""
        watcher.at("fetching photos", p.ended, p.total, rate + (f", {p.failed:,} failed" if p.failed else ""))

    if options.engine == "ray":
        from herder.data.download.ray_engine import download_on_ray

        return download_on_ray(
            items,
            folder.photos,
            options.download,
            manifest=manifest,
            shards=options.ray_shards,
            address=options.ray_address,
            progress=seen,
        )
    from herder.data.download import download

    return download(items, folder.photos, options.download, manifest=manifest, shard=options.shard, progress=seen)


def _check(parts: Sequence[Dataset], watcher: Watcher) -> QualityReport:
    """Every photo and box of all splits looked at; photos that could not even be opened get the checks' reason."""
    whole = join(parts)
    problems: list[Problem] = []
    for problem in whole.problems:
        closer = check_photo(problem.path).problems if problem.reason == "photo-broken" else ()
        problems += closer or [problem]
    given = replace(whole, problems=tuple(problems))
    report = run_checks(given, progress=lambda done: watcher.at("checking photos", done, len(whole)))
    split_of = [part.split for part in parts for _ in part]
    leaks = sum(len({split_of[i] for i in group.members}) > 1 for group in report.duplicates)
    if leaks:
        watcher.say(f"{leaks:,} photos lie, nearly the same, in several splits; herder data split keeps them together")
    return report


def _usable(parts: Sequence[Dataset], quality: QualityReport) -> tuple[Dataset, ...]:
    """What the checks leave of each split; splits of which nothing is left are left out."""
    left = dict(zip(quality.kept, quality.usable, strict=True))
    found: list[Dataset] = []
    first = 0
    for part in parts:
        records = tuple(left[i] for i in range(first, first + len(part)) if i in left)
        first += len(part)
        if records:
            found.append(replace(part, records=records))
    return tuple(found)


def _set_aside(
    folder: FetchedFolder, manifest: Manifest, items: Iterable[DownloadItem], quality: QualityReport
) -> None:
    """Move broken photos to the quarantine, and note it in the manifest.

    A photo that is sound but of which no box can be used stays where it is: its labels may be mended.
    """
    records = {record.path for record in quality.dataset}
    unread = [problem for problem in quality.dataset.problems if problem.path not in records]
    found: dict[Path, list[Problem]] = {}
    for problem in [*unread, *(problem for finding in quality.photos for problem in finding.problems)]:
        if problem.severity is Severity.SET_ASIDE and problem.reason not in LABELS_ALONE:
            found.setdefault(problem.path, []).append(problem)
    broken: dict[str, list[Problem]] = {}
    for item in items:
        photo, copy = folder.photos / item.path, folder.upright / item.path
        reasons = found.get(photo) or found.get(copy)
        if reasons and photo.is_file():
            broken[item.key] = [replace(problem, path=photo) for problem in reasons]
            copy.unlink(missing_ok=True)
    set_aside(folder.photos, [problem for reasons in broken.values() for problem in reasons], into=folder.root)
    # After the move: killed between the two, the photo is fetched again and set aside again.
    for key, reasons in broken.items():
        manifest.quarantine(key, reasons[0].reason, reasons[0].message)


def _count(manifest: Manifest, items: Iterable[DownloadItem]) -> tuple[dict[State, int], dict[str, int]]:
    """What has become of these items."""
    states: Counter[State] = Counter()
    reasons: Counter[str] = Counter()
    for item in items:
        row = manifest.row(item.key)
        state = row.state if row is not None else State.PENDING
        states[state] += 1
        if row is not None and state in (State.GONE, State.FAILED, State.QUARANTINED):
            reasons[row.outcome.reason] += 1
    return {state: states[state] for state in State}, dict(reasons.most_common())


class _Nobody:
    """Where nobody watches."""

    def at(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""
