"""matmul, tensordot, einsum and their relatives against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy_oracle import check, sample

import chainrule as cr


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 2, 3), (5, 3, 4)),
        ((6, 1, 2, 3), (5, 3, 4)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 4)),
        ((0, 3), (3, 4)),
        ((2, 0), (0, 4)),
    ],
)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...], dtype: str) -> None:
    a, b = sample(left, dtype, 1), sample(right, dtype, 2)
    check(cr.matmul(a, b), np.matmul(a, b), 1e-5)
    check(cr.tensor(a) @ cr.tensor(b), a @ b, 1e-5)


def test_matmul_promotes_and_has_reflected_forms() -> None:
    a, b = sample((2, 3), "float32"), sample((3, 2), "float64")
    assert (cr.tensor(a) @ b).dtype == np.float64
    check(a @ cr.tensor(b), a @ b)
    check(cr.tensor([[1, 2]]) @ [[0.5], [0.5]], [[1.5]])


@pytest.mark.parametrize(
    ("left", "right"),
    [((3,), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (6, 3, 4)), ((2, 3), (3,)), ((), (3,))],
)
def test_dot(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = sample(left, "float64", 1), sample(right, "float64", 2)
    check(cr.dot(a, b), np.dot(a, b))


@pytest.mark.parametrize("axes", [0, 1, 2, ([1], [0]), ([0, 2], [2, 1]), (-1, 1)])
def test_tensordot(axes: object) -> None:
    if axes in (0, 1, ([1], [0])):
        a, b = sample((2, 3), "float64"), sample((3, 4), "float64")
    elif axes == 2:
        a, b = sample((2, 3, 4), "float64"), sample((3, 4, 5), "float64")
    else:
        a, b = sample((2, 3, 4), "float64"), sample((5, 4, 2), "float64")
    check(cr.tensordot(a, b, axes), np.tensordot(a, b, axes))


def test_outer_and_vecdot() -> None:
    a, b = sample((2, 3), "float64"), sample((4,), "float64")
    check(cr.outer(a, b), np.outer(a, b))
    check(cr.vecdot(a, a), (a * a).sum(-1))


EINSUMS = [
    "ij,jk->ik",
    "ij,jk",
    "ij->ji",
    "ji",
    "ii",
    "ii->i",
    "iij->j",
    "ij->",
    "ij,ij->",
    "ij,ij->ij",
    "i,j->ij",
    "i,i->i",
    "bij,bjk->bik",
    "bhqd,bhkd->bhqk",
    "...ij,...jk->...ik",
    "i...,i...->...",
    "...i->...",
    "ij,jk,kl->il",
    "ab,bc,cd,de->ae",
    "ij,k->",
    "a,b,c->abc",
    "ij,ik,il->jkl",
    "bi,oi->bo",
    "i...j->j...",
    "ij , jk -> ik",
]


@pytest.mark.parametrize("subscripts", EINSUMS)
def test_einsum(subscripts: str) -> None:
    lengths = dict(zip("abcdehijklqo", [2, 3, 4, 2, 3, 2, 3, 4, 2, 5, 3, 2], strict=True))
    terms = subscripts.replace(" ", "").split("->")[0].split(",")
    operands = []
    for n, term in enumerate(terms):
        shape: list[int] = []
        for part in term.replace("...", "."):
            shape += [2, 3] if part == "." else [lengths[part]]
        operands.append(sample(tuple(shape), "float64", n))
    check(cr.einsum(subscripts, *operands), np.einsum(subscripts, *operands))
    cr.check_grads(lambda *xs: (cr.einsum(subscripts, *xs) ** 2).sum(), operands, directions=2)


@given(st.data())
def test_random_einsums(data) -> None:
    letters = "abcd"
    lengths = {c: data.draw(st.integers(1, 3)) for c in letters}
    terms = data.draw(st.lists(st.text(letters, min_size=0, max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(terms)))
    output = "".join(data.draw(st.permutations(used))[: data.draw(st.integers(0, len(used)))])
    subscripts = ",".join(terms) + "->" + output
    operands = [sample(tuple(lengths[c] for c in t), "float64", i) for i, t in enumerate(terms)]
    check(cr.einsum(subscripts, *operands), np.einsum(subscripts, *operands))


def test_einsum_broadcasts_lengths_of_one_behind_the_ellipsis() -> None:
    a, b = sample((5, 1, 2, 3), "float64"), sample((4, 3, 2), "float64")
    check(cr.einsum("...ij,...jk->...ik", a, b), a @ b)


def test_gradients_of_matmul() -> None:
    for left, right in [((3,), (3,)), ((2, 3), (3,)), ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2))]:
        operands = [sample(left, "float64", 1), sample(right, "float64", 2)]
        cr.check_grads(lambda a, b: (cr.matmul(a, b) ** 2).sum(), operands, order=2)
