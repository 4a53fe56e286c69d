"""The rule of 1997 as its appendix has it: weights change at every step that has a target.

What each state owes to the weights, ∂s/∂w, is carried along; what y(t-1) owes to them does not
count. Where there is a target at the last step only, this is the gradient that
`models.LSTM1997(truncated=True)` has after the sequence.
"""

from __future__ import annotations

from typing import Any

from ..models import LSTM1997
from ..tensor import functions as f
from ..tensor.transform.loops import scan
from .online import Learn


def at_every_step(net: LSTM1997, rate: float, near: float = 0.0) -> Learn:
    """Learns a sequence by w ← w - ε ∂E(t)/∂w at every step t.

    ``near``: outputs that are that near to their targets are no errors.
    """
    b, size, cells = net.blocks, net.size, net.blocks * net.size

    def of_cells(gates: Any) -> Any:
        return gates.unsqueeze(-1).expand(b, size).reshape(cells)

    def of_blocks(cells: Any) -> Any:
        return cells.reshape(b, size, *cells.shape[1:]).sum(1)

    def step(carry: Any, now: Any) -> Any:
        w, y, s, owed_by_in, owed_by_cell = carry
        x, d, count = now
        source = f.cat([x, y, f.ones_like(s[:1])])
        total = w["weight_ih"] @ x + w["weight_hh"] @ y
        if "bias" in w:
            total = total + f.pad(w["bias"], (0, len(total) - len(w["bias"])))
        gates, g = f.sigmoid(total[: 2 * b]), 4 * f.sigmoid(total[2 * b :]) - 2
        y_in, y_out = of_cells(gates[:b]), of_cells(gates[b:])
        s = s + y_in * g
        h = 2 * f.sigmoid(s) - 1
        y_c = y_out * h
        out = w["head.weight"] @ y_c + w.get("head.bias", 0)
        out = out if net.linear else f.sigmoid(out)

        owed_by_in = owed_by_in + (g * y_in * (1 - y_in)).unsqueeze(1) * source
        owed_by_cell = owed_by_cell + (y_in * (4 - g**2) / 4).unsqueeze(1) * source
        off = (out - d) * count
        e = off * (f.abs(off) >= near) * (1 if net.linear else out * (1 - out))
        e_c = w["head.weight"].T @ e
        e_s = (e_c * y_out * (1 - h**2) / 2).unsqueeze(1)
        e_out = of_blocks(e_c * h) * gates[b:] * (1 - gates[b:])
        slopes = f.cat(
            [of_blocks(e_s * owed_by_in), e_out.unsqueeze(1) * source, e_s * owed_by_cell]
        )
        inputs = len(x)
        change = {
            "weight_ih": slopes[:, :inputs],
            "weight_hh": slopes[:, inputs:-1],
            "bias": slopes[:, -1],
            "head.weight": e.unsqueeze(1) * y_c,
            "head.bias": e,
        }
        w = {name: p - rate * change[name][: len(p)] for name, p in w.items()}
        return (w, f.cat([gates, y_c]), s, owed_by_in, owed_by_cell), off

    def learn(w: Any, x: Any, d: Any, counts: Any) -> Any:
        units = len(w["weight_ih"])
        y, s = f.zeros(units), f.zeros(cells)
        owed = f.zeros(cells, net.inputs + units + 1)
        d = d.expand(len(x), d.shape[-1])
        (w, *_), off = scan(step, (w, y, s, owed, owed), (x, d, counts))
        return w, f.abs(off).max(), (off**2).sum()

    return learn
