"""Samples described and compared: against values printed in R's documentation and in textbooks."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from herder.errors import ConfigError, DataError
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance import (
    compare_samples,
    describe,
    effect_size,
    holm,
    in_words,
    mean_interval,
    seeds_needed,
    shapiro_wilk,
)
from herder.evaluation.significance.effect_size import noncentralities
from herder.evaluation.significance.power import photos_needed, t_power

SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
"""Student's sleep data, as in R's ``sleep``; ?t.test prints what is expected below."""

VALUES = st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), min_size=2, max_size=30)


@given(VALUES)
def test_described_as_pythons_own_module_does(values: list[float]) -> None:
    found = describe(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found.median == pytest.approx(statistics.median(values))
    assert found.std == pytest.approx(statistics.stdev(values), abs=1e-9)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    assert (found.quartile_1, found.quartile_3) == pytest.approx((low, high), abs=1e-9)


def test_shape_by_hand() -> None:
    """G1 and G2 of Joanes and Gill for 1, 2, 3, 4, 10: m2 = 10, m3 = 36, m4 = 278.8."""
    found = describe([1.0, 2.0, 3.0, 4.0, 10.0])
    n, m2, m3, m4 = 5, 10.0, 36.0, 278.8
    assert found.skewness == pytest.approx(m3 / m2**1.5 * math.sqrt(n * (n - 1)) / (n - 2))
    assert found.kurtosis == pytest.approx((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (m4 / m2**2 - 3) + 6))


def test_what_a_small_or_flat_sample_does_not_have() -> None:
    assert describe([]).mean == NotComputed("no values")
    one = describe([0.5])
    assert (one.mean, one.std) == (0.5, NotComputed("1 value, wanted 2 or more"))
    assert describe([0.1] * 5).skewness == NotComputed("all values are equal")
    assert describe([0.1] * 5).std == pytest.approx(0)
    assert shapiro_wilk([1.0, 2.0]) == NotComputed("2 values, wanted 3 or more")
    assert shapiro_wilk([0.3] * 4) == NotComputed("all values are equal")
    assert shapiro_wilk(np.arange(5001.0)) == NotComputed("5,001 values, and the test is known for up to 5,000")
    with pytest.raises(DataError, match="nan is not a finite number"):
        describe([0.1, math.nan])


def test_shapiro_and_wilks_weights_of_men() -> None:
    """The example of their paper, 1965, section 4.2: W = 0.79; R says p = 0.0067."""
    found = shapiro_wilk([148, 154, 158, 160, 161, 162, 166, 170, 182, 195, 236])
    assert not isinstance(found, NotComputed)
    assert (found.statistic, found.p_value) == pytest.approx((0.7888, 0.006704), abs=5e-5)


def test_welch_on_the_sleep_data() -> None:
    found = compare_samples(SLEEP_1, SLEEP_2)
    assert found.test == "Welch's t"
    assert (found.statistic, found.p_value) == pytest.approx((1.8608, 0.07939), abs=5e-5)
    assert not isinstance(found.interval, NotComputed)
    assert (found.interval.low, found.interval.high) == pytest.approx((-0.2054832, 3.3654832), abs=1e-6)
    assert found.difference == pytest.approx(1.58)
    assert not found.significant
    assert "no proof that there is no difference" in in_words(found)


def test_pairs_of_the_sleep_data() -> None:
    """One difference of 4.6 makes Shapiro and Wilk doubt (p = 0.03): the test takes ranks, the interval stays t's."""
    found = compare_samples(SLEEP_1, SLEEP_2, paired=True)
    assert found.test == "Wilcoxon's signed ranks"
    assert found.p_value == pytest.approx(0.009091, abs=1e-5)  # R's wilcox.test(..., paired = TRUE)
    assert not isinstance(found.interval, NotComputed)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert compare_samples([1.0, 2.0, 4.0], [2.0, 3.5, 5.1], paired=True).test == "paired t"
    with pytest.raises(ValueError, match="3 and 2"):
        compare_samples([1, 2, 3], [1, 2], paired=True)


def test_ranks_of_hollander_and_wolfe() -> None:
    """R's ?wilcox.test: depression scores p = 0.01953 one-sided, membranes p = 0.1272 one-sided, so doubled here."""
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    from herder.evaluation.significance.two_samples import _run

    assert _run("Wilcoxon's signed ranks", before, after)[1] == pytest.approx(2 * 0.01953, abs=1e-5)
    x = np.array([0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46])
    y = np.array([1.15, 0.88, 0.90, 0.74, 1.21])
    assert _run("Mann and Whitney's U", y, x) == pytest.approx((35, 2 * 0.1272), abs=1e-4)


def test_skewed_samples_are_compared_by_ranks() -> None:
    rng = np.random.default_rng(0)
    found = compare_samples(rng.exponential(size=40) ** 2, rng.exponential(size=40) ** 2 + 1)
    assert found.test == "Mann and Whitney's U"
    assert "speaks against a normal distribution" in found.why
    assert found.significant


