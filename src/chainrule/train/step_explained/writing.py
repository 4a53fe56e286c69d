"""From the numbers of a pass to equations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.node import Array
from ...nn.module import Module
from ...optim.optimizer import Optimizer
from ...tensor.ops.create import asarray
from ..measure.objective import loss_name
from . import activations, updates
from .explained import ExplainedStep
from .losses import Explained, explain_loss
from .network import ROWWISE, Layer
from .passes import Pass, Run, numbers_of
from .records import Block, Column, Equation, Row, Step, Weight, sub, sum_of_products
from .text import row_name


def write_step(model: Module, run: Run, optimizer: Optimizer) -> ExplainedStep:
    names = {id(p): name for name, p in model.named_parameters()}
    trained = {id(p) for g in optimizer.param_groups for p in g["params"] if p.requires_grad}
    gradients = {}
    for layer, at in zip(run.layers, run.passes, strict=True):
        for p, g in _gradients(layer, at):
            if id(p) in trained:
                gradients[names[id(p)]] = g
                p.grad = asarray(g)
            else:
                p.grad = None
    written = explain_loss(run.loss_function, run.outputs())
    rows = tuple(_row(run, i, written) for i in range(len(run.x)))
    old = {p: updates.optimizer_state(optimizer, p) for p in optimizer.state}
    before = {name: np.array(p._read()) for name, p in model.named_parameters()}
    optimizer.step()
    after = {name: np.array(p._read()) for name, p in model.named_parameters()}
    weights = _weights(run, names, gradients, before, after)
    options = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    by_name = {name: p for name, p in model.named_parameters()}
    steps = [
        q
        for w in weights
        if w.gradient is not None
        for q in updates.explain_update(
            optimizer,
            options[id(by_name[w.parameter])],
            w.symbol,
            w.value,
            w.gradient,
            updates.at(old[by_name[w.parameter]], w.index),
            w.new,
        )
    ]
    products = tuple(_product(run, w, len(rows)) for w in weights if w.gradient is not None)
    over = "δⱼ·yᵢ" if len(rows) == 1 else "Σ over the rows of δⱼ·yᵢ"
    step = Step(
        title=_title(run, optimizer),
        loss_name=loss_name(run.loss_function),
        optimizer_name=updates.optimizer_name(optimizer),
        columns=tuple(_column(layer) for layer in run.layers),
        rows=rows,
        total=written.total,
        weights=tuple(weights),
        gradients=Block(f"Gradients: ∂E/∂wⱼᵢ = {over}", products),
        update_rule=updates.update_rule(optimizer),
        updates=Block(f"The update: {updates.optimizer_name(optimizer)}", tuple(steps)),
        legend=(),
    )
    return ExplainedStep(_with_legend(step), gradients, after)


def _gradients(layer: Layer, at: Pass) -> list[tuple[Any, Array]]:
    """∂E/∂W = δᵀ y, ∂E/∂b = Σ δ."""
    if layer.linear is None:
        return []
    found = [(layer.linear.weight, at.delta.T @ at.below)]
    if layer.linear.bias is not None:
        found.append((layer.linear.bias, at.delta.sum(axis=0)))
    return found


def _title(run: Run, optimizer: Optimizer) -> str:
    sizes = "-".join(map(str, (run.x.shape[1], *(la.size for la in run.layers))))
    rows = f"{len(run.x)} row{'s' if len(run.x) > 1 else ''}"
    name = loss_name(run.loss_function)
    method = updates.optimizer_name(optimizer)
    return f"One step of back-propagation: {sizes}, {rows}, {name}, {method}"


def _column(layer: Layer) -> Column:
    names = [type(m).__name__ for m in (layer.linear, layer.activation) if m is not None]
    return Column(", ".join(names), tuple(layer.units), layer.linear is not None)


def _below(run: Run, position: int) -> range:
    """The numbers of the units that layer ``position`` reads."""
    return run.layers[position - 1].units if position else range(1, run.x.shape[1] + 1)


def _symbol(run: Run, unit: int) -> str:
    """x₁ of an input, y₃ of another unit."""
    return f"{'x' if unit <= run.x.shape[1] else 'y'}{sub(unit)}"


def _weights(
    run: Run,
    names: dict[int, str],
    gradients: dict[str, Array],
    before: dict[str, Array],
    after: dict[str, Array],
) -> list[Weight]:
    found = []
    for position, layer in enumerate(run.layers):
        if layer.linear is None:
            continue
        for p in layer.linear.parameters():
            name = names[id(p)]
            for index in np.ndindex(p.shape):
                target = layer.first + index[0]
                source = _below(run, position)[index[1]] if len(index) == 2 else None
                symbol = f"b{sub(target)}" if source is None else f"w{sub(target, source)}"
                gradient = float(gradients[name][index]) if name in gradients else None
                numbers = float(before[name][index]), gradient, float(after[name][index])
                found.append(Weight(symbol, name, index, target, source, *numbers))
    return found


def _row(run: Run, i: int, written: Explained) -> Row:
    outputs = run.outputs()
    values = {j + 1: float(v) for j, v in enumerate(run.x[i])}
    deltas: dict[int, float] = {}
    forward: list[Equation] = []
    backward: list[list[Equation]] = []
    for position, (layer, at) in enumerate(zip(run.layers, run.passes, strict=True)):
        forward += _forward(run, position, i)
        last = position == len(run.layers) - 1
        slopes = written.upstream[i] if last else _upstream(run, position, i)
        backward.append([*slopes, *_deltas(layer, at, i)])
        values |= {j: float(v) for j, v in zip(layer.units, at.y[i], strict=True)}
        deltas |= {j: float(v) for j, v in zip(layer.units, at.delta[i], strict=True)}
    inputs, targets = tuple(map(float, run.x[i])), tuple(map(float, outputs.t[i]))
    which = f", row {i + 1}" if len(run.x) > 1 else ""
    return Row(
        inputs,
        targets,
        values,
        deltas,
        Block(f"Forward{which}: {row_name(inputs, targets)}", tuple(forward)),
        Block("The error of the row", tuple(written.rows[i])),
        Block(
            f"Backward{which}: δⱼ = ∂E/∂netⱼ", tuple(q for part in reversed(backward) for q in part)
        ),
    )


def _forward(run: Run, position: int, i: int) -> list[Equation]:
    """netⱼ = Σᵢ wⱼᵢ yᵢ + bⱼ and yⱼ = f(netⱼ)."""
    layer, at, below = run.layers[position], run.passes[position], _below(run, position)
    nets, ys = at.net[i].tolist(), at.y[i].tolist()
    found = []
    for k, j in enumerate(layer.units):
        if layer.linear is None:
            source = _symbol(run, below[k])
            found.append(Equation(f"net{sub(j)}", nets[k], source, "{}", (nets[k],)))
            continue
        weights = numbers_of(layer.linear.weight)[k].tolist()
        rule = " + ".join(f"w{sub(j, b)}·{_symbol(run, b)}" for b in below)
        terms: list[list[float]] = [
            list(t) for t in zip(weights, at.below[i].tolist(), strict=True)
        ]
        if layer.linear.bias is not None:
            rule += f" + b{sub(j)}"
            terms.append([float(numbers_of(layer.linear.bias)[k])])
        found.append(sum_of_products(f"net{sub(j)}", nets[k], rule, terms))
    if layer.activation is None:
        found += [
            Equation(f"y{sub(j)}", y, f"net{sub(j)}", "{}", (y,))
            for j, y in zip(layer.units, ys, strict=True)
        ]
    elif isinstance(layer.activation, ROWWISE):
        found += activations.rowwise_outputs(layer.activation, layer.units, nets, ys)
    else:
        numbers = zip(layer.units, nets, ys, strict=True)
        found += [activations.output(layer.activation, *n) for n in numbers]
    return found


def _upstream(run: Run, position: int, i: int) -> list[Equation]:
    """∂E/∂yⱼ = Σₖ δₖ wₖⱼ of a hidden layer."""
    layer, at, above = run.layers[position], run.passes[position], run.layers[position + 1]
    deltas = run.passes[position + 1].delta[i].tolist()
    found = []
    for place, j in enumerate(layer.units):
        left, value = f"∂E/∂y{sub(j)}", float(at.upstream[i, place])
        if above.linear is None:
            k = above.first + place
            found.append(Equation(left, value, f"δ{sub(k)}", "{}", (value,)))
            continue
        weights = numbers_of(above.linear.weight)[:, place].tolist()
        rule = " + ".join(f"δ{sub(k)}·w{sub(k, j)}" for k in above.units)
        found.append(sum_of_products(left, value, rule, list(zip(deltas, weights, strict=True))))
    return found


def _deltas(layer: Layer, at: Pass, i: int) -> list[Equation]:
    """δⱼ = ∂E/∂yⱼ f′(netⱼ)."""
    ys, upstream, deltas = at.y[i].tolist(), at.upstream[i].tolist(), at.delta[i].tolist()
    if layer.activation is None:
        return [
            Equation(f"δ{sub(j)}", d, f"∂E/∂y{sub(j)}", "{}", (d,))
            for j, d in zip(layer.units, deltas, strict=True)
        ]
    if isinstance(layer.activation, ROWWISE):
        return activations.rowwise_deltas(layer.activation, layer.units, ys, upstream, deltas)
    numbers = zip(layer.units, at.net[i].tolist(), ys, at.slope[i].tolist(), strict=True)
    return [
        activations.delta(layer.activation, *n, up, d)
        for n, up, d in zip(numbers, upstream, deltas, strict=True)
    ]


def _product(run: Run, weight: Weight, rows: int) -> Equation:
    """∂E/∂wⱼᵢ = δⱼ·yᵢ, added over the rows."""
    position = next(i for i, la in enumerate(run.layers) if weight.target in la.units)
    at, layer = run.passes[position], run.layers[position]
    deltas = at.delta[:, weight.target - layer.first].tolist()
    rule = f"δ{sub(weight.target)}"
    terms: list[list[float]] = [[d] for d in deltas]
    if weight.source is not None:
        place = weight.source - _below(run, position)[0]
        terms = [[d, y] for d, y in zip(deltas, at.below[:, place].tolist(), strict=True)]
        rule += f"·{_symbol(run, weight.source)}"
    assert weight.gradient is not None
    rule = rule if rows == 1 else f"Σ {rule}"
    return sum_of_products(f"∂E/∂{weight.symbol}", weight.gradient, rule, terms)


def _with_legend(step: Step) -> Step:
    """Words for the symbols that occur."""
    weight = next(w for w in step.weights if w.source is not None)
    words = [f"{weight.symbol}: the weight from unit {weight.source} to unit {weight.target}"]
    blocks = [b for row in step.rows for b in (row.forward, row.error, row.backward)]
    text = " ".join(q.rule for b in blocks for q in b.equations)
    words += [meaning for symbol, meaning in activations.LEGEND.items() if symbol in text]
    return Step(**{**step.__dict__, "legend": tuple(words)})
