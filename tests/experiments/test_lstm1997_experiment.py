"""Long lags by the rule of 1997: the trainer, the criteria, and a criterion at a short lag."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chainrule import data, nn
from chainrule.experiments import (
    guessing,
    lstm1997,
    lstm1997_figure,
    lstm1997_first,
    lstm1997_reber,
    lstm1997_tasks,
    reproduce,
)
from chainrule.experiments.base import Lab, Report
from chainrule.experiments.lstm1997_nets import FULL_GRADIENT, PLAIN, RULE, net_of
from chainrule.experiments.lstm1997_tasks import adding, long_lag, multiplication, noise, order
from chainrule.experiments.online import Given, Online, at_the_end, course, of_others, of_the_last


class Last(nn.Module):
    """A linear map of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(2, 1)

    def forward(self, x):
        return self.map(x)


def drawn(n: int, seed: int, chunk: int) -> Given:
    rng = np.random.default_rng((n, seed, chunk))
    x = rng.normal(size=(n, 4, 2)).astype(np.float32)
    lengths = rng.integers(1, 5, n)
    return at_the_end(x, lengths, x[np.arange(n), lengths - 1, :1] * 0.5)


def test_every_seed_learns_its_own_sequences_one_at_a_time() -> None:
    nets = [Last(), Last()]
    before = [{k: p.numpy().astype(float) for k, p in net.named_parameters()} for net in nets]
    online = Online(nets, drawn, 0.1, chunk=3)
    worst, squared = online.learn()
    for s, w in enumerate(before):
        given = drawn(3, s, 0)
        for i in range(3):
            x = given.x[i, given.counts[i].argmax()]
            off = w["map.weight"] @ x + w["map.bias"] - given.d[i, 0]
            assert worst[i, s] == pytest.approx(abs(off[0]), rel=1e-4)
            assert squared[i, s] == pytest.approx(off[0] ** 2, rel=1e-4)
            w["map.weight"] -= 0.1 * off[0] * x
            w["map.bias"] -= 0.1 * off[0]
        np.testing.assert_allclose(online.weights["map.weight"].numpy()[s], w["map.weight"], 1e-4)
    test = drawn(5, 9, 9)
    assert online.errors(test)[0].shape == (5, 2)
    own = np.stack([test.x, test.x])
    np.testing.assert_allclose(online.outputs(own), online.outputs(test.x), rtol=1e-6)


def test_criteria_and_what_a_course_keeps() -> None:
    worst = np.array([[0.1, 0.5], [0.1, 0.1], [0.3, 0.1]])
    nets = Online([Last(), Last()], drawn, 0.1, chunk=50)
    assert of_the_last(2, 0.2)(worst, nets).tolist() == [False, True]
    assert of_the_last(3, 0.2, 1, 0.2)(worst, nets).tolist() == [True, False]
    assert not of_the_last(4, 9.0)(worst, nets).any()
    found = course(Lab(), "", nets, [of_others(drawn(64, 5, 5), 0.05)], drawn(64, 7, 7), 5000)
    assert (found.took > 0).all() and (found.worst < 0.05).mean() > 0.9
    assert len(found.seen) == found.seen[-1] // 50 == found.took.max() // 50


@pytest.mark.parametrize(
    "task",
    [long_lag(50, 9, 9, 1.0), noise("a", 9), adding(100, 9), multiplication(30, 9), order(3, 9, 1)],
    ids=lambda task: task.title,
)
def test_tasks_have_the_weights_of_the_paper(task) -> None:
    net = net_of(task, RULE, 0)
    assert sum(p.numel() for p in net.parameters()) == task.weights
    given = task.of_seed(4, 0, 0)
    assert given.counts.sum(1).tolist() == [1, 1, 1, 1]
    for kind in (RULE, FULL_GRADIENT, PLAIN):
        out = net_of(task, kind, 0)(given.x[0])
        assert out.shape == (given.x.shape[1], given.d.shape[-1])


def test_a_lag_of_ten_is_bridged_by_the_rule_of_1997() -> None:
    """Both outputs within 0.2 on 200 successive sequences: a criterion of the paper."""
    task = replace(long_lag(10, 200, 9000, 0.5), rate=0.1)
    nets = Online([net_of(task, RULE, s) for s in range(4)], task.of_seed, task.rate)
    criteria = [met for _, met in task.criteria]
    found = course(Lab(), "", nets, criteria, task.draw(500, 5), task.limit)
    assert (found.took > 0).sum() >= 2
    solved = found.worst[:, found.took[0] > 0]
    assert (solved >= task.near).mean() < 0.02


def test_a_small_run_measures_everything_and_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    monkeypatch.setattr(lstm1997_tasks, "TESTED", 20)
    monkeypatch.setattr(lstm1997_reber, "KINDS", {RULE: "rule of 1997"})
    tasks = [order(2, 500, 0.5)]
    report = lstm1997.study(Lab(1, sweeps=1), tasks, 256)
    assert len(report.measurements) == 1 + 3
    canvas = figure.Figure(layout="constrained")
    report.figures["lstm-1997"](canvas)
    assert len(canvas.axes) == 20
    axes = figure.Figure().subplots(1, 5)
    lstm1997_figure.marks(axes, adding(100, 9), net_of(adding(100, 9), RULE, 0), slice(0, 2), "+")
    assert [len(ax.lines) for ax in axes] == [2, 6, 4, 4, 2]


def test_two_units_are_guessed_that_tell_two_short_sequences_apart() -> None:
    task = replace(noise("a", 9), draw=lambda n, seed: short(n, seed))
    report = Report()
    guessing.study(Lab(2), report, task)
    guesses, wrong = (report.measurements[0].numbers[k] for k in ("guesses", "wrong"))
    assert all(0 < n < 20_000 for n in guesses) and max(wrong) < 5


def short(n: int, seed: int) -> Given:
    made = data.make_two_sequences(n, 10, 3, False, seed)
    return at_the_end(*made.padded(length=11), made.y[:, None])


def test_a_cell_that_is_added_tells_the_first_symbol_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Experiment 2a over 10 steps: both sequences within 0.25, the criterion of the paper."""
    monkeypatch.setattr(lstm1997_first, "LAG", 10)
    report = Report()
    lstm1997_first.study(Lab(2), report)
    assert all(report.measurements[0].numbers["took"]), report.measurements[0].measured


@pytest.mark.slow
def test_the_quick_tier_meets_its_criteria() -> None:
    result = reproduce("lstm-1997")
    assert result.passed, str(result)
