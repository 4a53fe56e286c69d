"""`chainrule.linalg`: against NumPy, finite differences and PyTorch; compiled against LAPACK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DTypeError, LinAlgError, OptionError, ShapeError

la = cr.linalg
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 4))
TALL, WIDE = RNG.normal(size=(2, 5, 3)), RNG.normal(size=(3, 5))
B = RNG.normal(size=(2, 4, 2))
SPD = X @ X.swapaxes(-1, -2) + np.eye(4)
A = [[2.0, -1.0, 0.5], [1.0, 3.0, -2.0], [0.5, 1.0, 4.0]]
W = np.array([[1.0, -2.0, 3.0], [0.5, 1.0, -1.0], [2.0, 0.0, 1.0]])


def check(found: Any, expected: Any, atol: float = 1e-12, rtol: float = 0.0) -> None:
    """Shapes and values agree; those of float32 to 2e-5 at least."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    if expected.dtype == np.float32:
        atol, rtol = max(atol, 2e-5), max(rtol, 2e-5)
    np.testing.assert_allclose(found.numpy(), expected, rtol=max(rtol, 1e-10), atol=atol)


# -- values ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_those_of_numpy(dtype: str) -> None:
    x, b, spd = (a.astype(dtype) for a in (X, B, SPD))
    tall, wide = TALL.astype(dtype), WIDE.astype(dtype)
    check(la.solve(x, b), np.linalg.solve(x, b))
    check(la.solve(x, b[0, :, 0]), np.linalg.solve(x, b[0, :, 0]))
    check(la.solve(x[0], b), np.linalg.solve(x[0], b))
    check(la.inv(x), np.linalg.inv(x))
    check(la.det(x), np.linalg.det(x))
    for ours, numpys in zip(la.slogdet(x), np.linalg.slogdet(x), strict=True):
        check(ours, numpys)
    check(la.cholesky(spd), np.linalg.cholesky(spd))
    check(la.cholesky(spd, upper=True), np.linalg.cholesky(spd, upper=True))
    check(la.eigvalsh(spd), np.linalg.eigvalsh(spd))
    check(la.eigvalsh(x, "U"), np.linalg.eigvalsh(x, "U"))
    for a in (x, tall, wide):
        check(la.svdvals(a), np.linalg.svdvals(a))
        check(la.pinv(a), np.linalg.pinv(a, rcond=1e-6), atol=1e-5)
        check(la.matrix_rank(a), np.linalg.matrix_rank(a))
        for order in ("nuc", 2, -2):
            check(la.matrix_norm(a, ord=order), np.linalg.matrix_norm(a, ord=order))
    check(la.matrix_power(x, -3), np.linalg.matrix_power(x, -3), atol=1e-2)
    for p in (None, 2, -2, 1, "fro"):
        check(la.cond(x, p), np.linalg.cond(x, p), rtol=1e-4)
    upper, lower = np.triu(x), np.tril(x)
    check(la.solve_triangular(x, b, upper=True), np.linalg.solve(upper, b), rtol=1e-4)
    check(la.solve_triangular(x, b, upper=False), np.linalg.solve(lower, b), rtol=1e-4)
    right = la.solve_triangular(x, b.swapaxes(-1, -2), upper=True, left=False)
    check(right @ upper, b.swapaxes(-1, -2), atol=1e-4)
    unit = la.solve_triangular(x, b, upper=False, unitriangular=True)
    check(unit, np.linalg.solve(np.tril(x, -1) + np.eye(4, dtype=dtype), b), atol=1e-4)


@pytest.mark.parametrize("x", [X, TALL, WIDE, WIDE[:1], TALL[:, :, :1]], ids=lambda a: str(a.shape))
def test_factors_multiply_to_the_matrix(x: np.ndarray) -> None:
    m, n = x.shape[-2:]
    k = min(m, n)
    for mode, columns in (("reduced", k), ("complete", m)):
        Q, R = la.qr(x, mode=mode)
        assert Q.shape == (*x.shape[:-1], columns) and R.shape == (*x.shape[:-2], columns, n)
        check(Q @ R, x, atol=1e-12)
        check(Q.mT @ Q, np.broadcast_to(np.eye(columns), (*x.shape[:-2], columns, columns)))
        check(R, np.triu(R.numpy()))
    U, S, Vh = la.svd(x)
    assert U.shape[-2:] == (m, m) and Vh.shape[-2:] == (n, n)
    check(U[..., :k] @ (S[..., None] * Vh[..., :k, :]), x, atol=1e-12)
    check(U @ U.mT, np.broadcast_to(np.eye(m), U.shape), atol=1e-12)
    check(Vh @ Vh.mT, np.broadcast_to(np.eye(n), Vh.shape), atol=1e-12)
    check(la.svd(x, full_matrices=False).Vh, Vh[..., :k, :].numpy())


