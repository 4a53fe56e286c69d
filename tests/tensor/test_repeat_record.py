"""repeat(n, record=k): what each k-th call returns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError


@pytest.fixture(params=["cpu", "interpreter"])
def backend(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_BACKEND", request.param)


def make() -> tuple[Any, nn.Module, cr.Tensor]:
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.2), nn.Linear(7, 2))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    count = cr.zeros(())

    @cr.compile
    def step(x: cr.Tensor, factor: float) -> Any:
        loss = (net(x) ** 2).mean() * factor
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        count.assign(count + 1)
        return {"loss": loss, "rows": [x.shape[0], count], "bias": net[0].bias * 2}

    return step, net, count


X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


@pytest.mark.parametrize("n, k", [(12, 1), (12, 3), (11, 4), (5, 5)])
def test_the_rows_are_those_of_a_loop(n: int, k: int, backend: None) -> None:
    step, net, count = make()
    rows = step.repeat(n, X, 0.5, record=k)
    wanted = []
    other, plain, _ = make()
    for i in range(1, n + 1):
        found = other(X, 0.5)
        if i % k == 0:
            wanted.append((found["loss"].numpy(), found["bias"].numpy()))
    assert rows["loss"].numpy().tobytes() == np.stack([w[0] for w in wanted]).tobytes()
    assert rows["bias"].numpy().tobytes() == np.stack([w[1] for w in wanted]).tobytes()
    assert rows["rows"][0] == 6
    assert rows["rows"][1].tolist() == [float(i) for i in range(k, n + 1, k)]
    assert count.item() == n
    for p, q in zip(net.parameters(), plain.parameters(), strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_gradients_that_add_up_are_recorded_too() -> None:
    w = cr.tensor([1.0, 2.0], requires_grad=True)

    @cr.compile
    def step(x: cr.Tensor) -> cr.Tensor:
        (w * x).sum().backward()
        assert w.grad is not None
        return w.grad + 0

    step(cr.ones(2))
    assert step.repeat(4, cr.ones(2), record=2).tolist() == [[3.0, 3.0], [5.0, 5.0]]
    assert w.grad is not None and w.grad.tolist() == [5.0, 5.0]


def test_a_method_is_recorded() -> None:
    class Counter:
        def __init__(self) -> None:
            self.n = cr.zeros(())

        @cr.compile
        def step(self) -> cr.Tensor:
            return self.n.assign(self.n + 1)

    assert Counter().step.repeat(6, record=2).tolist() == [2.0, 4.0, 6.0]


@pytest.mark.parametrize("record", [0, -1, 1.5, True, 9])
def test_what_makes_no_sense_is_refused_before_anything_runs(record: Any) -> None:
    step, _, count = make()
    with pytest.raises(OptionError, match="repeat"):
        step.repeat(8, X, 1.0, record=record)
    assert count.item() == 0
