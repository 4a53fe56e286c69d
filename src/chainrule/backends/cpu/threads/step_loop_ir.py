"""The step loop as IR: calls of kernels in order, on all threads, with barriers where data cross.

    rounds      for round in range(count), for part in parts: n steps of a program, or a copy
    step loop   for step in range(n), for call in calls: kernel(…, scratch, tid, nt), barrier
    whole loop  one kernel ``void @loop(ptr…, ptr scratch, i64 tid, i64 nt, i64 nsteps)``

The step loop is the same code for every program: it walks an array of records (``RECORD``), so no
program compiles one. Kernels differ in their number of pointers; a *thunk* beside each kernel,
``void @<kernel>.call(ptr pointers, ptr scratch, i64 tid, i64 nt, i64 nsteps)``, unpacks them.

Entries have the signature of :mod:`threads`; ``control`` points to an array of i64 (``CONTROL``).
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...llvm.builder import Function, Module, Value, const, i64
from .pool_ir import LINE

RUN, RUN_TIMED, RUN_WHOLE = "chainrule_run", "chainrule_run_timed", "chainrule_run_whole"
RUN_ROUNDS = "chainrule_run_rounds"

CONTROL = (
    "steps",  # how many
    "scratch",  # address of thread 0's scratch
    "stride",  # bytes from a thread's scratch to the next one's
    # where the timed entries add, two a call: in the kernel, waiting at the barrier after it
    "ticks",
    "records",  # address of the calls' records
    "calls",  # number of records
    "moved",  # bytes at the start of each thread's scratch for the pointers of a call in a loop
)
RECORD = (  # i64 each
    "thunk",  # 0: the end of a loop
    "pointers",
    "serial",  # -1: all threads
    "barrier",
    "depth",  # how many loops are around the call
    "steps",  # address of what each pointer moves on in an iteration: depth rows of bytes
    "count",  # how many pointers, if they move
    "back",  # end of a loop: its first record
    "times",  # end of a loop: how many iterations
    "shared",  # of a whole loop: see `Call`
)
ROUNDS = ("first", "count", "parts", "length")  # the control block of rounds, i64 each
PART = (  # of a round, i64 each
    "entry",  # of a program; 0: a copy
    "source",  # of a copy; the program's control block
    "target",
    "bytes",
    "source_step",  # bytes from a round's row to the next one's
    "target_step",
    "alone",  # whether the first thread does it, and the others do not wait
    "barrier",
)
MOST_LOOPS = 8  # one within another


class Call(NamedTuple):
    """One call of a kernel in a step.

    ``pointers`` are indices into the program's pointer table. ``serial=j``: thread ``j % nt`` runs
    it alone (the kernel sees tid 0 of 1), the others go on. ``barrier_after``: nobody passes until
    all threads have come here; the end of a step always is such a place. ``shared``, of a whole
    loop: all threads read and compute what they have in common, and when all are done the last one
    is called once more, without steps, to write it.
    """

    kernel: str
    pointers: tuple[int, ...]
    serial: int | None = None
    barrier_after: bool = True
    depth: int = 0  # how many loops are around it
    shared: bool = False


class LoopEnd(NamedTuple):
    """Where a loop goes back to its first call, until all iterations are done."""

    first: int  # index of that call
    times: int
    depth: int  # how many loops are around this one
    barrier_after: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """The calls of a step, or with ``whole_loop`` the single call that contains the step loop."""

    calls: tuple[Call | LoopEnd, ...]
    whole_loop: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many pointers each kernel takes."""
        return {c.kernel: len(c.pointers) for c in self.calls if isinstance(c, Call)}

    def __post_init__(self) -> None:
        assert not self.whole_loop or len(self.calls) == 1, "a whole loop is one call"

    def barrier_after(self, index: int) -> bool:
        return self.calls[index].barrier_after or index == len(self.calls) - 1


ITERATION = "iteration"  # the argument of a kernel that knows how often its loop has turned


def thunk(kernel: str) -> str:
    """Name of a kernel's thunk."""
    return f"{kernel}.call"


def with_thunks(text: str, counts: Mapping[str, int], whole_loop: bool = False) -> str:
    """The module ``text`` with a thunk for each kernel of ``counts`` (of pointers) in it."""
    heads = re.findall(r"^define void @([\w.$-]+)\(([^)]*)", text, re.M)
    module = Module("thunks")
    for name, arguments in heads:
        if name not in counts:
            continue
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
        # of a whole loop the steps, of a kernel in a loop the iteration
        last = [f.args["nsteps"]] if whole_loop or f"%{ITERATION}" in arguments else []
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
    _rounds(module)
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
        self._generation = _generation(f)
        self.control = _words(f, f.args["control"], CONTROL)
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


