"""The rules of back-propagation: an entry for each primitive, in the order of their table.

With ``y = f(a, b, ...)`` and ``g`` the cotangent of y (the gradient of the final scalar with
respect to y), a rule gives the cotangents ā, b̄, ... of the inputs. An entry is

* a tuple with one function ``(g, y, *inputs) -> Node`` per input, so only those asked for are
  built; ``None`` in its place means that no gradient flows to that input; or
* one function ``(g, y, *inputs) -> [cotangent or None, ...]`` for all inputs at once.

Rules are written in primitives, so they can be differentiated again, batched and compiled.
Every rule is linear in ``g``; `reverse.jvp` rests on that.

Choices at the kinks (where the derivative jumps; PyTorch's, all listed in docs/reference/kinks.md):
max(a, b) and min(a, b) give half to each side of a tie; reduce_max and reduce_min share evenly
among the tied elements; abs'(0) = 0; sign and floor have gradient 0 everywhere; sqrt'(0) = inf.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..core import graph as op
from ..core.dtypes import is_float
from ..core.node import Node
from ..errors import GradientError
from . import matrices

PerInput = Callable[..., Node]
AllInputs = Callable[..., Sequence[Node | None]]
Rule = tuple[PerInput | None, ...] | AllInputs


# -- rules of more than one line -------------------------------------------------------------------
def _one_minus(x: Node) -> Node:
    return op.sub(op.ones_like(x), x)


def _scaled(g: Node, factor: float) -> Node:
    return op.mul(g, op.full(g.shape, factor, g.dtype))


def _pow_base(g: Node, y: Node, a: Node, b: Node) -> Node:
    """ā = g b a^(b-1); where b = 0 and 1/a is infinite the exponent is replaced.

    0 * inf would be NaN instead of 0.
    """
    tiny = op.full(a.shape, 2 * float(np.finfo(a.dtype).smallest_normal), a.dtype)
    no_slope = op.and_(op.lt(op.abs(a), tiny), op.eq(b, op.zeros_like(b)))
    exponent = op.where(no_slope, op.ones_like(b), op.sub(b, op.ones_like(b)))
    return op.mul(op.mul(g, b), op.pow(a, exponent))


def _pow_exponent(g: Node, y: Node, a: Node, b: Node) -> Node:
    """b̄ = g a^b log a where a > 0, else 0.

    With 1 in place of such an a, log 1 = 0 does it, at any order.
    """
    positive = op.where(op.lt(op.zeros_like(a), a), a, op.ones_like(a))
    return op.mul(op.mul(g, op.pow(positive, b)), op.log(positive))


def _to_larger(g: Node, small: Node, large: Node) -> Node:
    """g where small < large, g/2 where equal, 0 elsewhere."""
    losing = op.where(op.lt(large, small), op.zeros_like(g), _scaled(g, 0.5))
    return op.where(op.lt(small, large), g, losing)


def _broadcast(g: Node, y: Node, x: Node) -> Node:
    repeated = [i for i, (n, m) in enumerate(zip(x.shape, y.shape, strict=True)) if n != m]
    return op.reshape(op.sum(g, repeated), x.shape)


def _slice(g: Node, y: Node, x: Node) -> Node:
    """Put g back in its places, zeros elsewhere. At a step s, s - 1 zeros follow each element."""
    starts, steps = y.params["starts"], y.params["steps"]
    if any(s > 1 for s in steps):
        spread = [n for count in g.shape for n in (count, 1)]
        after = [n for s in steps for n in (0, s - 1)]
        g = op.pad(op.reshape(g, spread), [0] * len(spread), after)
        g = op.reshape(g, [count * s for count, s in zip(y.shape, steps, strict=True)])
        room = [min(m, n - a) for m, n, a in zip(g.shape, x.shape, starts, strict=True)]
        g = op.slice(g, [0] * g.ndim, room, [1] * g.ndim)  # the last element's zeros may stick out
    return op.pad(g, starts, [n - a - m for n, a, m in zip(x.shape, starts, g.shape, strict=True)])


def _pad(g: Node, y: Node, x: Node) -> Node:
    low = y.params["low"]
    return op.slice(g, low, [a + n for a, n in zip(low, x.shape, strict=True)], [1] * x.ndim)


def _concat(g: Node, y: Node, *inputs: Node) -> list[Node]:
    """Each input gets its part of g."""
    axis, at, parts = y.params["axis"], 0, []
    for x in inputs:
        starts, stops = [0] * g.ndim, list(g.shape)
        starts[axis], stops[axis] = at, at + x.shape[axis]
        parts.append(op.slice(g, starts, stops, [1] * g.ndim))
        at = stops[axis]
    return parts


def _as_before(reduced: Node, y: Node, x: Node) -> Node:
    """Repeat a reduced array along the axes that were reduced: the shape of x."""
    axes = y.params["axes"]
    return op.broadcast(
        op.reshape(reduced, [1 if i in axes else n for i, n in enumerate(x.shape)]), x.shape
    )


def _sum(g: Node, y: Node, x: Node) -> Node:
    return _as_before(g, y, x)


def _extreme(g: Node, y: Node, x: Node) -> Node:
    """g / (number of elements equal to y) at each of them, 0 elsewhere."""
    chosen = op.eq(x, _as_before(y, y, x))
    share = op.div(g, op.sum(op.cast(chosen, g.dtype), y.params["axes"]))
    return op.where(chosen, _as_before(share, y, x), op.zeros_like(x))


def _window(g: Node, y: Node, x: Node) -> Node:
    return op.fold(g, x.shape, *(y.params[p] for p in op.WINDOW))


def _fold(g: Node, y: Node, x: Node) -> Node:
    return op.window(g, *(y.params[p] for p in op.WINDOW))


def _conv_input(g: Node, y: Node, x: Node, w: Node) -> Node:
    """x̄: g convolved with the taps in reverse order, channels and outputs exchanged.

    Strides become holes and holes strides.
    """
    p, rank = y.params, x.ndim - 3
    exchanged = op.permute(w, (*range(rank), rank + 2, rank + 1, rank))
    flipped = op.flip(exchanged, range(rank))
    low, high = [], []
    for a in range(rank):
        span = (w.shape[a] - 1) * p["dilation"][a]
        low.append(span - p["low"][a])
        last = (y.shape[a + 1] - 1) * p["strides"][a]
        high.append((x.shape[a + 1] - 1) * p["hole"][a] - last + p["low"][a])
    return op.conv(g, flipped, p["hole"], low, high, p["strides"], p["dilation"])


def _conv_weights(g: Node, y: Node, x: Node, w: Node) -> Node:
    """w̄: x convolved with g as the taps.

    The examples of a minibatch take the place of channels, the channels that of examples; strides
    become dilations and dilations strides.
    """
    p, rank = y.params, x.ndim - 3
    images = op.permute(x, (rank + 2, *range(1, rank + 2), 0))
    taps = op.permute(g, (*range(1, rank + 1), 0, rank + 1, rank + 2))
    high = []
    for a in range(rank):
        spans = (w.shape[a] - 1) * p["dilation"][a] + (y.shape[a + 1] - 1) * p["strides"][a]
        high.append(spans - p["low"][a] - (x.shape[a + 1] - 1) * p["hole"][a])
    out = op.conv(images, taps, p["dilation"], p["low"], high, p["hole"], p["strides"])
    return op.permute(out, (*range(1, rank + 1), 0, rank + 1, rank + 2))


def _custom(g: Node, y: Node, out: Node, *args: Node) -> list[Node | None]:
    """The user's rule. Its output is y itself, so second derivatives obey the rule too."""
    rule = y.params["rule"]
    cotangents = list(rule(g, y, *args))
    name = getattr(rule, "__name__", repr(rule))
    if len(cotangents) != len(args):
        raise GradientError(
            f"gradient rule {name} gave {len(cotangents)} cotangents for {len(args)} arguments"
        )
    for i, (c, x) in enumerate(zip(cotangents, args, strict=True)):
        if c is not None and (c.shape != x.shape or c.dtype != x.dtype) and is_float(x.dtype):
            raise GradientError(
                f"gradient rule {name} gave {c.dtype}{list(c.shape)} as cotangent of argument {i}, "
                f"which is {x.dtype}{list(x.shape)}"
            )
    return [None, *cotangents]


