"""Schedules PyTorch does not have, their state, and their use in a compiled step."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError
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


def lrs(schedule: s.LRScheduler, steps: int) -> list[float]:
    """The rate of the first group in each of some steps."""
    found = []
    for _ in range(steps):
        found.append(float(schedule.optimizer.param_groups[0]["lr"]))
        schedule.step()
    return found


def set_by_hand(optimizer: optim.SGD, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


@pytest.mark.parametrize("end", ["StepLR", "CosineAnnealingLR", "OneCycleLR", "SWALR", "LambdaLR"])
def test_a_second_schedule_begins_at_the_rate_set_by_hand(end: str) -> None:
    makers = {
        "StepLR": lambda o: s.StepLR(o, 1),
        "CosineAnnealingLR": lambda o: s.CosineAnnealingLR(o, 3),
        "OneCycleLR": lambda o: s.OneCycleLR(o, 1.0, 4, cycle_momentum=False),
        "SWALR": lambda o: optim.swa_utils.SWALR(o, 0.05, 3),
        "LambdaLR": lambda o: s.LambdaLR(o, lambda t: 1.0 if t < 2 else 0.0),
    }
    optimizer = sgd(0.1)
    lrs(makers[end](optimizer), 3)
    set_by_hand(optimizer, 0.2)
    found = lrs(s.CosineAnnealingLR(optimizer, 4, eta_min=0.1), 5)
    waves = [0.1 + 0.1 * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(5)]
    np.testing.assert_allclose(found, waves, rtol=1e-12)


def test_a_second_schedule_goes_on_from_where_the_first_has_ended() -> None:
    optimizer = sgd(1.0)
    lrs(s.StepLR(optimizer, 1, 0.5), 2)
    np.testing.assert_allclose(lrs(s.ExponentialLR(optimizer, 0.1), 3), [0.25, 0.025, 0.0025])
    one_cycle = s.OneCycleLR(optimizer, 1.0, 4, cycle_momentum=False)
    assert one_cycle.get_last_lr() == pytest.approx([0.04])  # it brings its rate with it


def test_a_schedule_of_a_rate_of_0_is_refused() -> None:
    optimizer = sgd(0.1)
    lrs(s.CosineAnnealingLR(optimizer, 3), 3)
    with pytest.raises(OptionError) as error:
        s.StepLR(optimizer, 2)
    assert str(error.value) == (
        "StepLR: the learning rate of group 0 is 0, where CosineAnnealingLR has ended, and a "
        'schedule multiplies it; set it first: optimizer.param_groups[0]["lr"] = ...'
    )


@pytest.mark.parametrize("compiled", [False, True], ids=["at once", "compiled"])
def test_a_rate_set_by_hand_is_multiplied_further(compiled: bool) -> None:
    optimizer = sgd(1.0)
    schedule = s.StepLR(optimizer, 2, 0.1)
    step = cr.compile(schedule.step) if compiled else schedule.step
    step()
    step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
    for lr in (0.5, 0.25):
        set_by_hand(optimizer, lr)
        step()
        step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(lr / 10)


@pytest.mark.parametrize("compiled", [False, True], ids=["at once", "compiled"])
def test_a_group_that_is_added_later_joins_from_its_own_rate(compiled: bool) -> None:
    optimizer = sgd(1.0)
    schedule = s.ExponentialLR(optimizer, 0.5)
    step = cr.compile(schedule.step) if compiled else schedule.step
    step()
    optimizer.add_param_group({"params": [nn.Parameter(np.zeros(2))], "lr": 0.3})
    step()
    assert schedule.get_last_lr() == pytest.approx([0.25, 0.15])
    two = sgd(1.0)
    plateau = s.ReduceLROnPlateau(two, patience=0, factor=0.5)
    two.add_param_group({"params": [nn.Parameter(np.zeros(2))], "lr": 0.3})
    plateau.step(1.0)
    plateau.step(1.0)
    assert plateau.get_last_lr() == [0.5, 0.15]


def test_a_group_that_is_added_needs_options_of_its_own() -> None:
    optimizer = sgd(1.0)
    schedule = s.LambdaLR(optimizer, [lambda t: 1.0])
    optimizer.add_param_group({"params": [nn.Parameter(np.zeros(2))]})
    with pytest.raises(OptionError) as error:
        schedule.step()
    assert str(error.value) == (
        "LambdaLR was made with options for 1 parameter groups, and the optimizer has 2 now; call"
        " add_param_group before the schedule is made, or give it one value for all groups"
    )


RESUMED = {
    "StepLR": lambda o, **k: s.StepLR(o, 3, 0.5, **k),
    "CosineAnnealingLR": lambda o, **k: s.CosineAnnealingLR(o, 9, **k),
    "LambdaLR": lambda o, **k: s.LambdaLR(o, lambda t: 0.9**t, **k),
    "MultiplicativeLR": lambda o, **k: s.MultiplicativeLR(o, lambda t: 1 - 0.01 * t, **k),
    "OneCycleLR": lambda o, **k: s.OneCycleLR(o, 1.0, 20, cycle_momentum=False, **k),
    "SequentialLR": lambda o, **k: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, 1.0, 2), s.ExponentialLR(o, 0.9)], [2], **k
    ),
}


@pytest.mark.parametrize("name", list(RESUMED))
def test_last_epoch_is_the_last_epoch_seen(name: str) -> None:
    whole = lrs(RESUMED[name](sgd()), 10)
    schedule = RESUMED[name](sgd(), last_epoch=3)  # epochs 0 to 3 are done
    assert schedule.last_epoch == 4
    np.testing.assert_allclose(lrs(schedule, 6), whole[4:], rtol=1e-12)


@pytest.mark.parametrize("order", ["optimizer first", "schedule first"])
@pytest.mark.parametrize("name", list(RESUMED))
def test_state_of_optimizer_and_schedule_in_any_order(name: str, order: str) -> None:
    one = RESUMED[name](sgd())
    lrs(one, 3)
    set_by_hand(one.optimizer, 0.125)
    lrs(one, 2)
    two = RESUMED[name](sgd())
    parts = [(two.optimizer, one.optimizer), (two, one)]
    for new, old in parts if order == "optimizer first" else reversed(parts):
        new.load_state_dict(old.state_dict())
    assert lrs(two, 5) == lrs(one, 5)


@pytest.mark.parametrize("compiled", [False, True], ids=["at once", "compiled"])
def test_a_multiplicative_schedule_inside_of_others(compiled: bool) -> None:
    for make, expected in (
        (lambda o, a, b: s.SequentialLR(o, [a, b], [2]), [0.5, 0.5, 1.0, 0.9, 0.81]),
        (lambda o, a, b: s.ChainedScheduler([a, b]), [0.5, 0.45, 0.81, 0.729, 0.6561]),
    ):
        optimizer = sgd(1.0)
        parts = s.ConstantLR(optimizer, 0.5, 2), s.MultiplicativeLR(optimizer, lambda t: 0.9)
        schedule = make(optimizer, *parts)
        step, found = cr.compile(schedule.step) if compiled else schedule.step, []
        for _ in range(5):
            found += schedule.get_last_lr()
            step()
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "best", "same", "better"),
    [
        ("min", "rel", -1.0, -1.05, -1.15),
        ("min", "rel", 1.0, 0.95, 0.85),
        ("min", "abs", -1.0, -1.05, -1.15),
        ("max", "rel", -1.0, -0.95, -0.85),
        ("max", "rel", 1.0, 1.05, 1.15),
        ("min", "rel", 0.0, 0.0, -0.01),
    ],
)
def test_what_is_better_on_a_plateau(
    mode: str, threshold_mode: str, best: float, same: float, better: float
) -> None:
    schedule = s.ReduceLROnPlateau(sgd(1.0), mode, 0.5, 0, 0.1, threshold_mode)
    schedule.step(best)
    schedule.step(same)
    assert schedule.get_last_lr() == [0.5]
    schedule.step(better)
    assert schedule.get_last_lr() == [0.5] and schedule.best == better


def test_schedules_that_do_not_combine() -> None:
    optimizer = sgd()
    plateau, decay = s.ReduceLROnPlateau(optimizer), s.ExponentialLR(optimizer, 0.9)
    with pytest.raises(OptionError) as error:
        s.ChainedScheduler([plateau, decay])
    assert str(error.value) == (
        "ChainedScheduler: ReduceLROnPlateau looks at a metric, and cannot be one of them; call "
        "its step(metric) beside this schedule"
    )
    with pytest.raises(OptionError) as error:
        s.SequentialLR(optimizer, [decay, decay, decay], [5, 2])
    assert str(error.value) == (
        "SequentialLR: milestones are counts of steps that grow, got [5, 2]"
    )
