"""Clipping, parameters as one vector, summary."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn


def with_gradients(*arrays: list[float]) -> list[nn.Parameter]:
    made = []
    for a in arrays:
        p = nn.Parameter(np.zeros(len(a)))
        p.grad = cr.tensor(np.array(a))
        made.append(p)
    return made


@pytest.mark.parametrize(
    ("norm_type", "norm"), [(2.0, 13.0), (1.0, 19.0), (float("inf"), 12.0), (3.0, 1819 ** (1 / 3))]
)
def test_clip_grad_norm(norm_type: float, norm: float) -> None:
    params = [*with_gradients([3.0, 4.0], [12.0]), nn.Parameter([1.0])]
    assert nn.utils.clip_grad_norm_(params, 6.5, norm_type).item() == pytest.approx(norm, rel=1e-4)
    factor = min(6.5 / norm, 1)
    assert params[0].grad.numpy() == pytest.approx(np.array([3.0, 4.0]) * factor, rel=1e-4)
    assert params[2].grad is None


def test_small_gradients_are_not_scaled_up() -> None:
    params = with_gradients([0.3, 0.4])
    nn.utils.clip_grad_norm_(params, 1.0)
    assert params[0].grad.tolist() == [0.3, 0.4]


def test_clipping_in_a_compiled_step() -> None:
    p = nn.Parameter(np.array([3.0, 4.0]))

    @cr.compile
    def step() -> cr.Tensor:
        p.grad = None
        (p * p).sum().backward()
        norm = nn.utils.clip_grad_norm_([p], 1.0)
        p.assign(p.detach() - p.grad)
        return norm

    assert step().item() == 10.0
    assert p.numpy() == pytest.approx([2.4, 3.2], rel=1e-6)


def test_clip_grad_value() -> None:
    params = with_gradients([-3.0, 0.5])
    nn.utils.clip_grad_value_(params, 1.0)
    assert params[0].grad.tolist() == [-1.0, 0.5]


def test_vector() -> None:
    net = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (9,)
    nn.utils.vector_to_parameters(np.arange(9.0, dtype=np.float32), net.parameters())
    assert net.weight.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]] and net.bias.tolist() == [
        6.0,
        7.0,
        8.0,
    ]


def test_summary() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)
            self.b.bias.requires_grad_(False)

        def forward(self, x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
            return cr.tanh(self.a(x) + self.b(y))

    model = Two()
    table = nn.summary(model, [(5, 4), (5, 2)])
    assert [r.output for r in table.rows] == ["(5, 3)"] * 3
    assert (table.parameters, table.trainable, table.parameter_bytes) == (24, 21, 96)
    assert table.rows[1].flops == 2 * 5 * 4 * 3 + 5 * 3
    assert table.flops == 135 + 75 + 15 + 15
    assert str(table).splitlines()[-1] == "trainable parameters 21; their memory 96 B"
    assert model.training and not model._forward_hooks
