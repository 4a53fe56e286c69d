"""L-BFGS: Newton's method with an approximate Hessian from the last steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import CompileError, OptionError
from ..nn.options import choice, integer, number, optional, takes_options
from ..tensor.capture import active
from ..tensor.grad_mode import enable_grad, no_grad
from .adam import LR
from .optimizer import Optimizer
from .wolfe import Point, strong_wolfe


class LBFGS(Optimizer):
    """p ← p - t H g, with H an approximation of the inverse Hessian from ``history_size`` steps.

    For full batches and smooth losses; ``step(closure)`` needs a closure that sets gradients to
    None, computes the loss, calls backward and returns the loss, and does up to ``max_iter``
    iterations. ``line_search_fn="strong_wolfe"`` chooses t; otherwise t = lr. Not inside compiled
    functions. Source: Nocedal & Wright, "Numerical optimization", 2006, algorithms 7.4 and 3.5.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([3.0, -2.0])
    >>> optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((p - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> [round(x, 3) for x in p.tolist()]
    [1.0, 1.0]
    """

    constraints = {
        "lr": LR,
        "max_iter": integer(1),
        "max_eval": optional(integer(1)),
        "tolerance_grad": number(0),
        "tolerance_change": number(0),
        "history_size": integer(1),
        "line_search_fn": choice(None, "strong_wolfe"),
    }
    shared = {}

    def _take(self, options: dict[str, Any], **switches: Any) -> None:
        if options["max_eval"] is None:
            options["max_eval"] = options["max_iter"] * 5 // 4
        super()._take(options, **switches)

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if len(self.param_groups) != 1:
            raise OptionError(
                "LBFGS takes one list of parameters, not groups: all steps are of one length"
            )
        self._params = self.param_groups[0]["params"]
        self._pairs: list[tuple[Array, Array]] = []  # changes of the parameters and of the gradient
        self._scale = 1.0
        self._last: tuple[Array, Array, float] | None = None  # direction, gradient, step before
        self._iterations = 0

    # -- parameters as one vector ------------------------------------------------------------------
    def _gather(self) -> Array:
        return np.concatenate([p.numpy().ravel() for p in self._params])

    def _gather_gradients(self) -> Array:
        parts = [
            np.zeros(p.numel(), p.dtype) if p.grad is None else p.grad.numpy().ravel()
            for p in self._params
        ]
        return np.concatenate(parts)

    def _scatter(self, vector: Array) -> None:
        at = 0
        with no_grad():
            for p in self._params:
                p.assign(vector[at : at + p.numel()].reshape(p.shape).astype(p.dtype))
                at += p.numel()

    def _direction(self, grad: Array) -> Array:
        """-H g, by the two loops over the history."""
        q = -grad
        alphas = []
        for s, y in reversed(self._pairs):
            alpha = s.dot(q) / y.dot(s)
            alphas.append(alpha)
            q = q - alpha * y
        q = q * self._scale
        for (s, y), alpha in zip(self._pairs, reversed(alphas), strict=True):
            q = q + (alpha - y.dot(q) / y.dot(s)) * s
        return q

    # -- a step ------------------------------------------------------------------------------------
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` iterations; returns the loss before the first."""
        if closure is None:
            raise OptionError(
                "LBFGS: step needs a closure that computes the loss and its gradients"
            )
        if active.capture is not None:
            raise CompileError(
                "LBFGS looks at values to choose its steps, so it cannot run inside a compiled "
                "function; compile the closure's loss instead"
            )
        group = self.param_groups[0]

        def evaluate(x: Array) -> tuple[float, Array]:
            self._scatter(x)
            with enable_grad():
                loss = closure()
            return float(loss), self._gather_gradients()

        with enable_grad():
            first = closure()
        loss, grad, x = float(first), self._gather_gradients(), self._gather()
        evaluations = 1
        if np.abs(grad).max(initial=0) <= group["tolerance_grad"]:
            return first
        for iteration in range(group["max_iter"]):
            self._iterations += 1
            self._remember(grad, group["history_size"])
            direction = self._direction(grad) if self._last is not None else -grad
            slope = float(grad.dot(direction))
            lr = group["lr"]
            t = lr if self._last is not None else min(1.0, 1.0 / np.abs(grad).sum()) * lr
            self._last = (direction, grad, t)
            if slope > -group["tolerance_change"]:
                break
            before, old = loss, x
            if group["line_search_fn"] == "strong_wolfe":
                start = Point(0.0, loss, grad, slope)
                limit = group["max_eval"] - evaluations
                tolerance = group["tolerance_change"]
                found, count = strong_wolfe(evaluate, x, t, direction, start, tolerance, limit)
                t, loss, grad = found.t, found.loss, found.grad
                x = old + t * direction
                self._scatter(x)
            else:
                x, count = old + t * direction, 1
                if iteration + 1 == group["max_iter"]:  # the next step computes the loss there
                    self._scatter(x)
                    break
                loss, grad = evaluate(x)
            self._last = (direction, self._last[1], t)
            evaluations += count
            small = np.abs(t * direction).max() <= group["tolerance_change"]
            if (
                evaluations >= group["max_eval"]
                or np.abs(grad).max() <= group["tolerance_grad"]
                or small
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        return first

    def _remember(self, grad: Array, history_size: int) -> None:
        """Add the last step to the history, if the curvature along it is positive."""
        if self._last is None:
            return
        direction, before, t = self._last
        s, y = t * direction, grad - before
        curvature = float(y.dot(s))
        if curvature > 1e-10:
            self._pairs = [*self._pairs, (s, y)][-history_size:]
            self._scale = curvature / float(y.dot(y))

    # -- state -------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """The options, and the history as arrays."""
        result = super().state_dict()
        result["history"] = {
            "pairs": [(s.copy(), y.copy()) for s, y in self._pairs],
            "scale": self._scale,
            "last": self._last,
            "iterations": self._iterations,
        }
        return result

    def load_state_dict(self, state_dict: Any) -> None:
        """Continue as the optimizer whose `state_dict` this was."""
        super().load_state_dict(state_dict)
        history = state_dict["history"]
        self._pairs = [(np.array(s), np.array(y)) for s, y in history["pairs"]]
        self._scale, self._last = history["scale"], history["last"]
        self._iterations = history["iterations"]
