"""One pass forward and backward, layer by layer: the numbers that are to be explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ...nn.module import Module
from ...tensor.grad_mode import enable_grad, no_grad
from ...tensor.ops.create import asarray
from ...tensor.tensor import Tensor
from ..measure.batch import Batch
from ..measure.objective import Objective, is_label_loss, match_target
from .losses import Outputs
from .network import Layer


@dataclass
class Pass:
    """Numbers (rows, units) of one layer: forward, and backward."""

    below: Array
    net: Array
    y: Array
    slope: Array  # f′(net), elementwise activations only
    upstream: Array  # ∂E/∂y
    delta: Array  # ∂E/∂net


class Run:
    """One pass forward and backward; each layer is differentiated by itself."""

    def __init__(self, layers: list[Layer], x: Array, objective: Objective, target: Array) -> None:
        self.layers, self.objective, self.target = layers, objective, target
        self.x = x.reshape(len(x), -1)
        self.loss_function = objective.parts[0].loss
        self.passes: list[Pass] = []
        below = self.x
        for layer in layers:
            net = below if layer.linear is None else numbers_of(layer.linear(asarray(below)))
            y, slope = net, np.ones_like(net)
            if layer.activation is not None:
                y, slope = _with_slopes(layer.activation, net)
            self.passes.append(Pass(below, net, y, slope, y, y))
            below = y
        self.error, upstream = self._loss(below)
        for layer, at in zip(reversed(layers), reversed(self.passes), strict=True):
            at.upstream = upstream
            at.delta = vjp(layer.activation, at.net, upstream)
            upstream = at.delta @ numbers_of(layer.linear.weight) if layer.linear else at.delta

    def _loss(self, outputs: Array) -> tuple[float, Array]:
        """E and ∂E/∂y."""
        y = asarray(outputs.copy())
        y.requires_grad = True
        with enable_grad():
            found = self.objective(y, Batch(None, asarray(self.target), len(outputs))).total
            if not found.requires_grad:
                raise OptionError("explain_step: the loss does not depend on the model's output")
            found.backward()
        return float(found.item()), numbers_of(y.grad)

    def outputs(self) -> Outputs:
        """The last layer and the targets, which for labels are one-hot."""
        last = self.passes[-1]
        t = self.target
        if is_label_loss(self.loss_function) and t.dtype.kind != "f":
            t = (t.reshape(-1, 1) == np.arange(last.y.shape[1])).astype(last.y.dtype)
        else:
            matched = match_target(self.loss_function, asarray(last.y), asarray(t))
            t = numbers_of(matched)
            if t.shape != last.y.shape:
                t = np.resize(t, last.y.shape)
        return Outputs(self.layers[-1].units, last.y, t, last.upstream, self.error)


def numbers_of(tensor: Any) -> Array:
    return np.asarray(tensor._read())


def vjp(module: Module | None, net: Array, upstream: Array) -> Array:
    """∂E/∂net of a layer from its ∂E/∂y."""
    if module is None:
        return upstream
    leaf = asarray(net.copy())
    leaf.requires_grad = True
    with enable_grad():
        out: Tensor = module(leaf)
        (out * asarray(upstream)).sum().backward()
    return numbers_of(leaf.grad)


def _with_slopes(module: Module, net: Array) -> tuple[Array, Array]:
    with no_grad():
        y = numbers_of(module(asarray(net)))
    return y, vjp(module, net, np.ones_like(net))
