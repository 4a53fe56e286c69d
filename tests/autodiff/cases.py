"""Every primitive, on small arrays away from its kinks: what the gradient and vmap tests walk
over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.autodiff.recurrence import Results, loop
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.dtypes import DType
from chainrule.core.node import Array, Node, Shape

SHAPES: tuple[Shape, ...] = ((), (3,), (2, 3), (1, 4), (2, 0))


@dataclass
class Case:
    """A function of nodes, and how to draw its arguments."""

    op: str
    name: str
    build: Callable[..., Node]
    draw: tuple[Callable[[np.random.Generator], Array], ...]

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def arguments(self, seed: int = 0) -> list[Array]:
        rng = np.random.default_rng(seed)
        return [np.asarray(draw(rng)) for draw in self.draw]


def inputs(arrays: Sequence[Array]) -> list[Node]:
    return [op.input(a.shape, a.dtype, f"x{i}") for i, a in enumerate(arrays)]


def reals(shape: Shape, dtype: DType = dt.float64, low: float = -1.7, high: float = 1.7):
    """Farther apart than a finite difference, and not near an integer or zero."""

    def draw(rng: np.random.Generator) -> Array:
        steps = rng.permutation(int(np.prod(shape)) + 40)[: int(np.prod(shape))]
        x = low + (high - low) * (steps + 0.5) / (int(np.prod(shape)) + 40)
        x = np.where(np.abs(x - np.round(x)) < 1e-2, x + 0.03, x)
        return x.reshape(shape).astype(dtype)

    return draw


def integers(shape: Shape, low: int, high: int, dtype: DType = dt.int64):
    return lambda rng: rng.integers(low, high, shape, endpoint=True).astype(dtype)


def bools(shape: Shape):
    return lambda rng: rng.random(shape) < 0.5


def keys(shape: Shape = ()):
    return lambda rng: rng.integers(0, 2**32, (*shape, 2), dtype=np.uint32)


UNARY = (
    "neg",
    "exp",
    "expm1",
    "tanh",
    "sigmoid",
    "sin",
    "cos",
    "erf",
    "atan",
    "abs",
    "sign",
    "floor",
    "copy",
    "stop_gradient",
)
POSITIVE = ("log", "log2", "log10", "log1p", "sqrt")
BINARY = ("add", "sub", "mul", "div", "max", "min", "mod")
COMPARE = ("eq", "ne", "lt", "le", "floordiv")


def sine(x: Node) -> Node:
    return op.custom_vjp(op.sin(x), [x], sine_rule)


def sine_rule(g: Node, y: Node, x: Node) -> list[Node | None]:
    return [op.mul(g, op.cos(x))]


def product(a: Node, b: Node) -> Node:
    return op.custom_vjp(op.mul(a, b), [a, b], product_rule)


def product_rule(g: Node, y: Node, a: Node, b: Node) -> list[Node | None]:
    return [op.mul(g, b), op.mul(g, a)]


WINDOWS: dict[str, dict[str, tuple[int, ...]]] = {
    "tiles": {"axes": (1, 2), "sizes": (2, 3), "strides": (2, 3), "dilation": (1, 1)},
    "overlap": {"axes": (1, 2), "sizes": (3, 2), "strides": (1, 2), "dilation": (1, 1)},
    "dilated": {"axes": (1,), "sizes": (3,), "strides": (2,), "dilation": (2,)},
    "gaps": {"axes": (0, 2), "sizes": (1, 2), "strides": (1, 3), "dilation": (1, 1)},
}


def _conv(rank: int = 1, **given: tuple[int, ...]) -> dict[str, object]:
    plain = {"strides": 1, "low": 0, "high": 0, "hole": 1, "dilation": 1}
    return {k: given.get(k, (v,) * rank) for k, v in plain.items()}


CONVOLUTIONS: dict[str, tuple[Shape, Shape, dict[str, object]]] = {
    "plain": ((2, 5, 1, 3), (3, 3, 1, 4), _conv()),
    "linear": ((3, 1, 2), (2, 1, 4), _conv(rank=0)),
    "same": ((2, 4, 3, 1, 2), (3, 3, 2, 1, 3), _conv(2, low=(1, 1), high=(1, 1))),
    "strides": ((2, 6, 5, 1, 1), (2, 3, 1, 1, 2), _conv(2, strides=(2, 3), low=(1, 0))),
    "dilation": ((1, 7, 1, 2), (3, 2, 1, 2), _conv(dilation=(2,), low=(1,), high=(2,))),
    "transposed": ((1, 3, 1, 2), (3, 2, 1, 2), _conv(hole=(2,), low=(1,), high=(2,))),
    "holes and strides": ((1, 4, 1, 1), (2, 1, 1, 2), _conv(hole=(3,), strides=(2,), low=(1,))),
    "cut": ((1, 6, 1, 2), (2, 2, 1, 1), _conv(low=(-1,), high=(-2,))),
    "groups": ((2, 4, 2, 2), (2, 2, 2, 3), _conv(low=(1,))),
    "depthwise": ((2, 4, 3, 1), (2, 1, 3, 2), _conv(strides=(2,))),
    "far padding": ((1, 2, 1, 1), (2, 1, 1, 1), _conv(low=(3,), high=(3,), strides=(2,))),
    "empty": ((0, 4, 1, 2), (3, 2, 1, 2), _conv()),
}


def recurrent(h: Node, xs: Node, w: Node, reverse: bool = False, save: str = "needed") -> Results:
    """h' = tanh(h w + x w + x), which is also the step's result, and (h' - x) w another."""
    carry, x = op.input(h.shape, h.dtype), op.input(xs.shape[1:], xs.dtype)
    new = op.tanh(op.add(op.add(op.dot(carry, w), op.dot(x, w)), x))
    results = [new, op.dot(op.sub(new, x), w)]
    options = {"length": xs.shape[0], "reverse": reverse, "save": save}
    return loop([carry], [x], [new], results, [h], [xs], **options)  # type: ignore[arg-type]


def elman(h: Node, xs: Node, w: Node, reverse: bool = False, save: str = "needed") -> Node:
    """All results of a recurrent net, summed over the steps."""
    result = recurrent(h, xs, w, reverse, save)
    return op.add(result.carries[0], op.sum(op.mul(*result.stacked), [0]))


def powers(x: Node) -> Node:
    """x, x², x³, ..., by a loop without arrays; and a counter that has no gradient."""
    power, count = op.input(x.shape, x.dtype), op.input((), dt.int64)
    one = op.constant(1, dt.int64)
    updates = [op.mul(power, x), op.add(count, one)]
    scaled = op.mul(power, op.expand(op.cast(count, x.dtype), x.shape))
    first = [x, op.constant(1, dt.int64)]
    return loop([power, count], [], updates, [scaled], first, [], length=3).stacked[0]


def nested(h: Node, xs: Node, w: Node) -> Node:
    """A loop of loops, which keeps the outer carries only."""
    carry, block = op.input(h.shape, h.dtype), op.input(xs.shape[1:], xs.dtype)
    inner = recurrent(carry, block, w)
    outer = loop(
        [carry],
        [block],
        [inner.carries[0]],
        [op.sum(inner.stacked[0], [0])],
        [h],
        [xs],
        length=xs.shape[0],
        save="carry",
    )
    return op.add(outer.carries[0], op.sum(outer.stacked[0], [0]))


def apart(x: Node) -> Node:
    """x / 4 plus 1, 2, 3, ... on the diagonal: what is decomposed is far from having equal
    values."""
    diagonal = np.eye(*x.shape[-2:], dtype=x.dtype) * np.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    quarter = op.mul(x, op.full(x.shape, 0.25, x.dtype))
    return op.add(quarter, op.expand(op.constant(diagonal), x.shape))


def symmetric(x: Node) -> Node:
    swapped = op.permute(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))
    return op.add(apart(x), apart(swapped))


