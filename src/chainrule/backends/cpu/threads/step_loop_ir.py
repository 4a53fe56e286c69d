"""The step loop as IR: calls of kernels in order, on all threads, with barriers where data cross.

    step loop   for step in range(n), for call in calls: kernel(…, scratch, tid, nt), barrier
    whole loop  one kernel ``void @loop(ptr…, ptr scratch, i64 tid, i64 nt, i64 nsteps)``

The step loop is the same code for every program: it walks an array of records (``RECORD``), so a
new program compiles no loop. Kernels differ in their number of pointers; a *thunk* beside each
kernel, ``void @<kernel>.call(ptr pointers, ptr scratch, i64 tid, i64 nt, i64 nsteps)``, unpacks
them.

Entries have the signature of :mod:`threads`; ``control`` points to an array of i64 (``CONTROL``).
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ...llvm.builder import Function, Module, Value, const, i64

RUN, RUN_TIMED, RUN_WHOLE = "chainrule_run", "chainrule_run_timed", "chainrule_run_whole"

CONTROL = (
    "steps",  # how many
    "scratch",  # address of thread 0's scratch
    "stride",  # bytes from a thread's scratch to the next one's
    # where the timed entries add, two a call: in the kernel, waiting at the barrier after it
    "ticks",
    "records",  # address of the calls' records
    "calls",  # number of records
)
RECORD = ("thunk", "pointers", "serial", "barrier")  # i64 each; serial is -1 for all threads


class Call(NamedTuple):
    """One call of a kernel in a step.

    ``pointers`` are indices into the program's pointer table. ``serial=j``: thread ``j % nt`` runs
    it alone (the kernel sees tid 0 of 1), the others go on. ``barrier_after``: nobody passes until
    all threads have come here; the end of a step always is such a place.
    """

    kernel: str
    pointers: tuple[int, ...]
    serial: int | None = None
    barrier_after: bool = True


@dataclass(frozen=True, slots=True)
class Schedule:
    """The calls of a step, or with ``whole_loop`` the single call that contains the step loop."""

    calls: tuple[Call, ...]
    whole_loop: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many pointers each kernel takes."""
        return {call.kernel: len(call.pointers) for call in self.calls}

    def __post_init__(self) -> None:
        assert not self.whole_loop or len(self.calls) == 1, "a whole loop is one call"

    def barrier_after(self, index: int) -> bool:
        return self.calls[index].barrier_after or index == len(self.calls) - 1


def thunk(kernel: str) -> str:
    """Name of a kernel's thunk."""
    return f"{kernel}.call"


def with_thunks(text: str, counts: Mapping[str, int], whole_loop: bool = False) -> str:
    """The module ``text`` with a thunk for every kernel it defines that has one of these
    ``counts`` of pointers."""
    defined = [
        name for name in re.findall(r"^define void @([\w.$-]+)\(", text, re.M) if name in counts
    ]
    module = Module("thunks")
    for name in defined:
        f = module.function(
            thunk(name),
            [
                ("ptr noalias", "pointers"),
                ("ptr", "scratch"),
                ("i64", "tid"),
                ("i64", "nt"),
                ("i64", "nsteps"),
            ],
        )
        pointers = [f.load("ptr", f.gep(f.args["pointers"], k, "ptr")) for k in range(counts[name])]
        last = [f.args["nsteps"]] if whole_loop else []
        f.call_local(name, "void", *pointers, f.args["scratch"], f.args["tid"], f.args["nt"], *last)
        f.ret()
    return text + str(module)


def ticks(f: Function) -> Value:
    """Read the processor's clock: constant rate, a few ns to read, no permission needed."""
    if platform.machine().lower() in ("arm64", "aarch64"):  # its cycle counter is not for users
        f.module.declarations.add("declare i64 @llvm.read_volatile_register.i64(metadata)")
        return f.emit("i64", 'call i64 @llvm.read_volatile_register.i64(metadata !{!"cntvct_el0"})')
    return f.call("llvm.readcyclecounter", "i64")


def loop_ir() -> str:
    """The module with the loops that all programs share, and a function that reads the clock."""
    module = Module("loops")
    for timed in (False, True):
        _record_loop(module, timed)
    _whole_loop(module)
    f = module.function("chainrule_ticks", [], "i64")
    f.ret(ticks(f))
    return str(module)


