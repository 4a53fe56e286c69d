"""explain_step: run one step, layer by layer, and write down what happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core.node import Array
from ...errors import OptionError, ShapeError
from ...nn.linear import Linear
from ...nn.loss import CrossEntropyLoss, MSELoss
from ...nn.module import Module
from ...optim.lbfgs import LBFGS
from ...optim.optimizer import Optimizer
from ...optim.sgd import SGD
from ...tensor.create import asarray
from ...tensor.value import Value, no_grad
from ..arrays import arrays_of, check_same_rows
from ..objective import Objective, is_label_loss, prepare_targets
from ..snapshot import write_array
from .explained import ExplainedStep
from .network import Layer, layers_of
from .passes import Run
from .writing import write_step

LIMIT = 400
"""The largest number of weights times rows that is still an explanation."""


def explain_step(
    model: Module, x: Any, y: Any, loss: Any = None, optimizer: Optimizer | None = None
) -> ExplainedStep:
    """Explain one step of back-propagation on a small net, in numbers and formulas.

    Units are numbered through the net, as in the paper: yᵢ = f(netᵢ), netⱼ = Σᵢ wⱼᵢ yᵢ + bⱼ,
    δⱼ = ∂E/∂netⱼ = f′(netⱼ) Σₖ δₖ wₖⱼ, ∂E/∂wⱼᵢ = Σ over rows δⱼ yᵢ, and the optimizer's update.
    Source: Rumelhart, Hinton & Williams (1986), equations 1 to 9.

    ``model``: a Sequential of Linear and activations. ``x``, ``y``: some rows, or one row.
    ``loss`` and ``optimizer``: as for the `Trainer`; by default CrossEntropyLoss for labels and
    MSELoss otherwise, and SGD(lr=0.1). Nothing is changed: not the model, nor the optimizer.

    Returns an `ExplainedStep`: ``print`` it, or ``.save("step.html")``. Raises OptionError for
    other layers and for nets of more than 400 weights times rows; DataError, ShapeError as `fit`.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> net = nn.Sequential(nn.Linear(1, 1))
    >>> _ = nn.init.constant_(net[0].weight, 0.5), nn.init.constant_(net[0].bias, 0.0)
    >>> print(cr.explain_step(net, [2.0], [3.0]))
    One step of back-propagation: 1-1, 1 row, MSELoss, SGD(lr=0.1)
    ==============================================================
    ...
      net₂ = w₂₁·x₁ + b₂ = 0.5·2 + 0 = 1
    ...
      ∂E/∂w₂₁ = δ₂·x₁ = −4·2 = −8
    ...
      w₂₁ ← w₂₁ − lr·∂E/∂w₂₁ = 0.5 − 0.1·(−8) = 1.3
    ...
    """
    _check_arguments(model, optimizer)
    xs, ys = _rows(model, x, y)
    layers = layers_of(model, int(np.prod(xs.shape[1:])))
    _check_size(layers, len(xs))
    optimizer = optimizer or SGD(list(model.parameters()), lr=0.1)
    objective, target = _target(model, loss, xs, ys)
    run = Run(layers, xs, objective, target)
    with _unchanged(model, optimizer):
        return write_step(model, run, optimizer)


# -- checks ----------------------------------------------------------------------------------------
def _check_arguments(model: Any, optimizer: Any) -> None:
    if not isinstance(model, Module):
        raise OptionError(
            f"explain_step: model must be an nn.Module, got {type(model).__name__}"
            + ("; give trainer.model" if hasattr(model, "training_step") else "")
        )
    if optimizer is None:
        return
    if not isinstance(optimizer, Optimizer):
        raise OptionError(
            "explain_step: optimizer must be an optimizer of optim, got "
            + (
                f"the class {optimizer.__name__} (add parentheses)"
                if isinstance(optimizer, type)
                else type(optimizer).__name__
            )
        )
    if isinstance(optimizer, LBFGS):
        raise OptionError("explain_step: a step of LBFGS computes the loss many times; use another")
    own = {id(p) for p in model.parameters()}
    if any(id(p) not in own for g in optimizer.param_groups for p in g["params"]):
        raise OptionError(
            "explain_step: the optimizer has parameters that are not in the model; make it from "
            "model.parameters()"
        )


def _rows(model: Module, x: Any, y: Any) -> tuple[Array, Array]:
    """Inputs and targets with rows first; one row may be given without its axis."""
    kind = next((p.dtype for p in model.parameters()), dt.float32)
    x = x if x is None or hasattr(x, "shape") else np.asarray(x)
    if x is not None and len(x.shape) == 1 and _inputs(model) == x.shape[0]:
        x, y = x[None], np.asarray(y)[None]
    xs, ys = arrays_of("explain_step", "x", x, kind), arrays_of("explain_step", "y", y, kind)
    check_same_rows("explain_step", xs, ys)
    if not xs.single or not ys.single:
        raise ShapeError("explain_step: x and y are one array each, not a tuple or dict")
    return xs.arrays[0], ys.arrays[0]


def _inputs(model: Module) -> int | None:
    linear = next((m for m in model.modules() if isinstance(m, Linear)), None)
    return None if linear is None else linear.in_features


def _check_size(layers: Sequence[Layer], rows: int) -> None:
    count = sum(sum(p.node.size for p in la.linear.parameters()) for la in layers if la.linear)
    if count * rows > LIMIT:
        raise OptionError(
            f"explain_step: {count} weights times {rows} {'row' if rows == 1 else 'rows'} are more "
            f"formulas than can be read (at most {LIMIT}); give fewer rows or a smaller net"
        )


def _target(model: Module, loss: Any, x: Array, y: Array) -> tuple[Objective, Array]:
    """The loss and the target as the Trainer would take them."""
    with no_grad():
        prediction = model(asarray(x))
    if prediction.ndim != 2:
        raise ShapeError(
            f"explain_step: the model's output has shape {prediction.shape}; (rows, units) is "
            "expected: begin with nn.Flatten()"
        )
    if loss is None:
        labels = y.dtype.kind in "iub" and y.ndim == 1 and prediction.shape[1] > 1
        loss = CrossEntropyLoss() if labels else MSELoss()
    objective = Objective(loss, where="explain_step")
    if not objective.single:
        raise OptionError("explain_step: one loss is expected, got several")
    arrays = arrays_of("explain_step", "y", y, prediction.dtype)
    target = prepare_targets("explain_step", objective, arrays, prediction).arrays[0]
    if not is_label_loss(loss) and target.dtype.kind != "f":
        target = target.astype(prediction.dtype)
    return objective, target


@contextmanager
def _unchanged(model: Module, optimizer: Optimizer) -> Iterator[None]:
    """Whatever happens inside, model and optimizer are as before."""
    grads = [(p, p._grad) for p in model.parameters()]
    states = {p: dict(entry) for p, entry in optimizer.state.items()}
    own: list[Value] = [*model.parameters(), *model.buffers()]
    own += [t for entry in states.values() for t in entry.values()]
    kept = [(t, np.array(t._read())) for t in own]
    sharing = optimizer._sharing
    try:
        yield
    finally:
        for p, grad in grads:
            p.grad = grad
        for owner, entry in states.items():
            optimizer.state[owner].update(entry)
        optimizer._sharing = sharing
        for tensor, array in kept:
            write_array(tensor, array)
