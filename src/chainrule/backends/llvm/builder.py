"""LLVM IR as text, through a small builder: values, instructions, loops as context managers.

Everything the CPU backend emits goes through :class:`Function`. Text is the border to LLVM
(``llvmlite.binding.parse_assembly``); nothing here imports llvmlite.

A :class:`Value` is a type and a register (or literal). Vector types are written as LLVM writes
them: ``<16 x float>``. Every method works for scalars and for vectors of any length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .types import SIZE_OF_SCALAR

_SUFFIX = {"float": "f32", "double": "f64"}


def vector(scalar: str, lanes: int) -> str:
    """The type of ``lanes`` scalars; one lane is the scalar itself."""
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def lanes_of(type_: str) -> int:
    return int(type_[1:].split(" ", 1)[0]) if type_.startswith("<") else 1


def scalar_of(type_: str) -> str:
    return type_[:-1].split(" x ", 1)[1] if type_.startswith("<") else type_


def mangled(type_: str) -> str:
    """The type as intrinsic names spell it: ``<16 x float>`` is ``v16f32``."""
    scalar = scalar_of(type_)
    name = _SUFFIX.get(scalar, "p0" if scalar == "ptr" else scalar)
    lanes = lanes_of(type_)
    return name if lanes == 1 else f"v{lanes}{name}"


class Value(NamedTuple):
    """A typed SSA register or literal."""

    type: str
    text: str

    @property
    def lanes(self) -> int:
        return lanes_of(self.type)

    @property
    def scalar(self) -> str:
        return scalar_of(self.type)

    @property
    def is_float(self) -> bool:
        return self.scalar in ("float", "double")

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


def _literal(scalar: str, number: float | int | bool) -> str:
    if scalar in ("float", "double"):
        x = float(np.float32(number)) if scalar == "float" else float(number)
        if scalar == "float" and not np.isfinite(x):
            x = float(number)
        return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"
    if scalar == "i1":
        return "true" if number else "false"
    return str(int(number))


def const(type_: str, number: float | int | bool | Sequence[float]) -> Value:
    """A literal; a vector type repeats a number in each lane, a sequence gives each its own."""
    scalar, lanes = scalar_of(type_), lanes_of(type_)
    if isinstance(number, (list, tuple, np.ndarray)):
        return Value(
            type_, "<" + ", ".join(f"{scalar} {_literal(scalar, n)}" for n in number) + ">"
        )
    assert not isinstance(number, Sequence)
    text = _literal(scalar, number)
    if lanes == 1:
        return Value(type_, text)
    return Value(type_, "<" + ", ".join([f"{scalar} {text}"] * lanes) + ">")


def i64(number: int) -> Value:
    return Value("i64", str(number))


@dataclass
class Fold:
    """A loop that carries ``values``: inside it, after it; ``next`` is set by the body."""

    index: Value
    values: list[Value]
    next: list[Value] = field(default_factory=list)


class Module:
    """A bag of function texts and the declarations they need."""

    def __init__(self, name: str, has_fma: bool = True) -> None:
        self.name = name
        self.has_fma = has_fma  # without it llvm.fma is a call into libm for each lane
        self.functions: list[Function] = []
        self.declarations: set[str] = set()
        self.globals: list[str] = []

    def function(
        self,
        name: str,
        args: Sequence[tuple[str, str]],
        returns: str = "void",
        attributes: str = "nounwind",
    ) -> Function:
        """A new function; ``args``: (type with attributes, name), e.g. ``("ptr noalias", "x")``."""
        f = Function(self, name, args, returns, attributes)
        self.functions.append(f)
        return f

    def __str__(self) -> str:
        parts = [f"; ModuleID = '{self.name}'", *self.globals, *sorted(self.declarations)]
        return "\n".join(parts + [str(f) for f in self.functions]) + "\n"


class Function:
    """One function under construction; instructions are appended to the current block."""

    def __init__(
        self,
        module: Module,
        name: str,
        args: Sequence[tuple[str, str]],
        returns: str,
        attributes: str,
    ) -> None:
        self.module, self.name, self.returns, self.attributes = module, name, returns, attributes
        self.signature = ", ".join(f"{t} %{n}" for t, n in args)
        self.args = {
            n: Value(t.split(" ")[0] if not t.startswith("<") else t, f"%{n}") for t, n in args
        }
        self._entry: list[str] = []  # allocas: one per function call, never in a loop
        self._lines: list[str] = []
        self._count = 0
        self.block = "entry"

    # -- plumbing ---------------------------------------------------------------------------
    def _name(self, hint: str = "v") -> str:
        self._count += 1
        return f"%{hint}{self._count}"

    @property
    def length(self) -> int:
        """Lines written so far."""
        return len(self._lines)

    def line(self, text: str) -> None:
        self._lines.append("  " + text)

    def emit(self, type_: str, text: str) -> Value:
        """Append ``%new = text`` and return it as a value of ``type_``."""
        name = self._name()
        self._lines.append(f"  {name} = {text}")
        return Value(type_, name)

    def new_label(self, hint: str = "b") -> str:
        self._count += 1
        return f"{hint}{self._count}"

    def start_block(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self.block = label

    def branch(self, label: str) -> None:
        self.line(f"br label %{label}")

    def branch_if(self, condition: Value, then: str, otherwise: str) -> None:
        self.line(f"br i1 {condition.text}, label %{then}, label %{otherwise}")

    def ret(self, value: Value | None = None) -> None:
        self.line(f"ret {value}" if value is not None else "ret void")

    def __str__(self) -> str:
        body = "\n".join(["entry:", *self._entry, *self._lines])
        return (
            f"define {self.returns} @{self.name}({self.signature}) {self.attributes} "
            f"{{\n{body}\n}}\n"
        )

    # -- arithmetic: the operation follows the operand's type (float or integer) -------------
    def binary(self, opcode: str, a: Value, b: Value) -> Value:
        assert a.type == b.type, (opcode, a, b)
        return self.emit(a.type, f"{opcode} {a.type} {a.text}, {b.text}")

    def add(self, a: Value, b: Value) -> Value:
        return self.binary("fadd" if a.is_float else "add", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        return self.binary("fsub" if a.is_float else "sub", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        return self.binary("fmul" if a.is_float else "mul", a, b)

    def fdiv(self, a: Value, b: Value) -> Value:
        return self.binary("fdiv", a, b)

    def sdiv(self, a: Value, b: Value) -> Value:
        return self.binary("sdiv", a, b)

    def srem(self, a: Value, b: Value) -> Value:
        return self.binary("srem", a, b)

    def neg(self, a: Value) -> Value:
        if a.is_float:
            return self.emit(a.type, f"fneg {a.type} {a.text}")
        return self.sub(const(a.type, 0), a)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        return self.intrinsic("fma", a.type, a, b, c)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c: rounded once where the machine can, else twice (``Module.has_fma``)."""
        if a.is_float and self.module.has_fma:
            return self.fma(a, b, c)
        return self.add(self.mul(a, b), c)

    def intrinsic(self, name: str, returns: str, *args: Value, mangle: str | None = None) -> Value:
        """Call ``llvm.<name>.<mangled return type>`` (or ``mangle``)."""
        full = f"llvm.{name}.{mangled(returns) if mangle is None else mangle}"
        return self.call(full, returns, *args)

    def call(self, name: str, returns: str, *args: Value) -> Value:
        types = ", ".join(a.type for a in args)
        self.module.declarations.add(f"declare {returns} @{name}({types})")
        return self.call_local(name, returns, *args)

    def call_local(self, name: str, returns: str, *args: Value) -> Value:
        """Call a function defined in this module (no declaration is added)."""
        text = f"call {returns} @{name}({', '.join(map(str, args))})"
        if returns == "void":
            self.line(text)
            return Value("void", "")
        return self.emit(returns, text)

    # -- comparison, selection, bits ---------------------------------------------------------
    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        """``icmp`` / ``fcmp`` by type; predicates in LLVM's words (``slt``, ``olt``, ``une`` …)."""
        opcode = "fcmp" if a.is_float else "icmp"
        return self.emit(vector("i1", a.lanes), f"{opcode} {predicate} {a.type} {a.text}, {b.text}")

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        return self.emit(a.type, f"select {condition}, {a}, {b}")

    def convert(self, opcode: str, a: Value, type_: str) -> Value:
        """A conversion instruction by name: ``sext``, ``sitofp``, ``bitcast``, ``fptrunc`` …"""
        return a if a.type == type_ else self.emit(type_, f"{opcode} {a} to {type_}")

    # -- vectors -------------------------------------------------------------------------------
    def splat(self, a: Value, lanes: int) -> Value:
        """The scalar ``a`` in every lane; a vector stays as it is."""
        if a.lanes == lanes:
            return a
        type_ = vector(a.type, lanes)
        if not a.text.startswith("%"):
            return Value(type_, "<" + ", ".join([str(a)] * lanes) + ">")
        first = self.emit(type_, f"insertelement {type_} poison, {a}, i32 0")
        mask = f"<{lanes} x i32> zeroinitializer"
        return self.emit(type_, f"shufflevector {type_} {first.text}, {type_} poison, {mask}")

    def extract(self, a: Value, lane: int) -> Value:
        return a if a.lanes == 1 else self.emit(a.scalar, f"extractelement {a}, i32 {lane}")

    def insert(self, a: Value, element: Value, lane: int) -> Value:
        return (
            element
            if a.lanes == 1
            else self.emit(a.type, f"insertelement {a}, {element}, i32 {lane}")
        )

    def shuffle(self, a: Value, b: Value | None, mask: Sequence[int]) -> Value:
        """Lanes of ``a`` then ``b`` picked by ``mask`` (-1 leaves a lane undefined)."""
        second = f"{a.type} poison" if b is None else str(b)
        lanes = ", ".join(f"i32 {m}" if m >= 0 else "i32 poison" for m in mask)
        return self.emit(
            vector(a.scalar, len(mask)),
            f"shufflevector {a}, {second}, <{len(mask)} x i32> <{lanes}>",
        )

    # -- memory --------------------------------------------------------------------------------
    def alloca(self, type_: str, count: int = 1, align: int | None = None) -> Value:
        """Stack space, taken once at function entry."""
        name = self._name("s")
        suffix = f", align {align}" if align else ""
        number = f", i64 {count}" if count != 1 else ""
        self._entry.append(f"  {name} = alloca {type_}{number}{suffix}")
        return Value("ptr", name)

    def gep(self, base: Value, index: Value | int, scalar: str) -> Value:
        """Address of element ``index`` of an array of ``scalar`` at ``base``."""
        at = i64(index) if isinstance(index, int) else index
        if at.text == "0":
            return base
        return self.emit("ptr", f"getelementptr inbounds {scalar}, ptr {base.text}, {at}")

    def in_order(self) -> None:
        """What is loaded behind this is not loaded before it."""
        self.line('call void asm sideeffect "", "~{memory}"()')

    def load(self, type_: str, pointer: Value, align: int | None = None) -> Value:
        """Load a scalar or vector; alignment is the element's unless given."""
        align = align or SIZE_OF_SCALAR[scalar_of(type_)]
        return self.emit(type_, f"load {type_}, ptr {pointer.text}, align {align}")

    def store(self, value: Value, pointer: Value, align: int | None = None) -> None:
        align = align or SIZE_OF_SCALAR[value.scalar]
        self.line(f"store {value}, ptr {pointer.text}, align {align}")

    def prefetch(self, pointer: Value, write: bool) -> None:
        """Ask for a cache line before it is needed, for writing too: then other cores give it up
        while this one computes."""
        self.module.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.line(f"call void @llvm.prefetch.p0({pointer}, i32 {int(write)}, i32 3, i32 1)")

    def load_first(self, type_: str, pointer: Value, count: int) -> Value:
        """Load only the first ``count`` lanes (constant mask); the others are zero. Never reads
        past them."""
        lanes = lanes_of(type_)
        if count >= lanes:
            return self.load(type_, pointer)
        align = SIZE_OF_SCALAR[scalar_of(type_)]
        mask = const(vector("i1", lanes), [k < count for k in range(lanes)])
        name = f"llvm.masked.load.{mangled(type_)}.p0"
        self.module.declarations.add(
            f"declare {type_} @{name}(ptr, i32 immarg, {mask.type}, {type_})"
        )
        return self.emit(
            type_, f"call {type_} @{name}({pointer}, i32 {align}, {mask}, {type_} zeroinitializer)"
        )

    def store_first(self, value: Value, pointer: Value, count: int) -> None:
        """Store only the first ``count`` lanes (constant mask)."""
        if count >= value.lanes:
            self.store(value, pointer)
            return
        align = SIZE_OF_SCALAR[value.scalar]
        if value.lanes * align <= 32:
            # Masked stores of AVX take many cycles on some processors: stores of 2^i lanes instead.
            done = 0
            while done < count:
                part = 1 << ((count - done).bit_length() - 1)
                if part == 1:
                    piece = self.extract(value, done)
                else:
                    piece = self.shuffle(value, None, range(done, done + part))
                self.store(piece, self.gep(pointer, done, value.scalar))
                done += part
            return
        mask = const(vector("i1", value.lanes), [k < count for k in range(value.lanes)])
        name = f"llvm.masked.store.{mangled(value.type)}.p0"
        self.module.declarations.add(
            f"declare void @{name}({value.type}, ptr, i32 immarg, {mask.type})"
        )
        self.line(f"call void @{name}({value}, {pointer}, i32 {align}, {mask})")

    # -- control -------------------------------------------------------------------------------
    @contextmanager
    def for_range(
        self, start: Value | int, stop: Value | int, step: Value | int = 1, hint: str = "i"
    ) -> Iterator[Value]:
        """``for i in range(start, stop, step)`` with a positive step; yields ``i`` (i64)."""
        first, last, stride = (i64(v) if isinstance(v, int) else v for v in (start, stop, step))
        head, body, done = self.new_label("head"), self.new_label("body"), self.new_label("done")
        before = self.block
        index = Value("i64", self._name(hint))
        after = Value("i64", self._name(hint))
        self.branch(head)
        self.start_block(head)
        latch = self.new_label("latch")
        self.line(f"{index.text} = phi i64 [ {first.text}, %{before} ], [ {after.text}, %{latch} ]")
        self.branch_if(self.compare("slt", index, last), body, done)
        self.start_block(body)
        yield index
        self.branch(latch)
        self.start_block(latch)
        self.line(f"{after.text} = add nsw i64 {index.text}, {stride.text}")
        self.branch(head)
        self.start_block(done)

    @contextmanager
    def fold(self, count: Value, initial: Sequence[Value]) -> Iterator[Fold]:
        """``for index in range(count): values = next``; afterwards ``values`` are the last ones."""
        head, body, done = self.new_label("head"), self.new_label("body"), self.new_label("done")
        before = self.block
        self.branch(head)
        self.start_block(head)
        position = len(self._lines)
        loop = Fold(
            Value("i64", self._name("i")), [Value(v.type, self._name("c")) for v in initial]
        )
        self.branch_if(self.compare("slt", loop.index, count), body, done)
        self.start_block(body)
        yield loop
        after, last = self.add(loop.index, i64(1)), self.block
        self.branch(head)
        first = [i64(0), *initial]
        phis = [
            f"  {v.text} = phi {v.type} [ {start.text}, %{before} ], [ {end.text}, %{last} ]"
            for v, start, end in zip(
                [loop.index, *loop.values], first, [after, *loop.next], strict=True
            )
        ]
        self._lines[position:position] = phis
        self.start_block(done)

    @contextmanager
    def if_then(self, condition: Value) -> Iterator[None]:
        """Run the body only where ``condition`` (i1) holds."""
        then, done = self.new_label("then"), self.new_label("endif")
        self.branch_if(condition, then, done)
        self.start_block(then)
        yield
        self.branch(done)
        self.start_block(done)
