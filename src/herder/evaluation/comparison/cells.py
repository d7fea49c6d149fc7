"""The tables of a comparison as text, for the terminal and for the report alike."""

from __future__ import annotations

from herder.evaluation.comparison.result import TITLES, Bounds, Comparison, Estimate
from herder.evaluation.not_computed import NotComputed

Cells = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Caption, names of the columns, and rows."""


def photo_cells(result: Comparison) -> Cells:
    """The table over the photos, as text."""
    table = result.photos
    if isinstance(table, NotComputed):
        return str(table), (), []
    rows: list[tuple[str, ...]] = [
        (
            TITLES[row.metric],
            shown(row.a),
            shown(row.b),
            signed(row.difference),
            interval(row.bounds),
            share(row.better),
            probability(row.p_value),
            probability(row.adjusted),
        )
        for row in table.rows
    ]
    groups = f" in {table.groups:,} groups" if table.groups < table.photos else ""
    columns = ("Metric", "A", "B", "B - A", f"{result.level:.0%} interval", "B better", "p", "p (Holm)")
    return f"Over {table.photos:,} photos{groups}, {table.draws:,} draws", columns, rows


def seed_cells(result: Comparison) -> Cells:
    """The table over seeds or folds, as text."""
    table = result.seeds
    if isinstance(table, NotComputed):
        return str(table), (), []
    rows: list[tuple[str, ...]] = [
        (
            TITLES[row.metric],
            shown(dict(row.facts_a).get("mean", NotComputed("no value"))),
            shown(dict(row.facts_b).get("mean", NotComputed("no value"))),
            signed(row.difference),
            interval(row.bounds),
            shown(row.effect),
            probability(row.p_value),
            probability(row.adjusted),
        )
        for row in table.rows
    ]
    counts = f"{len(table.rows[0].a)} and {len(table.rows[0].b)}" if table.rows else "0 and 0"
    pairs = f", in pairs by {table.paired_by}" if table.paired_by else ""
    columns = ("Metric", "A", "B", "B - A", f"{result.level:.0%} interval", "Hedges' g", "p", "p (Holm)")
    return f"Means over {counts} trained models{pairs}", columns, rows


def shown(value: Estimate) -> str:
    """Three digits, or why there is no number."""
    return str(value) if isinstance(value, NotComputed) else f"{value:.3f}"


def signed(value: Estimate) -> str:
    """Three digits with the sign."""
    return str(value) if isinstance(value, NotComputed) else f"{value:+.3f}"


def interval(bounds: Bounds) -> str:
    """The two ends.

    >>> interval((-0.01, 0.2))
    '-0.010 to +0.200'
    """
    return str(bounds) if isinstance(bounds, NotComputed) else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}"


def share(value: Estimate) -> str:
    """Per cent, never rounded to certainty.

    >>> share(0.9999), share(0.5), share(1.0)
    ('> 99.9 %', '50.0 %', '> 99.9 %')
    """
    if isinstance(value, NotComputed):
        return str(value)
    return "> 99.9 %" if value > 0.999 else "< 0.1 %" if value < 0.001 else f"{value:.1%}".replace("%", " %")


def probability(value: Estimate) -> str:
    """A p-value, never 0.

    >>> probability(0.00049), probability(0.04)
    ('< 0.001', '0.040')
    """
    return str(value) if isinstance(value, NotComputed) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def shown_count(value: Estimate) -> str:
    """A whole number with commas, or why there is none."""
    return str(value) if isinstance(value, NotComputed) else f"{value:,.0f}"
