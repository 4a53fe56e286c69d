"""The experiments themselves: exact parts always, learning over few seeds; the full tier is marked
slow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule.errors import DataError, OptionError
from chainrule.experiments import (
    EXPERIMENTS,
    family_facts,
    family_trees,
    negation,
    reproduce,
    symmetry,
    t_c,
    xor,
)
from chainrule.experiments.addition import INPUTS as ADDENDS
from chainrule.experiments.addition import TARGETS as SUMS
from chainrule.experiments.addition import handmade
from chainrule.experiments.base import Lab, bits, run_experiment
from chainrule.experiments.parity import ideal, parity
from chainrule.experiments.perceptron import separable
from chainrule.experiments.replicas import outputs
from chainrule.experiments.sequence_completion import TEST, TRAIN, cases
from chainrule.experiments.threshold import present, sweep, with_bias

# Not calibrated before the first run; see docs/experiments.md.
MISSED = {
    "5 units, 2k steps rotate by 2k places, up to k = 1, 2, 3, 4, 5",
    "held-out facts right, of 4",  # of family trees: the true mean is the threshold
}


# -- published weights -----------------------------------------------------------------------------
def test_published_weights_of_xor() -> None:
    y = xor.published_outputs(xor.ONE_HIDDEN, xor.FIGURE_3)
    np.testing.assert_allclose(y, xor.FIGURE_3_OUTPUTS, atol=0.005)
    y = xor.published_outputs(xor.TWO_HIDDEN, xor.FIGURE_5)
    np.testing.assert_allclose(y, xor.FIGURE_5_OUTPUTS, atol=0.005)


def test_published_weights_of_symmetry_and_negation() -> None:
    y = outputs(symmetry.NET, {k: w[None] for k, w in symmetry.PUBLISHED.items()}, symmetry.INPUTS)[
        0
    ]
    assert np.abs(y - symmetry.TARGETS).max() < 0.17
    assert symmetry.TARGETS.sum() == 8
    y = outputs(
        negation.NET, {k: w[None] for k, w in negation.published().items()}, negation.INPUTS
    )[0]
    assert np.abs(y - negation.TARGETS).max() < 0.27


def test_the_handmade_adder_and_the_ideal_thermometer() -> None:
    np.testing.assert_array_equal(handmade(ADDENDS), SUMS)
    assert SUMS[-1].tolist() == [1, 1, 0]  # 3 + 3
    for n in range(2, 9):
        np.testing.assert_array_equal(ideal(n), parity(n)[1][:, 0])


# -- data ------------------------------------------------------------------------------------------
def test_family_facts() -> None:
    facts = family_facts.facts()
    x, d = family_facts.cases()
    assert len(facts) == len(x) == 104 and d.sum() == 112
    assert len({tuple(row) for row in x}) == 104 and (x.sum(1) == 2).all()
    known = {(p, r): answers for p, r, answers in facts}
    assert known["Colin", "aunt"] == {"Jennifer", "Margaret"}
    assert known["Alfonso", "aunt"] == {"Angela", "Gina"}
    assert known["Charlotte", "uncle"] == {"Arthur", "Charles"}
    assert known["Margaret", "nephew"] == {"Colin"}
    assert ("Margaret", "father") not in known
    count = {
        r: sum(1 for _, relation, _ in facts if relation == r) // 2 for r in family_facts.RELATIONS
    }
    assert list(count.values()) == [6, 6, 5, 5, 6, 6, 2, 2, 3, 3, 4, 4]


def test_family_error_has_a_dead_zone() -> None:
    import chainrule as cr

    y, d = cr.tensor([0.85, 0.75, 0.15, 0.3]), cr.tensor([1.0, 1.0, 0.0, 0.0])
    assert float(family_trees.error(y, d)) == pytest.approx(0.5 * (0.25**2 + 0.3**2))


def test_sequences() -> None:
    assert len(TRAIN) == 20 and not set(TRAIN) & set(TEST)
    _, d = cases(("AB",))
    assert (d[0].argmax(1) + 1).tolist() == [1, 2, 2, 3]


def test_t_and_c_have_the_same_distances() -> None:
    """No statistic of pairs of squares tells them apart."""

    def distances(shape: np.ndarray) -> list[float]:
        squares = np.argwhere(shape)
        apart = np.linalg.norm(squares[:, None] - squares, axis=2)
        return sorted(apart[np.triu_indices(len(squares), 1)])

    assert distances(t_c.T) == distances(t_c.C)
    assert [t_c.dilation(s) for s in (t_c.T, t_c.C)] == [21, 20]


def test_kinds_of_fields() -> None:
    assert t_c.kind(np.full(9, -2.0)) == "compactness"
    assert t_c.kind(np.array([-1, -1, -1, -1, 2, -1, -1, -1, -1.0])) == "on-centre"
    assert t_c.kind(np.array([0, 1, 0, 0, 1, 0, 0, 1, 0.0])) == "bar"
    assert t_c.kind(np.array([3, -1, -1, -1, 3, -1, -1, -1, 3.0])) == "diagonal"


# -- the perceptron --------------------------------------------------------------------------------
def test_perceptron_rule() -> None:
    w = np.zeros((1, 2))
    assert present(w, np.array([[1.0, 2.0]]), np.array([1.0])).all()
    np.testing.assert_array_equal(w, [[1, 2]])
    assert not present(w, np.array([[1.0, 2.0]]), np.array([1.0])).any()
    assert present(w, np.array([[1.0, 0.0]]), np.array([0.0])).all()
    np.testing.assert_array_equal(w, [[0, 2]])


def test_perceptron_learns_and_but_not_xor() -> None:
    x = np.broadcast_to(with_bias(bits(2)), (2, 4, 3))
    w = np.zeros((2, 3))
    d = np.array([[0.0, 0, 0, 1], [0.0, 1, 1, 0]])
    made = [sweep(w, x, d) for _ in range(50)]
    assert made[-1].tolist() == [0, 4]


def test_separable_points_keep_the_margin() -> None:
    x, d, plane = separable(5, 20, 0.1)
    height = np.einsum("rpm,rm->rp", x, plane)
    assert np.abs(height).min() > 0.1 - 1e-12
    np.testing.assert_array_equal(d, height > 0)
    assert np.linalg.norm(x, axis=-1).max() < 1.1


# -- learning, few seeds ---------------------------------------------------------------------------
def named(quick: tuple[str, ...], slow: tuple[str, ...]) -> list[Any]:
    return [*quick, *(pytest.param(name, marks=pytest.mark.slow) for name in slow)]


@pytest.mark.parametrize(
    "name", named(("xor", "symmetry", "intermediate-values", "t-c"), ("encoder", "negation"))
)
def test_quick(name: str) -> None:
    """A handful of seeds: some succeed, and what must hold for every one that does, holds."""
    result = reproduce(name, seeds=6)
    statistical = ("median", "magnitudes")
    every = [m for m in result.measurements if "seeds" not in m.numbers and m.passed is not None]
    assert every
    assert [
        m.system for m in every if not m.passed and not any(s in m.system for s in statistical)
    ] == []
    solved = [m.numbers["solved"] for m in result.measurements if "seconds" in m.numbers]
    assert max(solved) >= 3


def test_symmetry_finds_antisymmetric_weights() -> None:
    runs = Lab(seeds=10).train(
        "",
        symmetry.NET,
        symmetry.INPUTS,
        symmetry.TARGETS,
        seeds=10,
        eps=0.05,
        alpha=0.9,
        init=0.3,
        sweeps=3000,
    )
    assert runs.solved.sum() >= 9
    measured = symmetry.measures(runs)
    assert measured["mirror"].max() < 0.01 and measured["twins"].max() < -0.95


def test_figures_and_json(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    result = reproduce("intermediate-values", seeds=3)
    [path] = result.save_figures(tmp_path / "figures")
    assert path.name == "intermediate-values.png" and path.stat().st_size > 5000
    assert result.to_dict()["measurements"][0]["numbers"]["solved"] == 3
    assert "pass   2-1-4-4" in str(result)


@pytest.mark.parametrize(
    "name",
    named(
        ("xor", "parity", "addition"),
        ("symmetry", "encoder", "intermediate-values", "negation", "t-c"),
    ),
)
def test_figures_are_drawn_even_if_no_seed_succeeds(name: str) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    result = run_experiment(EXPERIMENTS[name], 2, None, sweeps=2)
    for draw in result.drawings.values():
        canvas = figure.Figure(layout="constrained")
        draw(canvas)
        assert canvas.axes


@pytest.mark.parametrize(
    ("name", "seeds", "message"),
    [
        ("zor", None, "no experiment 'zor'; there are perceptron, xor"),
        ("xor", 0, "the number of seeds is a positive integer, got 0"),
        ("xor", 2.5, "the number of seeds is a positive integer, got 2.5"),
    ],
)
def test_mistakes(name: str, seeds: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        reproduce(name, seeds)  # type: ignore[arg-type]


# -- everything ------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_full_tier(name: str) -> None:
    try:
        result = reproduce(name)
    except DataError as error:  # what is not bundled
        pytest.skip(str(error).splitlines()[0])
    missed = [m.system for m in result.measurements if m.passed is False and m.system not in MISSED]
    assert not missed, str(result)
