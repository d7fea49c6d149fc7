"""What a comparison comes to: a few sentences, and whether the gate lets B through."""

from __future__ import annotations

from herder.evaluation.comparison.cells import share
from herder.evaluation.comparison.result import TITLES, Bounds, PhotoTable, SeedTable, Verdict
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance import Gate, Interval, p_text

SAME = 0.0005
"""Differences that three digits do not show."""


def conclude(
    photos: PhotoTable | NotComputed,
    seeds: SeedTable | NotComputed,
    metric: str,
    level: float,
    gate: Gate | None,
) -> tuple[str, Verdict | None]:
    """The result of ``metric`` in words, and what the gate says: by the photos where there are any, else by seeds."""
    parts = []
    if isinstance(photos, PhotoTable):
        parts.append(_photo_words(photos, metric, level))
    if isinstance(seeds, SeedTable):
        row = next((row for row in seeds.rows if row.metric == metric), None)
        said = row.words if row else f"the models do not tell their {TITLES[metric]}."
        pairs = f", in pairs by {seeds.paired_by}" if seeds.paired_by else ""
        parts.append(f"Over {_models(seeds)}{pairs}: {said}")
    words = " ".join(parts) or "Nothing could be compared."
    if gate is None:
        return words, None
    decision = gate.decide(_interval(photos, seeds, metric, level))
    by = "photos" if isinstance(photos, PhotoTable) else "seeds"
    sentence = f"in {TITLES[metric]}, over {by}, {decision.sentence}"
    return words, Verdict(gate.kind, gate.margin, metric, decision.passed, sentence)


def _photo_words(table: PhotoTable, metric: str, level: float) -> str:
    row = next(row for row in table.rows if row.metric == metric)
    title = TITLES[metric]
    if isinstance(row.difference, NotComputed):
        return f"B and A cannot be compared in {title}: {row.difference.reason}."
    side = "a higher" if row.difference > 0 else "a lower"
    who = f"B has {side} {title} than A on these {table.photos:,} photos, by {abs(row.difference):.3f}"
    if abs(row.difference) < SAME:
        who = f"B and A have the same {title} on these {table.photos:,} photos"
    if isinstance(row.bounds, NotComputed):
        return f"{who}; the interval is {row.bounds}."
    low, high = row.bounds if row.difference >= 0 else (-row.bounds[1], -row.bounds[0])
    text = f"{who} ({100 * level:g} % interval {low:.3f} to {high:.3f})."
    if not isinstance(row.better, NotComputed):
        text += f" On other photos of this kind B would be the better one with a probability of {share(row.better)}."
    if isinstance(row.adjusted, NotComputed):
        return f"{text} Whether chance explains it is {row.adjusted}."
    sure = row.adjusted < 1 - level
    chance = "Chance hardly explains the difference" if sure else "Chance alone may explain the difference"
    text += f" {chance}: {p_text(row.adjusted)} after Holm's correction."
    return text if sure else f"{text} That is no proof that there is none."


def _models(table: SeedTable) -> str:
    a, b = len(table.rows[0].a), len(table.rows[0].b)
    return f"{a} models of A and {b} of B"


def _interval(
    photos: PhotoTable | NotComputed, seeds: SeedTable | NotComputed, metric: str, level: float
) -> Interval | NotComputed:
    """The interval of the difference that the gate goes by."""
    view = photos if isinstance(photos, PhotoTable) else seeds
    if isinstance(view, NotComputed):
        return view
    found: Bounds = next(
        (row.bounds for row in view.rows if row.metric == metric),
        NotComputed(f"the models do not tell their {TITLES[metric]}"),
    )
    return found if isinstance(found, NotComputed) else Interval(*found, level, "")
