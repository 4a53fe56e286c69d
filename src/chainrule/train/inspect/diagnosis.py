"""Diagnosis: one training step looked at closely, for units and gradients that are not well.

What counts as unwell is a table of bounds; each finding says where, how much, what usually helps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.node import Array
from ...nn.module import Module
from ...nn.trail import headline
from ...tensor.value import Value
from ..kept import Kept
from ..rows.dataset import Dataset
from ..state.snapshot import tensors_of
from ..step.steps import Steps
from ..task import Task

DEAD_SHARE = 0.1  # of a layer's units
SATURATED_SHARE = 0.25
UNIT_ROWS = 0.95  # a unit is saturated if this share of the rows is
VANISHING = 1e-4  # root mean square of a layer's gradient, against the largest nearer the loss
EXPLODING = 1e3  # against that of the last layer, or against 1
UPDATE_LOW, UPDATE_HIGH = 1e-5, 0.1  # size of an update against that of the weights


@dataclass(frozen=True)
class Finding:
    """Something that is not well."""

    kind: str  # dead, saturated, vanishing, exploding, large update, small update, not finite
    where: str
    what: str
    advice: str
    share: float = 1.0
    """Of the layer's units, where it is about units."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}. {self.advice}"


@dataclass(frozen=True)
class Layer:
    """Sizes in one parameter: root mean squares of weights and gradient, and update / weights."""

    name: str
    weight: float
    gradient: float
    update: float


