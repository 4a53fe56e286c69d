"""Register programs against the interpreter: every primitive, replicas, steps, targets, guarded
memory."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence

import numpy as np
import pytest
from compiled import Guarded
from graphs import STEPS, assert_close, random_graph

from chainrule.autodiff.batching import vmap_nodes
from chainrule.autodiff.reverse import gradients
from chainrule.backends.cpu.emit.whole_step.kernel import RegisterKernel, register_program
from chainrule.backends.cpu.machine.compiler import compile_ir, optimized_ir
from chainrule.backends.cpu.machine.library import Library
from chainrule.backends.cpu.machine.target import Target, host, preset, runs_here
from chainrule.compiler.pipeline import rewritten
from chainrule.compiler.rewrites.matrices import WRITTEN
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.dtypes import DType
from chainrule.core.interpret import evaluate
from chainrule.core.node import Array, Node
from chainrule.core.signature import Signature


class Built:
    """A register program of a graph, run on memory that faults outside its buffers."""

    def __init__(
        self,
        inputs: Sequence[Node],
        state: Sequence[Node],
        updates: Sequence[Node],
        outputs: Sequence[Node],
        target: Target | None = None,
    ) -> None:
        self.inputs, self.state, self.updates, self.outputs = inputs, state, updates, outputs
        self.target = target or host()
        signature = Signature(tuple(inputs), tuple(state), tuple(updates), tuple(outputs))
        graph = rewritten(signature)
        self.kernel: RegisterKernel | None = register_program(graph, self.target)

    def run(
        self, values: dict[Node, Array], steps: int = 1, threads: int = 1, at_end: bool = True
    ) -> tuple[list[Array], list[Array]]:
        """Outputs and new state; the threads' parts run one after another."""
        kernel = self.kernel
        assert kernel is not None
        nodes = [*self.inputs, *self.state, *self.outputs]
        places = [Guarded(n.shape, n.dtype, at_end) for n in nodes]
        for node, place in zip([*self.inputs, *self.state], places, strict=False):
            place.array[...] = values[node]
        library = Library(compile_ir([kernel.text], self.target, kernel.opt), self.target)
        entry = ctypes.CFUNCTYPE(
            None, *[ctypes.c_void_p] * (len(nodes) + 1), *[ctypes.c_int64] * 3
        )(library.address("KERNEL"))
        scratch = ctypes.create_string_buffer(kernel.scratch_bytes + 64)
        threads = 1 if kernel.serial else threads
        for tid in range(threads):
            entry(*[p.address for p in places], ctypes.addressof(scratch), tid, threads, steps)
        if kernel.shared:
            last = threads - 1
            entry(*[p.address for p in places], ctypes.addressof(scratch), last, threads, 0)
        first = len(self.inputs)
        arrays = [p.array.copy() for p in places]
        return arrays[first + len(self.state) :], arrays[first : first + len(self.state)]

    def expected(self, values: dict[Node, Array], steps: int) -> tuple[list[Array], list[Array]]:
        now = dict(values)
        outputs: list[Array] = []
        for _ in range(steps):
            results = evaluate([*self.outputs, *self.updates], now)
            outputs = results[: len(self.outputs)]
            now.update(zip(self.state, results[len(self.outputs) :], strict=True))
        return outputs, [now[s] for s in self.state]

    @property
    def replicated(self) -> bool:
        return self.kernel is not None and "replicas" in self.kernel.note


def xor(dtype: DType = dt.float32) -> tuple[list[Node], list[Node], list[Node], list[Node]]:
    """2-2-1, tanh, mean squared error, SGD with momentum: inputs, state, updates, outputs."""
    x, y, rate, momentum = (op.input(s, dtype) for s in ((4, 2), (4, 1), (), ()))
    weights = [op.input(s, dtype) for s in ((2, 2), (2,), (2, 1), (1,))]
    speeds = [op.input(w.shape, dtype) for w in weights]
    h = op.tanh(op.add(op.dot(x, weights[0]), op.expand(weights[1], (4, 2))))
    z = op.tanh(op.add(op.dot(h, weights[2]), op.expand(weights[3], (4, 1))))
    d = op.sub(z, y)
    loss = op.div(op.sum(op.mul(d, d), [0, 1]), op.constant(4, dtype))
    slopes = gradients([loss], [op.constant(1, dtype)], weights)
    new_speeds = [
        op.add(op.mul(op.expand(momentum, v.shape), v), s)
        for v, s in zip(speeds, slopes, strict=True)
        if s is not None
    ]
    new_weights = [
        op.sub(w, op.mul(op.expand(rate, w.shape), v))
        for w, v in zip(weights, new_speeds, strict=True)
    ]
    return [x, y, rate, momentum], weights + speeds, new_weights + new_speeds, [loss]


