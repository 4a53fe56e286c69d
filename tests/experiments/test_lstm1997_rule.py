"""The rule of 1997 at every step, against its equations in NumPy's float64, unit by unit."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import models
from chainrule.experiments.lstm1997_nets import RULE
from chainrule.experiments.lstm1997_reber import grammar_of, reber_net
from chainrule.experiments.lstm1997_rule import at_every_step
from chainrule.experiments.online import Given, Online


def sigma(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def learned_by_hand(net: models.LSTM1997, given: Given, rate: float, near: float) -> dict:
    """The weights after these sequences. One loop an index, and the names of the appendix."""
    w = {k: p.numpy().astype(float) for k, p in net.named_parameters()}
    b, size, units = net.blocks, net.size, len(w["weight_ih"])
    cells = b * size
    for x, d, counts in zip(given.x, given.d, given.counts, strict=True):
        y, s = np.zeros(units), np.zeros(cells)
        sources = x.shape[1] + units + 1
        ds_in, ds_c = np.zeros((cells, sources)), np.zeros((cells, sources))
        for t in range(int(counts.sum())):
            source = np.concatenate([x[t], y, [1.0]])
            bias = np.concatenate([w["bias"], np.zeros(units - len(w["bias"]))])
            net_now = np.column_stack([w["weight_ih"], w["weight_hh"], bias]) @ source
            y = np.zeros(units)
            h, g = np.zeros(cells), np.zeros(cells)
            for j in range(b):
                y[j], y[b + j] = sigma(net_now[j]), sigma(net_now[b + j])
                for c in range(j * size, (j + 1) * size):
                    g[c] = 4 * sigma(net_now[2 * b + c]) - 2
                    s[c] += y[j] * g[c]
                    h[c] = 2 * sigma(s[c]) - 1
                    y[2 * b + c] = y[b + j] * h[c]
                    ds_in[c] += g[c] * y[j] * (1 - y[j]) * source
                    ds_c[c] += y[j] * (2 - g[c]) * (2 + g[c]) / 4 * source
            v = w["head.weight"]
            out = np.array([sigma(a) for a in v @ y[2 * b :]])
            e = np.where(abs(d[t] - out) < near, 0, (d[t] - out) * out * (1 - out))
            change = np.zeros((units, sources))
            for j in range(b):
                for c in range(j * size, (j + 1) * size):
                    e_c = v[:, c] @ e
                    e_s = y[b + j] * (1 - h[c]) * (1 + h[c]) / 2 * e_c
                    change[j] += e_s * ds_in[c]
                    change[b + j] += h[c] * e_c * y[b + j] * (1 - y[b + j]) * source
                    change[2 * b + c] += e_s * ds_c[c]
            inputs = x.shape[1]
            w["head.weight"] = v + rate * np.outer(e, y[2 * b :])
            w["weight_ih"] = w["weight_ih"] + rate * change[:, :inputs]
            w["weight_hh"] = w["weight_hh"] + rate * change[:, inputs:-1]
            w["bias"] = w["bias"] + rate * change[: len(w["bias"]), -1]
    return w


@pytest.mark.parametrize("near", [0.0, 0.3])
def test_weights_change_at_every_step_as_the_appendix_says(near: float) -> None:
    cells = [reber_net(RULE, seed) for seed in range(2)]
    drawn = grammar_of(2).drawn
    nets = Online(cells, drawn, 0.5, 20, at_every_step(cells[0], 0.5, near))
    nets.learn()
    for seed, net in enumerate(cells):
        for name, wanted in learned_by_hand(net, drawn(20, seed, 0), 0.5, near).items():
            np.testing.assert_allclose(nets.weights[name].numpy()[seed], wanted, atol=2e-5)


def test_with_one_target_at_the_end_it_is_the_truncated_gradient() -> None:
    cr.manual_seed(5)
    net = models.LSTM1997(2, 2, 2, 1, init=0.8, linear=True)

    def drawn(n: int, seed: int, chunk: int) -> Given:
        rng = np.random.default_rng((seed, chunk))
        x, d = rng.normal(size=(n, 6, 2)), rng.normal(size=(n, 1, 1))
        counts = np.eye(6)[rng.integers(3, 6, n)]
        return Given(*(a.astype(np.float32) for a in (x, d, counts)))

    one, other = (Online([net], drawn, 0.1, 5, learn) for learn in (None, at_every_step(net, 0.1)))
    for of_one, of_other in zip(one.learn(), other.learn(), strict=True):
        np.testing.assert_allclose(of_one, of_other, rtol=1e-4)
    for name, w in one.weights.items():
        np.testing.assert_allclose(w, other.weights[name], atol=1e-5)
