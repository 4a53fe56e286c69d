"""A rate that is changed before the first step is that of the first step, in every optimizer."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

# float64 values of PyTorch 2.13: p = [1, 2], gradients [1, -1], lr 0.1, LinearLR(0.3, 0.8, 2)
PYTORCH = {
    "ASGD": [0.9697, 0.93941454, 0.88393447, 0.80334332],
    "Rprop": [0.97, 0.934, 0.8908, 0.83896],
}
OPTIONS = {"ASGD": {"lambd": 0.01, "alpha": 0.6, "t0": 3.0}, "Rprop": {}}


def _steps(name, how, set_rate):
    p = nn.Parameter(np.array([1.0, 2.0]))
    optimizer = getattr(optim, name)([p], lr=0.1, **OPTIONS.get(name, {}))
    schedule = set_rate(optimizer)

    def step():
        p.grad = cr.tensor(np.array([1.0, -1.0]))
        optimizer.step()
        if schedule is not None:
            schedule.step()

    run = cr.compile(step) if how == "compiled" else step
    seen = []
    for _ in range(4):
        run()
        seen.append(p.numpy()[0].item())
    return seen


@pytest.mark.parametrize("how", ["eager", "compiled"])
@pytest.mark.parametrize("name", PYTORCH)
def test_a_schedule_begins_with_its_own_rate(name, how):
    seen = _steps(name, how, lambda o: optim.lr_scheduler.LinearLR(o, 0.3, 0.8, 2))
    np.testing.assert_allclose(seen, PYTORCH[name], rtol=1e-7)


@pytest.mark.parametrize(
    "name", ["ASGD", "Adadelta", "Adagrad", "Adamax", "NAdam", "RMSprop", "Rprop"]
)
def test_a_rate_set_by_hand_counts_from_the_first_step(name):
    def by_hand(optimizer):
        optimizer.param_groups[0]["lr"] = 0.03

    p = nn.Parameter(np.array([1.0, 2.0]))
    fresh = getattr(optim, name)([p], lr=0.03, **OPTIONS.get(name, {}))
    expected = []
    for _ in range(4):
        p.grad = cr.tensor(np.array([1.0, -1.0]))
        fresh.step()
        expected.append(p.numpy()[0].item())
    assert _steps(name, "eager", by_hand) == expected
