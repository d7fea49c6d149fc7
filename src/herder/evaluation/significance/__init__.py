"""Is the difference real: descriptive statistics, tests, intervals, effect sizes, power, and a gate for promotion."""

from herder.evaluation.significance.descriptive import Description, Normality, describe, shapiro_wilk
from herder.evaluation.significance.effect_size import EffectSize, effect_size, effect_word
from herder.evaluation.significance.gate import Gate, GateDecision
from herder.evaluation.significance.intervals import Interval, bca_interval, mean_interval
from herder.evaluation.significance.multiplicity import holm
from herder.evaluation.significance.permutation import PermutationTest, paired_permutation
from herder.evaluation.significance.power import photos_needed, seeds_needed
from herder.evaluation.significance.two_samples import SampleComparison, compare_samples
from herder.evaluation.significance.words import in_words, p_text

__all__ = [
    "Description",
    "EffectSize",
    "Gate",
    "GateDecision",
    "Interval",
    "Normality",
    "PermutationTest",
    "SampleComparison",
    "bca_interval",
    "compare_samples",
    "describe",
    "effect_size",
    "effect_word",
    "holm",
    "in_words",
    "mean_interval",
    "p_text",
    "paired_permutation",
    "photos_needed",
    "seeds_needed",
    "shapiro_wilk",
]
