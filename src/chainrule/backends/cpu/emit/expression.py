"""Expressions of the loop program as LLVM IR: of one iteration, or of a vector of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ....compiler.loops import (
    Affine,
    Apply,
    Constant,
    Expr,
    Gather,
    Keep,
    Kept,
    Load,
    Local,
    Position,
    Random,
    Statement,
    Store,
    Var,
    walk,
)
from ...llvm import primitives as ops
from ...llvm.builder import Function, Value, const, i64, vector
from ...llvm.types import SCALAR_OF_DTYPE


class Emitter:
    """Emits expressions at the current iteration.

    ``vector`` is the loop variable that runs along the lanes, if any; expressions that do not
    depend on it stay scalar until they meet one that does. ``scopes`` remember what is already
    computed: the kernel's entry, the outer body, the inner body.
    """

    def __init__(self, f: Function, pointers: Mapping[int, Value]) -> None:
        self.f, self.pointers = f, pointers
        self.variables: dict[Var, Value] = {}
        self.vector: Var | None = None
        self.lanes = 1
        self.count = 1  # lanes that hold iterations; the others are never stored
        self.scopes: list[dict[int, Value]] = [{}]
        self.scratch: dict[int, Value] = {}
        self.scratch_lanes = 1
        self.dependencies: dict[int, frozenset[Var]] = {}

    # -- what an expression depends on ------------------------------------------------------------
    def depends(self, e: Expr) -> frozenset[Var]:
        found = self.dependencies.get(id(e))
        if found is None:
            own = {v for v, _ in e.address.terms}
            if isinstance(e, (Local, Kept)):
                own.add(-1)  # they belong to the outer body, whatever they depend on
            found = frozenset(own.union(*(self.depends(a) for a in e.args)))
            self.dependencies[id(e)] = found
        return found

    def varies(self, e: Expr) -> bool:
        """Whether the lanes differ (locals and kept rows of a vectorised outer loop do)."""
        value = self._known(e)
        if value is not None:
            return value.lanes > 1
        if self.lanes == 1:
            return False
        d = self.depends(e)
        if self.vector in d:
            return True
        if -1 in d:
            return any(isinstance(x, Kept) and self.scratch_lanes > 1 for x in walk(e)) or any(
                isinstance(x, Local) and (k := self._known(x)) is not None and k.lanes > 1
                for x in walk(e)
            )
        return False

    def _known(self, e: Expr) -> Value | None:
        for scope in reversed(self.scopes):
            if id(e) in scope:
                return scope[id(e)]
        return None

    # -- hoisting ---------------------------------------------------------------------------------
    def hoist(self, statements: Iterable[Statement], variables: frozenset[Var]) -> None:
        """Compute now, in the innermost scope, the largest subexpressions free of ``variables``."""
        for s in statements:
            self._hoist(s.value, variables)

    def _hoist(self, e: Expr, variables: frozenset[Var]) -> None:
        if isinstance(e, (Constant, Local)):
            return
        if not self.depends(e) & variables:
            self.emit(e)
        else:
            for a in e.args:
                self._hoist(a, variables)

    # -- addresses --------------------------------------------------------------------------------
    def address(self, a: Affine) -> Value:
        """The value of an affine index at lane 0."""
        f, total = self.f, None
        constant = a.constant
        for var, c in a.terms:
            v = self.variables.get(var)
            if v is None or v.text == "0":
                continue
            if not v.text.startswith("%"):
                constant += c * int(v.text)
                continue
            term = v if c == 1 else f.emit("i64", f"mul nsw i64 {v.text}, {c}")
            total = (
                term if total is None else f.emit("i64", f"add nsw i64 {total.text}, {term.text}")
            )
        if total is None:
            return i64(constant)
        return total if constant == 0 else f.emit("i64", f"add nsw i64 {total.text}, {constant}")

    # -- expressions ------------------------------------------------------------------------------
    def emit(self, e: Expr) -> Value:
        found = self._known(e)
        if found is None:
            found = self._compute(e)
            self.scopes[-1][id(e)] = found
        return found

    def wide(self, e: Expr) -> Value:
        """The value in every lane."""
        return self.f.splat(self.emit(e), self.lanes)

    def _compute(self, e: Expr) -> Value:
        f = self.f
        if isinstance(e, Constant):
            return const(ops.register_type(e.dtype), e.value)
        lanes = self.lanes if self.varies(e) else 1
        match e:
            case Load():
                return self._load(e, self.pointers[e.buffer], self.address(e.address), lanes)
            case Kept():
                return self._load_kept(e)
            case Position():
                return self._index(e, lanes)
            case Gather():
                return self._gather(e, lanes)
            case Random():
                counter = f.splat(self.positions(e.address, "i32", lanes), lanes)
                key, word = (f.splat(self.emit(a), lanes) for a in (e.args[1], e.args[0]))
                return ops.philox(f, counter, word, key)[0]
            case Apply():
                args = ops.spread(f, e.name, [self.emit(a) for a in e.args], lanes)
                source = e.args[-1].dtype  # of all of them, but for a condition, the first
                return ops.apply(f, e.name, args, source.kind, source, e.dtype, e.param)
            case Local():
                raise AssertionError(f"local {e.number} is used before its stage is done")

    def positions(self, a: Affine, scalar: str, lanes: int) -> Value:
        """An affine index as a number in each lane."""
        f = self.f
        base = f.convert("trunc", self.address(a), scalar) if scalar != "i64" else self.address(a)
        c = a.coefficient(self.vector) if self.vector is not None else 0
        if lanes == 1 or c == 0:
            return base
        steps = const(vector(scalar, lanes), [k * c for k in range(lanes)])
        return f.add(f.splat(base, lanes), steps)

    def _index(self, e: Position, lanes: int) -> Value:
        positions = self.positions(e.address, "i64", lanes)
        return ops.cast(self.f, positions, np.dtype(np.int64), e.dtype)

    def _load(self, e: Load | Kept | Gather, pointer: Value, base: Value, lanes: int) -> Value:
        """Elements base + k * coefficient for the lanes k."""
        f = self.f
        memory = SCALAR_OF_DTYPE[e.dtype.name]
        c = e.address.coefficient(self.vector) if self.vector is not None and lanes > 1 else 0
        if lanes == 1 or c == 0:
            value = f.load(memory, f.gep(pointer, base, memory))
        elif c == 1:
            value = f.load_first(vector(memory, lanes), f.gep(pointer, base, memory), self.count)
        elif c == -1 and self.count == lanes:
            first = f.emit("i64", f"sub nsw i64 {base.text}, {lanes - 1}")
            value = f.load(vector(memory, lanes), f.gep(pointer, first, memory))
            value = f.shuffle(value, None, range(lanes - 1, -1, -1))
        else:
            value = const(vector(memory, lanes), 0)
            for k in range(self.count):
                at = f.emit("i64", f"add nsw i64 {base.text}, {k * c}")
                value = f.insert(value, f.load(memory, f.gep(pointer, at, memory)), k)
        return ops.from_memory(self.f, value, e.dtype)

    def _gather(self, e: Gather, lanes: int) -> Value:
        """x[clamp(row), address]: one row for all lanes, or each lane its own."""
        f = self.f
        row = self.emit(e.args[0])
        source = e.args[0].dtype
        memory = SCALAR_OF_DTYPE[e.dtype.name]
        pointer = self.pointers[e.buffer]

        def start(r: Value) -> Value:
            number = ops.row_number(f, r, source, e.rows)
            return f.emit("i64", f"mul nsw i64 {number.text}, {e.stride}")

        if row.lanes == 1:
            base = f.emit("i64", f"add nsw i64 {start(row).text}, {self.address(e.address).text}")
            return self._load(e, pointer, base, lanes)
        c = e.address.coefficient(self.vector) if self.vector is not None else 0
        base = self.address(e.address)
        value = const(vector(memory, lanes), 0)
        for k in range(self.count):
            at = f.emit("i64", f"add nsw i64 {start(f.extract(row, k)).text}, {base.text}")
            at = f.emit("i64", f"add nsw i64 {at.text}, {k * c}")
            value = f.insert(value, f.load(memory, f.gep(pointer, at, memory)), k)
        return ops.from_memory(self.f, value, e.dtype)

    # -- a thread's own rows ----------------------------------------------------------------------
    def _load_kept(self, e: Kept) -> Value:
        memory = SCALAR_OF_DTYPE[e.dtype.name]
        if self.scratch_lanes > 1:
            at = self.f.mul(self.address(e.address), i64(self.scratch_lanes))
            value = self.f.load(
                vector(memory, self.lanes), self.f.gep(self.scratch[e.scratch], at, memory)
            )
            return ops.from_memory(self.f, value, e.dtype)
        lanes = self.lanes if self.vector is not None and e.address.coefficient(self.vector) else 1
        return self._load(e, self.scratch[e.scratch], self.address(e.address), lanes)

    # -- statements -------------------------------------------------------------------------------
    def store(self, s: Store | Keep, value: Value) -> None:
        f = self.f
        memory = SCALAR_OF_DTYPE[s.value.dtype.name]
        base = self.address(s.address)
        if isinstance(s, Keep) and self.scratch_lanes > 1:
            at = f.mul(base, i64(self.scratch_lanes))
            f.store(
                ops.to_memory(f, f.splat(value, self.lanes)),
                f.gep(self.scratch[s.scratch], at, memory),
            )
            return
        pointer = self.scratch[s.scratch] if isinstance(s, Keep) else self.pointers[s.buffer]
        c = s.address.coefficient(self.vector) if self.vector is not None else 0
        if self.lanes == 1 or (c == 0 and value.lanes == 1):
            f.store(ops.to_memory(f, value), f.gep(pointer, base, memory))
            return
        value = ops.to_memory(f, f.splat(value, self.lanes))
        if c == 1:
            f.store_first(value, f.gep(pointer, base, memory), self.count)
            return
        for k in range(self.count):
            at = f.emit("i64", f"add nsw i64 {base.text}, {k * c}")
            f.store(f.extract(value, k), f.gep(pointer, at, memory))

    def stores(self, statements: Iterable[Statement]) -> None:
        """All values first, then all stores: an update in place still reads the old values."""
        pending = [(s, self.emit(s.value)) for s in statements if isinstance(s, (Store, Keep))]
        for s, value in pending:
            self.store(s, value)
