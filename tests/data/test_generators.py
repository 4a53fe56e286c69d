"""Problems that are made: what their authors say of them."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import data
from chainrule.errors import OptionError


def test_parity() -> None:
    x, y = data.make_parity(4)
    assert x.shape == (16, 4) and len({tuple(r) for r in x}) == 16
    np.testing.assert_array_equal(y[:, 0], x.sum(1) % 2)
    x, y = data.make_parity(30, n=7)
    assert x.shape == (7, 30) and y.dtype == np.float32
    with pytest.raises(OptionError, match="2.30 patterns are too many; say n="):
        data.make_parity(30)


def test_spirals_are_those_of_1988() -> None:
    x, y = data.make_spirals()
    radius = np.hypot(*x.T)
    assert x.shape == (194, 2) and round(float(radius.min()), 3) == 0.5
    np.testing.assert_allclose(x[97:], -x[:97])
    angle = np.unwrap(np.arctan2(x[:97, 0], x[:97, 1]))
    assert round(float(angle[-1] - angle[0]) / (2 * np.pi), 6) == 3


@pytest.mark.parametrize("multiply", [False, True])
def test_adding(multiply: bool) -> None:
    made = data.make_adding(500, 100, multiply)
    assert 100 <= made.lengths.min() < made.lengths.max() <= 110
    for x, y in zip(made.x, made.y, strict=True):
        marked = np.flatnonzero(x[:, 1] == 1)
        assert x[-1, 1] == -1 and x[0, 1] == -1 and len(marked) in (1, 2) and marked.max() < 49
        assert marked.min() < 10 or len(marked) == 1
        values = [*x[marked, 0], *([1.0 if multiply else 0.0] * (2 - len(marked)))]
        if len(marked) == 1:
            assert x[0, 0] == values[1]
        expected = values[0] * values[1] if multiply else 0.5 + sum(values) / 4
        assert y == pytest.approx(expected, abs=1e-6)
    if not multiply:
        assert abs(((made.y - 0.5) ** 2).mean() - 0.040) < 0.006


@pytest.mark.parametrize("symbols", [2, 3])
def test_temporal_order(symbols: int) -> None:
    made = data.make_temporal_order(200, symbols)
    assert len(made.classes) == 2**symbols and set(made.y) == set(range(2**symbols))
    for x, y in zip(made.x, made.y, strict=True):
        text = "".join(data.ORDER_SYMBOLS[i] for i in x.argmax(1))
        assert text[0] == "E" and text[-1] == "B" and 100 <= len(text) <= 110
        assert "".join(c for c in text if c in "XY") == made.classes[y]


def test_reber() -> None:
    plain, embedded = data.make_reber(300), data.make_reber(300, embedded=True)
    for text in plain:
        for symbol, legal in zip(text[1:], data.reber_next(text), strict=True):
            assert symbol in legal
    assert min(map(len, embedded)) >= 9 and 10.5 < np.mean([len(t) for t in embedded]) < 13
    for text in embedded:
        assert len(data.reber_next(text, embedded=True)) == len(text) - 1
        assert text[1] == text[-2] in "TP"
    for wrong in ("BTE", "BTXXE", "", "BPVVEE"):
        with pytest.raises(OptionError, match="is no string of the grammar"):
            data.reber_next(wrong)


def test_copy_reverse_sort() -> None:
    x, y = data.make_copy(50, 6, 4)
    assert x.min() == 1 and x.max() == 4 and (x == y).all() and x.dtype == np.int64
    x, y = data.make_copy(5, 6, task="reverse")
    np.testing.assert_array_equal(y, x[:, ::-1])
    x, y = data.make_copy(5, 6, task="sort")
    np.testing.assert_array_equal(y, np.sort(x))
    with pytest.raises(OptionError, match="task is one of copy, reverse, sort, got 'add'"):
        data.make_copy(5, task="add")


def test_a_seed_is_a_problem() -> None:
    for make in (
        lambda s: data.make_parity(20, n=9, random_state=s)[0],
        lambda s: data.make_spirals(noise=0.1, random_state=s)[0],
        lambda s: data.make_adding(3, random_state=s).x[0][:100],
        lambda s: data.make_temporal_order(3, random_state=s).x[0][:100],
        lambda s: np.array(data.make_reber(9, random_state=s)),
        lambda s: data.make_copy(3, random_state=s)[0],
    ):
        np.testing.assert_array_equal(make(1), make(1))
        assert (make(1) != make(2)).any()


def test_long_lags_have_their_answer_at_the_second_step() -> None:
    made = data.make_long_lag(2000, 20, 7)
    assert made.x[0].shape[1] == 11 and made.lengths.min() >= 23 and made.lengths.max() <= 87
    assert abs(made.lengths.mean() - 32) < 0.7  # 1 in 10 is the last
    for x, y in zip(made.x[:300], made.y, strict=False):
        symbols = x.argmax(1)
        assert symbols[0] == 7 and symbols[1] == 9 + y and symbols[-1] == 8
        assert symbols[2:-1].max() < 7 and (x.sum(1) == 1).all()


@pytest.mark.parametrize("noisy", [False, True])
def test_two_sequences_begin_with_their_class(noisy: bool) -> None:
    made = data.make_two_sequences(400, 50, 3, noisy)
    assert 50 <= made.lengths.min() < made.lengths.max() <= 55 and made.x[0].shape[1] == 1
    start = np.stack([x[:3, 0] for x in made.x]) - (2 * made.y - 1)[:, None]
    rest = np.concatenate([x[3:, 0] for x in made.x])
    assert rest.var() == pytest.approx(0.2, abs=0.01)
    assert start.var() == pytest.approx(0.2 * noisy, abs=0.03)


def test_impossible_long_lags() -> None:
    with pytest.raises(OptionError, match="make_long_lag: lag is at least 1, got 0"):
        data.make_long_lag(1, 0)
    with pytest.raises(OptionError, match="signal=9 is more than length=8"):
        data.make_two_sequences(1, 8, 9)
