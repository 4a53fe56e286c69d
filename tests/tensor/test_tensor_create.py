"""Making tensors, and what comes out of them: arrays, numbers, text."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from numpy_oracle import NUMBERS, check, sample

import chainrule as cr


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        (3, "int64"),
        (True, "bool"),
        ([1, 2.5], "float32"),
        ([[True], [False]], "bool"),
        (np.zeros(2), "float64"),
        (np.float64(2), "float64"),
        ([np.float32(1)], "float32"),
        ([], "float32"),
        (range(3), "int64"),
        ((1, 2), "int64"),
    ],
)
def test_dtype_of_data(data: object, dtype: str) -> None:
    found = cr.tensor(data)
    assert found.dtype == dtype
    check(found, np.asarray(data))


@pytest.mark.parametrize("dtype", [*NUMBERS, "bool", "uint32"])
def test_a_tensor_is_a_copy_and_goes_back(dtype: str) -> None:
    x = sample((2, 3), dtype)
    t = cr.tensor(x)
    kept = x.copy()
    x[:] = 0
    check(t, kept)
    assert t.numpy().dtype == dtype
    assert t.tolist() == kept.tolist()
    np.testing.assert_array_equal(np.asarray(t), kept)
    np.testing.assert_array_equal(np.from_dlpack(t), kept) if dtype != "bool" else None
    np.array(t)[:] = 0
    check(t, kept)
    t.numpy()[:] = 0
    check(t, np.zeros_like(kept))


def test_asarray_shares_and_never_writes() -> None:
    x = np.ones(3, np.float32)
    t = cr.asarray(x)
    t += 1
    np.testing.assert_array_equal(x, 1)
    check(t, [2.0, 2.0, 2.0])
    view = np.asarray(cr.asarray(x), copy=False) if np.__version__ >= "2" else x.view()
    assert np.shares_memory(view, x)
    check(cr.from_numpy(x), x)
    assert cr.asarray(t) is t
    assert cr.asarray(t, dtype="float64").dtype == np.float64


def test_tensor_of_tensors() -> None:
    a = cr.tensor([1.0, 2.0], requires_grad=True)
    check(cr.tensor([a, a]).detach(), [[1.0, 2.0], [1.0, 2.0]])
    assert not cr.tensor(a).requires_grad
    assert cr.tensor(a, requires_grad=True).is_leaf
    cr.stack([a, a * 2]).sum().backward()
    check(a.grad, [3.0, 3.0])


@pytest.mark.parametrize(
    "args",
    [(5,), (2, 9), (2, 9, 3), (9, 2, -2), (0,), (5, 2), (0, 1, 0.25), (1.0, 0.0, -0.3), (2.5,)],
)
def test_arange(args: tuple[float, ...]) -> None:
    expected = np.arange(*args)
    check(cr.arange(*args), expected.astype(np.float32) if expected.dtype.kind == "f" else expected)
    check(cr.arange(*args, dtype="float64"), expected.astype(np.float64))


def test_ranges_and_grids() -> None:
    check(cr.linspace(0, 1, 7, dtype="float64"), np.linspace(0, 1, 7))
    check(cr.linspace(0, 1, steps=3), np.linspace(0, 1, 3))
    check(cr.linspace(0, 1, 4, endpoint=False), np.linspace(0, 1, 4, endpoint=False))
    check(cr.eye(3), np.eye(3))
    check(cr.eye(2, 4, 1), np.eye(2, 4, 1))
    for indexing in ("xy", "ij"):
        for found, expected in zip(
            cr.meshgrid([1, 2], [3, 4, 5], [6], indexing=indexing),
            np.meshgrid([1, 2], [3, 4, 5], [6], indexing=indexing),
            strict=True,
        ):
            check(found, expected)


def test_filled() -> None:
    check(cr.zeros(2, 3), np.zeros((2, 3)))
    check(cr.zeros((2, 3), dtype="int32"), np.zeros((2, 3)).astype(int))
    check(cr.zeros(()), 0.0)
    check(cr.ones([2]), np.ones(2))
    check(cr.full((2,), 7), [7, 7])
    check(cr.full(2, 1.5), [1.5, 1.5])
    check(cr.full((2,), cr.tensor(3.0)), [3.0, 3.0])
    x = cr.tensor([1, 2])
    assert [f(x).dtype for f in (cr.zeros_like, cr.ones_like)] == [np.int64] * 2
    check(cr.full_like(x, 5), [5, 5])
    assert cr.zeros(2, requires_grad=True).requires_grad


def test_numbers_out_of_tensors() -> None:
    assert cr.tensor([2.5]).item() == 2.5
    assert float(cr.tensor(2.5)) == 2.5
    assert int(cr.tensor(2)) == 2
    assert bool(cr.tensor(0)) is False
    assert f"{cr.tensor(0.12345):.2f}" == "0.12"
    assert cr.tensor(True).item() is True


def test_text() -> None:
    assert repr(cr.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(cr.tensor(3)) == "tensor(3)"
    assert repr(cr.tensor([1.0], dtype="float64")) == "tensor([1.], dtype=float64)"
    assert repr(cr.tensor([1.0], requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert repr(cr.zeros(0, 3)) == "tensor([], dtype=float32, shape=(0, 3))"


def test_conversions() -> None:
    x = cr.tensor([1.7, -1.7])
    assert x.to("float64").dtype == np.float64
    assert x.to(cr.int32).tolist() == [1, -1]
    assert x.long().dtype == np.int64
    assert x.int().dtype == np.int32
    assert x.double().float().dtype == np.float32
    assert x.bool().tolist() == [True, True]
    assert x.to(cr.tensor([1])).dtype == np.int64
    assert x.to("cpu") is x.cpu() is x.contiguous() is x
    assert x.type(cr.float64).dtype == np.float64
    assert x.astype("uint8").tolist() == [1, 0]


def test_sizes() -> None:
    x = cr.zeros(2, 3)
    assert x.shape == x.size() == (2, 3)
    assert x.size(-1) == 3
    assert x.numel() == 6
    assert x.dim() == x.ndim == 2
    assert x.nbytes == 24
    assert x.device == "cpu"
    assert x.is_floating_point()


def test_copies_and_pickles() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        check(y.detach(), [1.0, 2.0])
        assert y.requires_grad
        assert y.is_leaf
        with cr.no_grad():
            y += 1
    check(x.detach(), [1.0, 2.0])
    x.clone().sum().backward()
    check(x.grad, [1.0, 1.0])
