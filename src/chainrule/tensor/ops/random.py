"""Random tensors. A Generator is a key and a counter; draws are functions of both, to be replayed.

The same code runs at once and in a compiled function, where key and counter are its state.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.dtypes import DType
from ...core.node import Array, Node, Shape
from ...errors import DTypeError, OptionError, ShapeError
from ..capture import Source, active, user_line
from ..value import Tensor, Value, array_of, as_tensor, make, stored
from .elementwise import add, multiply
from .indexing.index import known_values
from .operands import broadcast_shapes, float_node
from .shape import sizes

# fmt: off
__all__ = [  # what `chainrule` offers
    "Generator", "bernoulli", "choice", "default_generator", "dropout_mask", "exponential",
    "manual_seed", "multinomial", "normal", "permutation", "rand", "rand_like", "randint", "randn",
    "randn_like", "randperm", "seed", "uniform",
]
# fmt: on


_drawing = threading.RLock()  # two threads never draw the same numbers of one generator


class Generator:
    """Random numbers: ``key`` (uint32[2], of the seed) and ``counter`` (uint32, draws so far).

    >>> import chainrule as cr
    >>> a, b = cr.Generator(7), cr.Generator(7)
    >>> cr.array_equal(cr.rand(3, generator=a), cr.rand(3, generator=b))
    True
    """

    key: Tensor
    counter: Tensor

    def __init__(self, seed: int | None = None) -> None:
        self.key = stored(np.zeros(2, np.uint32))
        self.counter = stored(np.zeros((), np.uint32))
        self.manual_seed(int.from_bytes(os.urandom(8), "little") if seed is None else seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from ``seed`` (any integer; its low 64 bits count)."""
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
            raise OptionError(f"a seed is an integer, got {seed!r}")
        words = [int(seed) & 0xFFFFFFFF, int(seed) >> 32 & 0xFFFFFFFF]
        self.key._put(words)
        self.counter._put(0)
        return self

    def next_key(self) -> Node:
        """A key that no other draw of this generator has; in a loop, one for each step, and where
        `vmap` says so one for each example."""
        if not active.draws:
            raise OptionError(
                f'{user_line()} draws random numbers inside vmap with randomness="error"; say '
                'randomness="different" for other numbers in each example, or randomness="same"'
            )
        with _drawing:
            counter = self.counter.node
            key = g.fold_in(self.key.node, counter)
            self.counter.assign(make(g.add(counter, g.constant(1, dt.uint32))))
        for step in active.steps:
            key = g.fold_in(key, step)
        return key

    def get_state(self) -> dict[str, Any]:
        """Key and counter as arrays, for `set_state`."""
        return {"key": np.array(self.key), "counter": np.array(self.counter)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was called."""
        self.key.assign(stored(np.array(state["key"], np.uint32)))
        self.counter.assign(stored(np.array(state["counter"], np.uint32)))


default_generator = Generator(0)


def manual_seed(seed: int) -> Generator:
    """Let the default generator start from ``seed``; without a call it starts from 0.

    All threads share it, as in PyTorch: which thread draws which numbers is a matter of chance.
    Give each thread a `Generator` of its own where a run shall be repeatable.

    >>> import chainrule as cr
    >>> _ = cr.manual_seed(1); a = cr.rand(2)
    >>> _ = cr.manual_seed(1); b = cr.rand(2)
    >>> cr.array_equal(a, b)
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """A seed of the operating system's for the default generator; returns it.

    >>> import chainrule as cr
    >>> number = cr.seed(); a = cr.rand(2)
    >>> _ = cr.manual_seed(number); cr.array_equal(a, cr.rand(2))
    True
    """
    number = int.from_bytes(os.urandom(6), "little")
    manual_seed(number)
    return number


@contextmanager
def drawing_from(key: Value) -> Iterator[None]:
    """Inside, draws without a generator of their own are functions of ``key`` (uint32[2]) and of
    how many came before: of nothing else."""
    before, active.source = active.source, Source(key.node)
    try:
        yield
    finally:
        active.source = before


def next_key(generator: Generator | None) -> Node:
    """The key of the next draw from ``generator``, or from what draws come from without one."""
    if generator is None and active.source is not None:
        return active.source.next_key()
    return (default_generator if generator is None else generator).next_key()


# -- from bits to distributions --------------------------------------------------------------------
def _scalar(shape: Shape, value: float, dtype: DType) -> Node:
    return g.full(shape, value, dtype)


def _words(key: Node, shape: Shape, number: int) -> Node:
    return g.random_bits(g.fold_in(key, g.constant(number, dt.uint32)), shape)


def _uniform(key: Node, shape: Shape, dtype: DType) -> Node:
    """Uniform on [0, 1): every multiple of 2⁻²⁴ (float32) or 2⁻⁵³ (float64) is equally likely."""
    if dtype == dt.float32:
        bits = g.div(g.random_bits(key, shape), _scalar(shape, 256, dt.uint32))
        return g.mul(g.cast(bits, dtype), _scalar(shape, 2.0**-24, dtype))
    if dtype != dt.float64:
        raise DTypeError(f"random numbers are float32 or float64, got {dtype}")
    high = g.cast(g.div(_words(key, shape, 0), _scalar(shape, 32, dt.uint32)), dtype)
    low = g.cast(g.div(_words(key, shape, 1), _scalar(shape, 64, dt.uint32)), dtype)
    return g.mul(
        g.add(g.mul(high, _scalar(shape, 2.0**26, dtype)), low), _scalar(shape, 2.0**-53, dtype)
    )


def _positive_uniform(key: Node, shape: Shape, dtype: DType, number: int) -> Node:
    """Uniform on (0, 1], with small numbers down to 2⁻³²: for logarithms."""
    bits = g.cast(_words(key, shape, number), dtype)
    return g.mul(g.add(bits, _scalar(shape, 1, dtype)), _scalar(shape, 2.0**-32, dtype))


def _normal(key: Node, shape: Shape, dtype: DType) -> Node:
    """Box & Muller: √(-2 ln u) cos(2π v)."""
    radius = g.sqrt(
        g.mul(_scalar(shape, -2, dtype), g.log(_positive_uniform(key, shape, dtype, 0)))
    )
    angle = g.mul(_scalar(shape, 2 * math.pi, dtype), _positive_uniform(key, shape, dtype, 1))
    return g.mul(radius, g.cos(angle))


def _draw(
    draw: Callable[[Node, Shape, DType], Node],
    name: str,
    shape: Sequence[Any],
    dtype: Any,
    generator: Generator | None,
    requires_grad: bool,
) -> Tensor:
    lengths = sizes(name, shape)
    if min(lengths, default=0) < 0:
        raise OptionError(f"{name}: lengths are not negative, got {lengths}")
    result = make(draw(next_key(generator), lengths, dt.dtype_of(dtype or dt.default_float)))
    return result.requires_grad_() if requires_grad else result


def rand(
    *shape: Any, dtype: Any = None, generator: Generator | None = None, requires_grad: bool = False
) -> Tensor:
    """Uniform on [0, 1).

    >>> import chainrule as cr
    >>> cr.rand(2, 3).shape
    (2, 3)
    """
    return _draw(_uniform, "rand", shape, dtype, generator, requires_grad)


def randn(
    *shape: Any, dtype: Any = None, generator: Generator | None = None, requires_grad: bool = False
) -> Tensor:
    """Normal with mean 0 and standard deviation 1.

    >>> import chainrule as cr
    >>> _ = cr.manual_seed(0)
    >>> cr.randn(2, 2)
    tensor([[0.0554, 0.607 ],
            [0.8769, 0.453 ]])
    """
    return _draw(_normal, "randn", shape, dtype, generator, requires_grad)


def uniform(
    low: float = 0,
    high: float = 1,
    size: Any = (),
    dtype: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """Uniform on [low, high), of shape ``size``.

    >>> import chainrule as cr
    >>> _ = cr.manual_seed(0)
    >>> cr.uniform(-1, 1, size=3)
    tensor([-0.7333,  0.223 , -0.1586])
    """
    return add(multiply(rand(_shape(size), dtype=dtype, generator=generator), high - low), low)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    dtype: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """Normal with the given mean and standard deviation; shape ``size``, or that of mean and std.

    >>> import chainrule as cr
    >>> _ = cr.manual_seed(0)
    >>> cr.normal(5.0, 0.1, size=3)
    tensor([5.0055, 5.0607, 5.0877])
    """
    if not isinstance(std, Value) and np.any(np.asarray(std) < 0):
        raise OptionError(f"normal: std is not negative, got {std}")
    if size is None:
        size = broadcast_shapes(as_tensor(mean).shape, as_tensor(std).shape, name="normal")
    return add(multiply(randn(_shape(size), dtype=dtype, generator=generator), std), mean)


def _shape(size: Any) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)


def rand_like(x: Any, generator: Generator | None = None) -> Tensor:
    """Uniform on [0, 1), with the shape and dtype of ``x``."""
    t = as_tensor(x)
    return rand(t.shape, dtype=t.dtype, generator=generator)


def randn_like(x: Any, generator: Generator | None = None) -> Tensor:
    """Normal, with the shape and dtype of ``x``."""
    t = as_tensor(x)
    return randn(t.shape, dtype=t.dtype, generator=generator)


def randint(
    low: int,
    high: int | None = None,
    size: Any = (),
    dtype: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """Integers from ``low`` to ``high`` exclusive (from 0 if only one is given), int64 by default.

    >>> import chainrule as cr
    >>> bool((cr.randint(0, 10, (100,)) < 10).all())
    True
    """
    if high is None:
        low, high = 0, low
    if isinstance(high, list | tuple):
        raise OptionError("randint: write randint(low, high, size)")
    try:
        low, high = index(low), index(high)
    except TypeError:
        raise DTypeError(f"randint: low and high are integers, got {low!r}, {high!r}") from None
    span = high - low
    if not 0 < span <= 2**31:
        raise OptionError(
            f"randint: expected low < high and at most 2**31 values, got low={low}, high={high}"
        )
    shape, kind = _shape(size), dt.dtype_of(dtype or dt.int64)
    if dt.is_integer(kind):
        least, most = np.iinfo(kind).min, np.iinfo(kind).max
        if low < least or high - 1 > most:
            raise DTypeError(
                f"randint: {kind} holds {least} … {most}, got low={low}, high={high}; choose "
                "another dtype"
            )
    # The high word of bits · span is uniform on 0 … span - 1.
    bits = g.cast(g.random_bits(next_key(generator), shape), dt.int64)
    scaled = g.div(g.mul(bits, _scalar(shape, span, dt.int64)), _scalar(shape, 2**32, dt.int64))
    result = g.add(scaled, _scalar(shape, low, dt.int64))
    return make(g.cast(result, kind))


def randperm(n: int, generator: Generator | None = None) -> Tensor:
    """0 … n-1 in random order, int64.

    >>> import chainrule as cr
    >>> cr.sort(cr.randperm(4))
    tensor([0, 1, 2, 3])
    """
    if n < 0:
        raise OptionError(f"randperm: n is not negative, got {n}")
    return make(g.cast(g.shuffle(g.iota((n,), 0, dt.uint32), next_key(generator), n), dt.int64))


def permutation(x: Any, generator: Generator | None = None) -> Tensor:
    """The rows of ``x`` in random order; for an integer n, 0 … n-1 in random order.

    >>> import chainrule as cr
    >>> _ = cr.manual_seed(0)
    >>> cr.permutation(5)
    tensor([3, 2, 4, 1, 0])
    """
    if isinstance(x, int):
        return randperm(x, generator)
    t = as_tensor(x)
    if t.ndim == 0:
        raise ShapeError("permutation: a scalar has no rows")
    return t[randperm(t.shape[0], generator)]


def bernoulli(p: Any, size: Any = None, generator: Generator | None = None) -> Tensor:
    """1 with probability ``p``, otherwise 0; shape ``size`` or that of p, dtype of p.

    Raises OptionError for a p that is no probability (compiled functions do not look).

    >>> import chainrule as cr
    >>> _ = cr.manual_seed(0)
    >>> cr.bernoulli(0.25, size=8)
    tensor([1., 0., 0., 0., 1., 0., 0., 1.])
    """
    _refuse_odd("bernoulli", p, lambda v: (v >= 0) & (v <= 1), "from 0 to 1")
    node, _ = float_node(p)
    shape = node.shape if size is None else _shape(size)
    drawn = g.lt(_uniform(next_key(generator), shape, node.dtype), g.expand(node, shape))
    return make(g.cast(drawn, node.dtype))


def multinomial(
    probs: Any, num_samples: int, replacement: bool = False, generator: Generator | None = None
) -> Tensor:
    """Drawn with probabilities proportional to ``probs`` (..., K), int64 (..., num_samples).

    Without replacement positions differ, which needs the values: not inside a compiled function.
    Raises OptionError for negative or infinite numbers, NaN, and rows of zeros (compiled functions
    do not look).
    """
    node, _ = float_node(probs)
    if node.ndim < 1 or node.shape[-1] == 0 or num_samples < 1:
        raise ShapeError(f"multinomial: probabilities of shape {node.shape}, {num_samples} samples")
    _refuse_odd("multinomial", probs, lambda p: np.isfinite(p) & (p >= 0), "finite and from 0 on")
    _refuse_odd("multinomial", probs, lambda p: p.any(-1), "above 0 somewhere in each row")
    # Gumbel (1954): argmax(ln p + G), with G = -ln(-ln u), is distributed as p.
    shape = (*node.shape[:-1], num_samples if replacement else 1, node.shape[-1])
    wide = g.broadcast(g.reshape(node, (*node.shape[:-1], 1, node.shape[-1])), shape)
    # (0, 1) without its ends, so that no Gumbel number is infinite.
    bits = g.cast(g.random_bits(next_key(generator), shape), dt.float64)
    u = g.mul(g.add(bits, _scalar(shape, 0.5, dt.float64)), _scalar(shape, 2.0**-32, dt.float64))
    gumbel = g.neg(g.log(g.neg(g.log(u))))
    score = g.add(g.log(g.cast(wide, dt.float64)), gumbel)
    if replacement:
        return make(g.argmax(score, len(shape) - 1))
    values = array_of(make(g.reshape(score, node.shape)))
    if num_samples > int(np.isfinite(values).sum(-1).min()):
        raise OptionError(
            f"multinomial: {num_samples} different positions, but fewer have a probability above 0;"
            " use replacement=True"
        )
    order = np.argsort(-values, -1, kind="stable")[..., :num_samples]
    return as_tensor(order)


def _refuse_odd(name: str, p: Any, fits: Callable[[Array], Any], what: str) -> None:
    """Raise OptionError for what is no probability, where the numbers are known."""
    values = known_values(as_tensor(p))
    if values is None:
        return
    odd = ~np.asarray(fits(values))
    if odd.any():
        at = tuple(int(i) for i in np.argwhere(odd)[0])
        where = f" at {at}" if at else ""
        raise OptionError(f"{name}: probabilities are {what}, got {values[at]}{where}")


def dropout_mask(
    shape: Shape, p: float, dtype: DType, generator: Generator | None = None
) -> Tensor:
    """0 with probability ``p``, otherwise 1/(1 - p): multiply by it to drop elements."""
    kept = g.le(_scalar(shape, p, dtype), _uniform(next_key(generator), shape, dtype))
    scale = 0.0 if p >= 1 else 1 / (1 - p)
    return make(g.where(kept, _scalar(shape, scale, dtype), _scalar(shape, 0, dtype)))


def exponential(
    scale: float = 1.0, size: Any = (), dtype: Any = None, generator: Generator | None = None
) -> Tensor:
    """Exponentially distributed with mean ``scale``."""
    shape, kind = _shape(size), dt.dtype_of(dtype or dt.default_float)
    drawn = g.neg(g.log(_positive_uniform(next_key(generator), shape, kind, 0)))
    return make(g.mul(drawn, _scalar(shape, scale, kind)))


def choice(
    x: Any, size: Any = (), replace: bool = True, generator: Generator | None = None
) -> Tensor:
    """Rows of ``x`` (0 … x-1 for an integer) drawn with equal probability.

    >>> import chainrule as cr
    >>> _ = cr.manual_seed(0)
    >>> cr.choice(10, size=4)
    tensor([1, 6, 4, 8])
    """
    n = x if isinstance(x, int) else as_tensor(x).shape[0]
    shape = _shape(size)
    count = math.prod(shape)
    if replace:
        index = randint(0, n, shape, generator=generator)
    elif count > n:
        raise OptionError(f"choice: {count} different rows of {n}; use replace=True")
    else:
        index = randperm(n, generator)[:count].reshape(shape)
    return index if isinstance(x, int) else as_tensor(x)[index]


def _new_lock() -> None:
    global _drawing
    _drawing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


Value.draws = {"normal": normal, "uniform": uniform}