class _Loop:
    """An entry under construction: what it reads from the control block, barriers, clock."""

    def __init__(self, module: Module, name: str, timed: bool) -> None:
        self.timed = timed
        self.f = f = module.function(
            name, [("ptr noalias", "control"), ("i64", "tid"), ("i64", "nt"), ("ptr", "lines")]
        )
        self._generation = f.alloca("i32")  # of the barrier: how many this thread has passed
        f.store(const("i32", 0), self._generation)
        self.control = {
            name: f.load("i64", f.gep(f.args["control"], n, "i64"))
            for n, name in enumerate(CONTROL)
        }
        own = f.add(self.control["scratch"], f.mul(self.control["stride"], f.args["tid"]))
        self.scratch = f.convert("inttoptr", own, "ptr")

    def at(self, word: str) -> Value:
        """A control word that is an address."""
        return self.f.convert("inttoptr", self.control[word], "ptr")

    def barrier(self) -> None:
        f = self.f
        old = f.load("i32", self._generation)
        f.call("chainrule_barrier", "void", f.args["lines"], f.args["tid"], f.args["nt"], old)
        f.store(f.add(old, const("i32", 1)), self._generation)

    def now(self) -> Value:
        return ticks(self.f) if self.timed else i64(0)

    def account(self, slot: Value, start: Value, stop: Value) -> None:
        """Thread 0's ticks from ``start`` to ``stop``, added to the slot."""
        if not self.timed:
            return
        f = self.f
        with f.if_then(f.compare("eq", f.args["tid"], i64(0))):
            at = f.gep(self.at("ticks"), slot, "i64")
            f.store(f.add(f.load("i64", at), f.sub(stop, start)), at)


def _record_loop(module: Module, timed: bool) -> None:
    run = _Loop(module, RUN_TIMED if timed else RUN, timed)
    f, tid, nt = run.f, run.f.args["tid"], run.f.args["nt"]
    records = run.at("records")
    steps, calls = run.control["steps"], run.control["calls"]
    with f.for_range(0, steps, hint="step"), f.for_range(0, calls, hint="c") as c:
        record = f.gep(records, f.mul(c, i64(len(RECORD))), "i64")
        word = {name: f.load("i64", f.gep(record, n, "i64")) for n, name in enumerate(RECORD)}
        kernel, pointers = (f.convert("inttoptr", word[n], "ptr") for n in ("thunk", "pointers"))
        before = run.now()
        everyone, serial, alone, met = (
            f.new_label(n) for n in ("everyone", "serial", "alone", "met")
        )
        f.branch_if(f.compare("slt", word["serial"], i64(0)), everyone, serial)
        f.start_block(everyone)
        f.line(f"call void {kernel.text}({pointers}, {run.scratch}, {tid}, {nt}, i64 0)")
        f.branch(met)
        f.start_block(serial)
        f.branch_if(f.compare("eq", f.binary("urem", word["serial"], nt), tid), alone, met)
        f.start_block(alone)
        f.line(f"call void {kernel.text}({pointers}, {run.scratch}, i64 0, i64 1, i64 0)")
        f.branch(met)
        f.start_block(met)
        after = run.now()
        with f.if_then(f.compare("ne", word["barrier"], i64(0))):
            run.barrier()
        slot = f.mul(c, i64(2))
        run.account(slot, before, after)
        run.account(f.add(slot, i64(1)), after, run.now())
    f.ret()


def _whole_loop(module: Module) -> None:
    run = _Loop(module, RUN_WHOLE, timed=False)
    f = run.f
    word = {
        name: f.load("i64", f.gep(run.at("records"), n, "i64")) for n, name in enumerate(RECORD)
    }
    kernel, pointers = (f.convert("inttoptr", word[n], "ptr") for n in ("thunk", "pointers"))
    serial = f.compare("sge", word["serial"], i64(0))
    tid, nt = f.args["tid"], f.select(serial, i64(1), f.args["nt"])
    with f.if_then(f.compare("slt", tid, nt)):
        f.line(
            f"call void {kernel.text}({pointers}, {run.scratch}, {tid}, {nt}, "
            f"{run.control['steps']})"
        )
    f.ret()