def _words(f: Function, at: Value, names: Sequence[str]) -> dict[str, Value]:
    """The i64 that lie there, by their names."""
    return {name: f.load("i64", f.gep(at, n, "i64")) for n, name in enumerate(names)}


def _generation(f: Function) -> Value:
    """How many barriers this thread has passed since the job began, in a place of its own."""
    place, none = f.alloca("i32"), f.alloca("i32")
    f.store(const("i32", 0), none)
    line = f.gep(f.args["lines"], f.mul(f.add(f.args["tid"], i64(1)), i64(LINE)), "i8")
    alone = f.compare("eq", f.args["nt"], i64(1))  # there may be no lines
    f.store(f.load("i32", f.select(alone, none, line)), place)
    return place


def _rounds(module: Module) -> None:
    """Programs one after another, and copies between them. A thread that is `alone` runs with tid 0
    of 1, so that its programs meet nobody."""
    f = module.function(
        RUN_ROUNDS, [("ptr noalias", "control"), ("i64", "tid"), ("i64", "nt"), ("ptr", "lines")]
    )
    word = _words(f, f.args["control"], ROUNDS)
    tid, nt, lines = f.args["tid"], f.args["nt"], f.args["lines"]
    parts = f.convert("inttoptr", word["parts"], "ptr")
    one, several = f.compare("eq", tid, i64(0)), f.compare("ne", nt, i64(1))
    passed = f.gep(lines, f.mul(f.add(tid, i64(1)), i64(LINE)), "i8")
    with (
        f.for_range(word["first"], f.add(word["first"], word["count"]), hint="round") as turn,
        f.for_range(0, word["length"], hint="part") as p,
    ):
        part = f.gep(parts, f.mul(p, i64(len(PART))), "i64")
        at = _words(f, part, PART)
        own = f.compare("ne", at["alone"], i64(0))
        with f.if_then(f.binary("or", one, f.compare("eq", at["alone"], i64(0)))):
            source, target = (f.convert("inttoptr", at[n], "ptr") for n in ("source", "target"))
            is_copy = f.compare("eq", at["entry"], i64(0))
            with f.if_then(is_copy):
                source = f.gep(source, f.mul(turn, at["source_step"]), "i8")
                target = f.gep(target, f.mul(turn, at["target_step"]), "i8")
                false = const("i1", 0)
                f.call("llvm.memcpy.p0.p0.i64", "void", target, source, at["bytes"], false)
            with f.if_then(f.binary("xor", is_copy, const("i1", 1))):
                entry, many = f.convert("inttoptr", at["entry"], "ptr"), f.select(own, i64(1), nt)
                control = f.convert("inttoptr", at["source"], "ptr")
                f.line(f"call void {entry.text}({control}, {tid}, {many}, {lines})")
        with f.if_then(f.binary("and", several, f.compare("ne", at["barrier"], i64(0)))):
            f.call("chainrule_barrier", "void", lines, tid, nt, f.load("i32", passed))
    f.ret()


