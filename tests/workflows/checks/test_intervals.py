"""Intervals against their definitions, and against what SciPy gives."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.workflows.checks import intervals
from gitxexp.workflows.checks.intervals import Z, bootstrap, difference_of_means, wilson

#: ``binomtest(k, n).proportion_ci(method="wilson")`` of SciPy 1.14
SCIPY = {
    (42, 50): (0.714857839, 0.916625793),
    (0, 10): (0.0, 0.2775328),
    (10, 10): (0.7224672, 1.0),
    (500, 1000): (0.4690696, 0.5309304),
    (1, 3): (0.061491945, 0.792340399),
}


@pytest.mark.parametrize(("counts", "ends"), SCIPY.items())
def test_wilson_is_scipys(counts: tuple[int, int], ends: tuple[float, float]) -> None:
    found = wilson(*counts)
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-7)
    stats = pytest.importorskip("scipy.stats")
    there = stats.binomtest(*counts).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((there.low, there.high), abs=1e-9)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_holds_what_the_score_test_does_not_reject(n: int, share: float) -> None:
    """Its ends solve (rate - p)² = z² p (1 - p) / n."""
    hits = round(share * n)
    found = wilson(hits, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    for end in (found.low, found.high):
        if 0 < end < 1:
            assert (hits / n - end) ** 2 == pytest.approx(Z * Z * end * (1 - end) / n, abs=1e-9)


@given(st.integers(1, 500), st.integers(0, 500), st.integers(1, 500), st.integers(0, 500))
def test_a_difference_and_its_reverse(n: int, hits: int, m: int, other: int) -> None:
    a, b = wilson(min(hits, n), n), wilson(min(other, m), m)
    one, back = intervals.difference_of_rates(a, b), intervals.difference_of_rates(b, a)
    assert one.low == pytest.approx(-back.high) and one.low - 1e-12 <= one.value <= one.high + 1e-12
    assert intervals.difference_of_rates(a, a).excludes(0) is False


def test_newcombes_own_example() -> None:
    """56/70 against 48/80: method 10 of the paper gives 0.0524 to 0.3339."""
    found = intervals.difference_of_rates(wilson(56, 70), wilson(48, 80))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_a_bootstrap_is_around_the_mean_and_the_same_each_time(values: list[float]) -> None:
    found = bootstrap(values)
    assert found == bootstrap(values)
    assert min(values) - 1e-6 <= found.low <= found.high <= max(values) + 1e-6
    assert found.value == pytest.approx(math.fsum(values) / len(values), abs=1e-6)


def test_a_bootstrap_is_as_wide_as_theory_says() -> None:
    """For normal values the interval of the mean is 2 z s / √n, whichever way it is found."""
    source = random.Random(3)
    for n in (400, 3000):
        values = [source.gauss(10, 2) for _ in range(n)]
        found = bootstrap(values)
        assert found.high - found.low == pytest.approx(2 * Z * 2 / math.sqrt(n), rel=0.1)
    one, other = ([source.gauss(mean, 1) for _ in range(300)] for mean in (1.0, 0.0))
    assert difference_of_means(one, other).excludes(0)
    assert not difference_of_means(one[:150], one[150:]).excludes(0)


def test_samples_of_one_size_are_independent() -> None:
    """Values that happen to stand in the same order are not pairs."""
    source = random.Random(5)
    values = [source.gauss(0, 1) for _ in range(200)]
    found = difference_of_means(values, [value - 0.1 for value in values])
    assert found.value == pytest.approx(0.1)
    theory = 2 * Z * statistics.stdev(values) * math.sqrt(2 / 200)
    assert found.high - found.low == pytest.approx(theory, rel=0.1)


def test_nothing_has_no_interval() -> None:
    for call in (lambda: wilson(0, 0), lambda: bootstrap([])):
        with pytest.raises(ValueError, match="of nothing"):
            call()


def test_values_whose_squares_no_float_holds() -> None:
    values = [1e200, -1e200] * intervals.LARGE
    found = intervals.bootstrap(values)
    assert found.value == 0 and 0 < found.high < 1e200 and found.low == -found.high
