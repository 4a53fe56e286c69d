"""Schedules PyTorch does not have, their state, and their use in a compiled step."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.optim import lr_scheduler as s


def sgd(lr: float = 0.5) -> optim.SGD:
    return optim.SGD([nn.Parameter(np.zeros(1))], lr=lr)


def rates(schedule: s.LRScheduler, steps: int) -> list[float]:
    found = schedule.get_last_lr()
    for _ in range(steps - 1):
        schedule.step()
        found += schedule.get_last_lr()
    return found


def test_noam() -> None:
    expected = [64**-0.5 * min(n**-0.5, n * 4**-1.5) for n in range(1, 10)]
    np.testing.assert_allclose(rates(s.NoamLR(sgd(1.0), 64, 4), 9), expected, rtol=1e-14)


def test_warmup_cosine() -> None:
    found = rates(s.WarmupCosineLR(sgd(0.4), 4, 10, eta_min=0.1), 13)
    expected = [0.1, 0.2, 0.3, 0.4]
    expected += [0.1 + 0.3 * (1 + math.cos(math.pi * min(t, 6) / 6)) / 2 for t in range(9)]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


MAKERS = {
    "StepLR": lambda o: s.StepLR(o, 2, 0.5),
    "OneCycleLR": lambda o: s.OneCycleLR(o, 1.0, 20, cycle_momentum=False),
    "LambdaLR": lambda o: s.LambdaLR(o, lambda t: 1 / (1 + t)),
    "CyclicLR": lambda o: s.CyclicLR(o, 0.1, 1.0, 4, cycle_momentum=False),
    "SWALR": lambda o: optim.swa_utils.SWALR(o, 0.1, 8),
    "SequentialLR": lambda o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, 1.0, 4), s.ExponentialLR(o, 0.9)], [4]
    ),
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_state_dict_resumes(name: str) -> None:
    one, two = MAKERS[name](sgd()), MAKERS[name](sgd())
    rates(one, 6)
    two.load_state_dict(one.state_dict())
    assert two.get_last_lr() == one.get_last_lr()
    assert rates(two, 5) == rates(one, 5)


def test_plateau_resumes() -> None:
    one, two = s.ReduceLROnPlateau(sgd(), patience=1), s.ReduceLROnPlateau(sgd(), patience=1)
    for metric in (1.0, 1.0):
        one.step(metric)
    two.load_state_dict(one.state_dict())
    one.step(1.0)
    two.step(1.0)
    assert one.get_last_lr() == two.get_last_lr() == [0.05]


def test_plateau_and_a_schedule_multiply() -> None:
    optimizer = sgd(1.0)
    plateau, decay = (
        s.ReduceLROnPlateau(optimizer, patience=0, factor=0.5),
        s.ExponentialLR(optimizer, 0.1),
    )
    plateau.step(1.0)
    plateau.step(1.0)
    decay.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_a_schedule_in_a_compiled_step() -> None:
    p = nn.Parameter(np.zeros(1))
    optimizer = optim.SGD([p], lr=1.0)
    schedule = s.CosineAnnealingLR(optimizer, 4)

    @cr.compile
    def step() -> None:
        optimizer.zero_grad()
        p.sum().backward()
        optimizer.step()
        schedule.step()

    step.repeat(4)
    expected = -sum((1 + math.cos(math.pi * t / 4)) / 2 for t in range(4))
    assert p.item() == pytest.approx(expected, rel=1e-12)
    assert schedule.last_epoch == 4 and optimizer.param_groups[0]["lr"] == pytest.approx(
        0, abs=1e-15
    )


def test_two_groups() -> None:
    a, b = nn.Parameter(np.zeros(1)), nn.Parameter(np.zeros(1))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.2}], lr=0.1)
    schedule = s.LambdaLR(optimizer, [lambda t: 0.5**t, lambda t: 1.0])
    schedule.step()
    assert schedule.get_last_lr() == [0.05, 0.2]


def test_averaged_model() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    swa = optim.swa_utils.AveragedModel(model)
    ema = optim.swa_utils.AveragedModel(model, avg_fn=optim.swa_utils.get_ema_avg_fn(0.75))
    values = [1.0, 2.0, 6.0]
    update = cr.compile(lambda: (swa.update_parameters(model), ema.update_parameters(model)))
    for value in values:
        nn.init.constant_(model[0].weight, value)
        update()
    assert swa.module[0].weight.numpy() == pytest.approx(np.full((2, 2), 3.0))
    assert ema.module[0].weight.numpy() == pytest.approx(np.full((2, 2), 0.75 * 1.25 + 0.25 * 6))
    assert swa.n_averaged.item() == 3 and model[0].weight.numpy()[0, 0] == 6
    assert {k.removeprefix("module.") for k in swa.state_dict()} == {
        *model.state_dict(),
        "n_averaged",
    }


def test_average_of_all_at_once() -> None:
    model = nn.Linear(1, 1)
    one = optim.swa_utils.AveragedModel(model, avg_fn=optim.swa_utils.get_ema_avg_fn(0.9))
    all_ = optim.swa_utils.AveragedModel(
        model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    mean = optim.swa_utils.AveragedModel(model, multi_avg_fn=optim.swa_utils.get_swa_multi_avg_fn())
    for value in (1.0, 2.0, 6.0):
        nn.init.constant_(model.weight, value)
        for average in (one, all_, mean):
            average.update_parameters(model)
    assert one.module.weight.item() == all_.module.weight.item()
    assert mean.module.weight.item() == 3


def test_swalr_begins_where_another_schedule_is() -> None:
    optimizer = sgd(1.0)
    decay = s.ExponentialLR(optimizer, 0.5)
    swa = optim.swa_utils.SWALR(optimizer, 0.05, anneal_epochs=2, anneal_strategy="linear")
    decay.step()
    decay.step()
    assert optimizer.param_groups[0]["lr"] == 0.25
    swa.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.15)
    swa.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_update_bn() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3)).eval()
    x = np.random.default_rng(0).normal(3, 2, size=(64, 3)).astype(np.float32)
    optim.swa_utils.update_bn([(x[:32], None), (x[32:], None)], model)
    mean = (x[:32].mean(0) + x[32:].mean(0)) / 2
    np.testing.assert_allclose(model[0].running_mean.numpy(), mean, rtol=1e-5)
    assert not model.training and model[0].momentum == 0.1
