"""Who made the photos and what may be done with them: sources, licences, and the credit of each photo.

Sources: T. Gebru et al., "Datasheets for Datasets", https://arxiv.org/abs/1803.09010; title, author, source and licence
as https://wiki.creativecommons.org/wiki/Recommended_practices_for_attribution asks.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from herder.api.dataset_facts import DatasetFacts
from herder.data.records import ImageRecord, Severity

COLUMNS = ("photo", "split", "title", "author", "licence", "licence_url", "page", "url", "credit")
"""Of ``attribution.csv``."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets take a cell that begins so for a formula, and may run it."""

UNKNOWN = "not known"


@dataclass(frozen=True, eq=False)
class Sources:
    """Where the photos of a dataset come from."""

    facts: DatasetFacts

    @cached_property
    def licences(self) -> Counter[tuple[str, str]]:
        """Photos of each licence: its name and the address of its text."""
        return Counter((r.licence, r.source.licence_url) for r in self.facts.whole)

    @cached_property
    def hosts(self) -> Counter[str]:
        """Photos of each host that they were published at, "" for not known."""
        return Counter(_host(record) for record in self.facts.whole)

    @cached_property
    def authors(self) -> Counter[str]:
        """Photos of each author, "" for not known."""
        return Counter(record.source.author for record in self.facts.whole)

    @property
    def without_licence(self) -> int:
        """Photos of which nobody knows what may be done with them."""
        return sum(1 for record in self.facts.whole if not record.licence and not record.source.licence_url)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "licences": [
                {"name": name, "url": url, "photos": count} for (name, url), count in self.licences.most_common()
            ],
            "published_at": {host or UNKNOWN: count for host, count in self.hosts.most_common()},
            "authors": sum(1 for author in self.authors if author),
            "photos_without_author": self.authors[""],
            "photos_without_licence": self.without_licence,
        }


def credit(record: ImageRecord, *, short: bool = False) -> str:
    """Title, author, source and licence of a photo in one line; "" where nothing is known. ``short``: no addresses.

    >>> from pathlib import Path
    >>> from herder.data.records import PhotoSource
    >>> source = PhotoSource(author="Jo", title="Two alpacas", page="https://example.org/7")
    >>> credit(ImageRecord(Path("a.jpg"), 8, 8, [], [], licence="CC BY 2.0", source=source))
    '"Two alpacas" by Jo, https://example.org/7, CC BY 2.0'
    """
    source = record.source
    who = " ".join(
        [*([f'"{source.title}"'] if source.title else []), *([f"by {source.author}"] if source.author else [])]
    )
    if short:
        return ", ".join(part for part in (who, record.licence or source.licence_url) if part)
    known = (who, source.page or source.url, _licence(record))
    return ", ".join(part for part in known if part)


def attribution_rows(facts: DatasetFacts) -> Iterator[tuple[str, ...]]:
    """A row of ``COLUMNS`` for each photo."""
    for record, split in zip(facts.whole, facts.splits, strict=True):
        s = record.source
        row = (record.path.name, split, s.title, s.author, record.licence, s.licence_url, s.page, s.url, credit(record))
        yield tuple(f"'{text}" if text.startswith(FORMULA) else text for text in row)