def test_eigenvectors() -> None:
    w, v = la.eigh(SPD)
    check(SPD @ v, (v * w[..., None, :]).numpy(), atol=1e-12)
    check(v.mT @ v, np.broadcast_to(np.eye(4), v.shape), atol=1e-12)


def test_least_squares() -> None:
    found = la.lstsq(TALL[0], B[0, [0, 1, 2, 3, 0]])
    x, residuals, rank, s = np.linalg.lstsq(TALL[0], B[0, [0, 1, 2, 3, 0]])
    for ours, numpys in zip(found, (x, residuals, rank, s), strict=True):
        check(ours, np.asarray(numpys))
    check(la.lstsq(TALL[0], np.ones(5)).solution, np.linalg.lstsq(TALL[0], np.ones(5))[0])


def test_names_of_pytorch() -> None:
    x = cr.tensor(X)
    check(x.det(), np.linalg.det(X))
    check(x.inverse(), np.linalg.inv(X))
    check(cr.pinverse(TALL), np.linalg.pinv(TALL))
    check(cr.logdet(SPD), np.log(np.linalg.det(SPD)))
    assert np.isnan(cr.logdet([[0.0, 1.0], [1.0, 0.0]]).item())
    check(x.slogdet().logabsdet, np.linalg.slogdet(X)[1])
    check(la.vector_norm(x, 1, dim=(0, 2), keepdim=True), np.abs(X).sum((0, 2), keepdims=True))
    check(la.matrix_norm(x, "nuc", (0, 2)), np.linalg.norm(X, "nuc", (0, 2)))
    check(la.norm(x, 2, (0, 1), True), np.linalg.norm(X, 2, (0, 1), True))
    check(la.multi_dot([X[0], B[0], np.ones(2)]), X[0] @ B[0] @ np.ones(2))


