"""Are the gradients right? Compared with central finite differences, in float64.

∂L/∂xᵢ ≈ (L(x + h eᵢ) - L(x - h eᵢ)) / 2h has an error of about h² |L'''| / 6 + ε |L| / h, which is
near 1e-10 at h = 1e-5: a rule that is wrong by a thousandth is caught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ..core import graph as op
from ..core.dtypes import float64
from ..core.interpret import evaluate
from ..core.node import Array, Node
from ..errors import DTypeError, GradientError
from .reverse import gradients

Function = Callable[[Sequence[Array]], float]
Evaluate = Callable[[Sequence[Node], Mapping[Node, Array]], list[Array]]


def check_gradients(
    outputs: Sequence[Node],
    values: Mapping[Node, Array],
    wrt: Sequence[Node] | None = None,
    *,
    order: int = 1,
    directions: int | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    step: float = 1e-5,
    seed: int = 0,
    evaluate: Evaluate = evaluate,
) -> None:
    """Compare the gradients of ``outputs`` with finite differences; say which elements are wrong.

    ``values`` holds an array for every input node; ``wrt`` (all float64 ones by default) is what to
    differentiate by. Each output is weighted by random numbers, which makes one scalar of them.
    ``order=2`` also checks the gradients of the gradients. Every element is varied on its own;
    with ``directions=k`` all elements are varied together along k random directions, which is
    cheaper for large arrays. A pair a, n agrees if ``|a - n| <= atol + rtol · (|n| + mean |n|)``.

    Raises GradientError with arguments and elements that differ, DTypeError unless all is float64.
    """
    wrt = [x for x in values if x.dtype == float64] if wrt is None else list(wrt)
    for node in (*wrt, *outputs):
        if node.dtype != float64:
            raise DTypeError(f"gradients are checked in float64; {node} is not")
    rng = np.random.default_rng(seed)
    weights = [op.input(y.shape, float64, "weight") for y in outputs]
    values = {**values, **{w: rng.normal(size=w.shape) for w in weights}}
    grads = gradients(outputs, weights, wrt)
    present = [g for g in grads if g is not None]
    computed = iter(evaluate(present, values))
    analytic = [
        np.zeros(x.shape) if g is None else next(computed) for g, x in zip(grads, wrt, strict=True)
    ]

    def total(arrays: Sequence[Array]) -> float:
        found = evaluate(outputs, {**values, **dict(zip(wrt, arrays, strict=True))})
        return float(sum(np.sum(values[w] * y) for w, y in zip(weights, found, strict=True)))

    arrays = [np.asarray(values[x], np.float64) for x in wrt]
    if directions is None:
        numeric = numerical_gradients(total, arrays, step)
        problems = [
            line
            for i, (a, n) in enumerate(zip(analytic, numeric, strict=True))
            for line in _differences(f"argument {i}, {_shown(wrt[i])}", a, n, rtol, atol)
        ]
    else:
        lines = [[rng.normal(size=x.shape) for x in arrays] for _ in range(directions)]
        along = np.array(
            [sum(float(np.sum(v * a)) for v, a in zip(d, analytic, strict=True)) for d in lines]
        )
        measured = np.array([directional_derivative(total, arrays, d, step) for d in lines])
        problems = list(_differences("random directions", along, measured, rtol, atol))
    if problems:
        raise GradientError(
            "\n    ".join(["back-propagation and finite differences disagree:", *problems])
        )
    if order > 1 and present:
        try:
            check_gradients(
                present,
                values,
                wrt,
                order=order - 1,
                directions=directions,
                rtol=rtol,
                atol=atol,
                step=step,
                seed=seed + 1,
                evaluate=evaluate,
            )
        except GradientError as error:
            raise GradientError(f"in the gradient of the gradient, {error}") from None


def numerical_gradients(f: Function, arrays: Sequence[Array], step: float = 1e-5) -> list[Array]:
    """Central differences of the scalar f(arrays) by every element of every array."""
    result = []
    for i, x in enumerate(arrays):
        grad = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            direction = np.zeros(x.shape)
            direction[at] = 1
            directions = [direction if j == i else np.zeros(y.shape) for j, y in enumerate(arrays)]
            grad[at] = directional_derivative(
                f, arrays, directions, step * max(1.0, abs(float(x[at])))
            )
        result.append(grad)
    return result


def directional_derivative(
    f: Function, arrays: Sequence[Array], direction: Sequence[Array], step: float = 1e-5
) -> float:
    """(f(x + h v) - f(x - h v)) / 2h."""
    ahead = f([x + step * v for x, v in zip(arrays, direction, strict=True)])
    behind = f([x - step * v for x, v in zip(arrays, direction, strict=True)])
    return (ahead - behind) / (2 * step)


def _differences(
    name: str, analytic: Array, numeric: Array, rtol: float, atol: float
) -> Iterator[str]:
    """One line for an array with elements that disagree; NaN disagrees with everything."""
    if not analytic.size:
        return
    scale = np.abs(numeric)
    error = np.abs(analytic - numeric)
    wrong = ~(error <= atol + rtol * (scale + scale.mean()))
    if wrong.any():
        # NaN counts as largest.
        at = np.unravel_index(np.argmax(np.where(wrong, error, -1)), error.shape)
        relative = f" ({error[at] / scale[at]:.2g} of it)" if 0 < scale[at] < np.inf else ""
        yield (
            f"{name}: {wrong.sum()} of {wrong.size} wrong; the worst is {[int(i) for i in at]}: "
            f"back-propagation {analytic[at]:.8g}, finite differences {numeric[at]:.8g}, "
            f"off by {error[at]:.2g}{relative}"
        )


def _shown(x: Node) -> str:
    name = x.params.get("name") or x.op
    return f"{name} {x.dtype}{list(x.shape)}"
