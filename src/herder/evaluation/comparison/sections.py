"""The parts of a report about two detectors: the verdict, the table over photos, and the table over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from herder.evaluation.comparison.cells import interval, photo_cells, seed_cells, shown, shown_count, signed
from herder.evaluation.comparison.plots import difference_plot, seed_plot
from herder.evaluation.comparison.result import TITLES, Comparison, Estimate, PhotoRow, PhotoTable, SeedTable
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.report import Picture, Section, Table, Width


def comparison_sections(result: Comparison) -> list[Section]:
    """Everything but the photos, which ``comparison_pictures`` draws."""
    sections = [_summary(result)]
    if isinstance(result.photos, PhotoTable):
        sections.append(_photo_section(result, result.photos))
    if isinstance(result.seeds, SeedTable):
        sections.append(_seed_section(result, result.seeds))
    return sections


def sections_from_json(data: Mapping[str, Any], source: str) -> list[Section]:
    """The same sections from the content of a ``comparison.json``, for a report made later.

    Raises DataError naming ``source`` where the content is something else.
    """
    return comparison_sections(Comparison.from_dict(data, source))


def _summary(result: Comparison) -> Section:
    row = next((r for r in _rows(result) if r.metric == result.metric), None)
    title = TITLES[result.metric]
    numbers = []
    if row is not None and isinstance(result.photos, PhotoTable):
        numbers = [(f"{title} of A", shown(row.a)), (f"{title} of B", shown(row.b)), ("B - A", signed(row.difference))]
    sides = [("A", str(result.a)), ("B", str(result.b))]
    files = [
        (f"File of {letter}", f"{file}, SHA-256 {digest[:12]}")
        for letter, side in (("A", result.a), ("B", result.b))
        for _, file, digest in side.members
        if digest
    ]
    parts = [result.words, *result.notes]
    if result.verdict:
        passed = "passed" if result.verdict.passed else "not passed"
        parts.insert(0, f"Gate {passed}: {result.verdict.words}")
        numbers.append(("Gate", passed))
    for name, view in (("Over photos", result.photos), ("Over seeds or folds", result.seeds)):
        if isinstance(view, NotComputed):
            parts.append(f"{name} {view}.")
    return Section("Is B better than A?", "\n\n".join(parts), numbers=numbers, facts=[*sides, *files])


def _rows(result: Comparison) -> Sequence[PhotoRow]:
    return result.photos.rows if isinstance(result.photos, PhotoTable) else ()


def _photo_section(result: Comparison, table: PhotoTable) -> Section:
    caption, columns, rows = photo_cells(result)
    margin = result.verdict.margin if result.verdict else 0.0
    line = (margin if result.verdict and result.verdict.kind == "better" else -margin) or None
    needed = [(TITLES[row.metric], *(shown_count(count) for _, count in row.needed)) for row in table.rows]
    seen = next((row.needed for row in table.rows if row.needed), ())
    tables = [Table(columns, rows, caption)]
    if seen:
        heads = ("Metric", *_steps(seen))
        tables.append(Table(heads, needed, "Photos needed to see a difference of so much in 80 of 100 tests"))
    if table.gains:
        gains = [(gain.name, f"{gain.a:g}", f"{gain.b:g}", f"{gain.gain:+g}") for gain in table.gains]
        heads = ("Photo", "Errors of A", "Errors of B", "Gain")
        tables.append(Table(heads, gains, "Where the two differ most: misses and false alarms, best gain first"))
    methods = "; ".join(sorted({row.method for row in table.rows}))
    text = (
        "Would B win on other photos of the same kind? All photos are drawn anew, with replacement, and both sides are "
        f"measured on the same draw: the interval of the difference ({methods}) and the share of draws in which B is "
        "better. The p-value is that of a permutation test, which swaps the two sides' detections photo by photo: how "
        "often so large a difference comes up when it does not matter who found what. Holm's correction makes it "
        "count that several metrics are looked at. F1 is at the threshold that is best for each "
        "model on all photos.\n\nThis says nothing about other trainings: the models are taken as they are."
    )
    picture = Picture(
        difference_plot(table, line),
        "Histograms of the difference between B and A over the draws",
        "B - A over the draws of photos. Band: the interval. Solid line: no difference. Dashed line: on all photos.",
        Width.FULL,
    )
    return Section("On other photos", text, tables=tables, pictures=[picture])


def _seed_section(result: Comparison, table: SeedTable) -> Section:
    caption, columns, rows = seed_cells(result)
    tables = [Table(columns, rows, caption)]
    if table.rows:
        tables.append(_described(table))
    effects = [
        (TITLES[row.metric], row.test, shown(row.cohen), shown(row.effect), interval(row.effect_bounds))
        for row in table.rows
    ]
    heads = ("Metric", "Test", "Cohen's d", "Hedges' g", f"{result.level:.0%} interval of g")
    tables.append(Table(heads, effects, "The test, and the size of the effect"))
    needed = next((row.needed for row in table.rows if row.needed), ())
    if needed:
        steps = ("Metric", *_steps(needed))
        counts = [(TITLES[row.metric], *(shown_count(count) for _, count in row.needed)) for row in table.rows]
        tables.append(Table(steps, counts, "Seeds a side needed to see a difference of so much in 80 of 100 tests"))
    text = "Would B win if both were trained again? Each model is one observation.\n\n" + "\n\n".join(
        f"{TITLES[row.metric]}: {row.words}" for row in table.rows
    )
    picture = Picture(
        seed_plot(table), "The value of each model of A and B", "A dot for each model; the bar is the mean.", Width.FULL
    )
    return Section("In other trainings", text, tables=tables, pictures=[picture])


def _described(table: SeedTable) -> Table:
    """What describes each side in each metric: a line for each number, since there are many."""
    heads = [f"{TITLES[row.metric]} of {letter}" for row in table.rows for letter in "AB"]
    sides = [dict(facts) for row in table.rows for facts in (row.facts_a, row.facts_b)]
    rows = [(name, *(_fact(name, facts.get(name)) for facts in sides)) for name in sides[0]]
    return Table(("", *heads), rows, "The models of each side")


def _fact(name: str, value: Estimate | None) -> str:
    if value is None:
        return ""
    return shown_count(value) if name == "n" else shown(value)


def _steps(needed: Sequence[tuple[float, Estimate]]) -> list[str]:
    """The heads of a table of needed photos or seeds."""
    return ["As observed", *(f"{difference:g}" for difference, _ in needed[1:])]
