"""Integers of 128 bits as two of 64, where 64 do not suffice; and a hypotenuse that is the same everywhere.

NumPy and Numba turn sums of signed and unsigned integers into floats, so everything here is unsigned.
"""

import math

import numpy as np

from .compile import kernel

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)
_TOP = np.uint64(1 << 63)
_SPLIT = 134217729.0  # 2^27 + 1 cuts a float64 into two halves whose products are exact (Veltkamp)


@kernel
def multiply(a, b):
    """The product of two unsigned 64-bit integers as (high, low)."""
    a0, a1 = a & _LOW, a >> _HALF
    b0, b1 = b & _LOW, b >> _HALF
    low = a0 * b0
    middle = a1 * b0 + (low >> _HALF)  # at most (2^32 - 1)^2 + 2^32 - 1: no carry is lost, here and below
    cross = a0 * b1 + (middle & _LOW)
    return a1 * b1 + (middle >> _HALF) + (cross >> _HALF), (cross << _HALF) | (low & _LOW)


@kernel
def subtract(high, low, less_high, less_low):
    """The difference of two unsigned 128-bit integers, the first not the smaller."""
    borrow = _ONE if low < less_low else np.uint64(0)
    return high - less_high - borrow, low - less_low


@kernel
def as_float(high, low):
    """The float64 nearest to an unsigned 128-bit integer, ties to even, as Python's ``float``."""
    if high == 0:
        return float(low)
    shift = 0
    while high < _TOP:
        high = (high << _ONE) | (low >> np.uint64(63))
        low <<= _ONE
        shift += 1
    if low != 0:
        high |= _ONE  # 11 bits below the last that a float keeps: it only tells a tie from more than one
    return float(high) * 2.0 ** (64 - shift)


@kernel
def root_rounded_up(high, low):
    """The least integer whose square is at least an unsigned 128-bit integer below 2^126."""
    root = np.uint64(math.sqrt(as_float(high, low)))  # off by 2^(63 - 53) at the most
    while True:  # down to one whose square is less, and up again
        square_high, square_low = multiply(root, root)
        if root == 0 or square_high < high or (square_high == high and square_low < low):
            break
        root -= _ONE
    while square_high < high or (square_high == high and square_low < low):
        root += _ONE
        square_high, square_low = multiply(root, root)
    return root


@kernel
def square(x):
    """The square of a float64 as a sum of two, without error (Dekker)."""
    t = x * _SPLIT
    high = t - (t - x)
    low = x - high
    product = x * x
    return product, ((high * high - product) + 2.0 * high * low) + low * low


@kernel
def hypotenuse(a, b):
    """sqrt(a^2 + b^2) as CPython computes it (``vector_norm``): a system's own may differ in the last bit."""
    a, b = abs(a), abs(b)
    largest = max(a, b)
    if largest == 0:
        return 0.0
    scale = 2.0 ** -math.frexp(largest)[1]
    total, first, second = 1.0, 0.0, 0.0
    for x in (a * scale, b * scale):
        high, low = square(x)
        sum_ = total + high
        second += high - (sum_ - total)  # what the addition lost
        first += low
        total = sum_
    h = math.sqrt(total - 1.0 + (first + second))
    high, low = square(h)
    sum_ = total - high
    second += -high - (sum_ - total)
    first -= low
    rest = sum_ - 1.0 + (first + second)
    return (h + rest / (2.0 * h)) / scale
