"""The parts of a report on a dataset, from the numbers to the photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from herder.api.data_card import Sources, credit, warnings
from herder.api.dataset_facts import Check, DatasetFacts
from herder.api.dataset_plots import class_plot, histogram, place_plot, throughput_plot
from herder.api.strange_photos import Strange
from herder.boxes import area, as_boxes
from herder.data.records import ImageRecord, Severity
from herder.drawing import PALETTE, draw_boxes
from herder.errors import DataError
from herder.evaluation.report import Picture, Section, Table, Width
from herder.images import read_image

CELL = 420
"""Pixels of the longest side of the photos shown."""

LINE = 2
"""Pixels of a box's line on them."""

IGNORED = (160, 166, 172)
"""RGB of boxes that are to be ignored."""

ROWS = 30
"""Longest table; ``report.json`` has all."""

GROUPS = 3
"""Groups of duplicates that are shown."""


def report_sections(
    facts: DatasetFacts, random: Sequence[int], strange: Sequence[Strange], settings: Mapping[str, str]
) -> list[Section]:
    """All parts, in order; those of which nothing is known are left out."""
    sections = [_summary(facts, settings), _way(facts)]
    if facts.batches:
        sections.append(_speed(facts))
    sections += [_checks(facts)] if facts.checks else []
    sections += [_contents(facts)] if facts.statistics.boxes else []
    sections += [_random(facts, random)] if random else []
    sections += [_strange(facts, strange)] if strange else []
    sections += [_duplicates(facts)] if any(report.duplicates for report in facts.quality) else []
    sections.append(_sources(facts))
    sections += [_set_aside(facts)] if any(p.severity is Severity.SET_ASIDE for p in facts.problems) else []
    return sections


def _summary(facts: DatasetFacts, settings: Mapping[str, str]) -> Section:
    totals, statistics = facts.totals, facts.statistics
    missing = totals.gone + totals.failed + totals.pending
    numbers: list[tuple[str, str | int | float]] = [("Photos", totals.photos), ("Boxes", totals.boxes)]
    numbers.append(("Classes", len(statistics.classes)))
    if facts.states:
        numbers += [("Asked for", totals.asked), ("Downloaded", totals.downloaded), ("Not there", missing)]
    numbers.append(("Photos set aside", totals.set_aside))
    found = warnings(facts, Sources(facts))
    text = "\n\n".join(found) if found else ""
    return Section("At a glance", text, numbers=numbers, facts=list(settings.items()))


def _way(facts: DatasetFacts) -> Section:
    """What became of everything on its way into the dataset."""
    totals = facts.totals
    rows: list[tuple[str, int]] = [("processed", totals.asked)]
    if facts.states:
        rows.append(("downloaded", totals.downloaded))
        rows += [(f"not downloaded: {reason}", count) for reason, count in facts.failures.items()]
        rows += [("not downloaded yet", totals.pending)] if totals.pending else []
    rows += [("downloaded and set aside" if facts.states else "set aside", totals.set_aside)]
    rows.append(("in the dataset", totals.photos))
    aside = facts.reasons[Severity.SET_ASIDE].most_common()
    tables = [Table(("Photos", "Count"), rows)]
    if aside:
        tables.append(Table(("Validation failure", "Photos or boxes"), aside))
    tables.append(Table(("Conversion", "Count"), [(name, count) for name, count in facts.conversions.items() if count]))
    parts = [(part.split or "all", len(part), sum(map(len, part)), part.fingerprint()[:12]) for part in facts.parts]
    tables.append(Table(("Split", "Photos", "Boxes", "Fingerprint"), parts))
    return Section("From address to dataset", tables=tables)


def _speed(facts: DatasetFacts) -> Section:
    photos, size = sum(b.photos for b in facts.batches), sum(b.bytes for b in facts.batches)
    seconds = sum(b.seconds for b in facts.batches)
    rows = [(i, b.photos, round(b.bytes / 1e6), b.seconds, round(b.rate)) for i, b in enumerate(facts.batches, 1)]
    more = f"The first {ROWS} of {len(rows):,} batches; report.json has all." if len(rows) > ROWS else ""
    columns = ("Batch", "Photos", "MB", "Seconds", "Photos a second")
    return Section(
        "Throughput",
        f"{photos:,} photos ({size / 1e6:,.1f} MB) ended in {seconds:,.1f} seconds; pauses between runs are left out.",
        numbers=[
            ("Photos a second", f"{photos / max(seconds, 1e-9):,.0f}"),
            ("MB a second", f"{size / 1e6 / max(seconds, 1e-9):,.1f}"),
        ],
        tables=[Table(columns, rows[:ROWS], more)],
        pictures=[Picture(throughput_plot(facts.batches), "Photos a second, batch by batch", width=Width.FULL)],
    )


