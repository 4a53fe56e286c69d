"""Optimizers and schedules: 20 training steps and 100 rates equal PyTorch's, at once and
compiled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import exports
import numpy as np
import pytest
from torch_goldens import agree, converted, goldens
from torch_goldens import optim_cases as cases

import chainrule as cr
from chainrule import nn, optim
from chainrule.optim import lr_scheduler, swa_utils


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


SLACK = {n: 100.0 for n in cases.OPTIMIZERS if n.startswith("LBFGS")}


def runs() -> list[Any]:
    """Each in float64, at once and compiled, and in float32. L-BFGS looks at values, so it does not
    compile, and its steps amplify rounding. In the quick suite all of them once for each rule, and
    groups; the options of a rule at once."""
    found: list[Any] = []
    for name in cases.OPTIMIZERS:
        found.append((name, "float64", False))
        if name not in SLACK:
            marks = [] if " " not in name or name.endswith("groups") else pytest.mark.slow
            found.append(pytest.param(name, "float64", True, marks=marks))
            found.append(pytest.param(name, "float32", False, marks=marks))
    return found


@pytest.mark.parametrize(("name", "dtype", "compiled"), runs())
def test_twenty_steps(name: str, dtype: str, compiled: bool) -> None:
    losses, net = train(name, dtype, compiled)
    slack = SLACK.get(name, 1.0)
    agree(losses, f"optimizer/{name}/losses", dtype, slack)
    for n, p in net.named_parameters():
        assert p.dtype == np.dtype(dtype)
        agree(p.numpy(), f"optimizer/{name}/{n}", dtype, slack)


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(np.zeros(1)) for _ in range(4)]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", list(cases.SCHEDULES))
def test_rates(name: str, compiled: bool) -> None:
    make_optimizer, make = cases.SCHEDULES[name]
    optimizer = make_optimizer(optim, parameters())
    made = make(SimpleNamespace(**vars(lr_scheduler), SWALR=swa_utils.SWALR), optimizer)
    schedules = made if isinstance(made, tuple) else (made,)

    def step() -> None:
        for schedule in schedules:
            schedule.step()

    run = cr.compile(step) if compiled else step
    found = []
    for _ in range(cases.COUNT):
        found.append(cases.rates(optimizer))
        run()
    np.testing.assert_allclose(found, goldens[f"schedule/{name}"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", list(cases.PLATEAUS))
def test_plateau(name: str) -> None:
    optimizer = cases.GROUPS(optim, parameters())
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, **cases.PLATEAUS[name])
    found = []
    for metric in cases.METRICS:
        schedule.step(metric)
        found.append(cases.rates(optimizer))
    np.testing.assert_allclose(found, goldens[f"plateau/{name}"], rtol=1e-12)


def test_nothing_is_left_out() -> None:
    rules, schedules = exports.named(cases.OPTIMIZERS), exports.named(cases.SCHEDULES)
    assert exports.OPTIMIZERS - rules == set(exports.OPTIMIZERS_WITHOUT_GOLDEN)
    assert exports.SCHEDULES - schedules == set(exports.SCHEDULES_WITHOUT_GOLDEN)
    # Each of them also with options that are not the defaults.
    assert {n for n in rules if sum(c.split()[0] == n for c in cases.OPTIMIZERS) < 2} == set()
