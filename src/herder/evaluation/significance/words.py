"""A comparison in a sentence that needs no statistics to be read."""

from __future__ import annotations

from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance.two_samples import FEW, RANKS, SIGNED_RANKS, SampleComparison


def in_words(found: SampleComparison, a: str = "A", b: str = "B", metric: str = "mAP") -> str:
    r"""What came of it: who lies higher and by how much, whether chance explains it, and how large the effect is.

    >>> from herder.evaluation.significance.two_samples import compare_samples
    >>> text = in_words(compare_samples([0.70, 0.71, 0.69, 0.70], [0.75, 0.74, 0.76, 0.75]), "old", "new")
    >>> print(text.replace(". ", ".\n"))
    new has a higher mAP than old, by 0.050 (95 % interval 0.036 to 0.064).
    Chance hardly explains that: p < 0.001 (Welch's t).
    The effect is large (Hedges' g 5.32).
    The test assumes values that are normally distributed, and so few cannot show whether they are.
    """
    if isinstance(found.difference, NotComputed):
        return f"{b} and {a} cannot be compared: {found.difference.reason}."
    side = "a higher" if found.difference > 0 else "a lower"
    who = f"{b} has {side} {metric} than {a}, by {abs(found.difference):.3f}"
    if found.difference == 0:
        who = f"{b} and {a} have the same mean {metric}"
    if not isinstance(found.interval, NotComputed):
        low, high = found.interval.low, found.interval.high
        low, high = (-high, -low) if found.difference < 0 else (low, high)
        who += f" ({100 * found.level:g} % interval {low:.3f} to {high:.3f})"
    if isinstance(found.p_value, NotComputed):
        return f"{who}. Whether chance explains that is not known: {found.p_value.reason}."
    chance = "Chance hardly explains that" if found.significant else "Chance alone may explain that"
    text = f"{who}. {chance}: {p_text(found.p_value)} ({found.test})."
    if not isinstance(found.effect, NotComputed):
        text += f" The effect is {found.effect.word} (Hedges' g {found.effect.hedges_g:.2f})."
    if not found.significant:
        text += " That is no proof that there is no difference."
    return text + _cautions(found)


def _cautions(found: SampleComparison) -> str:
    """What a reader should know before leaning on the result."""
    if found.test not in (RANKS, SIGNED_RANKS):
        few = min(found.a.n, found.b.n) < FEW
        assumed = " The test assumes values that are normally distributed, and so few cannot show whether they are."
        return assumed if few else ""
    if not isinstance(found.interval, NotComputed) and found.significant == (0 in found.interval):
        return " The test compares ranks and the interval means: here they do not agree."
    return ""


def p_text(p_value: float) -> str:
    """A p-value as people write it.

    >>> p_text(0.0312), p_text(1e-9)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