def definite(x: Node) -> Node:
    swapped = op.permute(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))
    return op.dot(apart(x), apart(swapped))


def _matrix_cases(dtype: DType) -> list[tuple[object, ...]]:
    result: list[tuple[object, ...]] = []
    for shape in ((3, 3), (2, 2, 2), (1, 1)):
        x, b = reals(shape, dtype), reals((*shape[:-1], 2), dtype)
        for part in (None, "lower", "upper"):
            name = f"{shape}-{part or 'general'}"
            solve = lambda a, b, part=part: op.solve(apart(a), b, part)  # noqa: E731
            result.append(("solve", name, solve, x, b))
        for f, prepare in (
            (op.slogdet, apart),
            (op.cholesky, definite),
            (op.eigh, symmetric),
            (op.qr, apart),
            (op.svd, apart),
        ):
            build = lambda a, f=f, prepare=prepare: f(prepare(a))  # noqa: E731
            result.append((f.__name__, str(shape), build, x))
    tall, wide = reals((4, 2), dtype), reals((2, 4), dtype)
    result.append(("qr", "tall", lambda a: op.qr(apart(a)), tall))
    result.append(("svd", "tall", lambda a: op.svd(apart(a)), tall))
    result.append(("svd", "wide", lambda a: op.svd(apart(a)), wide))
    return result