def test_empty_matrices() -> None:
    none = np.zeros((2, 0, 0))
    check(la.det(none), np.ones(2))
    assert la.solve(none, np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert la.eigh(np.zeros((0, 3, 3))).eigenvectors.shape == (0, 3, 3)
    assert la.qr(np.zeros((3, 0)), "complete").Q.tolist() == np.eye(3).tolist()
    assert la.pinv(np.zeros((3, 0))).shape == (0, 3)
    assert la.matrix_rank(np.zeros((3, 0))).item() == 0
    assert [t.shape for t in la.svd(np.zeros((0, 2)))] == [(0, 0), (0,), (2, 2)]


# -- gradients -------------------------------------------------------------------------------------
def _turned(x: cr.Tensor) -> cr.Tensor:
    """Of vectors whose sign may be either, something that does not depend on it."""
    return x * x


GRADIENTS: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "solve": (la.solve, [X, B]),
    "a vector": (la.solve, [X, B[0, :, 0]]),
    "solve_triangular": (lambda a, b: la.solve_triangular(a, b, upper=True), [SPD, B]),
    "inv": (la.inv, [X]),
    "det": (la.det, [X]),
    "logdet": (cr.logdet, [SPD]),
    "cholesky": (lambda x: la.cholesky(x @ x.mT, upper=True), [X]),
    "qr": (lambda x: la.qr(x).Q + la.qr(x).R[..., :1, :1], [TALL]),
    "qr wide": (lambda x: la.qr(x).R, [WIDE]),
    "eigh": (lambda x: _turned(la.eigh(x + x.mT).eigenvectors), [X]),
    "eigvalsh": (lambda x: la.eigvalsh(x + x.mT), [X]),
    "svd": (lambda x: _turned(la.svd(x, full_matrices=False).U), [TALL]),
    "svd full": (lambda x: _turned(la.svd(x).Vh[..., :3, :]), [WIDE]),
    "svdvals": (la.svdvals, [WIDE]),
    "pinv": (la.pinv, [TALL]),
    "pinv wide": (la.pinv, [WIDE]),
    "lstsq": (lambda a, b: la.lstsq(a, b).solution, [TALL, TALL + 1]),
    "nuclear norm": (lambda x: la.matrix_norm(x, "nuc"), [X]),
    "spectral norm": (lambda x: la.norm(x, 2), [X[0]]),
    "least singular value": (lambda x: la.norm(x, -2), [X[0]]),
    "condition": (la.cond, [X]),
    "matrix_power": (lambda x: la.matrix_power(x, -2), [X]),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_finite_differences(name: str) -> None:
    f, arrays = GRADIENTS[name]
    small = [cr.tensor(a[..., :4]) for a in arrays]
    cr.check_grads(f, small, order=1)


def test_second_derivatives() -> None:
    for f in (la.inv, cr.logdet, la.pinv, lambda x: la.eigvalsh(x @ x.mT)):
        cr.check_grads(f, [cr.tensor(SPD[0, :2, :2])], order=2)


def _grad(f: Callable[..., cr.Tensor], *arrays: Any) -> list[np.ndarray]:
    xs = [cr.tensor(a, dtype=cr.float64, requires_grad=True) for a in arrays]
    f(*xs).backward()
    return [x.grad.numpy() for x in xs]


# fmt: off
PYTORCH = {  # version 2.13, float64
    "solve": (
        lambda a: (la.solve(a, cr.tensor([[1.0, 2], [0, -1], [3, 1]]).double()) ** 2).sum(),
        [[-0.6888190914, 0.220766864, -0.3843331965], [-0.0526847, -0.0528581806, -0.0907703469],
         [-0.1834658828, -0.0827528779, -0.2269338741]],
    ),
    "inv": (
        lambda a: (la.inv(a) * W).sum(),
        [[-0.0202785385, 0.0923023134, -0.3755025931], [-0.0403239904, 0.0111298875, -0.0225511334],
         [-0.2351844298, 0.0360118874, -0.0101392693]],
    ),
    "det": (la.det, [[14.0, -5.0, -0.5], [4.5, 7.75, -2.5], [0.5, 4.5, 7.0]]),
    "slogdet": (
        lambda a: la.slogdet(a).logabsdet,
        [[0.427480916, -0.1526717557, -0.0152671756], [0.1374045802, 0.2366412214, -0.0763358779],
         [0.0152671756, 0.1374045802, 0.213740458]],
    ),
    "cholesky": (
        lambda a: (la.cholesky(a @ a.T + cr.eye(3).double()) * W).sum(),
        [[1.1371983824, 1.3010371014, 2.5563388456], [0.8526435597, 0.641951453, -0.1646611431],
         [1.6738986146, -0.2987894888, 1.2217799645]],
    ),
    "qr": (
        lambda a: (abs(la.qr(a[:, :2]).Q) * W[:, :2]).sum()
        + (abs(la.qr(a[:, :2]).R) * W[:2, :2]).sum(),
        [[2.6946640441, -2.2193574629, 0.0], [-3.0529573362, 0.0104300704, 0.0],
         [-0.0901658093, -0.3085816792, 0.0]],
    ),
    "eigh": (
        lambda a: (la.eigh(a + a.T).eigenvalues * W[0]).sum()
        + (la.eigh(a + a.T).eigenvectors ** 2 * W).sum(),
        [[1.9179496915, -1.7330799573, 0.6203554014], [-1.7330799573, -3.0794975885, -2.3590353168],
         [0.6203554014, -2.3590353168, 5.161547897]],
    ),
    "svd": (
        lambda a: (la.svdvals(a[:, :2]) * W[0, :2]).sum()
        + (la.svd(a[:, :2], False).U ** 2 * W[:, :2]).sum()
        + (la.svd(a[:, :2], False).Vh ** 2 * W[:2, :2]).sum(),
        [[-2.0135210727, 0.4440610384, 0.0], [0.4571672572, 0.7701689189, 0.0],
         [0.1761569613, 0.567815573, 0.0]],
    ),
    "pinv": (
        lambda a: (la.pinv(a[:, :2]) * W[:2]).sum(),
        [[-0.1813976138, 0.2069637205, 0.0], [-0.3529340151, 0.0956294132, 0.0],
         [0.6206476747, -0.1812758705, 0.0]],
    ),
    "nuclear norm": (
        lambda a: la.matrix_norm(a, "nuc"),
        [[0.924579881, -0.3776134251, 0.0505978741], [0.3654856567, 0.8416026526, -0.3976496069],
         [0.107574525, 0.3861516235, 0.916141171]],
    ),
}
# fmt: on


@pytest.mark.parametrize("name", PYTORCH)
def test_gradients_are_those_of_pytorch(name: str) -> None:
    f, expected = PYTORCH[name]
    np.testing.assert_allclose(_grad(f, A)[0], expected, atol=2e-10)


def test_equal_eigenvalues() -> None:
    """The gradient of values is right, that of vectors finite."""
    [g] = _grad(lambda x: la.eigvalsh(x).sum(), np.eye(3))
    np.testing.assert_allclose(g, np.eye(3), atol=1e-15)
    [g] = _grad(lambda x: (la.eigh(x).eigenvectors * W).sum(), np.eye(3))
    assert np.isfinite(g).all()
    [g] = _grad(lambda x: la.matrix_norm(x, "nuc"), 2 * np.eye(3))
    np.testing.assert_allclose(g, np.eye(3), atol=1e-15)
    [g] = _grad(lambda x: (la.svd(x).U * W).sum(), np.diag([1.0, 1.0, 0.0]))
    assert np.isfinite(g).all()


def test_mapped_over_examples() -> None:
    check(cr.vmap(la.inv)(X), np.linalg.inv(X))
    check(cr.vmap(cr.grad(la.det))(X), np.linalg.det(X)[:, None, None] * _turn(np.linalg.inv(X)))
    check(cr.vmap(la.solve, in_axes=(None, 0))(X[0], B), np.linalg.solve(X[0], B))


def _turn(x: np.ndarray) -> np.ndarray:
    return x.swapaxes(-1, -2)


# -- compiled --------------------------------------------------------------------------------------
def _definite(x: cr.Tensor) -> cr.Tensor:
    return x @ x.mT + cr.eye(x.shape[-2], dtype=x.dtype)


def _svd(x: cr.Tensor) -> list[cr.Tensor]:
    U, S, Vh = la.svd(x, full_matrices=False)
    return [S, abs(U), abs(Vh), U @ (S[..., None] * Vh)]


COMPILED: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "solve": (la.solve, [X, B]),
    "lower": (lambda a, b: la.solve_triangular(a, b, upper=False), [SPD, B]),
    "upper": (lambda a, b: la.solve_triangular(a, b, upper=True), [SPD, B]),
    "slogdet": (lambda x: list(la.slogdet(x)), [X]),
    "cholesky": (lambda x: la.cholesky(_definite(x)), [TALL]),
    "qr": (lambda x: list(la.qr(x)), [TALL]),
    "qr complete": (lambda x: la.qr(x, "complete").R, [TALL]),
    "eigh": (lambda x: [(q := la.eigh(_definite(x)))[0], abs(q[1])], [X]),
    "eigh of an odd size": (lambda x: la.eigvalsh(_definite(x)), [TALL]),
    "svd": (_svd, [X]),
    "svd tall": (_svd, [TALL]),
    "svd wide": (_svd, [WIDE]),
}


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_function_computes_what_lapack_does(name: str) -> None:
    f, arrays = COMPILED[name]
    for dtype, tolerance in (("float64", 1e-11), ("float32", 2e-4)):
        xs = [cr.tensor(a.astype(dtype)) for a in arrays]
        found, expected = cr.compile(f)(*xs), f(*xs)
        pairs = (
            zip(found, expected, strict=True) if isinstance(expected, list) else [(found, expected)]
        )
        for a, b in pairs:
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