@dataclass(frozen=True)
class Diagnosis:
    """What `Trainer.diagnose` found."""

    findings: list[Finding]
    layers: list[Layer]
    rows: int
    loss: float

    def table(self) -> str:
        """All parameters: size of weights, of gradients, and update relative to weights."""
        width = max([9, *(len(x.name) for x in self.layers)])
        lines = [f"{'parameter':<{width}} {'weights':>10} {'gradient':>10} {'update/w':>10}"]
        lines += [
            f"{x.name:<{width}} {x.weight:>10.3g} {x.gradient:>10.3g} {x.update:>10.3g}"
            for x in self.layers
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        head = f"loss {self.loss:.5g} over {self.rows} rows"
        if not self.findings:
            return f"{head}; nothing unusual\n{self.table()}"
        return "\n".join([head, *(f"  {f}" for f in self.findings), self.table()])


def diagnose(
    steps: Steps, data: Dataset, rows: Array, update: Callable[[], object] | None = None
) -> Diagnosis:
    """Run one step with the interpreter on these rows of ``data`` and look; all state is put back.

    ``update``: what changes the weights (by default the optimizer, with these gradients).
    """
    task, counted = steps.task, steps.meter.rows
    kept = Kept(
        tensors_of(task, steps).values()
    )  # before there are hooks: they make steps outdated
    grads = [(p, p._grad) for p in task.model.parameters()]
    outputs: list[tuple[str, Module, Value]] = []
    handles = [
        module.register_forward_hook(_collector(outputs, name))
        for name, module in task.model.named_modules()
        if not list(module.children())
    ]
    try:
        with kept:
            for p, _ in grads:
                p.grad = None
            loss = task.loss_of(steps.given(data, rows))[0].total
            for handle in handles:  # `update` may run compiled steps, which know no hooks
                handle.remove()
            loss.backward()
            value = float(loss.item())
            findings = [
                f
                for name, module, out in outputs
                for f in _units(place_of(module, name), module, out._read())
            ]
            layers = _update(task, update or task.optimizer.step)
    finally:
        for handle in handles:
            handle.remove()
        for p, grad in grads:
            p.grad = grad
        steps.meter.rows = counted
    return Diagnosis(findings + _gradients(layers) + _updates(layers), layers, len(rows), value)


def _collector(outputs: list[tuple[str, Module, Value]], name: str) -> Any:
    def collect(module: Module, args: Any, out: Any) -> None:
        if isinstance(out, Value):
            outputs.append((name, module, out))

    return collect


def place_of(module: Module, name: str) -> str:
    """A module by its name in the model, and where it was made."""
    parts = "".join(f"[{p}]" if p.isdigit() else f".{p}" for p in name.split(".")) if name else ""
    return f"{headline(module)} `model{parts}` ({module._made_at})"


def _rms(array: Array) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0


def _units(where: str, module: Module, out: Array) -> list[Finding]:
    """Units (axis 1, or the only one) that are always zero, or always at a bound."""
    if out.ndim < 2:
        return []
    units = np.moveaxis(out, 1, -1).reshape(-1, out.shape[1])
    found = []
    if not np.isfinite(units).all():
        bad = int((~np.isfinite(units)).any(0).sum())
        found.append(
            Finding(
                "not finite",
                where,
                f"{bad} of {units.shape[1]} units give NaN or infinity",
                "Scale the inputs and lower the learning rate",
            )
        )
    if getattr(module, "dies", False):
        dead = int((units == 0).all(0).sum())
        if dead >= max(DEAD_SHARE * units.shape[1], 1):
            found.append(
                Finding(
                    "dead",
                    where,
                    f"{dead} of {units.shape[1]} units give 0 for every row, so they do not learn",
                    "A lower learning rate, LeakyReLU or GELU, Kaiming initialization",
                    dead / units.shape[1],
                )
            )
    bounds = getattr(module, "saturates", None)
    if bounds is not None:
        low, high = bounds
        edge = 0.01 * (high - low)
        at_bound = ((units < low + edge) | (units > high - edge)).mean(0) >= UNIT_ROWS
        if int(at_bound.sum()) >= max(SATURATED_SHARE * units.shape[1], 1):
            found.append(
                Finding(
                    "saturated",
                    where,
                    f"{int(at_bound.sum())} of {units.shape[1]} units are at {low:g} or {high:g} "
                    "for nearly every row",
                    "Smaller initial weights, inputs scaled to about -1 to 1, a normalization "
                    "layer before it",
                    float(at_bound.mean()),
                )
            )
    return found


def _update(task: Task, update: Callable[[], object]) -> list[Layer]:
    """Change the weights, and compare."""
    params = [p for p in task.trained if p.grad is not None]
    before = [np.array(p._read()) for p in params]
    gradients = [np.array(p.grad._read()) for p in params]
    update()
    layers = []
    for p, old, grad in zip(params, before, gradients, strict=True):
        size = _rms(old)
        change = _rms(p._read() - old)
        layers.append(
            Layer(task.name_of(p).strip("`"), size, _rms(grad), change / size if size else 0.0)
        )
    return layers


def _gradients(layers: list[Layer]) -> list[Finding]:
    """Gradients that shrink or grow on the way back from the loss, or are not finite."""
    found = []
    weights = [x for x in layers if x.name.endswith("weight") or len(layers) == 1] or layers
    for i, x in enumerate(weights):
        where, last = f"`{x.name}`", weights[-1]
        above = max(weights[i:], key=lambda layer: layer.gradient)
        if not np.isfinite(x.gradient):
            advice = "Look at the loss with fit, which names the operation"
            found.append(Finding("not finite", where, "its gradient is NaN or infinite", advice))
        elif x.gradient == 0.0 or x.gradient < VANISHING * above.gradient:
            what = f"its gradient is {x.gradient:.2g}"
            what += f", that of `{above.name}` {above.gradient:.2g}" if above.gradient else ""
            advice = (
                "ReLU-like activations, Kaiming or Xavier initialization, normalization or skip "
                "connections"
            )
            found.append(Finding("vanishing", where, what, advice))
        elif x.gradient > EXPLODING * min(max(last.gradient, 1e-30), 1.0):
            what = f"its gradient is {x.gradient:.2g}"
            what += f", that of `{last.name}` {last.gradient:.2g}" if x is not last else ""
            advice = "clip_norm=1.0, smaller initial weights, scaled inputs and targets"
            found.append(Finding("exploding", where, what, advice))
    return found


def _updates(layers: list[Layer]) -> list[Finding]:
    found = []
    for x in layers:
        if not x.name.endswith("weight") or x.weight == 0 or not np.isfinite(x.update):
            continue
        if x.update > UPDATE_HIGH:
            found.append(
                Finding(
                    "large update",
                    f"`{x.name}`",
                    f"a step changes the weights by {x.update:.0%} of their size",
                    "Lower the learning rate",
                )
            )
        elif x.update < UPDATE_LOW and x.gradient > 0:
            found.append(
                Finding(
                    "small update",
                    f"`{x.name}`",
                    f"a step changes the weights by {x.update:.1g} of their size",
                    "Raise the learning rate",
                )
            )
    return found