def test_two_tests_of_normality_share_their_level() -> None:
    """Shapiro and Wilk's p of the one sample is 0.03: doubtful alone, and not where two samples are tested."""
    one = np.array(SLEEP_2) - SLEEP_1
    found = compare_samples(one, np.linspace(0, 1, 10))
    assert not isinstance(found.normality[0], NotComputed)
    assert 0.025 < found.normality[0].p_value < 0.05
    assert found.test == "Welch's t"


def test_few_seeds_are_said_to_be_few() -> None:
    assert "3 values say little" in compare_samples([0.1, 0.2, 0.15], [0.1, 0.25, 0.2]).why
    assert "assumed, not tested (2 values, wanted 3 or more)" in compare_samples([0.1, 0.2], [0.1, 0.25]).why


def test_ranks_that_cannot_be_significant_are_not_taken() -> None:
    """Of 20 ways to deal out 3 and 3 values two are the extreme ones, of 32 signs of 5 pairs two as well."""
    apart = compare_samples([0.70, 0.7001, 0.75], [0.90, 0.91, 0.92])
    assert apart.test == "Welch's t"
    assert "ranks of 3 and 3 values cannot give a p under 0.1" in apart.why
    assert apart.p_value == pytest.approx(stats.ttest_ind([0.7, 0.7001, 0.75], [0.9, 0.91, 0.92], equal_var=False)[1])
    skewed = [0.1, 0.101, 0.1, 0.1015, 0.9]
    assert compare_samples([0.0] * 5, skewed, paired=True).test == "paired t"
    assert compare_samples([0.0] * 6, [*skewed, 0.1012], paired=True).test == "Wilcoxon's signed ranks"
    assert compare_samples([0.0] * 5, skewed, paired=True, level=0.9).test == "Wilcoxon's signed ranks"


@given(VALUES, VALUES)
def test_t_tests_as_scipy_has_them(a: list[float], b: list[float]) -> None:
    assume(min(np.ptp(a), np.ptp(b)) > 0.01)
    found = compare_samples(a, b)
    expected = stats.ttest_ind(b, a, equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert not isinstance(found.interval, NotComputed)
    assert (found.interval.low, found.interval.high) == pytest.approx((ends.low, ends.high), abs=1e-6)
    if found.test == "Welch's t":
        assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-9)


def test_one_constant_sample_is_enough_to_compare_with() -> None:
    """Of the spread of the other alone: t = 0.01 / (0.01 / sqrt(3)) with 2 degrees of freedom."""
    found = compare_samples([0.7] * 3, [0.70, 0.71, 0.72])
    assert found.statistic == pytest.approx(math.sqrt(3))
    assert found.interval_a == NotComputed("all values are equal")
    assert found.p_value == pytest.approx(2 * stats.t.sf(math.sqrt(3), 2))


def test_intervals_of_nothing_are_none() -> None:
    """No spread over seeds is no certainty: such an interval must not open a gate."""
    pairs = compare_samples([0.1, 0.2, 0.3], [0.2, 0.3, 0.4], paired=True)
    assert pairs.interval == NotComputed("all values are equal")
    assert compare_samples([0.1] * 5, [0.3] * 5).interval == NotComputed("both samples are constant")
    assert compare_samples([0.1, 0.2], [0.5, 0.7], paired=True).effect == NotComputed("2 values, wanted 3 or more")


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_a_level_that_makes_no_sense(level: float) -> None:
    for call in (
        lambda: compare_samples([1.0, 2.0], [3.0, 5.0], level=level),
        lambda: mean_interval(np.array([1.0, 2.0]), level),
        lambda: seeds_needed(0.1, 0.1, level=level),
        lambda: photos_needed(0.1, 0.1, 50, level=level),
    ):
        with pytest.raises(ConfigError, match="is not between 0 and 1"):
            call()


def test_where_ranks_and_means_disagree_it_is_said() -> None:
    low = [0.1 + 0.001 * i for i in range(12)]
    high = [*(0.2 + 0.001 * i for i in range(11)), -9.0]
    found = compare_samples(low, high)
    assert found.test == "Mann and Whitney's U"
    assert found.significant
    assert "The test compares ranks and the interval means: here they do not agree." in in_words(found)
    assert "do not agree" not in in_words(compare_samples(low, [*high[:-1], -0.01]))


