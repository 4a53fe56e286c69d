"""Sentinel: finds the step, the operation and the rows where a loss became NaN or infinite, or
where an index was outside its axis.

The program sums the losses of an epoch, and a sum keeps NaN and infinity: looking at that one
number whenever the program returns to Python finds every bad step, at no cost inside the loop. Now
and then a copy of the state is kept; as a step is a function of the state, the steps since the copy
can be run again one by one, and the first bad one node by node with the interpreter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autodiff.reverse import gradients
from ..core import graph as g
from ..core.interpret import evaluate_node
from ..core.node import Array, Node, reachable, source_of
from ..errors import ChainruleError, OutOfRangeError
from ..nn.module import Module
from ..nn.trail import headline
from ..runtime import realize as rt
from ..tensor.value import Value, stored, use
from .dataset import Dataset
from .meter import RECORD
from .steps import Steps, updated_tensors

if TYPE_CHECKING:
    from .trainer import Trainer

COST = 0.005
"""The share of the time that copies may take."""
MEMORY = 64 << 20
"""The bytes of copies that are kept between two fits, at most."""
NEAR = 64
"""How many batches are run again one by one, where it can be chosen."""


class NonFiniteLossError(ChainruleError, ArithmeticError):
    """The loss became NaN or infinite. The model is as it was before that step, where a copy was
    kept."""


Run = Callable[[int, int], None]
"""``run(batch, 1)`` runs one batch of an epoch; ``run(0, n)`` n epochs of one batch, natively."""


@dataclass
class Kept:
    """A copy of the state before some batch, counted over all epochs of the fit."""

    batch: int
    step: int
    rows: float
    arrays: list[tuple[Value, Array]]


class Sentinel:
    """Keeps copies, and explains."""

    def __init__(
        self,
        trainer: Trainer,
        steps: Steps,
        data: Dataset,
        first_epoch: int,
        set_rates: Callable[[int], None],
    ) -> None:
        """``first_epoch``: the trainer's count of epochs where this fit began. ``set_rates`` is
        called where an epoch of the fit, by its number, is run again."""
        self.trainer, self.steps, self.data, self.first_epoch = trainer, steps, data, first_epoch
        self.set_rates = set_rates
        self.kept: Kept | None = None
        self._cost, self._last = 0.0, -math.inf
        self._memory, steps.memory = steps.memory, {}

    def keep(self, batch: int) -> None:
        """Copy the state before ``batch``, unless that was done too short a time ago."""
        now = time.perf_counter()
        if now - self._last < self._cost / COST:
            return
        self._take_back()
        tensors = updated_tensors(self.steps.training_traces())
        arrays = [(t, self._copy(t)) for t in tensors]
        self.kept = Kept(batch, self.trainer.step, self.steps.meter.rows, arrays)
        self._last = time.perf_counter()
        self._cost = self._last - now

    def forget(self) -> None:
        """Something outside the program has changed the state: steps before cannot be run again."""
        self._take_back()
        self._last = min(self._last, time.perf_counter() - 0.75 * self._cost / COST)

    def leave(self) -> None:
        """The fit is over. The next one copies into the same memory, if that is little: fresh pages
        take longer than the numbers."""
        self._take_back()
        if sum(a.nbytes for a in self._memory.values()) <= MEMORY:
            self.steps.memory = self._memory

    def _take_back(self) -> None:
        """Take the memory of the copy there is for the next one."""
        if self.kept is not None:
            self._memory = {id(t): a for t, a in self.kept.arrays}
            self.kept = None

    def _copy(self, tensor: Value) -> Array:
        now = tensor._read()
        memory = self._memory.pop(id(tensor), None)
        if memory is None or (memory.shape, memory.dtype) != (now.shape, now.dtype):
            return now.copy()
        np.copyto(memory, now)
        return memory

    def explain(self, last: int, run: Run) -> NonFiniteLossError:
        """The error for a bad loss among the batches before ``last``."""
        kept, steps = self.kept, self.data.steps
        if kept is not None and steps == 1:
            kept = self._nearer(kept, last, run)
        if kept is None:
            return NonFiniteLossError(
                f"the loss became {_word(self.steps.meter.total)} in epoch "
                f"{(last - 1) // steps + 1}, at step"
                f" {self.trainer.step} or before\n    {ADVICE}"
            )
        replay = self._replayer(kept, run)
        bad = self._first_bad(kept, last, replay)
        word = _word(self.steps.meter.total)
        what = (
            f"the loss became {word}"
            if not math.isfinite(self.steps.meter.total)
            else "weights became NaN or infinite"
        )
        rows = self._before(bad, kept, replay)
        here = [(t, t._read().copy()) for t, _ in kept.arrays]
        lines = [f"{what} in {self._name(bad)}"]
        try:
            lines += Replay(self.trainer, self.steps, self.data, rows).lines()
        except ChainruleError as error:
            lines.append(f"run again by itself, the step says: {error}")
        self._put_back(here)
        lines += [ADVICE, UNCHANGED]
        return NonFiniteLossError("\n    ".join(lines))

    def locate(self, error: OutOfRangeError, last: int, run: Run) -> OutOfRangeError:
        """``error``, which came after a native run that ended with the batch before ``last``, with
        the step and the row; the model is brought back to before that step."""
        kept = self.kept
        if kept is None:
            return error
        replay = self._replayer(kept, run)
        self._restore(kept)
        for bad in range(kept.batch, last):
            try:
                replay(bad)
            except OutOfRangeError:
                break
        else:
            return error
        rows = self._before(bad, kept, replay)
        here = [(t, t._read().copy()) for t, _ in kept.arrays]
        row = ""
        try:
            Replay(self.trainer, self.steps, self.data, rows)
        except OutOfRangeError as found:
            if found.place is not None and found.place[1][:1] == rows.shape:
                row = f", for row {rows[found.place[0][0]]} of the data"
        except ChainruleError:
            pass
        self._put_back(here)
        lines = str(error).split("\n    found when ")[0]
        located = OutOfRangeError(f"{lines}\n    in {self._name(bad)}{row}\n    {UNCHANGED}")
        located.after_run = True
        return located

    def _name(self, bad: int) -> str:
        steps = self.data.steps
        place = f"(epoch {bad // steps + 1}, batch {bad % steps + 1} of {steps})"
        return f"step {self.trainer.step + 1} {place}"

    def _replayer(self, kept: Kept, run: Run) -> Callable[[int], None]:
        """Runs one batch, counted over all epochs, again."""
        steps = self.data.steps

        def replay(batch: int) -> None:
            if batch % steps == 0 and batch > kept.batch:
                self.steps.meter.reset()
                self._begin(batch // steps)
            run(batch % steps, 1)

        return replay

    def _begin(self, epoch: int) -> None:
        """Order and rates of an epoch of the fit."""
        self.set_rates(epoch)
        if self.data.steps > 1:
            self.steps.cursor.start(self.trainer.seed, self.first_epoch + epoch)

    def _before(self, bad: int, kept: Kept, replay: Callable[[int], None]) -> Array:
        """Bring everything to where batch ``bad`` begins; returns its rows."""
        steps = self.data.steps
        self._restore(kept)
        for batch in range(kept.batch, bad):
            replay(batch)
        self.trainer.step = kept.step + bad - kept.batch
        if bad % steps == 0:
            self._begin(bad // steps)
        return self._rows(bad % steps)

    @staticmethod
    def _put_back(arrays: list[tuple[Value, Array]]) -> None:
        """After a look with the interpreter: dropout and running means have moved on."""
        for tensor, array in arrays:
            np.copyto(tensor._storage_for_update(), array)

    def _nearer(self, kept: Kept, last: int, run: Run) -> Kept:
        """Of epochs of one batch: a copy that all is well after, at most `NEAR` of them before the
        first bad one."""
        while last - kept.batch > NEAR:
            n = min((last - kept.batch) // 2, RECORD)
            self._restore(kept)
            self.steps.meter.reset()
            run(0, n)
            if math.isfinite(self.steps.meter.total) and not self._bad_parameters():
                arrays = [(t, t._read().copy()) for t, _ in kept.arrays]
                kept = Kept(kept.batch + n, kept.step + n, kept.rows, arrays)
            else:
                last = kept.batch + n
        self.steps.meter.reset()
        return kept

    def _first_bad(self, kept: Kept, last: int, replay: Callable[[int], None]) -> int:
        """The first batch whose loss, or after which a parameter, is not finite."""
        self._restore(kept)
        for batch in range(kept.batch, last):
            replay(batch)
            if not math.isfinite(self.steps.meter.total) or self._bad_parameters():
                return batch
        return max(last - 1, kept.batch)

    def _bad_parameters(self) -> bool:
        with np.errstate(all="ignore"):
            return not all(
                np.isfinite(p._read().sum(dtype=np.float64)) for p in self.trainer.trained
            )

    def _restore(self, kept: Kept) -> None:
        self._begin(kept.batch // self.data.steps)
        for tensor, array in kept.arrays:
            np.copyto(tensor._storage_for_update(), array)
        self.trainer.step, self.steps.meter.rows = kept.step, kept.rows
        if self.data.steps > 1:
            epoch = self.first_epoch + kept.batch // self.data.steps
            self.steps.cursor.arrange(self.trainer.seed, epoch)

    def _rows(self, batch: int) -> Array:
        """The rows of the data that a batch has; the cursor stands before it."""
        data, cursor = self.data, self.steps.cursor
        count = data.batch_rows(batch)
        if count == data.rows:
            return np.arange(data.rows)
        start = int(cursor.position.item())
        index = g.add(
            g.full((count,), start, np.dtype(np.uint32)), g.iota((count,), 0, np.dtype(np.uint32))
        )
        if data.by_length is not None:
            index = g.gather(data.by_length.rows.node, index)
        elif data.shuffle:
            index = g.shuffle(index, g.constant(cursor.order._read()), data.rows)
        return rt.realize([index])[0].astype(np.int64)


UNCHANGED = "The model is as it was before this step."
ADVICE = (
    "Often helps: a lower learning rate, clip_norm=1.0, inputs scaled to about -1 to 1, an eps "
    "where something is"
    " divided or its logarithm taken"
)


def _word(value: float) -> str:
    return "NaN" if value != value else "infinite"


class Replay:
    """One step with the interpreter, looking for where it goes wrong."""

    def __init__(self, trainer: Trainer, steps: Steps, data: Dataset, rows: Array) -> None:
        self.trainer, self.rows = trainer, rows
        self.spans: list[tuple[int, int, Module, str]] = []
        self.values: dict[Node, Array] = {}
        x = tuple(stored(np.ascontiguousarray(a[rows])) for a in data.x.arrays)
        assert data.y is not None
        y = tuple(stored(np.ascontiguousarray(a[rows])) for a in data.y.arrays)
        weight = (
            stored(np.ascontiguousarray(data.weights[rows])) if data.weights is not None else None
        )
        inputs = data.x.build(steps._floats(x, data.to_float))
        with self._watched():
            loss, _, _ = trainer._loss_of_step(
                inputs, data.y.build(y), len(rows), weight, data.y.padded
            )
        self.loss = use(loss)
        self.params = [p for p in trainer.trained]
        self.grads = gradients([self.loss], [g.ones_like(self.loss)], [p.node for p in self.params])

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note which nodes are made while which module runs."""
        handles: list[Any] = []
        open_: list[int] = []
        named = list(self.trainer.model.named_modules())
        named += [("loss", m) for m in self.trainer._modules[1:]]
        for name, module in named:

            def enter(m: Module, args: Any) -> None:
                open_.append(g.input((), np.dtype(np.float32)).id)

            def leave(m: Module, args: Any, out: Any, name: str = name) -> None:
                self.spans.append((open_.pop(), g.input((), np.dtype(np.float32)).id, m, name))

            handles += [
                module.register_forward_pre_hook(enter),
                module.register_forward_hook(leave),
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def lines(self) -> list[str]:
        """What was found, for a message."""
        roots = [self.loss, *(n for n in self.grads if n is not None)]
        with np.errstate(all="ignore"):
            for node in reachable(roots):
                known = rt.values.get(node)
                self.values[node] = (
                    known
                    if known is not None
                    else evaluate_node(node, *(self.values[i] for i in node.inputs))
                )
        if not self._finite(self.loss):
            return self._described(self._origin(self.loss), "it begins")
        for p, gradient in zip(self.params, self.grads, strict=True):
            if gradient is not None and not self._finite(gradient):
                name = self.trainer.name_of(p)
                found = self._described(self._origin(gradient), "it begins")
                return [f"the loss is still finite, the gradient of {name} is not:", *found]
        return self._overflow()

    def _overflow(self) -> list[str]:
        sizes = [
            (float(np.abs(self.values[n]).max()), self.trainer.name_of(p))
            for p, n in zip(self.params, self.grads, strict=True)
            if n is not None and n.size
        ]
        largest = max(sizes, default=(0.0, "none"))
        return [
            "loss and gradients of this step are finite when computed one by one; the update, or "
            "rounding, overflows."
            f" The largest gradient is {largest[0]:.3g}, of {largest[1]}"
        ]

    def _finite(self, node: Node) -> bool:
        array = self.values[node]
        return array.dtype.kind != "f" or bool(np.isfinite(array).all())

    def _origin(self, node: Node) -> Node:
        """Back along what is not finite (NaN before infinity) to where all inputs are finite."""
        while True:
            wrong = [i for i in node.inputs if not self._finite(i)]
            if not wrong:
                return node
            nan = [i for i in wrong if np.isnan(self.values[i]).any()]
            node = (nan or wrong)[0]

    def _described(self, node: Node, verb: str) -> list[str]:
        array = self.values[node]
        if node.op == "input":
            for p in self.params:
                if p.node is node:
                    return [
                        f"{verb} in the parameter {self.trainer.name_of(p)}, which is not finite "
                        "before this step"
                    ]
            return [f"{verb} in an array that is not finite before this step"]
        module = self._module(node)
        source = source_of(node)
        line = f", line {source[0].rsplit('/', 1)[-1]}:{source[1]}" if source else ""
        lines = [f"{verb} in the operation {node.op}{f' in {module}' if module else ''}{line}"]
        bad = ~np.isfinite(array)
        kind = "NaN" if np.isnan(array).any() else "infinite"
        rows = ""
        if array.ndim and array.shape[0] == len(self.rows):
            which = self.rows[np.flatnonzero(bad.reshape(len(bad), -1).any(1))]
            more = f" and {len(which) - 5} more" if len(which) > 5 else ""
            rows = (
                f", for {'row' if len(which) == 1 else 'rows'} "
                f"{', '.join(map(str, which[:5]))}{more} of the data"
            )
        shape = f"{array.dtype}{list(array.shape)}"
        lines.append(
            f"its result {shape} is {kind} in {int(bad.sum())} of {array.size} elements{rows}"
        )
        for i, source_node in enumerate(node.inputs):
            a = self.values[source_node]
            if a.size:
                lines.append(
                    f"operand {i + 1} {a.dtype}{list(a.shape)} is from {a.min():.6g} to "
                    f"{a.max():.6g}"
                )
        return lines

    def _module(self, node: Node) -> str:
        """The innermost module that ran when the node was made."""
        inside = [
            (end - start, m, name) for start, end, m, name in self.spans if start < node.id < end
        ]
        if not inside:
            return ""
        _, module, name = min(inside, key=lambda s: s[0])
        parts = (
            "".join(f"[{p}]" if p.isdigit() else f".{p}" for p in name.split(".")) if name else ""
        )
        if module in self.trainer._modules[1:]:
            return f"the loss {headline(module)}"
        return f"{headline(module)} `model{parts}` ({module._made_at})"