def _record_loop(module: Module, timed: bool) -> None:
    run = _Loop(module, RUN_TIMED if timed else RUN, timed)
    f, tid, nt = run.f, run.f.args["tid"], run.f.args["nt"]
    records, calls = run.at("records"), run.control["calls"]
    at, iterations = f.alloca("i64"), f.alloca("i64", MOST_LOOPS)
    for depth in range(MOST_LOOPS):
        f.store(i64(0), f.gep(iterations, depth, "i64"))
    scratch = f.gep(run.scratch, run.control["moved"], "i8")
    with f.for_range(0, run.control["steps"], hint="step"):
        f.store(i64(0), at)
        more, call, end, done = (f.new_label(n) for n in ("more", "call", "end", "done"))
        f.branch(more)
        f.start_block(more)
        c = f.load("i64", at)
        f.branch_if(f.compare("slt", c, calls), call, done)
        f.start_block(call)
        record = f.gep(records, f.mul(c, i64(len(RECORD))), "i64")
        word = _words(f, record, RECORD)
        f.store(f.add(c, i64(1)), at)
        with f.if_then(f.compare("eq", word["thunk"], i64(0))):
            _end_of_loop(run, word, at, iterations)
            f.branch(more)
            f.start_block(f.new_label("unreached"))
        f.branch(end)
        f.start_block(end)
        pointers = _pointers(run, word, iterations)
        deep = f.compare("sgt", word["depth"], i64(0))
        loop = f.select(deep, f.sub(word["depth"], i64(1)), i64(0))
        turn = f.load("i64", f.gep(iterations, loop, "i64"))  # outside of loops all are 0
        kernel = f.convert("inttoptr", word["thunk"], "ptr")
        before = run.now()
        everyone, serial, alone, met = (
            f.new_label(n) for n in ("everyone", "serial", "alone", "met")
        )
        f.branch_if(f.compare("slt", word["serial"], i64(0)), everyone, serial)
        f.start_block(everyone)
        f.line(f"call void {kernel.text}({pointers}, {scratch}, {tid}, {nt}, {turn})")
        f.branch(met)
        f.start_block(serial)
        f.branch_if(f.compare("eq", f.binary("urem", word["serial"], nt), tid), alone, met)
        f.start_block(alone)
        f.line(f"call void {kernel.text}({pointers}, {scratch}, i64 0, i64 1, {turn})")
        f.branch(met)
        f.start_block(met)
        after = run.now()
        with f.if_then(f.compare("ne", word["barrier"], i64(0))):
            run.barrier()
        slot = f.mul(c, i64(2))
        run.account(slot, before, after)
        run.account(f.add(slot, i64(1)), after, run.now())
        f.branch(more)
        f.start_block(done)
    f.ret()


def _end_of_loop(run: _Loop, word: Mapping[str, Value], at: Value, iterations: Value) -> None:
    """Go back to the loop's first record, or on with its count of iterations at zero again."""
    f = run.f
    counter = f.gep(iterations, word["depth"], "i64")
    passed = f.add(f.load("i64", counter), i64(1))
    again = f.compare("slt", passed, word["times"])
    f.store(f.select(again, passed, i64(0)), counter)
    with f.if_then(again):
        f.store(word["back"], at)
    last = f.binary("xor", again, const("i1", True))
    with f.if_then(f.binary("and", last, f.compare("ne", word["barrier"], i64(0)))):
        run.barrier()


def _pointers(run: _Loop, word: Mapping[str, Value], iterations: Value) -> Value:
    """The call's pointers; in a loop, a copy of them that is where this iteration is."""
    f = run.f
    given = f.convert("inttoptr", word["pointers"], "ptr")
    chosen = f.alloca("ptr")
    f.store(given, chosen)
    with f.if_then(f.compare("sgt", word["depth"], i64(0))):
        steps, count = f.convert("inttoptr", word["steps"], "ptr"), word["count"]
        with f.for_range(0, count, hint="p") as p:
            total = f.alloca("i64")
            f.store(f.load("i64", f.gep(given, p, "i64")), total)
            with f.for_range(0, word["depth"], hint="d") as d:
                step = f.load("i64", f.gep(steps, f.add(f.mul(d, count), p), "i64"))
                moved = f.mul(step, f.load("i64", f.gep(iterations, d, "i64")))
                f.store(f.add(f.load("i64", total), moved), total)
            f.store(f.load("i64", total), f.gep(run.scratch, p, "i64"))
        f.store(run.scratch, chosen)
    return f.load("ptr", chosen)


def _whole_loop(module: Module) -> None:
    run = _Loop(module, RUN_WHOLE, timed=False)
    f = run.f
    word = _words(f, run.at("records"), RECORD)
    kernel, pointers = (f.convert("inttoptr", word[n], "ptr") for n in ("thunk", "pointers"))
    serial = f.compare("sge", word["serial"], i64(0))
    tid, nt = f.args["tid"], f.select(serial, i64(1), f.args["nt"])
    with f.if_then(f.compare("slt", tid, nt)):
        f.line(
            f"call void {kernel.text}({pointers}, {run.scratch}, {tid}, {nt}, "
            f"{run.control['steps']})"
        )
    with f.if_then(f.compare("ne", word["shared"], i64(0))):
        run.barrier()
        with f.if_then(f.compare("eq", f.add(tid, i64(1)), nt)):
            f.line(f"call void {kernel.text}({pointers}, {run.scratch}, {tid}, {nt}, i64 0)")
    f.ret()
