"""Mistakes with tensors: every message in full, as the user reads it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import CompileError, DTypeError, GradientError, OptionError, ShapeError

a = cr.zeros(2, 3)
v = cr.zeros(3)
w = cr.ones(2, requires_grad=True)

MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # Shapes.
    (
        lambda: a + cr.zeros(2),
        ShapeError,
        "add: shapes (2, 3) and (2,) do not broadcast: axis -1 has lengths 2 and 3 (they must be "
        "equal, or one of them 1)",
    ),
    (
        lambda: a @ a,
        ShapeError,
        "matmul: shapes (2, 3) and (2, 3): the last axis of the left, 3, must equal the "
        "second-last axis of the right, 2",
    ),
    (
        lambda: a @ cr.zeros(2),
        ShapeError,
        "matmul: shapes (2, 3) and (2,): the last axis of the left, 3, must equal the only axis of "
        "the right, 2",
    ),
    (
        lambda: a @ 2.0,
        ShapeError,
        "matmul takes vectors and matrices, got shapes (2, 3) and (); use * with a scalar",
    ),
    (lambda: a.reshape(4), ShapeError, "reshape: (2, 3) has 6 elements, (4,) has 4"),
    (
        lambda: a.view(-1, 4),
        ShapeError,
        "reshape: (2, 3) has 6 elements, which (-1, 4) does not divide",
    ),
    (
        lambda: a.reshape(-1, -1),
        ShapeError,
        "reshape: at most one length may be -1, and none less, got (-1, -1)",
    ),
    (lambda: a.sum(2), ShapeError, "sum: axis 2 of a tensor with 2 axes"),
    (lambda: a.sum((0, -2)), ShapeError, "sum: an axis is named twice in (0, -2)"),
    (
        lambda: a.permute(0),
        ShapeError,
        "permute: (0,) does not name each of the 2 axes of (2, 3) once",
    ),
    (
        lambda: cr.cat([a, v]),
        ShapeError,
        "concatenate along axis 0: tensor 0 has shape (2, 3), tensor 1 has (3,); all other axes "
        "must be equal",
    ),
    (
        lambda: cr.stack([v, cr.zeros(2)]),
        ShapeError,
        "stack: tensor 0 has shape (3,), tensor 1 has (2,); equal ones expected",
    ),
    (
        lambda: cr.split(v, 2),
        ShapeError,
        "split: axis 0 of length 3 has no 2 equal parts; see chunk",
    ),
    (
        lambda: v.split([1, 1]),
        ShapeError,
        "split: the lengths [1, 1] sum to 2, axis 0 has length 3",
    ),
    (lambda: v.expand(2, 4), ShapeError, "broadcast_to: (3,) does not broadcast to (2, 4)"),
    (
        lambda: cr.max(cr.zeros(0)),
        ShapeError,
        "max over an empty axis has no value: shape (0,), axis None",
    ),
    (
        lambda: cr.argmin(cr.zeros(0)),
        ShapeError,
        "argmin over an empty axis has no value: shape (0,), axis None",
    ),
    (
        lambda: cr.tensor([[1, 2], [3]]),
        ShapeError,
        "a tensor needs rows of equal length, got a ragged list; pad the rows to one length",
    ),
    (
        lambda: cr.einsum("ij,jk->ik", a, a),
        ShapeError,
        "einsum 'ij,jk->ik': axis 'j' has length 3 and, in operand 1 of shape (2, 3), 2",
    ),
    (
        lambda: cr.einsum("ijk->i", a),
        ShapeError,
        "einsum 'ijk->i': 'ijk' does not fit operand 0 of shape (2, 3)",
    ),
    (
        lambda: cr.einsum("ij->k", a),
        OptionError,
        "einsum 'ij->k': the output must name axes of the operands, each once",
    ),
    (lambda: cr.einsum("ij", a, a), OptionError, "einsum 'ij' names 1 operands, got 2"),
    (lambda: cr.einsum("i1->i", a), OptionError, "einsum 'i1->i': axes are letters, got 'i1'"),
    (
        lambda: cr.zeros(2).assign(v),
        ShapeError,
        "assign: this tensor has shape (2,), the new value (3,)",
    ),
    (
        lambda: cr.zeros(1).__iadd__(v),
        ShapeError,
        "+ in place: the tensor has shape (1,), the result (3,)",
    ),
    (lambda: v.mT, ShapeError, "mT needs two axes, got shape (3,)"),
    (lambda: cr.tril(v), ShapeError, "tril needs a matrix, got shape (3,)"),
    (
        lambda: bool(v),
        ShapeError,
        "the truth value of a tensor of shape (3,) is ambiguous; use .any() or .all()",
    ),
    (
        lambda: float(v),
        ShapeError,
        "item() needs a tensor with one element, this one has shape (3,)",
    ),
    # Data types.
    (
        lambda: cr.tensor(["a"]),
        DTypeError,
        "cannot make a tensor of list with dtype <U1: numbers or bools expected",
    ),
    (
        lambda: cr.tensor(np.ones(2, np.float16)),
        DTypeError,
        "dtype float16 is not supported; use one of bool, uint8, uint16, uint32, uint64, int8, "
        "int16, int32, int64, float32, float64",
    ),
    (
        lambda: cr.tensor([True]) + cr.tensor([True]),
        DTypeError,
        "add does not take two bools; use |, & or ^, or convert one with .int()",
    ),
    (
        lambda: -cr.tensor([True]),
        DTypeError,
        "negative does not take bool; convert it with .int() or .float()",
    ),
    (
        lambda: cr.tensor([1.0]) & 1,
        DTypeError,
        "& is defined for bool and integer tensors, got float32; compare first, for example "
        "(x > 0) & (y > 0)",
    ),
    (
        lambda: ~cr.tensor([1.0]),
        DTypeError,
        "~ is defined for bool and integer tensors, got float32; use -x, or compare first",
    ),
    (
        lambda: cr.tensor([1], dtype="uint8") + 300,
        DTypeError,
        "300 does not fit in uint8; convert the tensor first, with .to()",
    ),
    (
        lambda: cr.tensor([2]) ** -1,
        DTypeError,
        "integers cannot be raised to the power -1; convert the base with .float()",
    ),
    (
        lambda: cr.tensor([1]).__iadd__(0.5),
        DTypeError,
        "+ in place: the tensor is int64, the result float32; write x = x + y",
    ),
    (
        lambda: cr.tensor([1]).assign([0.5]),
        DTypeError,
        "assign: this tensor is int64, the new value float32; convert it with .to()",
    ),
    (
        lambda: cr.tensor([True]) @ cr.tensor([True]),
        DTypeError,
        "matmul does not take bool; convert with .float() or .int()",
    ),
    (
        lambda: [1, 2][cr.tensor(1.0)],
        DTypeError,
        "only an integer scalar is an index, this tensor is float32[]",
    ),
    # Indices.
    (lambda: v[3], IndexError, "index 3 is outside axis 0 of length 3"),
    (lambda: a[0, -4], IndexError, "index -4 is outside axis 1 of length 3"),
    (lambda: v[[0, 5]], IndexError, "index 5 is outside axis 0 of length 3"),
    (lambda: a[0, 0, 0], ShapeError, "too many indices: 3 for a tensor of shape (2, 3)"),
    (lambda: a[..., ...], ShapeError, "an index can have one ellipsis (...)"),
    (
        lambda: a[1.0],
        DTypeError,
        "an index is an integer, a slice, None, ..., or integers or bools in a tensor; got 1.0",
    ),
    (
        lambda: v[cr.tensor([1.0])],
        DTypeError,
        "an index is an integer, got a tensor of float32; convert it with .long()",
    ),
    (lambda: v[::0], OptionError, "slice of axis 0: the step cannot be 0"),
    (
        lambda: v[cr.tensor([True, False])],
        IndexError,
        "the mask has length 2 where the tensor's axis 0 has 3",
    ),
    (lambda: cr.take(v, 3), IndexError, "index 3 is outside axis 0 of length 3"),
    (lambda: cr.one_hot([0, 3], 3), IndexError, "one_hot: class 3 is outside 0 … 2"),
    (
        lambda: cr.zeros(3).__setitem__(0, v),
        ShapeError,
        "x[...] = value: x[...] has shape (), the value (3,)",
    ),
    # Options.
    (
        lambda: a.sum(axis=0, dim=1),
        OptionError,
        "sum: axis and dim are the same argument; give one of them",
    ),
    (lambda: a.sum(1.5), OptionError, "sum: an axis is an integer, got 1.5"),
    (
        lambda: v.repeat(2),
        OptionError,
        "x.repeat is tile in PyTorch and repeats each element in NumPy: write x.tile(...),"
        " x.repeat_interleave(n, axis) or x.repeat(n, axis=...)",
    ),
    (
        lambda: v.to("cuda"),
        OptionError,
        "device 'cuda': Chainrule runs on the CPU; leave the argument out",
    ),
    (lambda: cr.zeros(-1), OptionError, "zeros: lengths are not negative, got (-1,)"),
    (lambda: cr.zeros(1.5), OptionError, "zeros: lengths are integers, got (1.5,)"),
    (lambda: cr.arange(0, 3, 0), OptionError, "arange: the step cannot be 0"),
    (lambda: cr.manual_seed(1.5), OptionError, "a seed is an integer, got 1.5"),
    (
        lambda: cr.randint(3, 3),
        OptionError,
        "randint: expected low < high and at most 2**31 values, got low=3, high=3",
    ),
    (
        lambda: cr.multinomial([1.0, 0.0], 2),
        OptionError,
        "multinomial: 2 different positions, but fewer have a probability above 0; use "
        "replacement=True",
    ),
    (
        lambda: cr.pad(v, 3, mode="reflect"),
        ShapeError,
        "pad: cannot add (3, 3) to axis 0 of length 3 with mode 'reflect'",
    ),
    (
        lambda: cr.vmap(lambda x: x)(1.0),
        ShapeError,
        "vmap: mapped arguments must have one length along in_axes, got no tensor",
    ),
    (
        lambda: cr.vmap(lambda x, y: x)(a, v),
        ShapeError,
        "vmap: mapped arguments must have one length along in_axes, got (2, 3) and (3,)",
    ),
    # Gradients.
    (
        lambda: v.backward(),
        GradientError,
        "backward: this tensor does not depend on any tensor with requires_grad=True (was it "
        "computed under no_grad, detached, or returned by a compiled function?)",
    ),
    (
        lambda: (w * 2).backward(),
        GradientError,
        "backward needs a scalar, this tensor has shape (2,): reduce it with .sum() or .mean(), or "
        "pass gradient=",
    ),
    (
        lambda: (w * 2).backward(cr.ones(3)),
        ShapeError,
        "backward: the tensor has shape (2,), gradient= has (3,)",
    ),
    (
        lambda: cr.tensor([1], requires_grad=True),
        GradientError,
        "only float tensors have gradients, this one is int64; use .float()",
    ),
    (
        lambda: (w * 2).requires_grad_(False),
        GradientError,
        "only a leaf can stop requiring a gradient; use x.detach()",
    ),
    (
        lambda: w.add_(1),
        GradientError,
        "add_ in place on a tensor that requires a gradient: the gradient would be of the old "
        "value; put it under `with cr.no_grad():`, or write x = x.add(...)",
    ),
    (
        lambda: w.__setitem__(0, 1.0),
        GradientError,
        "x[...] = in place on a tensor that requires a gradient: the gradient would be of the old "
        "value; put it under `with cr.no_grad():`, or change a copy: y = x.clone()",
    ),
    (
        lambda: cr.grad(lambda x: x * 2)(v),
        GradientError,
        "grad: the function must return a scalar, it returned shape (3,); reduce it with .sum() or "
        ".mean(), or use cr.jacobian",
    ),
    (
        lambda: cr.grad(lambda x: 1.0)(v),
        GradientError,
        "grad: the function must return a scalar tensor, it returned float",
    ),
    (
        lambda: cr.grad(lambda x: x.sum())(cr.tensor([1])),
        GradientError,
        "grad differentiates by float tensors, got int64; convert it with .float()",
    ),
    (
        lambda: cr.grad(lambda x: x.sum(), argnums=1)(v),
        OptionError,
        "grad: argnums=1, but the function was called with 1 arguments",
    ),
    (
        lambda: cr.custom_vjp(cr.exp)(v),
        GradientError,
        "custom_vjp: exp has no rule yet; call exp.defvjp first",
    ),
    # Other.
    (lambda: v.nothing, AttributeError, "a Tensor has no attribute 'nothing'"),
    (lambda: len(cr.tensor(1)), TypeError, "len() of a scalar tensor"),
    (lambda: list(cr.tensor(1)), TypeError, "iteration over a scalar tensor"),
]


@pytest.mark.parametrize(
    ("mistake", "kind", "message"), MISTAKES, ids=[m[:40] for _, _, m in MISTAKES]
)
def test_message(mistake: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        mistake()
    assert str(caught.value) == message


HELP = (
    "where it has none yet. Choose with cr.where instead of if, keep shapes static, return the "
    "tensor, or move the line out of the function"
)


def branches(x: cr.Tensor) -> cr.Tensor:
    if x.sum() > 0:
        return x
    return -x


def test_a_value_inside_compile() -> None:
    with pytest.raises(CompileError) as caught:
        cr.compile(branches)(v)
    line = branches.__code__.co_firstlineno + 1
    assert str(caught.value) == (
        f"test_tensor_mistakes.py:{line}: `if x.sum() > 0:` asks for the value of a tensor inside "
        f"compiled branches, {HELP}"
    )


def test_a_value_inside_vmap() -> None:
    with pytest.raises(
        CompileError,
        match=re.escape(f"`if x.sum() > 0:` asks for the value of a tensor inside cr.vmap, {HELP}"),
    ):
        cr.vmap(branches)(a)


@pytest.mark.parametrize(
    "ask",
    [float, int, bool, lambda x: x.item(), lambda x: x.numpy(), np.asarray, lambda x: x.tolist()],
)
def test_every_way_to_ask_for_a_value_inside_compile(ask: Callable[[Any], Any]) -> None:
    outside = cr.ones(())
    for tensor in (lambda x: x, lambda x: outside, lambda x: x + outside):
        with pytest.raises(CompileError, match="asks for the value of a tensor inside compiled"):
            cr.compile(lambda x, tensor=tensor: ask(tensor(x)))(cr.ones(()))


def test_printing_inside_compile_shows_the_shape() -> None:
    shown = []
    cr.compile(lambda x: shown.append((repr(x), repr(v))))(a)
    assert shown == [
        (
            "tensor(shape=(2, 3), dtype=float32, no value yet)",
            "tensor(shape=(3,), dtype=float32, no value yet)",
        )
    ]


def test_mask_inside_compile() -> None:
    with pytest.raises(CompileError) as caught:
        cr.compile(lambda x: x[x > 0], name="step")(v)
    assert str(caught.value).endswith(
        " selects by a mask inside compiled step: the shape of the result would depend on values."
        " Use cr.where(mask, x, 0) and keep the shape"
    )


def test_assignment_to_unknown_positions_inside_compile() -> None:
    def step(x: cr.Tensor, i: cr.Tensor) -> None:
        x[i] = 0.0

    with pytest.raises(CompileError) as caught:
        cr.compile(step)(cr.zeros(3), cr.tensor([1]))
    assert str(caught.value).endswith(
        " assigns to positions that are not known yet, inside a compiled function;"
        " use cr.where(mask, new, x) with a mask made of comparisons"
    )


def test_a_tensor_that_escaped() -> None:
    kept: list[cr.Tensor] = []
    cr.compile(lambda x: kept.append(x * 2))(v)
    cr.vmap(lambda x: kept.append(x * 2) or x)(a)
    for tensor in kept:
        with pytest.raises(CompileError) as caught:
            tensor.numpy()
        assert str(caught.value).endswith(
            "`tensor.numpy()`: this tensor was made inside a function that cr.compile or cr.vmap "
            "traced and has no value outside it; return it from the function"
        )


def test_backward_through_something_computed_outside_of_compile() -> None:
    outside = w * 2
    with pytest.raises(GradientError) as caught:
        cr.compile(lambda: (outside * 3).sum().backward())()
    assert str(caught.value) == (
        "backward inside a compiled function reaches a tensor of shape (2,) that was computed "
        "outside from tensors that require a gradient; compute it inside, or detach it"
    )


def test_an_unhashable_argument() -> None:
    with pytest.raises(CompileError) as caught:
        cr.compile(lambda x, s: x, name="step")(v, {1, 2})
    assert str(caught.value) == (
        "step: an argument of type set is neither a tensor, an array, a number nor hashable; "
        "convert it with cr.tensor, or pass its parts"
    )


def test_repeat_takes_a_positive_number() -> None:
    with pytest.raises(OptionError) as caught:
        cr.compile(lambda x: x, name="step").repeat(0, v)
    assert str(caught.value) == "step.repeat: the number of calls is a positive integer, got 0"


def test_sorting_inside_compile() -> None:
    with pytest.raises(CompileError, match="asks for the value of a tensor inside compiled"):
        cr.compile(lambda x: cr.sort(x))(v)


# -- changes in place that could reach nothing -----------------------------------------------------
def _plus_one(x: cr.Tensor) -> None:
    x += 1


def _unpacked(x: cr.Tensor) -> None:
    values, indices = cr.max(x, 1)


STATE_DICT = (
    "a state dict holds the numbers as they were, to change them would not change the module; write"
    " module.load_state_dict(changed), or change module.state_dict(keep_vars=True)[name] under"
    " `with cr.no_grad():`"
)
IN_PLACE: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: _plus_one(cr.ones(1).expand(3)),
        OptionError,
        "+ in place: the tensor is broadcast, several of its elements are one; change a copy: y ="
        " x.clone()",
    ),
    (
        lambda: cr.ones(1).expand(3)[1:].assign([1.0, 2.0]),
        OptionError,
        "assign: the tensor is broadcast, several of its elements are one; change a copy: y ="
        " x.clone()",
    ),
    (
        lambda: nn.Linear(2, 2).state_dict()["weight"].zero_(),
        OptionError,
        f"zero_ in place: {STATE_DICT}",
    ),
    (
        lambda: nn.Linear(2, 2).state_dict()["weight"].data[0].fill_(1),
        OptionError,
        f"fill_ in place: {STATE_DICT}",
    ),
    (
        lambda: w[0].zero_(),
        GradientError,
        "zero_ in place on a tensor that requires a gradient: the gradient would be of the old"
        " value; put it under `with cr.no_grad():`, or change a copy: y = x.clone()",
    ),
    (
        lambda: _without_gradient(w * 2)[0].mul_(2),
        GradientError,
        "mul_ in place on a view without gradient, which changes the tensor behind it; write x ="
        " x.mul(...)",
    ),
    (
        lambda: (w * 2)[0].detach_(),
        GradientError,
        "detach_: this tensor is a view; write y = x.detach()",
    ),
    (
        lambda: cr.compile(lambda i: a[i].zero_())(cr.tensor(1)),
        OptionError,
        "zero_ in place: x[i] with a tensor i whose value is not known yet is a copy, to change it"
        " would not change x; use x.assign(cr.where(mask, new, x)) with a mask made of comparisons",
    ),
    (
        lambda: cr.grad(lambda x: x.data.zero_().sum() + (x * x).sum())(v),
        GradientError,
        "grad: the function changes its argument in place, and the derivative would be by the new"
        " value; change a copy: y = x.clone()",
    ),
    (
        lambda: v.data.exponential_(2.0),
        AttributeError,
        "a Tensor has no attribute 'exponential_'",
    ),
    (
        lambda: a.narrow(1, 2, 2),
        ShapeError,
        "narrow: 2 and length 2 leave axis 1 of length 3",
    ),
    (
        lambda: cr.Tensor(3),
        OptionError,
        "Tensor(3) would be a tensor of shape (3,) in PyTorch; write cr.tensor(3) for the number,"
        " cr.zeros(3) for the shape",
    ),
    (
        lambda: _unpacked(cr.ones(2, 3)),
        TypeError,
        "x.max(axis) is the values alone, as in NumPy, and not PyTorch's pair: write values,"
        " indices = x.max(dim=axis); to take its rows apart, .unbind()",
    ),
]


def _without_gradient(x: cr.Tensor) -> cr.Tensor:
    with cr.no_grad():
        return x[:]


@pytest.mark.parametrize(("mistake", "kind", "text"), IN_PLACE)
def test_a_change_in_place_that_could_reach_nothing(
    mistake: Callable[[], Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        mistake()
    assert str(caught.value) == text


def test_a_mapped_function_does_not_change_a_tensor_from_outside() -> None:
    kept = cr.zeros(2)
    with pytest.raises(CompileError) as caught:
        cr.vmap(lambda x: kept[:1].copy_(x))(cr.ones(3, 1))
    assert str(caught.value).endswith(
        "(copy_ in place) gives a tensor from outside a value that differs between the examples of"
        " cr.vmap; return the value from the function"
    )
    assert kept.tolist() == [0.0, 0.0]


def test_an_array_that_is_kept_and_a_result_with_gradient() -> None:
    kept = cr.zeros(2)
    array = kept.numpy()
    with pytest.raises(GradientError) as caught:
        kept.add_(w)
    assert str(caught.value) == (
        "add_ in place with a result that requires a gradient, on a tensor whose .numpy() array is"
        " in use: it would no longer share it; write x = x.add(...)"
    )
    assert array.tolist() == [0.0, 0.0]
