"""The experiment with LeNet-5: its images, its training, and a small run of all of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.experiments import EXPERIMENTS, lenet, reproduce
from chainrule.experiments.base import Lab, run_experiment
from chainrule.experiments.images import Images, images


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Images:
    """The bundled digits, three times as large, in place of MNIST."""
    small = images(Lab())

    def larger(x: np.ndarray) -> np.ndarray:
        wide = np.kron(x.reshape(-1, 8, 8), np.ones((1, 3, 3), np.float32))
        return np.pad(wide, [(0, 0), (2, 2), (2, 2)]).reshape(len(x), -1)

    found = Images(
        "larger digits", 28, larger(small.x), small.y, larger(small.x_test), small.y_test
    )
    monkeypatch.setattr(lenet, "mnist", lambda: found)
    return found


def small_run(names: list[str]) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    told: list[str] = []
    result = run_experiment(EXPERIMENTS["lenet"], 1, lambda *a: told.append(a[0]), sweeps=1)
    systems = [m.system.rsplit(" (", 1)[0] for m in result.measurements[:-1]]
    assert systems == names == told
    by_name = dict(zip(systems, result.measurements, strict=False))
    assert by_name[lenet.RADIAL].numbers["weights"] == 60_000
    [draw] = result.drawings.values()
    canvas = figure.Figure(layout="constrained")
    draw(canvas)
    assert len(canvas.axes) == 5


def test_a_small_run_measures_everything_and_draws(
    few: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = (lenet.LINEAR, lenet.HIDDEN, lenet.SOFTMAX, lenet.RADIAL)
    monkeypatch.setattr(lenet, "SYSTEMS", {name: lenet.SYSTEMS[name] for name in some})
    small_run(list(some))


@pytest.mark.slow
def test_a_small_run_of_all_nets(few: Images) -> None:
    small_run(list(lenet.SYSTEMS))


def test_distorted_images_are_learned_from(few: Images) -> None:
    """Labels of the images themselves, and other distortions in every pass."""
    cr.manual_seed(0)
    system = replace(lenet.SYSTEMS[lenet.HIDDEN], make=lenet.dense(784, 40, 10), shift=2)
    x, y = lenet.grey(few.x), few.y
    x_test, y_test = lenet.grey(few.x_test), few.y_test
    moved = lenet.shifted(x_test, np.random.default_rng(1))
    right = {}
    for shift in (0, 2):
        net = system.make()
        lenet.learn(Lab(), "", net, x, y, (0.02,) * 10, replace(system, shift=shift), 0)
        right[shift] = [(a == y_test).mean() for a in lenet.answers(net, x_test, moved)]
    assert min(right[0][0], right[2][0]) > 0.85
    assert right[2][1] > right[0][1] + 0.1  # what it was distorted for


def test_grey_levels_and_shifts() -> None:
    x = np.zeros((300, 64), np.float32)
    x[:, 27] = 1  # row 3, column 3
    scaled = lenet.grey(x)
    assert scaled.shape == (300, 1, 8, 8)
    assert scaled[0, 0, 3, 3] == np.float32(1.175) and scaled[0, 0, 0, 0] == np.float32(-0.1)
    moved = lenet.shifted(scaled, np.random.default_rng(0))
    assert (moved.max((1, 2, 3)) == scaled.max()).all() and (moved.min() == scaled.min())
    _, _, rows, columns = np.nonzero(moved > 1)
    assert set(rows) == set(columns) == {1, 2, 3, 4, 5}


def test_answers_are_those_of_the_net_whatever_the_pieces() -> None:
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(4, 10)), np.random.rand(1203, 1, 2, 2)
    x = x.astype("float32")
    for found, part in zip(lenet.answers(net, x, x[:7]), (x, x[:7]), strict=True):
        np.testing.assert_array_equal(found, net(part).argmax(1).numpy())


def test_it_says_what_it_needs(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cr.errors.DataError, match="MNIST"):
        reproduce("lenet")
