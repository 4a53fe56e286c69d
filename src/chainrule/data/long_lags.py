"""Sequences whose answer lies far back (Hochreiter & Schmidhuber, 1997), functions of a seed."""

from __future__ import annotations

import numpy as np

from ..core.node import Array
from ..errors import OptionError
from .generators import at_least
from .sequences import Sequences

ORDER_SYMBOLS = "EBXYabcd"


def make_adding(
    n: int, length: int = 100, multiply: bool = False, random_state: int | None = 0
) -> Sequences:
    """The adding problem of Hochreiter & Schmidhuber (1997).

    Sequences (T, 2), T from ``length`` to a tenth more, and y float32 (n,) = 0.5 + (a + b) / 4 of
    the two marked numbers a, b.

    The first component is uniform on [-1, 1] (``multiply``: [0, 1], and y = a · b). The second is
    1 at one of the first ten steps and at another of the first length/2 - 1, -1 at the first and
    the last step, otherwise 0; a marked first step counts 0 (``multiply``: 1). To answer 0.5 always
    has a mean squared error of 0.04.

    >>> from chainrule.data import make_adding
    >>> made = make_adding(3)
    >>> made.x[0].shape[1], made.y.shape
    (2, (3,))
    """
    at_least("make_adding", n=n)
    if length < 6:
        raise OptionError(f"make_adding: length is at least 6, got {length}")
    rng = np.random.default_rng(random_state)
    lengths, rows, half = _lengths(rng, n, length), np.arange(n), length // 2 - 1
    pairs = np.zeros((n, lengths.max(), 2), np.float32)
    values, marks = pairs[..., 0], pairs[..., 1]
    values[:] = rng.uniform(0 if multiply else -1, 1, values.shape)
    first = rng.integers(0, min(10, half), n)
    second = rng.integers(0, half - 1, n)
    second += second >= first
    values[(first == 0) | (second == 0), 0] = 1.0 if multiply else 0.0
    marks[rows, first] = marks[rows, second] = 1
    marks[:, 0] = marks[rows, lengths - 1] = -1
    a, b = values[rows, first], values[rows, second]
    y = a * b if multiply else 0.5 + (a + b) / 4
    return Sequences(_cut(pairs, lengths), y, (), "multiplication" if multiply else "adding")


def make_temporal_order(n: int, symbols: int = 2, random_state: int | None = 0) -> Sequences:
    """The temporal order problem (Hochreiter & Schmidhuber, 1997).

    One-hot sequences (T, 8) of T from 100 to 110, classes by the order of two (or three) symbols X
    and Y among others.

    The first is E, the last B, the others a, b, c, d (`ORDER_SYMBOLS`); X or Y stand at a step
    within 10 ... 20 and 50 ... 60, or for three 10 ... 20, 33 ... 43 and 66 ... 76.

    >>> from chainrule.data import make_temporal_order
    >>> made = make_temporal_order(2)
    >>> made.classes, made.x[0].shape[1]
    (('XX', 'XY', 'YX', 'YY'), 8)
    """
    at_least("make_temporal_order", n=n)
    if symbols not in (2, 3):
        raise OptionError(f"make_temporal_order: symbols is 2 or 3, got {symbols}")
    places = ((10, 20), (50, 60)) if symbols == 2 else ((10, 20), (33, 43), (66, 76))
    rng = np.random.default_rng(random_state)
    lengths, rows = _lengths(rng, n, 100), np.arange(n)
    numbers = rng.integers(4, 8, (n, lengths.max()))
    numbers[:, 0] = 0
    numbers[rows, lengths - 1] = 1
    chosen = rng.integers(0, 2, (n, symbols))
    for (low, high), which in zip(places, chosen.T, strict=True):
        numbers[rows, rng.integers(low, high + 1, n)] = 2 + which
    y = chosen @ 2 ** np.arange(symbols)[::-1]
    classes = tuple(
        format(i, f"0{symbols}b").replace("0", "X").replace("1", "Y") for i in range(2**symbols)
    )
    return Sequences(_cut(np.eye(8, dtype=np.float32)[numbers], lengths), y, classes, "order")


def make_long_lag(
    n: int, lag: int = 50, symbols: int = 50, random_state: int | None = 0
) -> Sequences:
    """Long lags without local regularities (Hochreiter & Schmidhuber, 1997, experiment 2c).

    One-hot sequences (T, symbols + 4), told apart by their second symbol.

    The first symbol is b, the second x or y (classes), then there are ``lag`` of the ``symbols``
    distractors at random; each symbol after them is e, the last one, with probability 1/10,
    otherwise another distractor. In the order of the columns: the distractors, b, e, x, y. Of the
    lengths, which have no bound, 1 in 1,000 is cut, at ``lag`` + 67 steps.

    >>> from chainrule.data import make_long_lag
    >>> made = make_long_lag(2, lag=20, symbols=5)
    >>> made.x[0].shape[1], made.x[0].argmax(1)[[0, -1]], made.classes
    (9, array([5, 6]), ('x', 'y'))
    """
    at_least("make_long_lag", n=n, lag=lag, symbols=symbols)
    rng = np.random.default_rng(random_state)
    lengths = 2 + lag + np.minimum(rng.geometric(0.1, n), 65)
    y, rows = rng.integers(0, 2, n), np.arange(n)
    numbers = rng.integers(0, symbols, (n, lengths.max()))
    numbers[:, 0], numbers[:, 1] = symbols, symbols + 2 + y
    numbers[rows, lengths - 1] = symbols + 1
    one_hot = np.eye(symbols + 4, dtype=np.float32)[numbers]
    return Sequences(_cut(one_hot, lengths), y, ("x", "y"), "long lag")


def make_two_sequences(
    n: int, length: int = 100, signal: int = 3, noisy: bool = False, random_state: int | None = 0
) -> Sequences:
    """The two-sequence problem (Bengio et al., 1994; Hochreiter & Schmidhuber, 1997, experiment 3):
    sequences (T, 1), T from ``length`` to a tenth more, of two classes.

    The first ``signal`` elements are +1 (class 1) or -1 (class 0), all others Gaussian noise of
    variance 0.2, which is added to the first ones too if ``noisy``.

    >>> from chainrule.data import make_two_sequences
    >>> made = make_two_sequences(2)
    >>> made.x[0][:3, 0], made.y[0]
    (array([1., 1., 1.], dtype=float32), np.int64(1))
    """
    at_least("make_two_sequences", n=n, length=length, signal=signal)
    if signal > length:
        raise OptionError(f"make_two_sequences: signal={signal} is more than length={length}")
    rng = np.random.default_rng(random_state)
    lengths, y = _lengths(rng, n, length), rng.integers(0, 2, n)
    x = rng.normal(0, np.sqrt(0.2), (n, lengths.max(), 1)).astype(np.float32)
    x[:, :signal] *= noisy
    x[:, :signal] += (2 * y - 1)[:, None, None]
    return Sequences(_cut(x, lengths), y, ("-1", "+1"), "two sequences")


def _lengths(rng: np.random.Generator, n: int, length: int) -> Array:
    """From ``length`` to a tenth more, each as likely."""
    return rng.integers(length, length + length // 10 + 1, n)


def _cut(x: Array, lengths: Array) -> list[Array]:
    return [row[:length] for row, length in zip(x, lengths.tolist(), strict=True)]
