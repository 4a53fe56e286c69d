"""The Array API standard (2024.12): its names are there, and mean what they mean in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy_oracle import check

import chainrule as cr
from chainrule.errors import DTypeError, OptionError, ShapeError

INTEGERS = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
NAMES = """
    arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like
    tril triu zeros zeros_like astype broadcast_arrays broadcast_to can_cast finfo iinfo isdtype
    result_type abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift
    bitwise_invert bitwise_or bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh
    divide equal exp expm1 floor floor_divide greater greater_equal hypot imag isfinite isinf isnan
    less
    less_equal log log1p log2 log10 logaddexp logical_and logical_not logical_or logical_xor maximum
    minimum multiply negative nextafter not_equal positive pow real reciprocal remainder round sign
    signbit sin sinh square sqrt subtract tan tanh trunc take take_along_axis matmul
    matrix_transpose tensordot vecdot concat expand_dims flip moveaxis permute_dims repeat reshape
    roll squeeze stack tile unstack argmax argmin count_nonzero nonzero searchsorted where
    unique_all unique_counts unique_inverse unique_values argsort sort cumulative_prod
    cumulative_sum max mean min prod std sum var all any diff e inf nan newaxis pi
    __array_namespace_info__ __array_api_version__
    bool_ uint8 uint16 uint32 uint64 int8 int16 int32 int64 float32 float64
""".split()
LINALG = """
    cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank
    matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm
