"""Optimizers and schedules: 20 training steps and 25 rates equal PyTorch's, at once and
compiled."""

from __future__ import annotations

import numpy as np
import pytest
from torch_goldens import agree, cases, converted, goldens

import chainrule as cr
from chainrule import nn, optim
from chainrule.optim import lr_scheduler


def network(dtype: str) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    net.load_state_dict(cases.NET)
    return net


def train(name: str, dtype: str, compiled: bool) -> tuple[list[float], nn.Module]:
    net = network(dtype)
    optimizer = cases.OPTIMIZERS[name](optim, net.parameters())
    x, y = converted(cases.NET_X, dtype), converted(cases.NET_Y, dtype)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        return loss

    step = (
        cr.compile(lambda: optimizer.step(closure)) if compiled else lambda: optimizer.step(closure)
    )
    return [step().item() for _ in range(cases.STEPS)], net


SLACK = {"LBFGS": 100.0}


# L-BFGS looks at values, so it does not compile.
RUNS = [(n, c) for n in cases.OPTIMIZERS for c in (False, True) if not (c and n == "LBFGS")]


@pytest.mark.parametrize(("name", "compiled"), RUNS)
def test_twenty_steps(name: str, compiled: bool) -> None:
    # Only in float64: compiled, for time; L-BFGS, because its steps amplify rounding.
    for dtype in ("float64",) if compiled or name == "LBFGS" else ("float64", "float32"):
        losses, net = train(name, dtype, compiled)
        slack = SLACK.get(name, 1.0)
        agree(losses, f"optimizer/{name}/losses", dtype, slack)
        for n, p in net.named_parameters():
            assert p.dtype == np.dtype(dtype)
            agree(p.numpy(), f"optimizer/{name}/{n}", dtype, slack)


def rows(group) -> list[float]:
    return [group["lr"], group["betas"][0] if "betas" in group else group["momentum"]]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", list(cases.SCHEDULES))
def test_rates(name: str, compiled: bool) -> None:
    make_optimizer, make = cases.SCHEDULES[name]
    optimizer = make_optimizer(optim, [nn.Parameter(np.zeros(1))])
    made = make(lr_scheduler, optimizer)
    schedules = made if isinstance(made, tuple) else (made,)

    def step() -> None:
        for schedule in schedules:
            schedule.step()

    run = cr.compile(step) if compiled else step
    found = []
    for _ in range(cases.COUNT):
        found.append(rows(optimizer.param_groups[0]))
        run()
    np.testing.assert_allclose(found, goldens[f"schedule/{name}"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", list(cases.PLATEAUS))
def test_plateau(name: str) -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=0.5)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, **cases.PLATEAUS[name])
    found = []
    for metric in cases.METRICS:
        schedule.step(metric)
        found.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(found, goldens[f"plateau/{name}"], rtol=1e-12)
