"""Recurrent layers at their edges: one step, one sequence, none; values of PyTorch 2.13."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

ONE = np.sin(np.arange(2.0)).reshape(1, 1, 2)  # one step of one sequence
OPTIONS: dict[str, dict[str, Any]] = {
    "GRU": {"num_layers": 2, "bidirectional": True, "batch_first": True},
    "LSTM": {"num_layers": 2, "proj_size": 1, "bias": False},
    "RNN": {"num_layers": 3, "nonlinearity": "relu", "bidirectional": True},
}
# outputs, last states, gradients of the sum of outputs by x and by weight_hh_l0
PYTORCH: dict[str, tuple[list[float], list[list[float]], list[float], list[float]]] = {
    "GRU": (
        [-0.5031839355, -0.3023479083, 0.7182153059, 0.2941604591],
        [[0.4222602681, 0.3115352407, -0.2640106508, -0.4353809861, -0.5031839355, -0.3023479083,
          0.7182153059, 0.2941604591]],
        [-0.0447424627, 0.0104481546],
        [0.0032951537, 0.0035607583, 0.0071103645, 0.0076834927, -0.0272519115, -0.0294485412,
         0.0219675514, 0.0237382373, -0.0080283599, -0.0086754827, 0.0144969016, 0.0156654188],
    ),
    "LSTM": (
        [0.1093536210],
        [[0.0638609073, 0.1093536210], [0.2638357395, -0.2906232848, -0.3350458396, -0.0990987282]],
        [-0.0032324936, 0.0073631899],
        [-0.0002506833, 0.0012891539, -0.0012669726, 0.0027985330, -0.0063281422, -0.0170720029,
         -0.0011989870, 0.0027990290],
    ),
    "RNN": (
        [0.0, 0.0, 0.3323447420, 0.1724302982],
        [[2.1636770902, 0.1287922088, 0.8310848019, 0.0, 0.0, 0.3385877409, 0.0, 0.4824824327, 0.0,
          0.0, 0.3323447420, 0.1724302982]],
        [-0.0260642381, 0.0412651592],
        [0.1190120501, 0.1286049702, -0.0032391087, -0.0035001958],
    ),
}  # fmt: skip


def made(kind: str) -> tuple[Any, Any]:
    """A layer of 2 to 2, and its first state, filled by a formula."""
    layer = getattr(nn, kind)(2, 2, dtype="float64", **OPTIONS[kind])
    for i, (_, p) in enumerate(sorted(layer.named_parameters())):
        p.assign((np.cos(np.arange(p.numel()) + i) / 2).reshape(p.shape))
    rows = layer.num_layers * (1 + layer.bidirectional)
    h = np.sin(np.arange(rows * (layer.proj_size or 2)) + 1.0).reshape(rows, 1, -1)
    c = np.cos(np.arange(rows * 2) + 1.0).reshape(rows, 1, 2)
    return layer, (cr.tensor(h), cr.tensor(c)) if kind == "LSTM" else cr.tensor(h)


@pytest.mark.parametrize("kind", OPTIONS)
def test_one_step_of_one_sequence_is_pytorchs(kind: str) -> None:
    layer, state = made(kind)
    x = cr.tensor(ONE, requires_grad=True)
    out, last = layer(x, state)
    out.sum().backward()
    states = last if kind == "LSTM" else (last,)
    found = (out, states, x.grad, layer.weight_hh_l0.grad)
    for one, wanted in zip(found, PYTORCH[kind], strict=True):
        if isinstance(one, tuple):
            for a, b in zip(one, wanted, strict=True):
                np.testing.assert_allclose(a.numpy().ravel(), b, atol=1e-9)
        else:
            np.testing.assert_allclose(one.numpy().ravel(), wanted, atol=1e-9)


@pytest.mark.parametrize("kind", OPTIONS)
def test_lengths_of_one_in_a_compiled_step(kind: str) -> None:
    """Three steps of padding behind each sequence of one step change nothing, gradients neither."""
    layer, state = made(kind)
    first = layer.batch_first
    x = np.concatenate([ONE, np.full((3, 1, 2), np.nan)])
    x = x.swapaxes(0, 1) if first else x

    def loss(x: Any, n: Any) -> Any:
        out, last = layer(x, state, lengths=n)
        return out.sum(), last

    gradient = cr.compile(lambda x, n: cr.grad(loss, has_aux=True)(x, n))
    slopes, last = gradient(cr.tensor(x), cr.tensor([1]))
    slopes = slopes.numpy().swapaxes(0, 1) if first else slopes.numpy()
    _, states, wanted, _ = PYTORCH[kind]
    np.testing.assert_allclose(slopes[0, 0], wanted, atol=1e-9)
    assert (slopes[1:] == 0).all()
    for a, b in zip(last if kind == "LSTM" else (last,), states, strict=True):
        np.testing.assert_allclose(a.numpy().ravel(), b, atol=1e-9)


@pytest.mark.parametrize("kind", OPTIONS)
def test_no_sequences_have_no_outputs_and_no_share_in_gradients(kind: str) -> None:
    layer, _ = made(kind)
    empty = (
        cr.zeros(0, 4, 2, dtype="float64")
        if layer.batch_first
        else cr.zeros(4, 0, 2, dtype="float64")
    )
    out, _ = layer(empty)
    assert out.numel() == 0
    out.sum().backward()
    assert all((p.grad.numpy() == 0).all() for p in layer.parameters())
