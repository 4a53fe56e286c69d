"""Batches inside a compiled step: every row once an epoch, the same bits however it is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import Batches, TextBatches, TextCorpus
from chainrule.errors import CompileError, DataError, OptionError
from chainrule.nn import functional as F
from chainrule.tensor.value import make
from chainrule.train.step.steps import Cursor

N = 10
X = np.arange(N, dtype=np.uint8)[:, None]


def rows_of(step: Callable[[], Any], count: int) -> np.ndarray:
    return np.concatenate([step()[1].numpy() for _ in range(count)])


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(-(2**63), 2**64), st.booleans())
def test_every_row_comes_once_an_epoch(n: int, size: int, seed: int, shuffle: bool) -> None:
    size = min(n, size)
    batches = Batches(np.zeros(n), np.arange(n), size, seed=seed, shuffle=shuffle)
    drawn = rows_of(batches.next, -(-3 * n // size))[: 3 * n].reshape(3, n)
    assert (np.sort(drawn, axis=1) == np.arange(n)).all()
    assert shuffle or (drawn == np.arange(n)).all()
    drawn = np.concatenate([y.numpy() for _, y in batches])  # the rest of this epoch
    assert batches.position == 0 and len(set(drawn)) == len(drawn) <= n


def test_dropping_the_last_rows() -> None:
    batches = Batches(X, np.arange(N), 3, drop_last=True)
    drawn = rows_of(batches.next, 6).reshape(2, 9)
    assert len(batches) == 3 and batches.epoch == 2
    assert all(len(set(epoch)) == 9 for epoch in drawn)
    assert len(Batches(X, batch_size=3)) == 4 and [len(x) for x in Batches(X, batch_size=4)] == [
        *(4, 4, 2)
    ]


@pytest.mark.parametrize("size", [2, 3, 10])
def test_compiled_steps_draw_what_is_drawn_at_once(size: int) -> None:
    def drawn(threads: int) -> np.ndarray:
        before = cr.get_num_threads()
        cr.set_num_threads(threads)
        batches = Batches(X, np.arange(N), size, seed=5)
        found = rows_of(cr.compile(batches.next), 20)
        cr.set_num_threads(before)
        return found

    at_once = Batches(X, np.arange(N), size, seed=5)
    expected = rows_of(at_once.next, 20)
    np.testing.assert_array_equal(drawn(1), expected)
    np.testing.assert_array_equal(drawn(2), expected)
    again = Batches(X, np.arange(N), size, seed=5)
    last = cr.compile(again.next).repeat(20)
    np.testing.assert_array_equal(last[1].numpy(), expected[-size:])
    assert again.state_dict() == at_once.state_dict()


def test_the_order_is_that_of_the_trainer() -> None:
    cursor = Cursor()
    cursor.start(seed=-3, epoch=2)
    expected = make(cursor.rows(N, N, True))
    batches = Batches(X, np.arange(N), N, seed=-3)
    batches.seek(epoch=2)
    np.testing.assert_array_equal(batches.next()[1].numpy(), expected.numpy())


def test_ranks_share_the_rows_of_one_process() -> None:
    together = Batches(X, np.arange(N), 4, seed=2)
    parts = [Batches(X, np.arange(N), 2, seed=2, rank=r, of=2) for r in range(2)]
    for _ in range(12):
        _, y = together.next()
        dealt = np.concatenate([p.next()[1].numpy() for p in parts])
        np.testing.assert_array_equal(dealt, y.numpy())


def test_going_on_in_the_middle_of_an_epoch() -> None:
    batches = Batches(X, np.arange(N), 3, seed=4)
    rows_of(batches.next, 5)
    state = batches.state_dict()
    expected = rows_of(batches.next, 9)
    resumed = Batches(X, np.arange(N), 3, seed=4)
    step = cr.compile(resumed.next)
    step()
    resumed.load_state_dict(state)
    np.testing.assert_array_equal(rows_of(step, 9), expected)
    with pytest.raises(OptionError, match="seed is 5, the state was made with 4"):
        Batches(X, seed=5, batch_size=2).load_state_dict(state)
    with pytest.raises(OptionError, match="a position from 0 to 9 are expected, got 0, 10"):
        resumed.seek(0, 10)


def test_integers_stay_small_and_floats_get_one_type() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
    x, y = Batches(images, np.arange(6.0), 2).next()
    assert x.dtype == np.uint8 and y.dtype == np.float32
    assert Batches(images / 2.0, batch_size=2, dtype="float64").next().dtype == np.float64
    (a, b), (c, d) = Batches((X, X + 1), (X, X + 2), 4).next()
    assert (a + 1 == b).all() and (c + 2 == d).all() and (a == c).all()


def test_bytes_and_floats_train_to_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 20)).astype(np.uint8)
    labels = rng.integers(0, 3, 64)

    def weights(x: np.ndarray) -> np.ndarray:
        cr.manual_seed(0)
        net = nn.Sequential(nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 3))
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        batches = Batches(x, labels, 16, seed=1)

        @cr.compile
        def step():
            x, y = batches.next()
            loss = F.cross_entropy(net(x.float() / 255), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        losses = [float(step()), float(step.repeat(60))]
        assert losses[1] < losses[0]
        return net[0].weight.numpy()

    np.testing.assert_array_equal(weights(images), weights(images.astype(np.float32)))


# -- augmentation ----------------------------------------------------------------------------------
def test_random_numbers_are_functions_of_seed_epoch_and_row() -> None:
    def noisy(size: int, seed: int, run: Callable[..., Any]) -> list[dict[int, float]]:
        batches = Batches(
            np.zeros(N), np.arange(N), size, seed=seed, augment=lambda x: x + cr.rand()
        )
        step = run(batches.next)
        cr.rand(3)  # the default generator has no part in it
        epochs: list[dict[int, float]] = [{}, {}]
        drawn = [
            (int(j), float(v)) for _ in range(2 * N // size) for v, j in zip(*step(), strict=True)
        ]
        for i, (j, v) in enumerate(drawn):
            epochs[i // N][j] = v
        return epochs

    first = noisy(5, 1, cr.compile)
    assert first == noisy(2, 1, lambda f: f) == noisy(10, 1, cr.compile)
    assert len(set(first[0].values()) | set(first[1].values())) == 2 * N
    assert first[0] != noisy(5, 2, cr.compile)[0]


def test_validation_is_not_augmented() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 3, 4, 4)).astype(np.uint8)
    train = Batches(images[:6], batch_size=3, augment=lambda x: x.flip(-1))
    valid = Batches(images[6:], batch_size=2, shuffle=False)
    train.next()
    first, second = valid.next().numpy(), valid.next().numpy()
    np.testing.assert_array_equal(first, images[6:])
    np.testing.assert_array_equal(second, images[6:])


# -- texts -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("stride", [1, 3])
def test_windows_of_a_text(stride: int) -> None:
    corpus = TextCorpus("the quick brown fox")
    x, y = corpus.windows(4, stride)
    batches = TextBatches(corpus, 4, 3, stride=stride, shuffle=False)
    assert batches.rows == len(x)
    step = cr.compile(batches.next)
    drawn = [step() for _ in range(len(batches))]
    found_x = np.concatenate([a.numpy() for a, _ in drawn])[: len(x)]
    found_y = np.concatenate([b.numpy() for _, b in drawn])[: len(x)]
    np.testing.assert_array_equal(found_x, x)
    np.testing.assert_array_equal(found_y, y)
    assert drawn[0][0].dtype == np.int64


def test_all_rows_in_one_batch() -> None:
    for shuffle in (False, True):
        batches = Batches(X, np.arange(N), N, shuffle=shuffle, augment=lambda x: x + 1)
        for _ in range(2):
            x, y = cr.compile(batches.next)()
            np.testing.assert_array_equal(x.numpy()[:, 0], y.numpy() + 1)
            assert sorted(y.numpy()) == list(range(N)) and (shuffle or y[3].item() == 3)
        assert batches.epoch == 2
    one = Batches(X, np.arange(N), 6, shuffle=True, drop_last=True)
    assert len({tuple(one.next()[1].numpy()) for _ in range(4)}) == 4
    assert one.epoch == 4


def test_the_last_token_of_a_text_is_a_target() -> None:
    x, y = TextBatches([0, 1, 2, 3, 4], 4, 1).next()
    assert x.tolist() == [[0, 1, 2, 3]] and y.tolist() == [[1, 2, 3, 4]]
    batches = TextBatches(np.arange(6), 4, 2)
    assert batches.rows == 2 and (batches.next()[1].numpy() == 5).sum() == 1
    with pytest.raises(DataError, match="tokens has 4 tokens, a window of 4 and the token after i"):
        TextBatches(np.arange(4), 4)


# -- mistakes --------------------------------------------------------------------------------------
def test_mistakes_are_named() -> None:
    with pytest.raises(DataError) as error:
        Batches(X[:5], batch_size=8, drop_last=True)
    assert str(error.value) == (
        "Batches: batch_size=8 is more than the 5 rows there are; at most batch_size=5 gives a "
        "batch"
    )
    with pytest.raises(DataError, match="batch_size=4 times of=3 is more than the 10 rows"):
        Batches(X, batch_size=4, of=3)
    with pytest.raises(DataError, match="the arrays have 10, 9 rows; they must be equal"):
        Batches(X, np.arange(9), 2)
    with pytest.raises(
        DataError, match="Batches: x has NaN or infinite values in 1 rows, first in"
    ):
        Batches([[1.0], [np.nan]], batch_size=1)
    with pytest.raises(DataError, match=r"x has no rows \(shape \(0, 3\)\)"):
        Batches(np.zeros((0, 3)), batch_size=1)
    for size in (0, -1, 2.5, True):
        with pytest.raises(OptionError, match="batch_size is an integer from 1 on, got"):
            Batches(X, batch_size=size)
    with pytest.raises(OptionError, match="rank 2 of 2; ranks are 0 ... 1"):
        Batches(X, batch_size=2, rank=2, of=2)
    with pytest.raises(OptionError, match="seed is an integer, got 1.5"):
        Batches(X, batch_size=2, seed=1.5)
    batches = Batches(X, batch_size=2)
    with pytest.raises(CompileError, match="a compiled step draws one batch: write x, y = batches"):
        cr.compile(lambda: [x for x in batches])()
    with pytest.raises(OptionError, match="takes x and y, and there is no y"):
        Batches(X, batch_size=2, augment=lambda x, y: (x, y)).next()
    with pytest.raises(OptionError, match="must return x and y"):
        Batches(X, X, batch_size=2, augment=lambda x, y: x).next()