def attribution_csv(facts: DatasetFacts) -> str:
    """The credit of every photo; a cell that a spreadsheet would take for a formula has an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(attribution_rows(facts))
    return out.getvalue()


def data_card(name: str, facts: DatasetFacts, settings: Mapping[str, str], fetched: str) -> str:
    """The data card as Markdown: what it is, what is in it, where from, what was checked, what to beware of."""
    sources, statistics, totals = Sources(facts), facts.statistics, facts.totals
    lines = [f"# {_plain(name)}", ""]
    lines += [
        f"Photos: {statistics.photos:,}, boxes: {statistics.boxes:,}, classes: {len(statistics.classes):,}; written by "
        f"herder{f'; fetched until {fetched}' if fetched else ''}. "
        "`report.html` shows it, `report.json` has the numbers, `attribution.csv` the credit of each photo.",
        "",
    ]
    if settings:
        lines += ["## How it was made", "", *_table(("Setting", "Value"), settings.items()), ""]
    parts = [
        (part.split or "all", f"{len(part):,}", f"{sum(map(len, part)):,}", part.fingerprint()) for part in facts.parts
    ]
    lines += ["## What is in it", "", *_table(("Split", "Photos", "Boxes", "Fingerprint"), parts), ""]
    classes = [(c.name, f"{c.boxes:,}", f"{c.photos:,}", f"{c.ignored:,}") for c in statistics.classes]
    lines += [*_table(("Class", "Boxes", "Photos", "Boxes to be ignored"), classes), ""]
    licences = [(n or UNKNOWN, url, f"{count:,}") for (n, url), count in sources.licences.most_common()]
    lines += ["## Licences and sources", "", *_table(("Licence", "Its text", "Photos"), licences), ""]
    hosts = [(host or UNKNOWN, f"{count:,}") for host, count in sources.hosts.most_common(20)]
    lines += [*_table(("Published at", "Photos"), hosts), ""]
    lines += [
        f"{len([a for a in sources.authors if a]):,} authors. A licence is what the source says it is; nobody asked "
        "the authors. Whoever passes photos on passes on their credit, too.",
        "",
    ]
    rows = [("asked for", totals.asked)] if facts.states else []
    rows += [("downloaded", totals.downloaded)] if facts.states else []
    rows += [(f"not there: {reason}", count) for reason, count in facts.failures.items()]
    rows += [(f"set aside: {r}", count) for r, count in facts.reasons[Severity.SET_ASIDE].most_common()]
    rows += [("in the dataset", totals.photos)]
    lines += ["## What was checked", "", *_table(("What", "Count"), [(a, f"{b:,}") for a, b in rows]), ""]
    beware = warnings(facts, sources)
    lines += ["## What to beware of", "", *([f"- {_plain(text)}" for text in beware] or ["Nothing was found."]), ""]
    return "\n".join(lines)


def warnings(facts: DatasetFacts, sources: Sources) -> list[str]:
    """What one should know before using the dataset, in a sentence each."""
    found = []
    statistics, notes = facts.statistics, facts.reasons[Severity.NOTE]
    if sources.without_licence:
        found.append(f"Photos of which nobody knows the licence: {sources.without_licence:,}. Do not publish them.")
    if facts.crossing:
        count = len(facts.crossing)
        found.append(f"Groups of near duplicates over several splits: {count:,}. `herder data split` mends that.")
    if (shared := shared_authors(facts)) > 0:
        found.append(f"Authors with photos in several splits, which may show the same animals: {shared:,}.")
    if statistics.imbalance > 10:
        found.append(f"The most frequent class has {statistics.imbalance:,.0f} times the boxes of the rarest.")
    empty = [entry.name for entry in statistics.classes if not entry.boxes]
    if empty:
        found.append(f"No box shows {', '.join(empty[:10])}.")
    if not facts.quality:
        found.append("Photos were not decoded and boxes not checked: `herder data check` does.")
    if notes["near-duplicate"] or notes["duplicate-photo"]:
        found.append(f"Photos that are like another one: {notes['near-duplicate'] + notes['duplicate-photo']:,}.")
    return found


def shared_authors(facts: DatasetFacts) -> int:
    """Authors with photos in more than one split."""
    where: dict[str, set[str]] = {}
    for record, split in zip(facts.whole, facts.splits, strict=True):
        where.setdefault(record.source.author, set()).add(split)
    return sum(1 for author, splits in where.items() if author and len(splits) > 1)


def _licence(record: ImageRecord) -> str:
    name, url = record.licence, record.source.licence_url
    return f"{name} ({url})" if name and url and name != url else name or url


def _host(record: ImageRecord) -> str:
    try:
        return urlsplit(record.source.page or record.source.url).hostname or ""
    except ValueError:
        return ""


def _table(columns: tuple[str, ...], rows: Any) -> list[str]:
    lines = [columns, ("---",) * len(columns), *rows]
    return [f"| {' | '.join(_plain(str(cell)) for cell in line)} |" for line in lines]


def _plain(text: str) -> str:
    """Text from outside as Markdown that shows it and does nothing else."""
    for mark in ("\\", "|", "<", "[", "]", "*", "_"):
        text = text.replace(mark, f"\\{mark}")
    return text
