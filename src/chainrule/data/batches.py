"""Batches: minibatches drawn by a program itself, so that a whole loop of steps is one native run.

Where a pass over the rows is (epoch, position) is state of the program. Row i of an epoch is
shuffle(i), a permutation that is a function of (seed, epoch) and needs no table; random numbers of
an augmentation are functions of (seed, epoch, row). So any step can be repeated, whatever the
number of threads, and however the rows are dealt out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core import graph as g
from ..core.counter_random import philox
from ..core.node import Array, Node
from ..errors import CompileError, DataError, OptionError
from ..tensor.capture import active
from ..tensor.ops.random import drawing_from
from ..tensor.tensor import Tensor
from ..tensor.transform import vmap
from ..tensor.value import array_of, make, stored
from .corpus import TextCorpus, windows_of

Augment = Callable[..., Any]


class Batches:
    """Minibatches of the rows of ``x`` (N, ...) and ``y``: ``x, y = batches.next()``.

    At once, or inside any compiled step, where each step draws the next one.

    ``x`` and ``y`` are arrays or tuples of arrays (y may be left out); floats are kept in ``dtype``
    (the default float type if None), integers as they are: uint8 images stay uint8 in memory, and
    ``x.float()`` in the step converts the batch. Each epoch takes every row exactly once, in
    another order if ``shuffle``; a batch that is not full at its end goes on with rows of the next
    one, or is dropped if ``drop_last``. ``augment``: a function of one example, ``x`` or ``x, y``,
    to the same, or several; what it draws (`cr.rand`, ...) is a function of (seed, epoch, row).
    ``rank``, ``of``: this process draws its part of batches of ``of`` times ``batch_size`` rows.

    Raises DataError for arrays of unequal length or without rows, NaN, fewer rows than a batch.

    >>> import chainrule as cr
    >>> from chainrule.data import Batches
    >>> batches = Batches([[1.0], [2.0], [3.0], [4.0]], [1, 2, 3, 4], batch_size=2, seed=0)
    >>> @cr.compile
    ... def step():
    ...     x, y = batches.next()
    ...     return x.sum(), y
    >>> step(), step()
    ((tensor(6.), tensor([2, 4])), (tensor(4.), tensor([3, 1])))
    >>> batches.epoch, batches.position
    (1, 0)
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        *,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        augment: Augment | Sequence[Augment] = (),
        rank: int = 0,
        of: int = 1,
        dtype: Any = None,
    ) -> None:
        kind = dt.dtype_of(dtype or dt.default_float)
        self.x, self._single_x = _tensors("x", x, kind)
        self.y, self._single_y = ((), True) if y is None else _tensors("y", y, kind)
        lengths = {t.shape[0] for t in (*self.x, *self.y)}
        if len(lengths) > 1:
            shown = ", ".join(str(t.shape[0]) for t in (*self.x, *self.y))
            raise DataError(f"Batches: the arrays have {shown} rows; they must be equal")
        self._start(lengths.pop(), batch_size, shuffle, seed, drop_last, augment, rank, of)

    def _start(
        self,
        rows: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        drop_last: bool,
        augment: Augment | Sequence[Augment],
        rank: int,
        of: int,
    ) -> None:
        for name, value, low in (("batch_size", batch_size, 1), ("of", of, 1), ("rank", rank, 0)):
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low:
                raise OptionError(f"Batches: {name} is an integer from {low} on, got {value!r}")
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
            raise OptionError(f"Batches: seed is an integer, got {seed!r}")
        if rank >= of:
            raise OptionError(f"Batches: rank {rank} of {of}; ranks are 0 ... {of - 1}")
        if rows > np.iinfo(np.int32).max:
            raise DataError(f"Batches: {rows:,} rows; at most {np.iinfo(np.int32).max:,}")
        if batch_size * of > rows:
            times = f" times of={of}" if of > 1 else ""
            raise DataError(
                f"Batches: batch_size={batch_size}{times} is more than the {rows} rows there are; "
                f"at most batch_size={rows // of} gives a batch"
            )
        self.rows, self.batch_size, self.shuffle = rows, int(batch_size), bool(shuffle)
        self.seed, self.drop_last, self.rank, self.of = int(seed), bool(drop_last), rank, of
        listed = [augment] if callable(augment) else list(augment)
        self.augment = tuple(listed)
        self._epoch = stored(np.zeros((), np.uint32))
        self._position = stored(np.zeros((), np.uint32))
        self._order = stored(np.zeros(2, np.uint32))  # the key of this epoch's order
        self._following = stored(np.zeros(2, np.uint32))  # of the next one's
        self.seek()

    @property
    def augmentation(self) -> Augmentation:
        """What is done to each example."""
        return Augmentation(self.augment, self._single_x, self._single_y)

    # -- where it is -------------------------------------------------------------------------------
    @property
    def epoch(self) -> int:
        """How many epochs are over."""
        return int(self._epoch)

    @property
    def position(self) -> int:
        """How many rows of this epoch are drawn."""
        return int(self._position)

    def seek(self, epoch: int = 0, position: int = 0) -> None:
        """Go on from the row ``position`` of an epoch: the same rows, in the same order, follow."""
        if epoch < 0 or not 0 <= position < self._usable:
            raise OptionError(
                f"seek: an epoch from 0 on and a position from 0 to {self._usable - 1} are "
                f"expected, got {epoch}, {position}"
            )
        found = np.uint32(epoch), np.uint32(position), self._key(epoch), self._key(epoch + 1)
        state = self._epoch, self._position, self._order, self._following
        for tensor, value in zip(state, found, strict=True):
            tensor.assign(stored(np.array(value, np.uint32)))

    def state_dict(self) -> dict[str, int]:
        """Where it is, for `load_state_dict`."""
        return {
            "seed": self.seed,
            "rows": self.rows,
            "epoch": self.epoch,
            "position": self.position,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called. Raises OptionError if rows or seed are others."""
        for name, own in (("seed", self.seed), ("rows", self.rows)):
            if state[name] != own:
                raise OptionError(
                    f"Batches: {name} is {own}, the state was made with {state[name]}"
                )
        self.seek(int(state["epoch"]), int(state["position"]))

    def __len__(self) -> int:
        """The batches of an epoch, the last one perhaps shared with the next."""
        return -(-self._usable // (self.batch_size * self.of))

    def _words(self) -> tuple[np.uint32, np.uint32]:
        return np.uint32(self.seed & 0xFFFFFFFF), np.uint32(self.seed >> 32 & 0xFFFFFFFF)

    def _key(self, epoch: int) -> Array:
        """The key of an epoch: a function of the seed and its number."""
        return np.array(philox(np.uint32(epoch), *self._words()), np.uint32)

    @property
    def _usable(self) -> int:
        together = self.batch_size * self.of
        return self.rows - self.rows % together if self.drop_last else self.rows

    # -- batches -----------------------------------------------------------------------------------
    def next(self) -> Any:
        """The next batch: ``(x, y)``, or ``x`` if there is no y."""
        return self._batch(*self._advance())

    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch, from where it is to its end; the last one may be smaller."""
        if active.capture is not None:
            raise CompileError(
                "Batches: a compiled step draws one batch: write x, y = batches.next() in it, and "
                "repeat the step: step.repeat(n)"
            )
        if self.of > 1:
            raise OptionError("Batches: an epoch of several ranks is drawn with next()")
        start = self.epoch
        while self.epoch == start:
            count = min(self.batch_size, self._usable - self.position)
            index = np.arange(self.position, self.position + count, dtype=np.uint32)
            if self.position + count == self._usable:
                self.seek(start + 1)
            else:
                self.seek(start, self.position + count)
            yield self._batch(g.constant(index), g.constant(self._key(start)))

    def _advance(self) -> tuple[Node, Node, Node | None]:
        """Positions of the next rows in their epoch (B,), and the key of its order.

        Where there is one, also the key of the epoch of those that are beyond its end.

        What comes next is worked out beside the step, which reads keys that are there already.
        """
        b, n, together = self.batch_size, self._usable, self.batch_size * self.of
        here, epoch = self._position.node, self._epoch.node
        order, following = self._order.node, self._following.node
        end, after = g.full((), n, dt.uint32), g.add(here, g.full((), together, dt.uint32))
        over = g.le(end, after)
        two = g.expand(over, (2,))
        new = g.fold_in(g.constant(np.array(self._words())), g.add(epoch, g.full((), 2, dt.uint32)))
        self._position.assign(make(g.where(over, g.sub(after, end), after)))
        self._epoch.assign(make(g.add(epoch, g.cast(over, dt.uint32))))
        self._order.assign(make(g.where(two, following, order)))
        self._following.assign(make(g.where(two, new, following)))
        place = g.iota((b,), 0, dt.uint32)
        if n == b:  # always at the first row of an epoch
            return place, order, None
        first = g.add(here, g.full((), self.rank * b, dt.uint32)) if self.rank else here
        return g.add(g.expand(first, (b,)), place), order, following if n % together else None

    def _batch(self, index: Node, order: Node, following: Node | None = None) -> Any:
        keys = order
        if following is not None:
            end = g.full(index.shape, self._usable, dt.uint32)
            beyond, later = g.le(end, index), g.sub(index, end)
            rows = g.where(beyond, self._rows(later, following), self._rows(index, order))
            wide = (*index.shape, 2)
            keys = g.where(
                g.broadcast(g.reshape(beyond, (*index.shape, 1)), wide),
                g.expand(following, wide),
                g.expand(order, wide),
            )
        else:
            rows = self._rows(index, order)
        x, y = self._read(rows)
        if self.augment:
            x, y = self.augmentation(keys, rows, x, y)
        inputs = x[0] if self._single_x else tuple(x)
        if not y:
            return inputs
        return inputs, y[0] if self._single_y else tuple(y)

    def _rows(self, index: Node, order: Node) -> Node:
        return g.shuffle(index, order, self.rows) if self.shuffle else index

    def _read(self, rows: Node) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        if rows.op == "iota" and rows.shape == (self.rows,):  # all of them, in their order
            return self.x, self.y
        taken = [[make(g.gather(t.node, rows)) for t in part] for part in (self.x, self.y)]
        return taken[0], taken[1]


@dataclass(frozen=True)
class Augmentation:
    """Functions of one example, each with random numbers of its own.

    They are a function of (the key of the epoch's order, the row). ``single_x``, ``single_y``: one
    array, not a tuple of them.
    """

    functions: tuple[Augment, ...]
    single_x: bool
    single_y: bool

    def __call__(
        self, order: Node, rows: Node, x: Sequence[Tensor], y: Sequence[Tensor]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The examples at ``rows``, of which ``order`` is the key, or one for each."""
        keys = make(g.fold_in(g.expand(order, (*rows.shape, 2)), rows))

        def one(key: Tensor, xs: Any, ys: Any, others: Any) -> Any:
            with drawing_from(key):
                for f in self.functions:
                    xs, ys = self._through(f, xs, ys, others)
            return list(xs), list(ys)

        partners = [[t.flip(0) for t in part] for part in (x, y)]  # see `RandomMixup`
        found: tuple[Sequence[Tensor], Sequence[Tensor]] = vmap(one)(
            keys, list(x), list(y), partners
        )
        return found

    def _through(self, f: Augment, xs: Any, ys: Any, others: Any) -> tuple[Any, Any]:
        x = xs[0] if self.single_x else tuple(xs)
        y = ys[0] if ys and self.single_y else tuple(ys)
        if getattr(f, "mixes", False):
            new = f(x, y, others[0][0], others[1][0] if others[1] else None)
        elif _takes_two(f):
            if not ys:
                raise OptionError(f"Batches: {_name(f)} takes x and y, and there is no y")
            new = f(x, y)
        else:
            new = (f(x), y)
        if not isinstance(new, tuple) or len(new) != 2:
            raise OptionError(f"Batches: {_name(f)}(x, y) must return x and y")
        new_x, new_y = new
        return (
            [new_x] if self.single_x else list(new_x),
            ([new_y] if self.single_y else list(new_y)) if ys else [],
        )


class TextBatches(Batches):
    """Windows of a text, a minibatch of them at a time: ``x, y = batches.next()``.

    Both int64 (batch_size, length), y one token later.

    ``tokens``: a `TextCorpus`, or integers (N,); the windows begin ``stride`` tokens apart, and
    each is a row of the epoch. The tokens lie in memory once. Other options as for `Batches`.
    Raises DataError if the text has no more than ``length`` tokens.

    >>> from chainrule.data import TextBatches
    >>> TextBatches([3, 1, 4, 1, 5, 9], length=4, batch_size=2, shuffle=False).next()
    (tensor([[3, 1, 4, 1],
            [1, 4, 1, 5]]), tensor([[1, 4, 1, 5],
            [4, 1, 5, 9]]))
    """

    def __init__(
        self,
        tokens: Any,
        length: int,
        batch_size: int = 32,
        *,
        stride: int = 1,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        of: int = 1,
    ) -> None:
        name = tokens.name if isinstance(tokens, TextCorpus) else "tokens"
        array = tokens.tokens if isinstance(tokens, TextCorpus) else array_of(tokens)
        if array.dtype.kind not in "iu":
            raise DataError(f"TextBatches: {name} are {array.dtype}; integers (N,) are expected")
        count = len(windows_of(array, length, stride, name).x)
        self.tokens = stored(_own(array))
        self.length, self.stride = length, stride
        self._single_x = self._single_y = True
        self._start(count, batch_size, shuffle, seed, drop_last, (), rank, of)

    def _read(self, rows: Node) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        shape = (rows.shape[0], self.length)
        start = g.mul(rows, g.full(rows.shape, self.stride, dt.uint32))
        place = g.add(g.expand(start, shape[::-1]), g.iota(shape[::-1], 0, dt.uint32))
        place = g.permute(place, (1, 0))
        after = g.add(place, g.full(shape, 1, dt.uint32))
        x, y = (g.cast(g.gather(self.tokens.node, i), dt.int64) for i in (place, after))
        return [make(x)], [make(y)]


def _tensors(name: str, data: Any, kind: dt.DType) -> tuple[tuple[Tensor, ...], bool]:
    """Arrays as tensors, floats in ``kind``; and whether it was one array."""
    single = not isinstance(data, tuple)
    found = []
    for i, part in enumerate([data] if single else data):
        what = f"Batches: {name}" if single else f"Batches: {name}[{i}]"
        array = array_of(part)
        if array.ndim == 0 or array.shape[0] == 0:
            raise DataError(f"{what} has no rows (shape {array.shape})")
        if array.dtype.kind == "f":
            array = array.astype(kind, copy=False)
            if not np.isfinite(array.sum(dtype=np.float64)):
                bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
                if bad.any():
                    raise DataError(
                        f"{what} has NaN or infinite values in {int(bad.sum())} rows, first in row "
                        f"{int(bad.argmax())}; drop these rows, or fill in what is missing"
                    )
        found.append(stored(_own(array)))
    if not found:
        raise DataError(f"Batches: {name} is an empty tuple; give at least one array")
    return tuple(found), single


def _own(array: Array) -> Array:
    """``array`` for reading only: its numbers, not copied where they lie in order."""
    array = np.ascontiguousarray(array).view()
    array.setflags(write=False)
    return array


def _takes_two(f: Augment) -> bool:
    """Whether ``f`` is a function of x and y."""
    both = getattr(f, "both", None)
    if both is not None:
        return bool(both)
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD]
    return len(needed) == 2


def _name(f: Augment) -> str:
    return getattr(f, "__name__", type(f).__name__)