def xor_values(inputs: Sequence[Node], state: Sequence[Node]) -> dict[Node, Array]:
    rng = np.random.default_rng(5)
    data = ([[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]], 0.1, 0.9)
    values = {n: np.array(v, n.dtype) for n, v in zip(inputs, data, strict=True)}
    for i, n in enumerate(state):
        values[n] = (rng.normal(size=n.shape) if i < 4 else np.zeros(n.shape)).astype(n.dtype)
    return values


def vmapped(
    replicas: int, state: Sequence[Node], roots: Sequence[Node]
) -> tuple[list[Node], list[Node]]:
    many = {n: op.input((replicas, *n.shape), n.dtype) for n in state}
    return list(many.values()), [n for n, _ in vmap_nodes(roots, many)]


# -- one computation -------------------------------------------------------------------------------
@pytest.mark.parametrize("step", sorted(STEPS.keys() - {"scan", *WRITTEN}))  # loops run as loops
def test_every_primitive(step: str) -> None:
    built = 0
    for seed in range(4):
        graph = random_graph(seed, steps=3, only=[step])
        outputs = list(dict.fromkeys(graph.outputs))
        graph.outputs = outputs
        program = Built(list(graph.values), [], [], outputs)
        if program.kernel is None:
            continue
        built += 1
        found, _ = program.run(graph.values, at_end=seed % 2 == 0)
        assert_close(graph, found, evaluate(outputs, graph.values))
    assert built, "no graph with this primitive was small enough"


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2"])
@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
def test_xor_trains_as_interpreted(dtype: DType, name: str) -> None:
    if name == "avx512" and host().vector_bytes < 64:
        pytest.skip("this machine has no AVX-512")
    program = Built(*xor(dtype), preset(name))
    assert not program.replicated
    values = xor_values(program.inputs, program.state)
    tolerance = 1e-4 if dtype == dt.float32 else 1e-10
    for steps in (1, 2, 1000):
        outputs, state = program.run(values, steps)
        for a, e in zip([*outputs, *state], sum(program.expected(values, steps), []), strict=True):
            np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)
    assert outputs[0] < 0.05


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2"])
def test_bools_of_several_vectors(name: str) -> None:
    """Padded, cut and joined. No shuffle of i1 may see two vectors: LLVM 22 makes of one with false
    lanes, for AVX-512, a shift of a mask register that brings in bits from beyond the vector."""
    a, b = op.input((9, 5), dt.bool_), op.input((4, 6), dt.bool_)
    padded = op.pad(op.not_(a), (0, 1), (3, 2))
    joined = op.concat([op.not_(padded), op.pad(b, (0, 2), (0, 0)), op.zeros_like(padded)], 0)
    target = preset(name)
    program = Built([a, b], [], [], [padded, op.flip(joined, [0, 1])], target)
    assert program.kernel is not None
    shuffles = re.findall(r"shufflevector .*", optimized_ir(program.kernel.text, target))
    assert shuffles
    assert not [s for s in shuffles if re.match(r"shufflevector <\d+ x i1> .*, <\d+ x i1> [%<]", s)]
    if runs_here(target):
        rng = np.random.default_rng(0)
        values = {n: rng.random(n.shape) < 0.5 for n in (a, b)}
        found, _ = program.run(values)
        for f, e in zip(found, program.expected(values, 1)[0], strict=True):
            np.testing.assert_array_equal(f, e)


def test_updates_read_the_old_state() -> None:
    a, b, kept = (op.input((5,), dt.float32) for _ in range(3))
    program = Built([], [a, b, kept], [b, op.add(a, kept), kept], [a])
    values = {n: np.arange(5, dtype=np.float32) + 10 * i for i, n in enumerate((a, b, kept))}
    for steps in (1, 2, 3):
        (out,), state = program.run(values, steps)
        (expected,), new = program.expected(values, steps)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(state, new)