def test_compiled_factors_of_matrices_that_have_not_full_rank() -> None:
    x = (RNG.normal(size=(6, 2)) @ RNG.normal(size=(2, 4))).astype("float64")
    U, S, Vh = cr.compile(la.svd)(cr.tensor(x))
    check(U[:, :4] @ (S[:, None] * Vh), x, atol=1e-12)
    check(U.mT @ U, np.eye(6), atol=1e-12)
    check(Vh @ Vh.mT, np.eye(4), atol=1e-12)
    check(cr.compile(la.eigvalsh)(cr.ones(4, 4)), np.array([0, 0, 0, 4], "float32"), atol=1e-6)


def test_a_compiled_matrix_without_an_answer_is_nan() -> None:
    both = cr.tensor(np.stack([np.ones((2, 2)), np.eye(2)]))
    for f in (la.inv, lambda x: la.cholesky(x * 1.0 - 2 * (x[..., :1, 1:] > 0))):
        found = cr.compile(f)(both).numpy()
        assert np.isnan(found[0]).all() and found[1].tolist() == np.eye(2).tolist()
    sign, logarithm = cr.compile(la.slogdet)(both)
    assert sign.tolist() == [0, 1] and logarithm.tolist() == [-np.inf, 0]


def test_a_gaussian_process_is_fitted_by_a_compiled_step() -> None:
    """The negative log marginal likelihood by Cholesky: the compiled step and plain code agree."""
    x, y = np.linspace(0, 1, 12)[:, None], np.sin(6 * np.linspace(0, 1, 12))[:, None]

    def fitted(compiled: bool) -> list[float]:
        inputs, targets = cr.tensor(x), cr.tensor(y)
        scale = cr.tensor([0.0, -2.0], dtype=cr.float64, requires_grad=True)
        optimizer = cr.optim.Adam([scale], lr=0.1)

        def step() -> cr.Tensor:
            length, noise = cr.exp(scale[0]), cr.exp(scale[1])
            kernel = cr.exp(-((inputs - inputs.T) ** 2) / (2 * length**2))
            L = la.cholesky(kernel + noise * cr.eye(12, dtype=cr.float64))
            white = la.solve_triangular(L, targets, upper=False)
            loss = 0.5 * (white**2).sum() + cr.log(la.diagonal(L)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = cr.compile(step) if compiled else step
        return [run().item() for _ in range(8)]

    plain, native = fitted(False), fitted(True)
    assert plain[-1] < plain[0] - 1
    np.testing.assert_allclose(native, plain, rtol=1e-9)


# -- mistakes --------------------------------------------------------------------------------------
MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "singular": (
        lambda: la.inv([[1.0, 2.0], [2.0, 4.0]]),
        LinAlgError,
        "inv: the matrix is singular; of least squares, lstsq and pinv have an answer",
    ),
    "one of several is singular": (
        lambda: la.solve(cr.tensor(np.stack([np.eye(2), np.ones((2, 2))])), cr.ones(2)),
        LinAlgError,
        "solve: matrix [1] of shape (2, 2, 2) is singular; of least squares, lstsq and pinv have an"
        " answer",
    ),
    "not definite": (
        lambda: la.cholesky([[1.0, 2.0], [2.0, 1.0]]),
        LinAlgError,
        "cholesky: the matrix is not positive definite; if by rounding, add a little to its"
        " diagonal",
    ),
    "not square": (
        lambda: la.det(cr.ones(2, 3)),
        ShapeError,
        "det needs square matrices, got shape (2, 3)",
    ),
    "no matrix": (lambda: la.qr(cr.ones(3)), ShapeError, "qr needs a matrix, got shape (3,)"),
    "integers": (
        lambda: la.svd([[1, 2], [3, 4]]),
        DTypeError,
        "svd takes float32 or float64, got int64; convert with .float() or .double()",
    ),
    "rows": (
        lambda: la.solve(cr.ones(3, 3), cr.ones(2)),
        ShapeError,
        "solve: matrices of shape (3, 3) need 3 rows on the right, got shape (2,)",
    ),
    "mode": (
        lambda: la.qr(cr.ones(2, 2), mode="full"),
        OptionError,
        'qr: mode is "reduced", "complete" or "r", got \'full\'',
    ),
    "gradient of a basis": (
        lambda: cr.grad(lambda x: la.qr(x, "complete").Q.sum())(cr.ones(3, 2)),
        cr.errors.GradientError,
        'qr(mode="complete") of shape (3, 2) has no gradient: its last 1 columns are any basis of'
        ' what is left; write mode="reduced"',
    ),
    "complex": (
        lambda: la.eig(cr.ones(2, 2)),
        AttributeError,
        "module 'chainrule.linalg' has no attribute 'eig'; write cr.linalg.eigh for symmetric"
        " matrices; np.linalg.eig(x.numpy()) for others, whose eigenvalues may be complex",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    run, kind, message = MISTAKES[name]
    with pytest.raises(kind) as error:
        run()
    assert str(error.value) == message


def test_the_error_is_also_numpys() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        la.inv(cr.zeros(2, 2))
    assert np.isnan(la.inv([[np.nan, 1.0], [0.0, 1.0]]).numpy()).any()  # what is no number stays so
