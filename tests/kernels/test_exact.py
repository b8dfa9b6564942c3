"""Integers beyond 64 bits and the hypotenuse, against Python's own."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scalenorm.kernels import exact
from scalenorm.kernels.ellipse import fit_ellipse
from scalenorm.measuring.ellipse import _fit_large
from scalenorm.measuring.region import Region

WORD = st.integers(0, 2**64 - 1)
unhurried = settings(deadline=None)  # the first example compiles


def words(number):
    """An integer as the kernels take it."""
    return np.uint64(number >> 64), np.uint64(number & (2**64 - 1))


def number(high, low):
    return (int(high) << 64) + int(low)


@unhurried
@given(WORD, WORD)
def test_products_and_differences(a, b):
    assert number(*exact.multiply(np.uint64(a), np.uint64(b))) == a * b
    large, small = max(a, b) * a, min(a, b) * b
    if large >= small:
        assert number(*exact.subtract(*words(large), *words(small))) == large - small


@unhurried
@given(st.integers(0, 2**128 - 1))
@example(2**53 + 1)  # a tie, to even
@example((2**53 + 1) << 60)
@example(((2**53 + 1) << 60) + 1)  # no tie any more
@example((2**54 - 1) << 74)  # rounds up to the next power of two
def test_the_nearest_float(integer):
    assert exact.as_float(*words(integer)) == float(integer)


@unhurried
@given(st.integers(1, 2**118), st.integers(-2, 2))
def test_roots_are_rounded_up(integer, near):
    for square in (integer, max(math.isqrt(integer) ** 2 + near, 1)):
        assert int(exact.root_rounded_up(*words(square))) == math.isqrt(square - 1) + 1


@unhurried
@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
@example(0.0, 0.0)
@example(3.0, 4.0)
def test_hypotenuse(a, b):
    if max(abs(a), abs(b)) > 1e-200 or (a, b) == (0, 0):
        assert exact.hypotenuse(a, b) == math.hypot(a, b)


@unhurried
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.booleans())
def test_an_ellipse_of_machine_integers_is_that_of_pythons(seed, count, line):
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(-300, 300, (2, count))
    if line:
        cols = 2 * rows
    parts = (rows, cols, rows * rows, rows * cols, cols * cols)
    moments = [count, *(int(part.sum()) for part in parts)]
    got = np.empty(5)
    fit_ellipse(np.array([*moments, 7, 9]), got)
    expected = _fit_large(Region(moments, (7, 9), (0, 0, 1, 1), np.empty((0, 0), np.uint8)))
    assert tuple(got.tolist()) == tuple(expected)