@pytest.mark.parametrize("dtype", [dt.float64, dt.bool_, dt.int32], ids=str)
@pytest.mark.parametrize("index", [dt.uint32, dt.int32], ids=str)
def test_a_record_is_one_store_a_step(dtype: DType, index: DType) -> None:
    """One element of a long array; an index that is outside is clamped."""
    kept, at, x = op.input((600,), dtype), op.input((), index), op.input((), dt.int32)
    new = op.put(kept, at, op.cast(x, dtype))
    step = [op.add(at, op.constant(1, index)), op.add(x, op.constant(1, dt.int32))]
    program = Built([], [kept, at, x], [new, *step], [at])
    assert program.kernel is not None and program.kernel.text.count("\n") < 60
    for first, steps in ((0, 1), (10, 3), (597, 6), (-4, 6)):
        values = {kept: (np.arange(600) % 3).astype(dtype), x: np.int32(7)}
        values[at] = np.array(first).astype(index)
        for at_end in (True, False):
            found, after = program.run(values, steps, at_end=at_end)
            expected, new_state = program.expected(values, steps)
            for a, e in zip([*found, *after], [*expected, *new_state], strict=True):
                np.testing.assert_array_equal(a, e)


def test_a_record_that_is_read_is_no_record() -> None:
    kept, at = op.input((300,), dt.float32), op.input((), dt.uint32)
    new = op.put(kept, at, op.constant(5.0, dt.float32))
    step = op.add(at, op.constant(1, dt.uint32))
    for outputs in ([op.sum(kept, [0])], [new]):
        program = Built([], [kept, at], [new, step], outputs)
        values = {kept: np.arange(300, dtype=np.float32), at: np.uint32(297)}
        found, after = program.run(values, 2)
        expected, new_state = program.expected(values, 2)
        for a, e in zip([*found, *after], [*expected, *new_state], strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-6)


@pytest.mark.parametrize("width", [(), (3,)])
@pytest.mark.parametrize("replicas", [5, 37])
def test_a_record_of_replicas_is_a_row_a_step(replicas: int, width: tuple[int, ...]) -> None:
    """A number, or some, of every replica in each step; rows of a chunk that is not full too."""
    w = op.input((replicas, *width), dt.float32)
    wide, at = op.input((9, replicas, *width), dt.float64), op.input((), dt.uint32)
    new = op.mul(w, op.full(w.shape, 1.5, dt.float32))
    updates = [
        new,
        op.put(wide, at, op.cast(new, dt.float64)),
        op.add(at, op.constant(1, dt.uint32)),
    ]
    program = Built([], [w, wide, at], updates, [])
    assert program.replicated
    rng = np.random.default_rng(3)
    for first, steps in ((0, 1), (2, 5), (7, 4)):
        values = {w: rng.normal(size=w.shape).astype(np.float32), at: np.uint32(first)}
        values[wide] = rng.normal(size=wide.shape)
        for at_end in (True, False):
            _, after = program.run(values, steps, at_end=at_end)
            for a, e in zip(after, program.expected(values, steps)[1], strict=True):
                np.testing.assert_array_equal(a, e)


def test_rows_of_a_data_set_in_memory() -> None:
    """Too large for registers, looked up by an index that the state computes; indices are
    clamped."""
    table, at = op.input((1000, 3), dt.float32), op.input((4,), dt.int64)
    rows = op.gather(table, at)
    program = Built([table], [at], [op.add(at, op.full((4,), 7, dt.int64))], [rows])
    values = {
        table: np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32),
        at: np.array([-3, 0, 990, 5000]),
    }
    (found,), (position,) = program.run(values, 3)
    (expected,), (after,) = program.expected(values, 3)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(position, after)


def test_large_graphs_are_left_to_others() -> None:
    a, b = op.input((128, 300), dt.float32), op.input((300, 100), dt.float32)
    assert Built([a, b], [], [], [op.dot(a, b)]).kernel is None