def _cases(dtype: DType) -> list[Case]:
    result: list[Case] = []

    def case(primitive: str, name: str, build: Callable[..., Node], *draw: object) -> None:
        result.append(Case(primitive, f"{name}-{dtype}", build, draw))  # type: ignore[arg-type]

    def named(name: str, **params: object) -> Callable[..., Node]:
        return lambda *xs: op.apply(name, *xs, **params)

    for s in SHAPES:
        x, above = reals(s, dtype), reals(s, dtype, 0.3, 2.4)
        for f in UNARY:
            case(f, str(s), named(f), x)
        for f in POSITIVE:
            case(f, str(s), named(f), above)
        for f in (*BINARY, *COMPARE):
            case(f, str(s), named(f), x, reals(s, dtype, 0.31, 1.2))
        case("div", f"{s}-negative", op.div, x, reals(s, dtype, -2.2, -0.3))
        case("mod", f"{s}-negative", op.mod, x, reals(s, dtype, -1.3, -0.7))
        case("pow", str(s), op.pow, above, x)
        case("where", str(s), op.where, bools(s), x, above)
        for other in dt.ALL:
            case("cast", f"{s}-{other}", named("cast", dtype=other), x)
        case("custom_vjp", str(s), sine, x)
        case("custom_vjp", f"{s}-two", product, x, above)
        case("reshape", f"{s}-one", lambda x: op.reshape(x, (1, x.size)), x)
        case("pow", f"{s}-square", lambda x: op.pow(x, op.full(x.shape, 2.0, x.dtype)), x)
    m = reals((2, 3, 4), dtype)
    case("reshape", "split", lambda x: op.reshape(x, (4, 3, 2)), m)
    for axes in ((1, 0, 2), (2, 0, 1), (2, 1, 0)):
        case("permute", str(axes), named("permute", axes=axes), m)
    case("broadcast", "two", lambda x: op.broadcast(x, (2, 3, 5)), reals((2, 1, 1), dtype))
    case("broadcast", "empty", lambda x: op.broadcast(x, (0, 3)), reals((1, 3), dtype))
    case("broadcast", "scalar", lambda x: op.expand(x, (2, 2)), reals((), dtype))
    case("slice", "plain", named("slice", starts=(0, 1, 2), stops=(1, 3, 3), steps=(1, 1, 1)), m)
    case("slice", "strides", named("slice", starts=(1, 0, 0), stops=(2, 3, 4), steps=(1, 2, 3)), m)
    case(
        "slice",
        "to the end",
        named("slice", starts=(1,), stops=(7,), steps=(4,)),
        reals((7,), dtype),
    )
    case(
        "slice",
        "short stop",
        named("slice", starts=(0,), stops=(5,), steps=(3,)),
        reals((9,), dtype),
    )
    case(
        "slice",
        "step beyond",
        named("slice", starts=(1,), stops=(3,), steps=(9,)),
        reals((4,), dtype),
    )
    case(
        "slice", "nothing", named("slice", starts=(2,), stops=(2,), steps=(2,)), reals((4,), dtype)
    )
    for axes in ((0,), (1,), (0, 2), (0, 1, 2)):
        case("flip", str(axes), named("flip", axes=axes), m)
        case("sum", str(axes), named("sum", axes=axes), m)
        case("reduce_max", str(axes), named("reduce_max", axes=axes), m)
        case("reduce_min", str(axes), named("reduce_min", axes=axes), m)
    case("sum", "empty", named("sum", axes=(0,)), reals((0, 2), dtype))
    case("pad", "both", named("pad", low=(0, 1, 0), high=(2, 0, 1), value=0.0), m)
    case("pad", "ones", named("pad", low=(0, 1, 0), high=(2, 0, 1), value=1.5), m)
    case("pad", "empty", named("pad", low=(1,), high=(1,), value=0.0), reals((0,), dtype))
    for name, params in WINDOWS.items():
        x = reals((2, 7, 6), dtype)
        shape = op.window(op.input((2, 7, 6), dtype), **params).shape
        case("window", name, named("window", **params), x)
        case("fold", name, named("fold", shape=(2, 7, 6), **params), reals(shape, dtype))
    for name, (x_shape, w_shape, params) in CONVOLUTIONS.items():
        case("conv", name, named("conv", **params), reals(x_shape, dtype), reals(w_shape, dtype))
    h, xs, w = reals((2, 3), dtype), reals((4, 2, 3), dtype), reals((3, 3), dtype)
    for reverse in (False, True):
        for save in ("needed", "carry"):
            name = f"{save}{'-reverse' if reverse else ''}"
            case("scan", name, lambda *a, r=reverse, s=save: elman(*a, r, s), h, xs, w)
    case("scan", "no steps", elman, h, reals((0, 2, 3), dtype), w)
    case("scan", "last", lambda h, xs, w: recurrent(h, xs, w).carries[0], h, xs, w)
    case("scan", "steps", lambda h, xs, w: recurrent(h, xs, w).stacked[0], h, xs, w)
    case("scan", "counts", powers, reals((3,), dtype))
    case("scan", "nested", nested, h, reals((2, 3, 2, 3), dtype), w)
    for axis in (0, 1):
        shape = (2, 3) if axis else (1, 2)
        case(
            "concat",
            str(axis),
            lambda *xs, axis=axis: op.concat(xs, axis),
            reals((2, 2), dtype),
            reals(shape, dtype),
            reals((2, 2), dtype),
        )
        case("argmax", str(axis), named("argmax", axis=axis), m)
    case("concat", "itself", lambda x: op.concat([x, x], 0), reals((2,), dtype))
    case("dot", "matrices", op.dot, reals((2, 3), dtype), reals((3, 4), dtype))
    case("dot", "batch", op.dot, reals((2, 2, 3), dtype), reals((2, 3, 1), dtype))
    case("dot", "batches", op.dot, reals((2, 1, 2, 2), dtype), reals((2, 1, 2, 2), dtype))
    case("dot", "empty", op.dot, reals((2, 0), dtype), reals((0, 3), dtype))
    case("dot", "itself", lambda x: op.dot(x, op.permute(x, (1, 0))), reals((2, 3), dtype))
    for i, n in (((), 3), ((4,), 3), ((2, 2), 5), ((0,), 2)):
        index = integers(i, -1, n + 1, dt.int32)  # some outside: clamped
        case("gather", f"{i}", op.gather, reals((n, 2), dtype), index)
        case(
            "scatter_add",
            f"{i}",
            op.scatter_add,
            reals((n, 2), dtype),
            index,
            reals((*i, 2), dtype),
        )
    for shape, number in (((4,), 1), ((3, 2), -1), ((3, 1, 2), 7)):  # clamped
        at = lambda n=number: op.constant(n, dt.int32)  # noqa: E731
        x, row = reals(shape, dtype), reals(shape[1:], dtype)
        case("put", f"{shape}", lambda x, v, at=at: op.put(x, at(), v), x, row)
    for primitive, name, build, *draw in _matrix_cases(dtype):
        case(primitive, name, build, *draw)  # type: ignore[arg-type]
    case("gather", "uint8", op.gather, reals((300,), dtype), integers((4,), 0, 255, dt.uint8))
    return result