""".split()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_standard_is_there(name: str) -> None:
    assert hasattr(cr, name)
    assert name in dir(cr)


@pytest.mark.parametrize("name", LINALG)
def test_a_name_of_its_linear_algebra_is_there(name: str) -> None:
    assert hasattr(cr.linalg, name)


def test_constants() -> None:
    assert (cr.e, cr.pi, cr.inf, cr.newaxis) == (math.e, math.pi, math.inf, None)
    assert math.isnan(cr.nan)
    assert cr.arange(3)[:, cr.newaxis].shape == (3, 1)


def test_the_namespace_describes_itself() -> None:
    x = cr.ones(2)
    assert x.__array_namespace__() is cr
    assert x.__array_namespace__(api_version="2024.12") is cr
    with pytest.raises(OptionError) as error:
        x.__array_namespace__(api_version="2021.12")
    assert str(error.value) == (
        "__array_namespace__: version 2024.12 of the standard is there, got '2021.12'"
    )
    info = cr.__array_namespace_info__()
    assert info.default_device() == "cpu"
    assert info.devices() == ["cpu"]
    assert info.default_dtypes()["real floating"] == cr.float32
    assert set(info.dtypes(kind="real floating")) == {"float32", "float64"}
    assert info.dtypes(kind=("bool", "unsigned integer"))["uint8"] == cr.uint8
    assert info.capabilities()["boolean indexing"]
    assert x.to_device("cpu") is x
    assert x.device == "cpu"


@pytest.mark.parametrize("make", [cr.asarray, cr.tensor, lambda z: cr.ones(1) + z, cr.exp])
@pytest.mark.parametrize("data", [0j, [1 + 2j], np.zeros(1, np.complex64)], ids=str)
def test_complex_numbers_are_refused_by_name(make, data) -> None:
    if make not in (cr.asarray, cr.tensor, cr.exp) and data == 0j:
        return  # the operator leaves it to Python
    with pytest.raises(DTypeError, match=r"^complex numbers \(complex(64|128)\) are not supported"):
        make(data)


def test_a_complex_dtype_is_refused_by_name() -> None:
    with pytest.raises(DTypeError) as error:
        cr.zeros(2, dtype="complex64")
    assert str(error.value) == (
        "complex numbers (complex64) are not supported: keep real and imaginary parts as two "
        "tensors"
    )


def test_limits_of_dtypes() -> None:
    for name in ("float32", "float64"):
        ours, numpys = cr.finfo(name), np.finfo(name)
        for field in ("bits", "eps", "max", "min", "smallest_normal"):
            assert getattr(ours, field) == getattr(numpys, field)
    assert cr.finfo(cr.ones(1)).dtype == cr.float32
    assert (cr.iinfo("int32").min, cr.iinfo("int32").max) == (-(2**31), 2**31 - 1)
    with pytest.raises(DTypeError, match="finfo is about float dtypes, got int64; use iinfo"):
        cr.finfo(int)
    with pytest.raises(DTypeError, match="iinfo is about integer dtypes, got float32; use finfo"):
        cr.iinfo("float32")


def test_questions_about_dtypes() -> None:
    assert cr.result_type(cr.float32, cr.ones(1, dtype="float64")) == cr.float64
    assert cr.result_type(cr.ones(1), 1.0, 2) == cr.float32
    assert cr.result_type(cr.tensor([1]), 0.5) == cr.float32
    assert cr.result_type(1, 2.0) == cr.float32
    assert cr.can_cast("uint8", "int32")
    assert not cr.can_cast("float64", "float32")
    assert not cr.can_cast("uint64", "int64")
    assert cr.isdtype(cr.int32, "signed integer")
    assert not cr.isdtype(cr.int32, ("bool", "real floating", cr.int64))
    assert not cr.isdtype(cr.float32, "complex floating")
    with pytest.raises(OptionError, match="isdtype: kind is a dtype or one of 'bool', "):
        cr.isdtype(cr.int32, "whole")


def test_uint64_and_a_signed_integer_have_no_dtype_in_common() -> None:
    with pytest.raises(DTypeError) as error:
        cr.tensor([1], dtype="uint64") + cr.tensor([1])
    assert str(error.value) == (
        "uint64 and int64 have no integer dtype in common; convert one of them, with .to()"
    )
    assert (cr.tensor([1], dtype="uint64") + 1).dtype == "uint64"
    assert (cr.tensor([1], dtype="uint64") + cr.tensor([1.0])).dtype == "float32"


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [*INTEGERS])
def test_floats_outside_an_integer_dtype_are_clamped_to_it(dtype: str, compiled: bool) -> None:
    info = np.iinfo(dtype)
    x = np.array([-1e30, -2.7, 1.9, 1e30, np.inf, -np.inf, np.nan])
    f = lambda t: t.astype(dtype)  # noqa: E731
    got = (cr.compile(f) if compiled else f)(cr.tensor(x))
    low = info.min if info.min else 0
    assert got.tolist() == [low, -2 if low else 0, 1, info.max, info.max, low, 0]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [*INTEGERS])
def test_arithmetic_of_every_integer_dtype_is_numpys(dtype: str, compiled: bool) -> None:
    rng = np.random.default_rng(0)
    info = np.iinfo(dtype)
    a = rng.integers(info.min, info.max, 60, dtype, endpoint=True)
    b = rng.integers(1, 9, 60, dtype)

    def f(x, y):
        wide = x.reshape(6, 10)
        found = [x + y, x - y, x * y, x // y, x % y, -x, abs(x), cr.maximum(x, y), x < y]
        return [
            *found,
            x.max(),
            x.argmin(),
            x.sum(),
            wide @ y.reshape(10, 6),
            x[y],
            x.to("float64"),
        ]

    with np.errstate(all="ignore"):
        wide = a.reshape(6, 10)
        want = [a + b, a - b, a * b, a // b, a % b, -a, abs(a), np.maximum(a, b), a < b]
        total = a.sum(dtype=np.uint64 if dtype == "uint64" else np.int64)
        product = np.matmul(wide, b.reshape(10, 6))
        want += [a.max(), a.argmin(), total, product, a[b], a.astype(float)]
    for found, expected in zip(
        (cr.compile(f) if compiled else f)(cr.tensor(a), cr.tensor(b)), want, strict=True
    ):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.numpy(), expected)


def test_conversions_copy_unless_told_not_to() -> None:
    x = cr.ones(2)
    assert cr.astype(x, cr.float32, copy=False) is x
    assert cr.astype(x, cr.float32) is not x
    assert cr.asarray(x) is x
    assert cr.asarray(x, copy=True) is not x
    array = np.ones(2, np.float32)
    copied, shared = cr.asarray(array, copy=True), cr.asarray(array, copy=False)
    array[0] = 5
    assert copied.tolist() == [1, 1]
    assert shared.tolist() == [5, 1]
    for data, dtype in (([1.0], None), (array, "float64"), (x, "float64")):
        with pytest.raises(OptionError, match="asarray: copy=False, but this data or dtype needs"):
            cr.asarray(data, dtype=dtype, copy=False)


def test_shapes_by_keyword() -> None:
    assert cr.reshape(cr.arange(6), shape=(2, 3)).shape == (2, 3)
    assert cr.arange(6).reshape(shape=(3, -1)).shape == (3, 2)
    assert cr.zeros(shape=(2, 3)).shape == cr.ones(shape=(2, 3)).shape == (2, 3)
    assert cr.empty(shape=4).shape == (4,)
    assert cr.full(shape=(2,), fill_value=1.0, device="cpu").shape == (2,)
    assert cr.permute_dims(cr.ones(2, 3, 4), axes=(2, 0, 1)).shape == (4, 2, 3)
    assert cr.transpose(cr.ones(2, 3), axes=(1, 0)).shape == (3, 2)
    assert cr.broadcast_to(cr.ones(3), shape=(2, 3)).shape == (2, 3)
    with pytest.raises(OptionError) as error:
        cr.reshape(cr.ones(4), 2, 2, shape=(4,))
    assert str(error.value) == "reshape: shape is given twice, as (2, 2) and as shape=(4,)"


def test_a_scalar_mask_adds_an_axis() -> None:
    x = np.arange(3)
    t = cr.tensor(x)
    for mask in (True, False, np.True_, cr.tensor(True), cr.tensor(False)):
        check(t[mask], x[bool(mask)])
    check(cr.tensor(5)[cr.tensor(True)], [5])
    t[cr.tensor(False)] = 9
    check(t, x)
    t[cr.tensor(True)] = 9
    check(t, [9, 9, 9])


def test_vecdot_needs_equal_lengths() -> None:
    check(cr.vecdot(cr.ones(2, 1, 3), cr.ones(4, 3)), np.full((2, 4), 3.0))
    with pytest.raises(ShapeError) as error:
        cr.vecdot(cr.ones(1), cr.ones(3))
    assert str(error.value) == (
        "vecdot along axis -1: shapes (1,) and (3,) need this axis of equal length"
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted_puts_nan_last(side: str) -> None:
    b, x = np.array([-1.0, 2, 2, np.nan, np.nan]), np.array([np.nan, -5, 2, 9, -np.inf, np.inf])
    check(cr.searchsorted(b, x, side=side), np.searchsorted(b, x, side=side))
    order = np.argsort(b[::-1], kind="stable")
    check(cr.searchsorted(b[::-1].copy(), x, side=side, sorter=order), np.searchsorted(b, x, side))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_bits(dtype: str) -> None:
    rng = np.random.default_rng(0)
    info = np.iinfo(dtype)
    a = rng.integers(info.min, info.max, 200, dtype, endpoint=True)
    b = rng.integers(info.min, info.max, 200, dtype, endpoint=True)
    by = rng.integers(0, info.bits, 200, dtype)

    def every(x, y, n):
        return x & y, x | y, x ^ y, ~x, x << n, x >> n, x >> 1, cr.bitwise_left_shift(x, 3)

    want = (a & b, a | b, a ^ b, ~a, a << by, a >> by, a >> 1, a << 3)
    for run in (every, cr.compile(every)):
        for found, expected in zip(
            run(cr.tensor(a), cr.tensor(b), cr.tensor(by)), want, strict=True
        ):
            assert found.dtype == dtype
            np.testing.assert_array_equal(found.numpy(), expected)


def test_shifts_by_the_width_and_more_leave_nothing() -> None:
    x = cr.tensor([5, -5], dtype="int32")
    assert (x << 32).tolist() == [0, 0]
    assert (x >> 31).tolist() == [0, -1]
    assert (x >> 40).tolist() == [0, -1]


def test_bits_of_floats_are_refused() -> None:
    with pytest.raises(DTypeError) as error:
        cr.ones(2) & cr.ones(2)
    assert str(error.value) == (
        "& is defined for bool and integer tensors, got float32; compare first, for example "
        "(x > 0) & (y > 0)"
    )
    with pytest.raises(DTypeError, match=r"^<< is defined for integer tensors, got bool$"):
        cr.tensor([True]) << cr.tensor([True])
    with pytest.raises(DTypeError, match="~ is defined for bool and integer tensors, got float32;"):
        ~cr.ones(1)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_powers_of_integers_are_exact_and_wrap(dtype: str, compiled: bool) -> None:
    info = np.iinfo(dtype)
    bases = np.array(
        [0, 1, 2, 3, 7, 10, info.max, *([-1, -3, info.min] if info.min else [])], dtype
    )
    exponents = np.array([0, 1, 2, 3, 8, 9, 13, 39, 63, 64, 100], dtype)
    a, b = (m.ravel() for m in np.meshgrid(bases, exponents))
    with np.errstate(over="ignore"):
        want = a**b
    f = lambda x, y: x**y  # noqa: E731
    found = (cr.compile(f) if compiled else f)(cr.tensor(a), cr.tensor(b))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.numpy(), want)
    number = (cr.compile(lambda x: x**39) if compiled else (lambda x: x**39))(cr.tensor(bases))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(number.numpy(), bases ** np.array(39, dtype))


def test_an_integer_to_a_negative_power_is_refused_where_the_power_is_known() -> None:
    a, b = cr.tensor([2, 1, -1]), cr.tensor([1, -1, -3])
    with pytest.raises(DTypeError) as error:
        a**b
    assert str(error.value) == (
        "integers cannot be raised to the power -3; convert the base with .float()"
    )
    assert cr.compile(lambda a, b: a**b)(a, b).tolist() == [2, 1, -1]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_division_rounded_down_is_numpys_and_fits_the_remainder(dtype: str, compiled: bool) -> None:
    rng = np.random.default_rng(0)
    special = [0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 5.5, math.inf, -math.inf, math.nan]
    a, b = (m.ravel() for m in np.meshgrid(np.array(special, dtype), np.array(special, dtype)))
    a = np.concatenate([a, rng.normal(0, 100, 300).astype(dtype), np.arange(50).astype(dtype)])
    b = np.concatenate([b, rng.normal(0, 1, 300).astype(dtype), np.full(50, 0.1, dtype)])

    def f(x, y):
        return x // y, x % y

    quotient, rest = (cr.compile(f) if compiled else f)(cr.tensor(a), cr.tensor(b))
    with np.errstate(all="ignore"):
        want = a // b
        np.testing.assert_array_equal(quotient.numpy(), want)
        np.testing.assert_array_equal(rest.numpy(), a % b)
        known = np.isfinite(want) & np.isfinite(a % b) & np.isfinite(b)
        np.testing.assert_array_equal(np.signbit(quotient.numpy())[known], np.signbit(want)[known])
        back = want[known].astype(float) * b[known] + (a % b)[known]
    np.testing.assert_allclose(back, a[known], rtol=1e-5, atol=1e-6)
    assert (cr.tensor(1.0) // 0.1).item() == 9


def test_unique_elements() -> None:
    x = np.array([[3.0, 1.0, np.nan], [1.0, 3.0, np.nan]], np.float32)
    ours, numpys = cr.unique_all(x), np.unique_all(x)
    for field in ("values", "indices", "inverse_indices", "counts"):
        np.testing.assert_array_equal(getattr(ours, field).numpy(), getattr(numpys, field))
    np.testing.assert_array_equal(cr.unique_values(x).numpy(), numpys.values)
    np.testing.assert_array_equal(cr.unique_counts(x).counts.numpy(), numpys.counts)
    assert cr.unique_inverse(x).inverse_indices.shape == x.shape
    t = cr.tensor([2.0, 1.0, 2.0], requires_grad=True)
    cr.unique_values(t).sum().backward()
    assert t.grad is not None
    assert t.grad.tolist() == [1, 1, 0]


def test_running_sums_and_differences() -> None:
    x = np.arange(12.0).reshape(3, 4) ** 2
    t = cr.tensor(x)
    check(cr.cumulative_sum(t, axis=1), np.cumulative_sum(x, axis=1))
    check(
        cr.cumulative_sum(t, axis=0, include_initial=True),
        np.cumulative_sum(x, axis=0, include_initial=True),
    )
    check(
        cr.cumulative_prod(t, axis=1, include_initial=True),
        np.cumulative_prod(x, axis=1, include_initial=True),
    )
    assert cr.cumulative_sum([1.5, 2.0], dtype="float64").dtype == "float64"
    with pytest.raises(
        OptionError, match=r"cumulative_sum: say along which axis of shape \(3, 4\)"
    ):
        cr.cumulative_sum(t)
    check(cr.diff(t), np.diff(x))
    check(cr.diff(t, axis=0, n=2), np.diff(x, axis=0, n=2))
    check(cr.diff(t, n=7), np.diff(x, n=7))
    ends = np.zeros((3, 1))
    check(cr.diff(t, prepend=ends, append=ends), np.diff(x, prepend=ends, append=ends))
    check(cr.diff([True, False, False]), [True, False])


def test_reductions_of_the_standard() -> None:
    x = np.arange(6).reshape(2, 3)
    assert cr.prod([1.5, 2.0], dtype="float64").dtype == "float64"
    check(cr.count_nonzero(x, axis=1, keepdims=True), np.count_nonzero(x, axis=1, keepdims=True))
    check(cr.std(x * 1.0, correction=1), np.std(x, correction=1))
    check(cr.sum(x, dtype=cr.int32), x.sum())


def test_broadcast_arrays() -> None:
    a, b = cr.broadcast_arrays(cr.ones(3, 1), cr.ones(4))
    assert a.shape == b.shape == (3, 4)


def test_linear_algebra() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 4)), rng.normal(size=(2, 4, 4))
    v, w = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    check(cr.linalg.cross(v, w), np.cross(v, w))
    check(cr.linalg.cross(v.T, w.T, axis=0), np.cross(v, w).T)
    check(cr.linalg.trace(x, offset=1), np.linalg.trace(x, offset=1))
    check(cr.linalg.diagonal(x), np.linalg.diagonal(x))
    check(cr.linalg.matrix_power(x, 5), np.linalg.matrix_power(x, 5))
    check(cr.linalg.matrix_power(x, 0), np.linalg.matrix_power(x, 0))
    check(cr.linalg.matmul(x, y), x @ y)
    check(cr.linalg.vecdot(v, w), (v * w).sum(-1))
    for order in ("fro", 1, -1, np.inf, -np.inf):
        check(cr.linalg.matrix_norm(x, ord=order), np.linalg.matrix_norm(x, ord=order))
        check(
            cr.linalg.matrix_norm(x, ord=order, keepdims=True),
            np.linalg.matrix_norm(x, ord=order, keepdims=True),
        )
    for order in (0, 0.5, 1, 2, 3, np.inf, -np.inf):
        check(
            cr.linalg.vector_norm(x, axis=(0, 2), ord=order),
            np.linalg.vector_norm(x, axis=(0, 2), ord=order),
        )
    with pytest.raises(OptionError) as error:
        cr.linalg.matrix_norm(x, ord=3)
    assert str(error.value) == (
        'matrix_norm: ord is "fro", "nuc", 1, -1, 2, -2, inf or -inf, got 3'
    )
    with pytest.raises(ShapeError, match=r"cross: axis -1 has length 3, got shape \(2, 4, 4\)"):
        cr.linalg.cross(x, y)