def _checks(facts: DatasetFacts) -> Section:
    clean = sum(1 for check in facts.checks if check.passed == check.looked_at)

    def table(of: str) -> Table:
        found = [check for check in facts.checks if check.of == of]
        return Table((f"Each {of} ...", "Looked at", "Passed", "Set aside", "Noted"), [_check_row(c) for c in found])

    text = (
        f"Of {len(facts.checks)} checks {clean} found nothing at all. What was set aside is not in the dataset; what "
        "was noted is, and is worth a look."
    )
    tables = [table(of) for of in ("photo", "box") if any(check.of == of for check in facts.checks)]
    return Section("Quality checks", text, tables=tables)


def _check_row(check: Check) -> tuple[str, int, int, int, int]:
    return check.question, check.looked_at, check.passed, check.set_aside, check.noted


def _contents(facts: DatasetFacts) -> Section:
    statistics, records = facts.statistics, facts.whole.records
    sides = np.sqrt(np.concatenate([area(record.boxes) for record in records]).astype(np.float64))  # (N,)
    counts = np.array([len(record) for record in records], np.float64)
    long = np.array([max(record.width, record.height) for record in records], np.float64)
    aspects = np.array([record.width / record.height for record in records])
    limits = ((32.0, "medium"), (96.0, "large"))
    small, medium, large = statistics.small, statistics.medium, statistics.large
    sizes = f"{small:,} small (below 32 x 32 pixels), {medium:,} medium and {large:,} large (from 96 x 96)"
    pictures = [
        Picture(class_plot(statistics.classes), "Boxes of each class", "Boxes of each class."),
        Picture(place_plot(records), "Where box centres lie", "Where in the photo the centres of the boxes lie."),
        Picture(
            histogram(sides, "box side: square root of its area, pixels", ratio=True, marks=limits),
            "Sizes of boxes",
            "Sizes of boxes, with COCO's limits.",
        ),
        Picture(histogram(counts, "boxes on a photo"), "Boxes on a photo", "How many boxes a photo has."),
    ]
    alike = []
    for values, name, text, ratio in (
        (long, "longer side, pixels", "Sizes of photos.", False),
        (aspects, "width / height", "Shapes of photos: above 1 lies wide.", True),
    ):
        if np.ptp(values) > 0:
            pictures.append(Picture(histogram(values, name, ratio=ratio), name, text))
        else:
            alike.append((f"All photos: {name}", f"{values[0]:.4g}"))
    text = f"{statistics.boxes:,} boxes: {sizes}; {statistics.backgrounds:,} photos show none."
    rows = [(c.name, c.boxes, c.photos, c.ignored) for c in sorted(statistics.classes, key=lambda c: -c.boxes)]
    table = Table(("Class", "Boxes", "Photos", "Boxes to be ignored"), rows[:ROWS])
    return Section("Classes and sizes", text, facts=alike, tables=[table], pictures=pictures)


def _random(facts: DatasetFacts, random: Sequence[int]) -> Section:
    found = ((_picture(facts, i, _counted(facts.whole[i], facts.whole.class_names))) for i in random)
    text = "Drawn by chance; made smaller, with their boxes. Grey boxes are to be ignored."
    return Section("Random photos", text, pictures=[picture for picture in found if picture is not None])


def _strange(facts: DatasetFacts, strange: Sequence[Strange]) -> Section:
    found = (_picture(facts, entry.photo, str(entry)) for entry in strange)
    return Section(
        "The strangest photos",
        "Those least like the others in brightness, contrast, colour, shape, size or boxes. A spread is the robust "
        "standard deviation of all photos: beyond 3.5 of them one speaks of outliers. Strange is not wrong, but errors "
        "are found here first.",
        pictures=[picture for picture in found if picture is not None],
    )