def _other_cases() -> list[Case]:
    """Primitives without floating-point inputs, and integer and bool versions of others."""
    result = [
        Case("random_bits", "key", lambda k: op.random_bits(k, (3, 2)), (keys(),)),
        Case("random_bits", "keys", lambda k: op.random_bits(k, (3,)), (keys((2,)),)),
        Case("fold_in", "key", op.fold_in, (keys(), integers((), 0, 9, dt.uint32))),
        Case("fold_in", "keys", op.fold_in, (keys((4,)), integers((4,), 0, 9, dt.uint32))),
        Case(
            "shuffle",
            "line",
            lambda p, k: op.shuffle(p, k, 11),
            (integers((5,), 0, 10, dt.uint32), keys()),
        ),
        Case(
            "shuffle",
            "keys",
            lambda p, k: op.shuffle(p, k, 11),
            (integers((2, 5), 0, 10, dt.uint32), keys((2,))),
        ),
        Case("not", "", op.not_, (bools((3,)),)),
        Case("and", "", op.and_, (bools((2, 3)), bools((2, 3)))),
        Case("or", "", op.or_, (bools((2, 3)), bools((2, 3)))),
        Case("max", "bool", op.max, (bools((2, 3)), bools((2, 3)))),
        Case("where", "bool", op.where, (bools((3,)), bools((3,)), bools((3,)))),
    ]
    for t in (dt.uint8, dt.uint32, dt.int32, dt.int64):
        x = integers((2, 3), 0, 9, t)
        pair = (x, integers((2, 3), 0, 3, t))
        for f in ("add", "sub", "mul", "div", "pow", "mod", "max", "min", "eq", "lt", "le", "ne"):
            result.append(Case(f, str(t), lambda a, b, f=f: op.apply(f, a, b), pair))
        for f in ("neg", "abs", "sign", "copy"):
            result.append(Case(f, str(t), lambda a, f=f: op.apply(f, a), (x,)))
        for other in dt.ALL:
            result.append(
                Case("cast", f"{t}-{other}", lambda a, o=other: op.apply("cast", a, dtype=o), (x,))
            )
        result.append(Case("sum", str(t), lambda a: op.sum(a, [1]), (x,)))
        result.append(Case("reduce_max", str(t), lambda a: op.reduce_max(a, [0]), (x,)))
        result.append(Case("argmax", str(t), lambda a: op.argmax(a, 0), (x,)))
        result.append(Case("dot", str(t), op.dot, (x, integers((3, 2), 0, 9, t))))
        result.append(Case("gather", str(t), op.gather, (x, integers((3,), 0, 4, t))))
        put = (x, integers((), -1, 4, dt.int64), integers((3,), 0, 9, t))
        result.append(Case("put", str(t), op.put, put))
        result.append(
            Case(
                "scatter_add",
                str(t),
                op.scatter_add,
                (x, integers((4,), 0, 4, t), integers((4, 3), 0, 9, t)),
            )
        )
    return result


FLOAT64, FLOAT32, OTHER = _cases(dt.float64), _cases(dt.float32), _other_cases()
EVERY = FLOAT64 + FLOAT32 + OTHER
