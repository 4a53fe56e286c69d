"""SeedEpochs: whole epochs of the nets of many seeds, in one native run for each group of them.

What an epoch is made of is as for one net (`step.epochs`); the numbers of a group are rows of a
`Stack`. What a group leaves in the meters after each epoch is recorded, and the state of its nets
where early stopping may go back to it.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from ...backends import base
from ...core.node import Array
from ...runtime.program import rounds
from ...tensor.value import Value
from ..measure.meter import Meter
from ..run import CHUNK_SECONDS, Plan
from ..step.cursor import Cursor, order_keys
from ..step.epochs import MOST, Columns
from .mapped import Noted
from .nets import Nets
from .passes import Turn
from .records import Record

RECORD_BYTES = 1 << 24
"""What the records of one run may take."""

Look = Callable[[float], object]
"""Is called where a long epoch may be left, with the share of it that is done."""


class SeedEpochs:
    """The epochs of one `fit`.

    ``kept``: the state of which there shall be a copy after each epoch.
    """

    def __init__(
        self, nets: Nets, plan: Plan, turns: Sequence[Turn], kept: Sequence[Value] = ()
    ) -> None:
        self.nets, self.stack, self.plan = nets, nets.stack, plan
        steps, stack = nets.one._steps, nets.stack
        self.cursors = steps.cursor, steps.eval_cursor
        self._order = steps.cursor.order
        self._passes = [_Pass(steps.meter, steps.cursor, turns, "", plan.data.taken)]
        if plan.validation is not None:
            with nets.one._mode(False):
                measured = nets.passes.evaluation(plan.validation)
            rows = plan.validation.rows
            self._passes.append(_Pass(steps.eval_meter, steps.eval_cursor, measured, "val_", rows))
        task = nets.one
        rates = nets.rates.tensors if nets.rates is not None and task.epochly else []
        groups = task.optimizer.param_groups
        shown = [groups[0]._tensors["lr"]] if task.schedulers else []
        recorded = [*rates, *shown, *kept, *(t for p in self._passes for t in p.changed.values())]
        bytes_ = (
            sum(math.prod(t.shape) * t.dtype.itemsize for t in recorded)
            * stack.group
            * stack.groups
        )
        self.most = max(RECORD_BYTES // max(bytes_, 1), 1)
        plain = not (kept or shown or plan.data.keyed or plan.validation or plan.data.steps > 1)
        self.noted: Noted | None = None
        if plain and len(turns) == 1:  # the steps are the epochs
            self.noted = nets.passes.noted(turns[0][0], steps.meter, self.most)
        else:
            self.most = min(self.most, MOST)
        self._kept = {id(t): (t, Record(stack, t, self.most)) for t in kept}
        self.keeps = bool(kept)
        self._rates = [(t, Record(stack, t, self.most)) for t in rates]
        self._shown = [(t, Record(stack, t, self.most)) for t in shown]
        self._orders = Record(stack, self._order, self.most)
        for one in self._passes:
            one.records = {k: Record(stack, t, self.most) for k, t in one.changed.items()}
        self._parts: dict[int, list[base.Run | base.Copy]] = {}
        self._rounds: dict[int, base.Rounds] = {}
        self._positions: list[Array] = []
        self._per_step: dict[int, float] = {}  # seconds, by the program
        self.per_group = 0.0  # seconds of an epoch of a group
        self.key = tuple((mapped, n) for p in self._passes for mapped, _, n in p.turns)

    # -- what an epoch is --------------------------------------------------------------------------
    def _parts_of(self, number: int) -> list[base.Run | base.Copy]:
        """An epoch of a group."""
        positions = [cursor.position._storage_for_update() for cursor in self.cursors]
        if [*map(id, positions)] != [*map(id, self._positions)]:  # somebody else has the old ones
            self._parts, self._rounds, self._positions = {}, {}, positions
        if number not in self._parts:
            of_group = self.stack.of_group
            found: list[base.Run | base.Copy] = [
                base.Copy(record.of_group[number], of_group(t, number)) for t, record in self._rates
            ]
            if self.plan.data.keyed:
                order = of_group(self._order, number)
                found.append(base.Copy(self._orders.of_group[number], order))
            for one, position in zip(self._passes, positions, strict=False):
                found += self._pass(one, number, position)
            found += [
                base.Copy(of_group(t, number), record.of_group[number])
                for t, record in (*self._kept.values(), *self._shown)
            ]
            self._parts[number] = found
        return self._parts[number]

    def _pass(self, one: _Pass, number: int, position: Array) -> list[base.Run | base.Copy]:
        """From nothing to the numbers of one pass over a data set."""
        of_group, lead = self.stack.of_group, self.stack.lead
        found: list[base.Run | base.Copy] = []
        for name, tensor in one.changed.items():
            begin = np.array(np.broadcast_to(one.beginning[name], (*lead, *tensor.shape)))
            found.append(base.Copy(begin, of_group(tensor, number)))
        found.append(base.Copy(np.zeros((), np.uint32), position))
        for mapped, leaves, n in one.turns:
            state = mapped.state(number)
            found.append(base.Run(mapped.program, mapped.inputs(leaves), state, n))
        for name, tensor in one.changed.items():
            record = one.records[name].of_group[number]
            found.append(base.Copy(of_group(tensor, number), record))
        return found

    # -- running -----------------------------------------------------------------------------------
    def run(self, count: int, groups: Sequence[int], look: Look) -> Columns:
        """``count`` epochs of some groups; returns what each seed measured, (count, R) by name."""
        nets = self.nets
        if self.plan.data.keyed:
            for i in range(count):
                self._orders.write(i, order_keys(nets.seeds, nets.epochs + i))
        if self._rates and nets.rates is not None:
            nets.rates.foresee(count, self._note_rates)
        for done, number in enumerate(groups):
            start = time.perf_counter()
            self._run_group(number, count, functools.partial(_within, look, done, len(groups)))
            self.per_group = (time.perf_counter() - start) / count
            for one in self._passes:
                for mapped, _, _ in one.turns:
                    mapped.look(number)
        return self._columns(count)

    def _run_group(self, number: int, count: int, look: Look) -> None:
        if self.noted is not None:
            [one], held = self._passes, self.noted.names(self._passes[0].changed)
            records = [one.records[name].of_group[number] for name in held]
            self.noted.run(one.turns[0][1], number, count, records)
            look(1.0)
            return
        parts = self._parts_of(number)
        if count == 1 and not 0 < self.per_group < CHUNK_SECONDS:
            self._run_parts(parts, look)
            return
        if number not in self._rounds:
            self._rounds[number] = rounds(parts)
        self._rounds[number].run(count)
        look(1.0)

    def _run_parts(self, parts: Sequence[base.Run | base.Copy], look: Look) -> None:
        """One long epoch, in native runs that are short."""
        total, done = sum(p.steps for p in parts if isinstance(p, base.Run)), 0
        for part in parts:
            if isinstance(part, base.Copy):
                source, target = part
                more = source.ndim - target.ndim
                target[0 if more < 0 else ...] = source[0 if more > 0 else ...]
                continue
            left = part.steps
            while left:
                start = time.perf_counter()
                each = self._per_step.get(id(part.program), CHUNK_SECONDS)
                n = max(min(left, int(CHUNK_SECONDS / each)), 1)
                part.program.run(part.inputs, part.state, n)
                self._per_step[id(part.program)] = (time.perf_counter() - start) / n
                left, done = left - n, done + n
                look(done / total)

    def _note_rates(self, epoch: int) -> None:
        for tensor, record in self._rates:
            record.write(epoch, self.stack.rows(tensor))

    def _columns(self, count: int) -> Columns:
        seeds, found = self.stack.seeds, {}
        for one in self._passes:
            one.meter.rows = float(one.rows)
            for name, column in one.meter.columns(one.numbers(count, seeds), one.prefix).items():
                own = column if column.flags.owndata else column.copy()  # not the records
                found[name] = own.reshape(count, seeds)
        for _, record in self._shown:
            found["lr"] = record.read(count).copy()
        return found

    def state_at(self, tensor: Value, epochs: Array, seeds: Array) -> Array:
        """What a tensor was for some seeds (by place), each after an epoch of the last run.

        Of one that is not kept: what it is.
        """
        if id(tensor) in self._kept:
            return self._kept[id(tensor)][1].rows_at(epochs, seeds)
        found: Array = self.stack.rows(tensor)[seeds]
        return found


def _within(look: Look, done: int, groups: int, share: float) -> None:
    """Look, where a share of a group is done, and some groups before it."""
    look((done + share) / groups)


class _Pass:
    """A pass of a meter over a data set of so many ``rows``."""

    def __init__(
        self, meter: Meter, cursor: Cursor, turns: Sequence[Turn], prefix: str, rows: int
    ) -> None:
        self.meter, self.cursor, self.turns = meter, cursor, turns
        self.prefix, self.rows = prefix, rows
        begin = {id(t): np.asarray(value, t.dtype) for t, value in meter.beginning()}
        self.beginning = {k: begin[id(t)] for k, t in meter.tensors().items()}
        used = {id(t) for mapped, _, _ in turns for t in mapped.trace.state}
        self.changed = {k: t for k, t in meter.tensors().items() if id(t) in used}
        self.records: dict[str, Record] = {}

    def numbers(self, count: int, seeds: int) -> dict[str, Array]:
        """The meter's numbers after each epoch, those of all seeds one after the other."""
        found = {}
        for name, begin in self.beginning.items():
            if name in self.records:
                found[name] = self.records[name].read(count).reshape(count * seeds, *begin.shape)
            else:
                found[name] = np.broadcast_to(begin, (count * seeds, *begin.shape))
        return found
