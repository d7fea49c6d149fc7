"""``herder data fetch``: photos and boxes from Open Images, or from any list of URLs, as a dataset."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from herder.cli.fetch_progress import FetchProgress
from herder.cli.many_values import ManyValues
from herder.data.formats import Format
from herder.data.records import Problem, Severity
from herder.errors import MissingExtraError

if TYPE_CHECKING:
    from herder.api.fetching import FetchOptions, FetchResult

SET_ASIDE, INTERRUPTED = 3, 130
"""Exit codes when photos or labels were set aside, and after Ctrl-C."""

SHOWN = 10
"""Findings that are written out one by one."""

PACKAGES = frozenset({"aiolimiter", "httpcore", "httpx", "polars", "purgatory", "stamina"})
"""What the extra ``fetch`` installs."""

fetch_app = typer.Typer(help="Fetch photos and boxes, and make a dataset of them.", no_args_is_help=True)


class Engine(StrEnum):
    """What downloads."""

    LOCAL = "local"
    RAY = "ray"


class RuleChoice(StrEnum):
    """What becomes of boxes with a flag."""

    KEEP = "keep"
    IGNORE = "ignore"
    DROP = "drop"


OutOption = Annotated[Path, typer.Option(help="Folder of the dataset; the same again goes on with it.")]
FormatOption = Annotated[Format, typer.Option(help="Format of the dataset.", case_sensitive=False)]
ConcurrencyOption = Annotated[int, typer.Option(help="Most downloads at one time.")]
RateOption = Annotated[float | None, typer.Option(help="Most requests a second.", show_default="no limit")]
ShardOption = Annotated[str | None, typer.Option(help="This machine's share, such as 2/5.", show_default="all")]
JoinOption = Annotated[
    list[Path], typer.Option(help="Folder of another share, whose photos are taken over; again for others.")
]
EngineOption = Annotated[Engine, typer.Option(help="ray: share the work out over a Ray cluster.")]
RayShardsOption = Annotated[int, typer.Option(min=1, help="Shares on the Ray cluster.")]
RayAddressOption = Annotated[
    str | None, typer.Option(help="Address of the Ray cluster.", show_default="RAY_ADDRESS, or this machine")
]
PrivateOption = Annotated[
    bool, typer.Option("--allow-private", help="Fetch from this machine and private networks too.")
]
CheckOption = Annotated[
    bool, typer.Option("--check/--no-check", help="Decode every photo, check every box, set aside what is broken.")
]
ReportOption = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html and its companions.")]


@fetch_app.command("open-images", cls=ManyValues)
def open_images(
    classes: Annotated[list[str], typer.Option(help="Class names, such as Alpaca; several may follow.")],
    out: OutOption,
    splits: Annotated[list[str], typer.Option(help="Of train, validation, test; several may follow.")] = [  # noqa: B006
        "train",
        "validation",
        "test",
    ],
    limit: Annotated[int | None, typer.Option(help="Most photos of each split.", show_default="all")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which photos, where there is a limit.")] = 0,
    group_of: Annotated[RuleChoice, typer.Option(help="Boxes around more than five animals.")] = RuleChoice.IGNORE,
    depictions: Annotated[RuleChoice, typer.Option(help="Drawings, toys, statues.")] = RuleChoice.IGNORE,
    occluded: Annotated[RuleChoice, typer.Option(help="Animals behind something.")] = RuleChoice.KEEP,
    truncated: Annotated[RuleChoice, typer.Option(help="Animals cut by the photo's border.")] = RuleChoice.KEEP,
    inside: Annotated[RuleChoice, typer.Option(help="Photos taken inside of the object.")] = RuleChoice.IGNORE,
    min_side: Annotated[
        float, typer.Option(help="Ignore boxes with a side below this share of the photo's, such as 0.02.")
    ] = 0.0,
    format: FormatOption = Format.YOLO,
    concurrency: ConcurrencyOption = 32,
    rate: RateOption = None,
    shard: ShardOption = None,
    join: JoinOption = [],  # noqa: B006
    engine: EngineOption = Engine.LOCAL,
    ray_shards: RayShardsOption = 4,
    ray_address: RayAddressOption = None,
    annotations_url: Annotated[
        str | None, typer.Option(help="Base address of the tables.", show_default="Open Images'")
    ] = None,
    photos_url: Annotated[
        str | None, typer.Option(help="Base address of the photos.", show_default="Open Images'")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of tables.", show_default="~/.cache/herder/open-images")
    ] = None,
    allow_private: PrivateOption = False,
    check: CheckOption = True,
    report: ReportOption = True,
) -> None:
    """Fetch photos and boxes of Open Images V7 classes, with authors and licences, as a dataset.

    Boxes to be ignored are neither hit nor miss; dropped ones become background. Ctrl-C or a kill loses nothing: the
    same command goes on. Exit code 0: all is there. 3: some photos or boxes were set aside. 2: nothing can be used.
    """

    def work(watcher: FetchProgress) -> FetchResult:
        from herder.api.fetching import fetch_open_images
        from herder.data.open_images.box_filters import BoxFilters, Rule
        from herder.data.open_images.layout import ANNOTATIONS_URL, PHOTOS_URL, OpenImagesLayout, checked_splits
        from herder.data.open_images.plan import Wish

        wish = Wish(
            tuple(classes),
            checked_splits(splits),
            limit,
            seed,
            BoxFilters(
                Rule(occluded), Rule(truncated), Rule(group_of), Rule(depictions), Rule(inside), min_side=min_side
            ),
            OpenImagesLayout(annotations_url or ANNOTATIONS_URL, photos_url or PHOTOS_URL),
        )
        options = _options(
            concurrency, rate, shard, join, engine, ray_shards, ray_address, allow_private, format, check
        )
        return fetch_open_images(wish, out, cache or default_cache(), options, watcher)

    result = _watched(work)
    plan = result.plan
    settings = {
        "source": "Open Images V7",
        "classes": ", ".join(classes),
        "splits": ", ".join(splits),
        "limit": "none" if limit is None else f"{limit:,} photos of each split",
        "seed": str(seed),
        "group-of boxes": group_of.value,
        "depictions": depictions.value,
        "occluded": occluded.value,
        "truncated": truncated.value,
        "inside": inside.value,
        "smallest side": f"{min_side:g} of the photo's",
        "tables": plan.layout.annotations_url if plan else "",
        "photos": plan.layout.photos_url if plan else "",
    }
    _finish(result, settings, seed, report)


@fetch_app.command("urls")
def urls(
    listing: Annotated[Path, typer.Argument(help=".csv, .jsonl, a COCO .json, or a text file with a URL a line.")],
    out: OutOption,
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder of YOLO or VOC labels, or a COCO .json.", show_default="the list, if it is COCO"),
    ] = None,
    format: FormatOption = Format.YOLO,
    concurrency: ConcurrencyOption = 32,
    rate: RateOption = None,
    shard: ShardOption = None,
    join: JoinOption = [],  # noqa: B006
    engine: EngineOption = Engine.LOCAL,
    ray_shards: RayShardsOption = 4,
    ray_address: RayAddressOption = None,
    allow_private: PrivateOption = False,
    check: CheckOption = True,
    report: ReportOption = True,
) -> None:
    """Fetch the photos of a list of URLs, and make a dataset of them and their labels.

    Labels belong to photos by their file names without the endings. Goes on and ends as open-images does.
    """

    def work(watcher: FetchProgress) -> FetchResult:
        from herder.api.fetching import fetch_urls

        options = _options(
            concurrency, rate, shard, join, engine, ray_shards, ray_address, allow_private, format, check
        )
        return fetch_urls(listing, labels, out, options, watcher)

    _finish(_watched(work), {"source": listing.name, "labels": (labels or listing).name}, 0, report)


def default_cache() -> Path:
    """Where tables are kept: under XDG_CACHE_HOME, or ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "herder" / "open-images"


