"""Shares of work: fixed parts, or pieces that threads take from each other so that none waits.

    queue    a word a thread, each on a cache line of its own: units front .. back are not begun

Each thread begins with its own part of the units and takes pieces off its front, ever smaller ones.
Who has nothing left takes half of what another has off its back. Cores differ (by clock, by kind,
by what else runs on them), and a fixed division is as slow as the slowest; who computes a unit
changes nothing in its bits.

When every unit is taken all words are empty, as they must be when the next step begins. A thread
that comes late finds its word empty still and fills it; until then nobody can take from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...llvm.builder import Function, Value, i64
from ...llvm.index import plus, scaled
from ..threads.pool_ir import WORD_BYTES


def part(f: Function, units: int, tid: Value, nt: Value) -> tuple[Value, Value]:
    """Thread ``tid``'s part of ``range(units)``: its first unit, and the first after it."""
    first, last = (
        f.emit("i64", f"udiv {scaled(f, t, units)}, {nt.text}") for t in (tid, plus(f, tid, 1))
    )
    return first, last


@contextmanager
def equal_share(f: Function, units: int, tid: Value, nt: Value) -> Iterator[Value]:
    """Loop over thread ``tid``'s part of ``range(units)``."""
    if units == 1:
        with f.if_then(f.compare("eq", tid, i64(0))):
            yield i64(0)
        return
    with f.for_range(*part(f, units, tid, nt), hint="unit") as unit:
        yield unit


def _word(f: Function, queue: Value, thread: Value) -> Value:
    return f.gep(queue, f.mul(thread, i64(WORD_BYTES // 8)), "i64")


def _ends(f: Function, word: Value) -> tuple[Value, Value, Value]:
    """The word now, its front and its back."""
    now = f.emit("i64", f"load atomic i64, ptr {word.text} monotonic, align 8")
    return now, f.binary("and", now, i64(0xFFFFFFFF)), f.binary("lshr", now, i64(32))


def _pack(f: Function, front: Value, back: Value) -> Value:
    return f.binary("or", f.binary("shl", back, i64(32)), front)


def _fill(f: Function, word: Value, front: Value, back: Value) -> None:
    f.line(f"store atomic {_pack(f, front, back)}, ptr {word.text} monotonic, align 8")


def _exchange(f: Function, word: Value, old: Value, new: Value) -> Value:
    """Whether the word was still ``old`` and is now ``new``."""
    text = f"cmpxchg ptr {word.text}, {old}, {new} monotonic monotonic"
    pair = f.emit("{ i64, i1 }", text)
    return f.emit("i1", f"extractvalue {{ i64, i1 }} {pair.text}, 1")


@contextmanager
def pieces(
    f: Function,
    queue: Value,
    start: Value,
    stop: Value,
    tid: Value,
    nt: Value,
    smallest: int,
    worth: int,
) -> Iterator[tuple[Value, Value]]:
    """Run the body for pieces ``(first, last)`` until no thread has units left.

    ``start .. stop`` is this thread's own part; a piece has at least ``smallest`` units where there
    are so many; a thread with fewer than ``worth`` left is not taken from. One thread alone takes
    its part as one piece.
    """
    names = ("take", "cut", "body", "hungry", "victim", "look", "steal", "got", "next", "done")
    take, cut, body, hungry, victim, look, steal, got, after, done = map(f.new_label, names)
    other = f.alloca("i64")
    mine = _word(f, queue, tid)
    alone = f.compare("eq", nt, i64(1))
    _fill(f, mine, start, stop)
    f.branch(take)

    f.start_block(take)
    now, front, back = _ends(f, mine)
    left = f.sub(back, front)
    f.branch_if(f.compare("sgt", left, i64(0)), cut, hungry)
    f.start_block(cut)
    quarter = f.binary("lshr", left, i64(2))
    count = f.select(f.compare("slt", quarter, i64(smallest)), i64(smallest), quarter)
    whole = f.binary("or", alone, f.compare("sgt", count, left))
    last = f.add(front, f.select(whole, left, count))
    f.branch_if(_exchange(f, mine, now, _pack(f, last, back)), body, take)
    f.start_block(body)
    yield front, last
    f.branch(take)

    f.start_block(hungry)
    f.store(i64(1), other)
    f.branch(victim)
    f.start_block(victim)
    distance = f.load("i64", other)
    f.branch_if(f.compare("slt", distance, nt), look, done)
    f.start_block(look)
    thread = f.add(tid, distance)
    wrapped = f.select(f.compare("sge", thread, nt), f.sub(thread, nt), thread)
    theirs = _word(f, queue, wrapped)
    now, front, back = _ends(f, theirs)
    left = f.sub(back, front)
    f.branch_if(f.compare("sge", left, i64(worth)), steal, after)
    f.start_block(steal)
    middle = f.sub(back, f.binary("lshr", left, i64(1)))
    f.branch_if(_exchange(f, theirs, now, _pack(f, front, middle)), got, look)
    f.start_block(got)
    _fill(f, mine, middle, back)
    f.branch(take)
    f.start_block(after)
    f.store(f.add(distance, i64(1)), other)
    f.branch(victim)
    f.start_block(done)