def _atan(g: Node, y: Node, x: Node) -> Node:
    """x̄ = g / (1 + x²), as g (1/|x|)² where x² would overflow."""
    one, a = op.ones_like(x), op.abs(x)
    far = op.lt(op.full(x.shape, 1e18, x.dtype), a)
    near = op.div(g, op.add(op.mul(op.where(far, one, x), op.where(far, one, x)), one))
    return op.where(far, op.div(op.div(g, op.where(far, a, one)), op.where(far, a, one)), near)


_ERF_SLOPE = 2 / math.sqrt(math.pi)  # erf'(0)

# -- the table -------------------------------------------------------------------------------------
VJPS: dict[str, Rule] = {
    # Leaves.
    "input": (),
    "constant": (),
    "iota": (),
    "random_bits": (None,),
    "fold_in": (None, None),
    # Elementwise, one input.                                                    y = f(x),  x̄ =
    "neg": (lambda g, y, x: op.neg(g),),  # -g
    "exp": (lambda g, y, x: op.mul(g, y),),  # g y
    "log": (lambda g, y, x: op.div(g, x),),  # g / x
    "log2": (lambda g, y, x: op.div(_scaled(g, 1 / math.log(2)), x),),  # g / (x ln 2)
    "log10": (lambda g, y, x: op.div(_scaled(g, 1 / math.log(10)), x),),  # g / (x ln 10)
    "log1p": (lambda g, y, x: op.div(g, op.add(x, op.ones_like(x))),),  # g / (1 + x)
    "expm1": (lambda g, y, x: op.mul(g, op.add(y, op.ones_like(y))),),  # g (y + 1)
    "sqrt": (lambda g, y, x: op.div(g, op.add(y, y)),),  # g / 2y
    "tanh": (lambda g, y, x: op.mul(g, _one_minus(op.mul(y, y))),),  # g (1 - y²)
    "sigmoid": (lambda g, y, x: op.mul(g, op.mul(y, _one_minus(y))),),  # g y (1 - y)
    "sin": (lambda g, y, x: op.mul(g, op.cos(x)),),  # g cos x
    "cos": (lambda g, y, x: op.neg(op.mul(g, op.sin(x))),),  # -g sin x
    "erf": (
        lambda g, y, x: op.mul(g, _scaled(op.exp(op.neg(op.mul(x, x))), _ERF_SLOPE)),
    ),  # g 2/√π e^(-x²)
    "atan": (_atan,),  # g / (1 + x²)
    "abs": (lambda g, y, x: op.mul(g, op.sign(x)),),  # g sign x
    "sign": (None,),
    "floor": (None,),
    "copy": (lambda g, y, x: g,),
    "not": (None,),
    "cast": (lambda g, y, x: op.cast(g, x.dtype),),  # between floats: g, cast back
    # Elementwise, two inputs.                                                   y = f(a, b)
    "add": (lambda g, y, a, b: g, lambda g, y, a, b: g),  # ā = g, b̄ = g
    "sub": (lambda g, y, a, b: g, lambda g, y, a, b: op.neg(g)),  # ā = g, b̄ = -g
    "mul": (lambda g, y, a, b: op.mul(g, b), lambda g, y, a, b: op.mul(g, a)),  # ā = g b, b̄ = g a
    "div": (  # ā = g / b, b̄ = -(g / b) y
        lambda g, y, a, b: op.div(g, b),
        lambda g, y, a, b: op.neg(op.mul(op.div(g, b), y)),
    ),
    "floordiv": (None, None),
    "pow": (_pow_base, _pow_exponent),  # ā = g b a^(b-1), b̄ = g a^b log a
    "max": (lambda g, y, a, b: _to_larger(g, b, a), lambda g, y, a, b: _to_larger(g, a, b)),
    "min": (lambda g, y, a, b: _to_larger(g, a, b), lambda g, y, a, b: _to_larger(g, b, a)),
    "mod": (  # y = a - b floor(a/b):  ā = g, b̄ = -g floor(a/b)
        lambda g, y, a, b: g,
        lambda g, y, a, b: op.neg(op.mul(g, op.floordiv(a, b))),
    ),
    "eq": (None, None),
    "ne": (None, None),
    "lt": (None, None),
    "le": (None, None),
    "and": (None, None),
    "or": (None, None),
    # ā = g where c, else 0; b̄ = 0 where c, else g. Chosen, not multiplied: 0 * NaN is NaN.
    "where": (
        None,
        lambda g, y, c, a, b: op.where(c, g, op.zeros_like(g)),
        lambda g, y, c, a, b: op.where(c, op.zeros_like(g), g),
    ),
    # Movement: the transpose of a movement is a movement, or a sum where elements were repeated.
    "reshape": (lambda g, y, x: op.reshape(g, x.shape),),
    "permute": (
        lambda g, y, x: op.permute(g, sorted(range(x.ndim), key=y.params["axes"].__getitem__)),
    ),
    "broadcast": (_broadcast,),  # the sum over the repeats
    "slice": (_slice,),  # g in its places, zeros around
    "flip": (lambda g, y, x: op.flip(g, y.params["axes"]),),
    "pad": (_pad,),  # the part of g that is not padding
    "concat": _concat,
    "window": (_window,),  # each element of g added to its place
    "fold": (_fold,),  # g's windows
    # Reductions.
    "sum": (_sum,),  # g, repeated
    "reduce_max": (_extreme,),
    "reduce_min": (_extreme,),
    "argmax": (None,),
    # Contractions.
    "dot": (  # y = a b:  ā = g bᵀ, b̄ = aᵀ g, for each batch element
        lambda g, y, a, b: op.dot(g, matrices.t(b)),
        lambda g, y, a, b: op.dot(matrices.t(a), g),
    ),
    "conv": (_conv_input, _conv_weights),  # two more convolutions
    # Solutions and decompositions: see `matrices`.
    "solve": matrices.solve,
    "slogdet": (matrices.slogdet,),
    "cholesky": (matrices.cholesky,),
    "qr": (matrices.qr,),
    "eigh": (matrices.eigh,),
    "svd": (matrices.svd,),
    # Positions as data.
    "gather": (lambda g, y, x, i: op.scatter_add(op.zeros_like(x), i, g), None),  # x̄[i] += g
    "scatter_add": (
        lambda g, y, x, i, u: g,
        None,
        lambda g, y, x, i, u: op.gather(g, i),
    ),  # x̄ = g, ū = g[i]
    "put": (  # x̄ = g without the row, v̄ = its row
        lambda g, y, x, i, v: op.put(g, i, op.zeros_like(v)),
        None,
        lambda g, y, x, i, v: op.gather(g, i),
    ),
    "shuffle": (None, None),
    # Control: scan's results are handed on together, by another loop (see `recurrence.py`).
    # Identities for the reverse sweep.
    "stop_gradient": (None,),
    "custom_vjp": _custom,
}
