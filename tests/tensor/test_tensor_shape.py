"""Movement against NumPy: values, habits of NumPy and PyTorch, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_oracle import check, sample

import chainrule as cr

X = sample((2, 3, 4), "float64")
T = cr.tensor(X)

SAME_AS_NUMPY = [
    (lambda m, x: m.reshape(x, (4, 6))),
    (lambda m, x: m.reshape(x, (-1,))),
    (lambda m, x: m.ravel(x)),
    (lambda m, x: m.transpose(x)),
    (lambda m, x: m.transpose(x, (1, 0, 2))),
    (lambda m, x: m.swapaxes(x, 0, -1)),
    (lambda m, x: m.moveaxis(x, 0, -1)),
    (lambda m, x: m.moveaxis(x, (0, 1), (2, 0))),
    (lambda m, x: m.expand_dims(x, 1)),
    (lambda m, x: m.expand_dims(x, (0, -1))),
    (lambda m, x: m.squeeze(m.expand_dims(x, (0, 2)))),
    (lambda m, x: m.squeeze(m.expand_dims(x, (0, 2)), 2)),
    (lambda m, x: m.broadcast_to(x, (5, 2, 3, 4))),
    (lambda m, x: m.concatenate([x, x[:1]])),
    (lambda m, x: m.concatenate([x, x], axis=-1)),
    (lambda m, x: m.concatenate([x, x[0]], axis=None)),
    (lambda m, x: m.stack([x, x + 1], axis=1)),
    (lambda m, x: m.stack([x, x], axis=-1)),
    (lambda m, x: m.stack(m.split(x, 2, axis=2))),
    (lambda m, x: m.concatenate(m.split(x, [1, 3], axis=2)[::-1], axis=2)),
    (lambda m, x: m.tile(x, 2)),
    (lambda m, x: m.tile(x, (2, 1, 1, 3))),
    (lambda m, x: m.repeat(x, 2)),
    (lambda m, x: m.repeat(x, 3, axis=1)),
    (lambda m, x: m.repeat(x, [1, 0, 2], axis=1)),
    (lambda m, x: m.pad(x, 1)),
    (lambda m, x: m.pad(x, (1, 2))),
    (lambda m, x: m.pad(x, [(0, 1), (2, 0), (1, 1)], constant_values=7)),
    (lambda m, x: m.pad(x, [(1, 1), (2, 0), (1, 3)], mode="reflect")),
    (lambda m, x: m.pad(x, 2, mode="edge")),
    (lambda m, x: m.pad(x, 2, mode="wrap")),
    (lambda m, x: m.flip(x)),
    (lambda m, x: m.flip(x, (0, 2))),
    (lambda m, x: m.roll(x, 5)),
    (lambda m, x: m.roll(x, -1, axis=2)),
    (lambda m, x: m.roll(x, (1, 2), axis=(0, 1))),
    (lambda m, x: m.tril(x)),
    (lambda m, x: m.triu(x, 1)),
    (lambda m, x: m.tril(x, -1)),
    (lambda m, x: m.triu(x, -2)),
    (lambda m, x: m.diagonal(x, 1, 1, 2)),
    (lambda m, x: m.diagonal(x, -1)),
    (lambda m, x: m.diagonal(x, 9)),
    (lambda m, x: m.trace(x, 0, 1, 2)),
    (lambda m, x: m.diag(x[0])),
    (lambda m, x: m.diag(x[0], -1)),
    (lambda m, x: m.diag(x[0, 0], 2)),
    (lambda m, x: m.diag(x[0, 0], -1)),
]


@pytest.mark.parametrize("f", SAME_AS_NUMPY)
def test_same_as_numpy(f) -> None:
    check(f(cr, T), f(np, X))


@pytest.mark.parametrize("f", SAME_AS_NUMPY)
def test_gradients(f) -> None:
    # The gradient of ⟨w, f(x)⟩ is the transpose of f, which is linear up to a constant.
    y = f(cr, T)
    w = sample(y.shape, "float64", seed=9)
    found = cr.grad(lambda x: (f(cr, x) * w).sum())(T).numpy()
    change = sample(X.shape, "float64", seed=8)
    difference = ((f(np, X + change) - f(np, X)) * w).sum()
    assert (found * change).sum() == pytest.approx(difference)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda t: t.view(6, 4), lambda x: x.reshape(6, 4)),
        (lambda t: t.view(-1, 2), lambda x: x.reshape(-1, 2)),
        (lambda t: t.reshape([4, 6]), lambda x: x.reshape(4, 6)),
        (lambda t: t.view_as(cr.zeros(24)), np.ravel),
        (lambda t: t.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1)),
        (lambda t: t.permute((2, 0, 1)), lambda x: x.transpose(2, 0, 1)),
        (lambda t: t.transpose(0, 1), lambda x: x.swapaxes(0, 1)),
        (lambda t: t.movedim(0, -1), lambda x: np.moveaxis(x, 0, -1)),
        (lambda t: t.transpose(-1, -2), lambda x: x.swapaxes(-1, -2)),
        (lambda t: t.transpose(2, 0, 1), lambda x: x.transpose(2, 0, 1)),
        (lambda t: t.T, lambda x: x.T),
        (lambda t: t[0].t(), lambda x: x[0].T),
        (lambda t: t.mT, lambda x: x.swapaxes(-1, -2)),
        (lambda t: t.unsqueeze(-1).squeeze(-1), lambda x: x),
        (lambda t: t.unsqueeze(dim=0), lambda x: x[None]),
        (lambda t: t.squeeze(1), lambda x: x),
        (lambda t: t.flatten(), np.ravel),
        (lambda t: t.flatten(1), lambda x: x.reshape(2, 12)),
        (lambda t: t.flatten(0, 1), lambda x: x.reshape(6, 4)),
        (lambda t: t.expand(5, -1, -1, -1), lambda x: np.broadcast_to(x, (5, 2, 3, 4))),
        (lambda t: t.expand_as(cr.zeros(2, 2, 3, 4)), lambda x: np.broadcast_to(x, (2, 2, 3, 4))),
        (lambda t: t.tile(1, 2, 1), lambda x: np.tile(x, (1, 2, 1))),
        (lambda t: t.repeat(2, 1, 1), lambda x: np.tile(x, (2, 1, 1))),
        (lambda t: t.repeat(2, axis=0), lambda x: np.repeat(x, 2, 0)),
        (lambda t: t.repeat_interleave(2, dim=1), lambda x: np.repeat(x, 2, 1)),
        (lambda t: t.split(3, 2)[1], lambda x: x[..., 3:]),
        (lambda t: t.split([1, 3], dim=2)[1], lambda x: x[..., 1:]),
        (lambda t: t.chunk(3, dim=2)[1], lambda x: x[..., 2:]),
        (lambda t: cr.cat(t.unbind(1), dim=0), lambda x: np.concatenate(list(x.swapaxes(0, 1)))),
        (lambda t: cr.cat([t, t], dim=2), lambda x: np.concatenate([x, x], 2)),
        (lambda t: t.flip(0), lambda x: x[::-1]),
        (lambda t: t.tril(diagonal=1), lambda x: np.tril(x, 1)),
        (lambda t: cr.flatten(t[0, 0, 0]), lambda x: x[0, 0, :1]),
        (
            lambda t: cr.broadcast_tensors(t, t[0, 0])[1],
            lambda x: np.broadcast_to(x[0, 0], x.shape),
        ),
    ],
)
def test_habits_of_pytorch(found, expected) -> None:
    check(found(T), expected(X))


def test_concatenate_promotes() -> None:
    found = cr.concatenate([cr.tensor([1, 2]), cr.tensor([0.5])])
    assert found.dtype == np.float32
    check(found, [1.0, 2.0, 0.5])


@pytest.mark.parametrize("n", [0, 1])
def test_empty_tensors_move(n: int) -> None:
    x = np.zeros((n, 3))
    t = cr.tensor(x)
    check(t.T, x.T)
    check(cr.concatenate([t, t]), np.concatenate([x, x]))
    check(cr.ravel(t), x.ravel())
    check(cr.roll(t, 1, axis=0), np.roll(x, 1, 0))
    check(cr.flip(t), np.flip(x))
    check(cr.tile(t, (2, 2)), np.tile(x, (2, 2)))