def _options(
    concurrency: int,
    rate: float | None,
    shard: str | None,
    join: list[Path],
    engine: Engine,
    ray_shards: int,
    ray_address: str | None,
    allow_private: bool,
    format: Format,
    check: bool,
) -> FetchOptions:
    from herder.api.fetching import FetchOptions
    from herder.data.download import DownloadConfig, Shard

    config = DownloadConfig(concurrency=concurrency, rate=rate, allow_private=allow_private)
    share = Shard.parse(shard) if shard is not None else None
    kind: Literal["local", "ray"] = "ray" if engine is Engine.RAY else "local"
    return FetchOptions(config, share, kind, ray_shards, ray_address, tuple(join), format, check)


def _watched(work: Callable[[FetchProgress], FetchResult]) -> FetchResult:
    """Run ``work`` with a progress bar; Ctrl-C becomes a sentence and exit code 130."""
    with FetchProgress() as watcher:
        try:
            return work(watcher)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in PACKAGES:
                raise MissingExtraError("herder data fetch", "fetch") from None
            raise
        except KeyboardInterrupt:
            watcher.say("stopped; what arrived is kept: the same command goes on")
            raise typer.Exit(INTERRUPTED) from None


def _finish(result: FetchResult, settings: dict[str, str], seed: int, report: bool) -> None:
    """Write the report and say what came of it; exit code 3 when something was set aside."""
    out, run = result.folder.root, result.download
    if run.fetched:
        typer.echo(
            f"{run.fetched:,} photos ({run.bytes / 1e6:,.1f} MB) in {run.seconds:,.1f} s, "
            f"{run.items_per_second:,.0f} a second, {run.retries:,} retries",
            err=True,
        )
    for reason, count in result.failures.items():
        typer.echo(f"not there: {count:,} x {reason}", err=True)
    _tell_problems(result.problems)
    parts = [
        f"{part.split or 'photos'} {len(part):,} photos, {sum(map(len, part)):,} boxes" for part in result.datasets
    ]
    typer.echo(f"{out}: {'; '.join(parts) or 'this share holds no photo'}" + ("" if result.changed else " (as before)"))
    if result.datasets and report:
        typer.echo(f"report: {_report(result, settings, seed)}")
    if result.set_aside:
        raise typer.Exit(SET_ASIDE)


def _report(result: FetchResult, settings: dict[str, str], seed: int) -> Path:
    """Write the report; without the packages that draw it there is none to look at, but its numbers."""
    from herder.api.dataset_report import JSON, report_on_fetch

    try:
        return report_on_fetch(result, settings, seed).html
    except MissingExtraError as error:
        typer.echo(str(error), err=True)
        return result.folder.root / JSON


def _tell_problems(problems: tuple[Problem, ...]) -> None:
    found = [problem for problem in problems if problem.severity is Severity.SET_ASIDE]
    for problem in found[:SHOWN]:
        typer.echo(f"set aside: {problem}", err=True)
    if len(found) > SHOWN:
        typer.echo(f"... and {len(found) - SHOWN:,} more", err=True)
