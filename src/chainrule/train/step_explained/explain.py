"""explain_step: run one step, layer by layer, and write down what happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core.node import Array
from ...errors import OptionError, ShapeError
from ...nn.linear import Linear
from ...nn.loss import CrossEntropyLoss, MSELoss
from ...nn.module import Module
from ...nn.trail import headline
from ...optim.lbfgs import LBFGS
from ...optim.optimizer import Optimizer
from ...optim.sgd import SGD
from ...tensor.grad_mode import no_grad
from ...tensor.ops.create import asarray
from ...tensor.value import Value
from ..kept import Kept
from ..measure.objective import Objective, is_label_loss, loss_name
from ..measure.targets import prepare_targets
from ..rows.arrays import arrays_of, check_same_rows
from ..task import Task
from .explained import Explained
from .network import layers_of
from .passes import Run
from .tape import record
from .tape_writing import write_tape
from .updates import optimizer_name
from .writing import write_step

LIMIT = 400
"""The largest number of weights times rows of which every formula is written."""


def explain_step(
    model: Module | Task, x: Any, y: Any, loss: Any = None, optimizer: Optimizer | None = None
) -> Explained:
    """Explain one step of back-propagation, in numbers and formulas.

    Of a small net (a Sequential of Linear and activations, at most 400 weights times rows) every
    formula is written, in the notation of the paper. Its units are numbered: yᵢ = f(netᵢ),
    netⱼ = Σᵢ wⱼᵢ yᵢ + bⱼ, δⱼ = ∂E/∂netⱼ = f′(netⱼ) Σₖ δₖ wₖⱼ, ∂E/∂wⱼᵢ = Σ over rows δⱼ yᵢ, and
    the optimizer's update. Source: Rumelhart, Hinton & Williams (1986), equations 1 to 9.

    Of any other model (your own modules, convolutions, a step of an LSTM) the values are numbered
    in the order in which they are computed, v1, v2, … to the error E. Each has an equation forward,
    and one backward by the chain rule: for every number of a small value, for one of a large one.

    ``model``: a module, or a Trainer, for its model, loss and optimizer. ``x``, ``y``: some rows,
    or one row; the target of a module that returns several tensors is that of the first. ``loss``
    and ``optimizer``: as for the `Trainer`; by default CrossEntropyLoss for labels and MSELoss
    otherwise, and SGD(lr=0.1). Nothing is changed.

    ``print`` what is returned (an `ExplainedStep`, or an `ExplainedTape`, which can ``draw`` too),
    or ``.save("step.html")``. Raises OptionError, DataError, ShapeError as `fit` does.

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
    if isinstance(model, Task):
        _check_plain(model)
        loss, optimizer = loss or model.loss, optimizer or model.optimizer
        model = model.model
    _check_arguments(model, optimizer)
    xs, ys = _rows(model, x, y)
    layers = layers_of(model, int(np.prod(xs.shape[1:])))
    small = len(xs) * sum(p.node.size for p in model.parameters()) <= LIMIT
    small = small and any(isinstance(m, Linear) for m in model.modules())
    if not any(p.requires_grad for p in model.parameters()):
        raise OptionError("explain_step: the model has no parameters, so there is nothing to learn")
    optimizer = optimizer or SGD(list(model.parameters()), lr=0.1)
    with _unchanged(model, optimizer):
        objective, target, flat = _target(model, loss, xs, ys)
        if layers is not None and small and flat:
            return write_step(model, Run(layers, xs, objective, target), optimizer)
        rows = f"{len(xs)} row{'s' if len(xs) > 1 else ''}"
        names = f"{loss_name(objective.parts[0].loss)}, {optimizer_name(optimizer)}"
        title = f"One step of back-propagation: {headline(model)}, {rows}, {names}"
        return write_tape(model, record(model, xs, objective, target), optimizer, title)


# -- checks ----------------------------------------------------------------------------------------
def _check_plain(task: Task) -> None:
    """Whether its step is no more than a loss, its gradients and an update."""
    more = [name for name in ("clip_norm", "clip_value") if getattr(task, name) is not None]
    more += ["training_step"] * task.own_step + ["accumulate"] * (task.accumulate > 1)
    if more:
        raise OptionError(
            f"explain_step: the Trainer's {more[0]} is not written down; give trainer.model, with"
            " loss= and optimizer="
        )


def _check_arguments(model: Any, optimizer: Any) -> None:
    if not isinstance(model, Module):
        raise OptionError(
            f"explain_step: model must be an nn.Module or a Trainer, got {type(model).__name__}"
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


def _target(model: Module, loss: Any, x: Array, y: Array) -> tuple[Objective, Array, bool]:
    """The loss and the target as the Trainer takes them; and whether outputs are (rows, units)."""
    with no_grad():
        prediction = model(asarray(x))
    several = isinstance(prediction, tuple)
    prediction = prediction[0] if several else prediction
    if loss is None:
        labels = (
            y.dtype.kind in "iub"
            and y.ndim == 1
            and prediction.ndim > 1
            and prediction.shape[1] > 1
        )
        loss = CrossEntropyLoss() if labels else MSELoss()
    objective = Objective(loss, where="explain_step")
    if not objective.single:
        raise OptionError("explain_step: one loss is expected, got several")
    arrays = arrays_of("explain_step", "y", y, prediction.dtype)
    target = prepare_targets("explain_step", objective, arrays, prediction).arrays[0]
    if not is_label_loss(loss) and target.dtype.kind != "f":
        target = target.astype(prediction.dtype)
    return objective, target, prediction.ndim == 2 and not several


@contextmanager
def _unchanged(model: Module, optimizer: Optimizer) -> Iterator[None]:
    """Whatever happens inside, model and optimizer are as before."""
    grads = [(p, p._grad) for p in model.parameters()]
    states = {p: dict(entry) for p, entry in optimizer.state.items()}
    own: list[Value] = [*model.parameters(), *model.buffers()]
    sharing = optimizer._sharing
    try:
        with Kept([*own, *(t for entry in states.values() for t in entry.values())]):
            yield
    finally:
        for p, grad in grads:
            p.grad = grad
        for owner, entry in states.items():
            optimizer.state[owner].update(entry)
        optimizer._sharing = sharing