# -- replicas --------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
@pytest.mark.parametrize(
    ("replicas", "name"),
    [
        (1, "host"),
        (3, "host"),
        (16, "host"),
        (17, "host"),
        (100, "host"),
        (17, "avx2"),
        (17, "sse2"),
    ],
)
def test_replicas_are_what_each_is_alone(replicas: int, dtype: DType, name: str) -> None:
    inputs, state, updates, outputs = xor(dtype)
    many, roots = vmapped(replicas, state, [*updates, *outputs])
    program = Built(inputs, many, roots[: len(state)], roots[len(state) :], preset(name))
    assert program.replicated == (replicas >= 4)
    values = xor_values(inputs, many)
    losses, new = program.run(values, 20)
    again = program.run(values, 20, threads=3)
    for a, b in zip([*losses, *new], [*again[0], *again[1]], strict=True):
        np.testing.assert_array_equal(a, b, err_msg="threads change the bits")
    one = Built(inputs, state, updates, outputs, preset(name))
    tolerance = 1e-4 if dtype == dt.float32 else 1e-9
    for r in {0, replicas // 2, replicas - 1}:
        alone = {n: values[n] for n in inputs}
        alone.update((s, values[m][r]) for s, m in zip(state, many, strict=True))
        (loss,), after = one.run(alone, 20)
        np.testing.assert_allclose(losses[0][r], loss, rtol=tolerance, atol=tolerance)
        for a, e in zip(new, after, strict=True):
            np.testing.assert_allclose(a[r], e, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_mapped(seed: int) -> None:
    graph = random_graph(seed, steps=5)
    rng = np.random.default_rng(seed)
    replicas = int(rng.choice([2, 5, 16, 19]))
    first, *others = graph.values
    state = [first, *(n for n in others if rng.random() < 0.6)]
    many = {n: op.input((replicas, *n.shape), n.dtype) for n in state}
    mapped = [n for n, has_axis in vmap_nodes(graph.outputs, many) if has_axis]
    outputs = list(dict.fromkeys(mapped))
    if not outputs:
        pytest.skip("nothing depends on what is mapped")
    values = {n: v for n, v in graph.values.items() if n not in many}
    for n, m in many.items():  # each replica has the same numbers in another order
        rows = [
            rng.permutation(graph.values[n].reshape(-1)).reshape(n.shape) for _ in range(replicas)
        ]
        values[m] = np.stack(rows).astype(n.dtype)
    count = op.input((replicas,), dt.float32)  # a changing state tells how many replicas there are
    program = Built(list(values), [count], [op.add(count, op.ones_like(count))], outputs)
    if program.kernel is None:
        pytest.skip("too large")
    values[count] = np.arange(replicas, dtype=np.float32)
    found, (counted,) = program.run(values, 3, threads=2, at_end=seed % 2 == 0)
    np.testing.assert_array_equal(counted, values[count] + 3)
    graph.outputs = outputs
    assert_close(graph, found, evaluate(outputs, values), factor=10)


def test_each_replica_looks_up_its_own_table() -> None:
    """What a vmapped gather becomes: indices into the stack of all tables."""
    table, at = op.input((6, 2), dt.float32), op.input((3,), dt.int64)
    total = op.scatter_add(op.zeros_like(table), at, op.gather(table, at))
    many, (new, moved) = vmapped(70, [table, at], [total, op.add(at, op.full((3,), 1, dt.int64))])
    program = Built([], many, [new, moved], [])
    assert program.replicated
    rng = np.random.default_rng(1)
    values = {
        many[0]: rng.normal(size=(70, 6, 2)).astype(np.float32),
        many[1]: rng.integers(-2, 8, (70, 3)),
    }
    _, found = program.run(values, 2)
    for a, e in zip(found, program.expected(values, 2)[1], strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_state_that_replicas_share(threads: int) -> None:
    """A counter beside them: every chunk must begin with its old value, in every thread."""
    w, count = op.input((40, 3), dt.float32), op.input((), dt.float32)
    new = op.add(w, op.expand(count, w.shape))
    program = Built([], [w, count], [new, op.add(count, op.constant(1.0, dt.float32))], [count])
    assert program.replicated
    values = {w: np.zeros((40, 3), np.float32), count: np.float32(5)}
    (shown,), (weights, counted) = program.run(values, 4, threads)
    assert (shown, counted) == (8, 9)
    np.testing.assert_array_equal(weights, np.full((40, 3), 5 + 6 + 7 + 8))


def test_replicas_that_meet_are_left_to_others() -> None:
    w = op.input((5000, 3), dt.float32)
    mean = op.div(op.sum(w, [0, 1]), op.constant(15000.0, dt.float32))
    assert Built([], [w], [op.sub(w, op.expand(mean, w.shape))], []).kernel is None
