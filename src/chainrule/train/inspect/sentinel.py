"""Sentinel: finds where a loss became NaN or infinite, or an index was outside its axis.

That is the step, the operation and the rows.

The program sums the losses of an epoch, and a sum keeps NaN and infinity: looking at that one
number whenever the program returns to Python finds every bad step, at no cost inside the loop. Now
and then a copy of the state is kept; as a step is a function of the state, the steps since the copy
can be run again one by one, and the first bad one node by node with the interpreter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...core import graph as g
from ...core.node import Array
from ...errors import ChainruleError, OutOfRangeError
from ...runtime import realize as rt
from ..kept import Kept
from ..measure.meter import RECORD
from ..rows.dataset import Dataset
from ..step.steps import Steps, updated_tensors
from .replay import Replay

COST = 0.005
"""The share of the time that copies may take."""
MEMORY = 64 << 20
"""The bytes of copies that are kept between two fits, at most."""
NEAR = 64
"""How many batches are run again one by one, where it can be chosen."""


class NonFiniteLossError(ChainruleError, ArithmeticError):
    """The loss became NaN or infinite. The model is as before that step, where a copy was kept."""


Run = Callable[[int, int], None]
"""``run(batch, 1)`` runs one batch of an epoch; ``run(0, n)`` n epochs of one batch, natively."""


@dataclass
class Held:
    """A copy of the state before some batch, counted over all epochs of the fit."""

    batch: int
    step: int
    rows: float
    copy: Kept


class Sentinel:
    """Keeps copies, and explains."""

    def __init__(self, steps: Steps, data: Dataset, set_rates: Callable[[int], None]) -> None:
        """``set_rates`` is called where an epoch of the fit, by its number, is run again."""
        self.task, self.steps, self.data, self.set_rates = steps.task, steps, data, set_rates
        self.first_epoch = steps.task.epoch
        """The task's count of epochs where this fit began."""
        self.kept: Held | None = None
        self._cost, self._last = 0.0, -math.inf
        self._memory, steps.memory = steps.memory, {}

    def keep(self, batch: int) -> None:
        """Copy the state before ``batch``, unless that was done too short a time ago."""
        now = time.perf_counter()
        if now - self._last < self._cost / COST:
            return
        self._take_back()
        copy = Kept(updated_tensors(self.steps.training_traces()), self._memory)
        self.kept = Held(batch, self.task.step, self.steps.meter.rows, copy)
        self._last = time.perf_counter()
        self._cost = self._last - now

    def forget(self) -> None:
        """Something outside the program has changed the state: steps before cannot be run again."""
        self._take_back()
        self._last = min(self._last, time.perf_counter() - 0.75 * self._cost / COST)

    def leave(self) -> None:
        """The fit is over. The next one copies into the same memory, if that is little."""
        self._take_back()
        if sum(a.nbytes for a in self._memory.values()) <= MEMORY:
            self.steps.memory = self._memory

    def _take_back(self) -> None:
        """Take the memory of the copy there is for the next one."""
        if self.kept is not None:
            self._memory, self.kept = self.kept.copy.memory, None

    def explain(self, last: int, run: Run) -> NonFiniteLossError:
        """The error for a bad loss among the batches before ``last``."""
        kept, steps = self.kept, self.data.steps
        if kept is not None and not self.data.keyed:
            kept = self._nearer(kept, last, run)
        if kept is None:
            return NonFiniteLossError(
                f"the loss became {_word(self.steps.meter.total)} in epoch "
                f"{(last - 1) // steps + 1}, at step"
                f" {self.task.step} or before\n    {ADVICE}"
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
        lines = [f"{what} in {self._name(bad)}"]
        with Kept(kept.copy.tensors):  # dropout and running means move on
            try:
                lines += Replay(self.steps, self.data, rows).lines()
            except ChainruleError as error:
                lines.append(f"run again by itself, the step says: {error}")
        lines += [ADVICE, UNCHANGED]
        return NonFiniteLossError("\n    ".join(lines))

    def locate(self, error: OutOfRangeError, last: int, run: Run) -> OutOfRangeError:
        """``error`` of a native run, with the step and the row.

        The run ended with the batch before ``last``; the model goes back to before that step.
        """
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
        row = ""
        with Kept(kept.copy.tensors):
            try:
                Replay(self.steps, self.data, rows)
            except OutOfRangeError as found:
                if found.place is not None and found.place[1][:1] == rows.shape:
                    row = f", for row {rows[found.place[0][0]]} of the data"
            except ChainruleError:
                pass
        lines = str(error).split("\n    found when ")[0]
        located = OutOfRangeError(f"{lines}\n    in {self._name(bad)}{row}\n    {UNCHANGED}")
        located.after_run = True
        return located

    def _name(self, bad: int) -> str:
        steps = self.data.steps
        place = f"(epoch {bad // steps + 1}, batch {bad % steps + 1} of {steps})"
        return f"step {self.task.step + 1} {place}"

    def _replayer(self, kept: Held, run: Run) -> Callable[[int], None]:
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
        if self.data.keyed:
            self.steps.cursor.start(self.task.seed, self.first_epoch + epoch)

    def _before(self, bad: int, kept: Held, replay: Callable[[int], None]) -> Array:
        """Bring everything to where batch ``bad`` begins; returns its rows."""
        steps = self.data.steps
        self._restore(kept)
        for batch in range(kept.batch, bad):
            replay(batch)
        self.task.step = kept.step + bad - kept.batch
        if bad % steps == 0:
            self._begin(bad // steps)
        return self._rows(bad % steps)

    def _nearer(self, kept: Held, last: int, run: Run) -> Held:
        """A copy after which all is well, at most `NEAR` epochs of one batch before the bad one."""
        while last - kept.batch > NEAR:
            n = min((last - kept.batch) // 2, RECORD)
            self._restore(kept)
            self.steps.meter.reset()
            run(0, n)
            if math.isfinite(self.steps.meter.total) and not self._bad_parameters():
                kept = Held(kept.batch + n, kept.step + n, kept.rows, Kept(kept.copy.tensors))
            else:
                last = kept.batch + n
        self.steps.meter.reset()
        return kept

    def _first_bad(self, kept: Held, last: int, replay: Callable[[int], None]) -> int:
        """The first batch whose loss, or after which a parameter, is not finite."""
        self._restore(kept)
        for batch in range(kept.batch, last):
            replay(batch)
            if not math.isfinite(self.steps.meter.total) or self._bad_parameters():
                return batch
        return max(last - 1, kept.batch)

    def _bad_parameters(self) -> bool:
        with np.errstate(all="ignore"):
            return not all(np.isfinite(p._read().sum(dtype=np.float64)) for p in self.task.trained)

    def _restore(self, kept: Held) -> None:
        self._begin(kept.batch // self.data.steps)
        kept.copy.put_back()
        self.task.step, self.steps.meter.rows = kept.step, kept.rows
        if self.data.keyed:
            epoch = self.first_epoch + kept.batch // self.data.steps
            self.steps.cursor.arrange(self.task.seed, epoch)

    def _rows(self, batch: int) -> Array:
        """The rows of the data that a batch has; the cursor stands before it."""
        data, cursor = self.data, self.steps.cursor
        count = data.kind(batch).rows
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
