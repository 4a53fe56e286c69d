"""The memory cell as it was published in 1997, before it could forget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import nn
from ..errors import OptionError, ShapeError
from ..nn.options import check, choice, integer
from ..tensor import functions as f
from ..tensor.grad_mode import no_grad
from ..tensor.tensor import Tensor
from ..tensor.transform import stop_gradient
from ..tensor.transform.loops import scan
from ..tensor.value import as_tensor

BIASES = ("none", "gates", "hidden", "all")


class LSTM1997(nn.Module):
    """Blocks of memory cells behind an input and an output gate, without forget gates or peepholes.

    Source: Hochreiter & Schmidhuber, 1997, Neural Computation 9, 1735-1780.

        s(t) = s(t-1) + y_in(t) g(net_c(t)),    y_c(t) = y_out(t) h(s(t))

    Gates are logistic, g = 4 σ - 2 and h = 2 σ - 1. Cells and gates read the inputs and the last
    outputs of all cells and gates; the outputs, logistic unless ``linear``, read the cells.
    ``biases``: which units have one, "none", "gates", "hidden" or "all".

    Sequences (T, inputs) or (T, N, inputs) -> outputs after each step. ``truncated``: errors flow
    back through the states s only, as in the paper; otherwise the gradient is the full one. Weights
    and biases start uniform in ±``init``, but for the biases of input and output gates that are
    given, one a block. Raises ShapeError for other sequences.

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> net = models.LSTM1997(2, blocks=2, size=2, outputs=1)
    >>> sum(p.numel() for p in net.parameters()), net(cr.zeros(100, 2)).shape
    (93, (100, 1))
    """

    def __init__(
        self,
        inputs: int,
        blocks: int,
        size: int,
        outputs: int,
        biases: str = "all",
        truncated: bool = True,
        *,
        linear: bool = False,
        init: float = 0.1,
        input_gates: Sequence[float] = (),
        output_gates: Sequence[float] = (),
    ) -> None:
        super().__init__()
        given = {"inputs": inputs, "blocks": blocks, "size": size, "outputs": outputs}
        limits = dict.fromkeys(given, integer(1)) | {"biases": choice(*BIASES)}
        check("LSTM1997", limits, {**given, "biases": biases})
        self.inputs, self.blocks, self.size, self.truncated = inputs, blocks, size, truncated
        self.linear = linear
        units = blocks * (2 + size)
        self.weight_ih = nn.Parameter(f.zeros(units, inputs))
        self.weight_hh = nn.Parameter(f.zeros(units, units))
        biased = {"none": 0, "gates": 2 * blocks}.get(biases, units)
        self.bias = nn.Parameter(f.zeros(biased)) if biased else None
        self.head = nn.Linear(blocks * size, outputs, bias=biases == "all")
        for p in self.parameters():
            nn.init.uniform_(p, -init, init)
        for first, given_biases in ((0, input_gates), (blocks, output_gates)):
            self._start_gates(first, given_biases)

    def _start_gates(self, first: int, biases: Sequence[float]) -> None:
        if not len(biases):
            return
        if self.bias is None or len(biases) != self.blocks:
            raise OptionError(
                f"LSTM1997: {len(biases)} biases of gates for {self.blocks} blocks"
                f"{' without biases' if self.bias is None else ''}; give one a block"
            )
        with no_grad():
            self.bias[first : first + self.blocks] = f.tensor(np.asarray(biases, np.float32))

    def states(self, x: Any) -> tuple[Tensor, Tensor]:
        """Activities (T, ..., units) and the states of the cells (T, ..., cells).

        Activities are of input gates, output gates and cells, in this order.
        """
        x = as_tensor(x)
        if x.ndim not in (2, 3) or x.shape[-1] != self.inputs:
            raise ShapeError(
                f"LSTM1997: sequences (T, {self.inputs}) or (T, N, {self.inputs}) are expected, "
                f"got {x.shape}"
            )
        b, cells = self.blocks, self.blocks * self.size
        given = x @ self.weight_ih.T
        if self.bias is not None:
            given = given + nn.functional.pad(self.bias, (0, given.shape[-1] - len(self.bias)))

        def of_cells(gates: Tensor) -> Tensor:
            wide: Tensor = gates.unsqueeze(-1).expand(*gates.shape, self.size)
            return wide.reshape(*gates.shape[:-1], cells)

        def step(carry: tuple[Tensor, Tensor], net: Tensor) -> Any:
            y, s = carry
            net = net + (stop_gradient(y) if self.truncated else y) @ self.weight_hh.T
            gates = f.sigmoid(net[..., : 2 * b])
            s = s + of_cells(gates[..., :b]) * (4 * f.sigmoid(net[..., 2 * b :]) - 2)
            out = of_cells(gates[..., b:]) * (2 * f.sigmoid(s) - 1)
            y = f.cat([gates, out], -1)
            return (y, s), (y, s)

        zeros = f.zeros_like(given[0])
        _, (y, s) = scan(step, (zeros, zeros[..., :cells]), given)
        return y, s

    def forward(self, x: Any) -> Tensor:
        """The outputs after each step."""
        y, _ = self.states(x)
        out: Tensor = self.head(y[..., 2 * self.blocks :])
        return out if self.linear else f.sigmoid(out)
