"""Contractions against NumPy: shapes, layouts, dtypes, targets, threads, and the ends of memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gemm_harness import Guarded, Kernel, contraction_of

from chainrule.backends.cpu.emit.contraction.tiled import scratch_bytes
from chainrule.backends.cpu.machine.peak import measure_peak, measure_peak_together
from chainrule.backends.cpu.machine.target import preset
from chainrule.backends.cpu.schedule.contraction import Contraction, Operand
from chainrule.backends.cpu.schedule.tiling import plan_of

TARGETS = ["avx512", "avx2", "sse2"]
RUNNABLE = [t for t in TARGETS if preset(t).vector_bytes <= preset("host").vector_bytes]
TOLERANCE = {"float32": 2e-6, "float64": 4e-15}

# (m, n, k): nothing, one, below, at and above vectors, panels and tiles
SHAPES = [
    (0, 3, 2),
    (3, 0, 2),
    (3, 5, 0),
    (1, 1, 0),
    (1, 1, 1),
    (1, 1, 37),
    (2, 2, 2),
    (4, 2, 2),
    (4, 1, 2),
    (1, 7, 1),
    (1, 33, 19),
    (1, 130, 65),
    (37, 1, 19),
    (2, 50, 33),
    (3, 17, 16),
    (5, 31, 15),
    (6, 64, 7),
    (7, 16, 20),
    (13, 32, 17),
    (14, 33, 18),
    (15, 48, 31),
    (28, 65, 32),
    (29, 10, 64),
    (45, 100, 13),
    (64, 3, 9),
]


def stored(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    layout: str,
    dtype: str,
    at_start: bool = False,
):
    """A (batch..., rows, columns) view in the layout named, and the guarded flat array under it."""
    *batch, rows, columns = shape

    def fresh(*extents: int) -> np.ndarray:
        values = (
            rng.integers(-9, 9, extents)
            if dtype.startswith("int")
            else rng.standard_normal(extents)
        )
        return Guarded(values.astype(dtype), at_start).array

    if layout == "rows":
        flat = fresh(*batch, rows, columns)
        return flat, flat
    if layout == "columns":
        flat = fresh(*batch, columns, rows)
        return flat.swapaxes(-1, -2), flat
    if layout == "strided":  # no unit stride, an offset, a negative stride
        flat = fresh(*batch, 2 * rows + 1, 3 * columns + 2)
        return flat[..., 1 : 2 * rows + 1 : 2, 2::3][..., ::-1, :], flat
    if layout == "wide":  # rows that lie in a wider array
        flat = fresh(*batch, rows, columns + 5)
        return flat[..., 3 : columns + 3], flat
    assert layout == "broadcast", layout
    flat = fresh(*batch, 1, columns)
    return np.broadcast_to(flat, shape), flat


def check(
    shape, a_layout: str, b_layout: str, dtype: str, target: str, at_start: bool = False
) -> None:
    *batch, m, n, k = shape
    rng = np.random.default_rng(hash((m, n, k)) % 2**32)
    a, a_flat = stored(rng, (*batch, m, k), a_layout, dtype, at_start)
    b, b_flat = stored(rng, (*batch, k, n), b_layout, dtype, at_start)
    kernel = Kernel(contraction_of(a, a_flat, b, b_flat), preset(target))
    expected = a.astype("float64") @ b.astype("float64")
    scale = np.abs(a).astype("float64") @ np.abs(b).astype("float64")
    outputs = []
    for threads in (1, 2, 3):
        unset = np.full(expected.shape, 77 if dtype.startswith("int") else np.nan, dtype)
        out = Guarded(unset, at_start).array
        kernel(a_flat, b_flat, out, threads)
        error = np.abs(out - expected)
        assert (error <= TOLERANCE.get(dtype, 0) * scale).all(), (
            shape,
            threads,
            error.max(initial=0),
        )
        outputs.append(out.tobytes())
    assert outputs[0] == outputs[1] == outputs[2]


def on_targets(shapes):
    """Every shape for the widest vectors there are, and in the quick suite some for others."""
    found = []
    for target in RUNNABLE:
        for i, shape in enumerate(shapes):
            marks = [] if target == RUNNABLE[0] or i % 3 == 0 else pytest.mark.slow
            name = f"{'x'.join(map(str, shape))}-{target}"
            found.append(pytest.param(shape, target, marks=marks, id=name))
    return found


@pytest.mark.parametrize(("shape", "target"), on_targets(SHAPES))
def test_shapes(shape, target):
    layouts = itertools.product(["rows", "columns"], ["rows", "columns"])
    for i, (a_layout, b_layout) in enumerate(layouts):
        check(shape, a_layout, b_layout, "float32", target, at_start=bool(i % 2))


def layouts_on_targets():
    """Every pair for the widest vectors there are, and in the quick suite some for others."""
    kinds = ["strided", "wide", "broadcast"]
    pairs = list(itertools.product(["rows", *kinds], ["columns", *kinds]))
    found = []
    for n, target in enumerate(RUNNABLE):
        for i, pair in enumerate(pairs):
            marks = [] if n == 0 or (i + n) % 3 == 0 else pytest.mark.slow
            found.append(pytest.param(*pair, target, marks=marks, id="-".join([*pair, target])))
    return found


@pytest.mark.parametrize(("a_layout", "b_layout", "target"), layouts_on_targets())
def test_layouts(a_layout, b_layout, target):
    check((15, 37, 21), a_layout, b_layout, "float32", target)
    check((3, 19, 6), a_layout, b_layout, "float32", target, at_start=True)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("dtype", ["float64", "int32", "int64"])
def test_dtypes(dtype, target):
    for shape in [(1, 21, 9), (4, 2, 3), (30, 21, 18), (16, 1, 5)]:
        for b_layout in ("rows", "columns"):
            check(shape, "columns" if shape[0] % 4 else "rows", b_layout, dtype, target)


@pytest.mark.parametrize("batch", [(3,), (2, 3), (1,), (0,)])
def test_batches(batch):
    for shape in [(5, 18, 7), (2, 3, 2), (30, 40, 9)]:
        check((*batch, *shape), "rows", "columns", "float32", RUNNABLE[0])
        check((*batch, *shape), "columns", "wide", "float32", RUNNABLE[0])


@pytest.mark.parametrize(("shape", "target"), on_targets([s for s in SHAPES if min(s) > 0]))
@pytest.mark.parametrize("which", ["rows of a", "columns of a", "rows of b"])
def test_rows_that_lie_anywhere(which, shape, target):
    """A table of addresses in the place of an operand: rows in any order, some of them twice."""
    m, n, k = shape
    rng = np.random.default_rng(m * n * k)
    count, size = {"rows of a": (m, k), "columns of a": (k, m), "rows of b": (k, n)}[which]
    source = Guarded(rng.standard_normal((count + 3, size)).astype("float32")).array
    numbers = rng.integers(0, count + 3, count)
    table = Guarded(source.ctypes.data + numbers * source.strides[0]).array
    taken = source[numbers]
    other = Guarded(rng.standard_normal((k, n) if which[-1] == "a" else (m, k)).astype("float32"))
    plain = Operand(other.array.shape[1], 1)
    if which == "rows of a":
        a, b, operands = taken, other.array, (Operand(size, 1, table="rows"), plain)
    elif which == "columns of a":
        a, b, operands = taken.T, other.array, (Operand(1, size, table="columns"), plain)
    else:
        a, b, operands = other.array, taken, (plain, Operand(size, 1, table="rows"))
    flat = (other.array, table) if which == "rows of b" else (table, other.array)
    kernel = Kernel(Contraction(m, n, k, *operands, "float32"), preset(target))
    for threads in (1, 2, 3):
        out = Guarded(np.full((m, n), np.nan, "float32")).array
        kernel(*flat, out, threads)
        assert (np.abs(out - a @ b) <= 4e-6 * (np.abs(a) @ np.abs(b))).all()


def test_shared_operand_of_a_batch():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4, 6, 5)).astype("float32")
    b = rng.standard_normal((5, 9)).astype("float32")
    c = Contraction(6, 9, 5, Operand(5, 1, (30,)), Operand(9, 1, (0,)), "float32", (4,))
    out = np.zeros((4, 6, 9), "float32")
    Kernel(c, preset(RUNNABLE[0]))(a, b, out, 3)
    np.testing.assert_allclose(out, a @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "a_layout", "b_layout"),
    [
        ((130, 260, 1024), "rows", "columns"),  # rows of a one L1 set apart: a is packed
        ((64, 300, 1500), "columns", "rows"),
        ((520, 130, 4100), "rows", "rows"),  # a larger than the cache: groups of panels
        ((2050, 270, 1024), "rows", "rows"),  # blocks of a
    ],
)
def test_large(shape, a_layout, b_layout):
    check(shape, a_layout, b_layout, "float32", RUNNABLE[0])


def test_large_shapes_reach_every_branch():
    """The shapes above do exercise packed a, groups of several panels and blocks of a."""
    target = preset("avx512")

    def plan(m: int, n: int, k: int):
        return plan_of(Contraction(m, n, k, Operand(k, 1), Operand(n, 1)), target)

    assert plan(130, 260, 1024).pack_a
    assert plan(520, 130, 4100).group > 1 or plan(520, 130, 4100).groups > 1
    assert plan(2050, 270, 1024).block < plan(2050, 270, 1024).tiles


def test_not_a_number_stays_where_it_is():
    """Padding lanes and rows must not spread NaN or infinity to other elements."""
    a, b = np.ones((15, 9), "float32"), np.ones((9, 35), "float32")
    a[14, 3], b[2, 34] = np.nan, np.inf
    out = np.zeros((15, 35), "float32")
    Kernel(contraction_of(a, a, b, b), preset(RUNNABLE[0]))(a, b, out, 2)
    with np.errstate(invalid="ignore"):  # some builds of BLAS report the NaN, others do not
        expected = a @ b
    np.testing.assert_array_equal(out, expected)


def test_scratch_is_bounded():
    """Scratch does not grow with the rows of a."""
    target = preset("avx512")

    def scratch(m: int) -> int:
        return scratch_bytes(Contraction(m, 4096, 4096, Operand(4096, 1), Operand(1, 4096)), target)

    assert scratch(1 << 20) < 32 << 20


def test_peak_of_several_cores_is_at_most_that_of_each():
    pairs = [(measure_peak_together(2), measure_peak()) for _ in range(3)]
    together, alone = map(max, zip(*pairs, strict=True))
    assert 0.2 * alone < together < 3 * alone  # twice, if the machine is as fast in both


@pytest.mark.parametrize("target", ["avx512", "avx2", "sse2"])
def test_peak_follows_the_vector_width(target):
    if target in RUNNABLE:
        assert measure_peak("float32", preset(target), 3) > 1.5 * measure_peak(
            "float64", preset(target), 3
        )
