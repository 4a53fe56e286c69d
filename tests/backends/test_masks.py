"""Masks made into numbers: a program in which LLVM 22 cannot emit their conversion."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int64])
def test_masks_become_ones_and_zeros(dtype: type) -> None:
    x = np.random.default_rng(0).normal(size=37)
    f = cr.compile(lambda x: ((x > 0).astype(dtype), (x > 0).astype(dtype).sum()))
    ones, count = f(cr.tensor(x))
    np.testing.assert_array_equal(ones.numpy(), (x > 0).astype(dtype))
    assert ones.numpy().dtype == dtype and count.item() == (x > 0).sum()


def test_a_count_of_masks_of_two_widths_compiles() -> None:
    scores = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    labels = np.array([2, 0, -100, 1, 2, 2, 0])

    def f(scores, labels):  # the right answers among those that are labelled
        found, there = scores.argmax(axis=1), labels != -100
        narrow = cr.where(there, (found.int() == labels.clip(-(2**31), 2**31 - 1).int()).float(), 0)
        wide = cr.where(there, (found == labels).double(), 0.0)
        return narrow.sum(), wide.sum()

    right = ((scores.argmax(axis=1) == labels) & (labels != -100)).sum()
    assert [float(v) for v in cr.compile(f)(cr.tensor(scores), cr.tensor(labels))] == [right] * 2