def test_samples_without_an_answer() -> None:
    one = compare_samples([0.5], [0.6, 0.7])
    assert one.difference == pytest.approx(0.15)
    assert one.p_value == one.interval == one.effect == NotComputed("1 value, wanted 2 or more")
    assert "is not known: 1 value" in in_words(one)
    flat = compare_samples([0.5, 0.5, 0.5], [0.6, 0.6, 0.6])
    assert flat.p_value == NotComputed("both samples are constant")
    assert isinstance(flat.effect, NotComputed)
    pairs = compare_samples([0.1, 0.2, 0.3], [0.2, 0.3, 0.4], paired=True)
    assert pairs.p_value == NotComputed("all pairs differ by the same")
    assert in_words(compare_samples([], [0.1])) == "B and A cannot be compared: no values."
    same = compare_samples([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert in_words(same).startswith("B and A have the same mean mAP")


@given(st.floats(-8, 8), st.integers(2, 60), st.sampled_from([0.8, 0.95]))
def test_noncentral_t_turned_around(t: float, freedom: int, level: float) -> None:
    found = noncentralities(t, freedom, level)
    assert not isinstance(found, NotComputed)
    low, high = found
    assert low < t < high or math.isclose(low, t, abs_tol=0.6)
    # By the definition: t is the upper end under the lower noncentrality, and the lower end under the higher.
    assert stats.nct.sf(t, freedom, low) == pytest.approx((1 - level) / 2, abs=1e-5)
    assert stats.nct.cdf(t, freedom, high) == pytest.approx((1 - level) / 2, abs=1e-5)


def test_hedges_g_by_hand() -> None:
    """Means 2 and 4, both standard deviations 1, 8 degrees of freedom: J = Gamma(4) / (2 Gamma(3.5)) = 0.9027."""
    a, b = np.array([1, 1, 2, 3, 3.0]), np.array([3, 3, 4, 5, 5.0])
    found = effect_size(a, b)
    assert not isinstance(found, NotComputed)
    assert (found.cohen_d, found.hedges_g) == pytest.approx((2.0, 2.0 * 0.902703), abs=1e-5)
    assert not isinstance(found.interval, NotComputed)
    assert found.interval.low < found.hedges_g < found.interval.high
    assert found.word == "large"
    # t = 2 / sqrt(2 / 5); were the true effect at an end of the interval, t had a tail of 0.025 beyond it.
    t, scale = 2 / math.sqrt(2 / 5), math.sqrt(2 / 5)
    assert stats.nct.sf(t, 8, found.interval.low / scale) == pytest.approx(0.025, abs=1e-6)
    assert stats.nct.cdf(t, 8, found.interval.high / scale) == pytest.approx(0.025, abs=1e-6)
    turned = effect_size(b, a)
    assert not isinstance(turned, NotComputed)
    assert turned.hedges_g == pytest.approx(-found.hedges_g)
    paired = effect_size(np.array([1, 2, 3.0]), np.array([2, 3, 5.0]), paired=True)
    assert not isinstance(paired, NotComputed)
    assert paired.cohen_d == pytest.approx((4 / 3) / math.sqrt(1 / 3))


def test_the_interval_of_a_mean() -> None:
    """2 +- t(0.975, 2) / sqrt(3), with t = 4.3027 from any table."""
    found = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert not isinstance(found, NotComputed)
    assert (found.low, found.high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))


def test_holm_as_r_has_it() -> None:
    """p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm") is 0.04 0.06 0.06 0.06."""
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    nothing = NotComputed("one seed")
    assert holm([nothing, 0.02]) == [nothing, 0.02]
    assert holm([]) == []


def test_cohens_table_of_sample_sizes() -> None:
    """Cohen 1988, table 2.4.1: two-sided 0.05, power 0.8: d = 0.2, 0.5, 0.8 want 393, 64, 26 a side."""
    assert [seeds_needed(d, 1.0) for d in (0.2, 0.5, 0.8)] == [394, 64, 26]
    assert t_power(0.8, 26) == pytest.approx(0.807, abs=1e-3)  # R: power.t.test(n = 26, delta = 0.8)
    assert t_power(5, 1) == 0
    assert t_power(1e4, 200) == 1
    assert isinstance(seeds_needed(0, 1), NotComputed)
    assert isinstance(seeds_needed(0.1, 0), NotComputed)
    assert isinstance(seeds_needed(1e-9, 1), NotComputed)


def test_photos_needed() -> None:
    """A standard error of 0.01 on 100 photos: (1.96 + 0.8416)^2 = 7.849 standard errors squared."""
    assert photos_needed(0.01, 0.01, 100) == math.ceil(784.9)
    assert photos_needed(-0.1, 0.01, 100) == 8
    assert isinstance(photos_needed(0, 0.01, 100), NotComputed)
    assert isinstance(photos_needed(0.1, math.nan, 100), NotComputed)
    assert isinstance(photos_needed(math.nan, 0.01, 100), NotComputed)
    assert isinstance(seeds_needed(math.nan, 0.01), NotComputed)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "effect"), [(3, 4.0), (5, 1.0), (10, 0.0)])
def test_the_interval_holds_the_true_effect(n: int, effect: float) -> None:
    """In 0.95 of 1,000 samples; three standard errors are 0.021."""
    held = 0
    for number in range(1000):
        rng = np.random.default_rng([n, number])
        found = effect_size(rng.standard_normal(n), rng.standard_normal(n) + effect)
        assert not isinstance(found, NotComputed)
        assert not isinstance(found.interval, NotComputed)
        held += effect in found.interval
    assert held / 1000 == pytest.approx(0.95, abs=0.021)