def _duplicates(facts: DatasetFacts) -> Section:
    groups = [(report, group) for report in facts.quality for group in report.duplicates]
    exact = sum(1 for _, group in groups if group.exact)
    pictures: list[Picture] = []
    index = {record.path: i for i, record in enumerate(facts.whole)}
    for number, (report, group) in enumerate(groups[:GROUPS], 1):
        for member in group.members[:3]:
            photo = index.get(report.dataset[member].path)
            apart = "the same file" if group.exact else f"up to {group.widest} of 64 bits of their hashes differ"
            text = f"Group {number} of {len(group.members)} photos: {apart}"
            picture = _picture(facts, photo, text) if photo is not None else None
            pictures += [picture] if picture is not None else []
    return Section(
        "Duplicates",
        "Groups of photos that are the same or nearly the same; those that reach over several splits leak.",
        numbers=[("Groups", len(groups)), ("The same file", exact), ("Over several splits", len(facts.crossing))],
        pictures=pictures,
    )


def _sources(facts: DatasetFacts) -> Section:
    sources = Sources(facts)
    licences = [(name or "not known", url, count) for (name, url), count in sources.licences.most_common(ROWS)]
    authors = [(author or "not known", count) for author, count in sources.authors.most_common(10)]
    hosts = [(host or "not known", count) for host, count in sources.hosts.most_common(10)]
    return Section(
        "Data card: sources and licences",
        f"{len([author for author in sources.authors if author]):,} authors. attribution.csv names title, author, "
        "licence and page of each photo; DATA_CARD.md is this card in short, for whoever gets the dataset. A licence "
        "is what the source says it is.",
        tables=[
            Table(("Licence", "Its text", "Photos"), licences),
            Table(("Published at", "Photos"), hosts),
            Table(("Author", "Photos"), authors, "Those with the most photos."),
        ],
    )


def _set_aside(facts: DatasetFacts) -> Section:
    found = [p for p in facts.problems if p.severity is Severity.SET_ASIDE]
    more = f" The first {ROWS} are listed; report.json has all." if len(found) > ROWS else ""
    rows = [(p.path.name, p.reason, p.message, p.hint) for p in found[:ROWS]]
    table = Table(("File", "Reason", "What is wrong", "What to do"), rows)
    return Section("Set aside", f"{len(found):,} findings of this run.{more}", tables=[table])


def _picture(facts: DatasetFacts, photo: int, text: str) -> Picture | None:
    """A photo with its boxes and its credit; None where it cannot be read, which the checks have told."""
    record = facts.whole[photo]
    try:
        pixels = read_image(record.path)
    except DataError:
        return None
    split = facts.splits[photo]
    caption = ". ".join(
        part for part in (f"{split}/{record.path.name}".lstrip("/"), text, credit(record, short=True)) if part
    )
    alt = f"{record.path.name} with {len(record)} boxes"
    return Picture.of(_drawn(pixels, record, facts.whole.class_names), alt, caption, width=Width.THIRD)


def _drawn(pixels: NDArray[np.uint8], record: ImageRecord, class_names: Sequence[str]) -> NDArray[np.uint8]:
    """The photo (H, W, 3) made small first, so that lines and letters stay readable, with its boxes."""
    height, width = pixels.shape[:2]
    factor = min(1.0, CELL / max(height, width))
    if factor < 1:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    boxes = as_boxes(record.boxes * np.float32(factor))
    pairs = list(zip(record.classes.tolist(), record.ignore.tolist(), strict=True))
    colours = [IGNORED if ignore else PALETTE[c % len(PALETTE)] for c, ignore in pairs]
    # Of a single class the names would only hide the animals.
    labels = [class_names[c] for c, _ in pairs] if len(class_names) > 1 else []
    return draw_boxes(pixels, boxes, labels, color=colours, thickness=LINE)


def _counted(record: ImageRecord, class_names: Sequence[str]) -> str:
    if not len(record):
        return "no box"
    ids, counts = np.unique(record.classes, return_counts=True)
    return ", ".join(f"{count} x {class_names[i]}" for i, count in zip(ids.tolist(), counts.tolist(), strict=True))
