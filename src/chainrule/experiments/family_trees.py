"""Family trees: a net that learns what is common to two families.

Two trees of twelve people with the same shape, one English and one Italian; the net is told "Colin
has-aunt" and must turn on Jennifer and Margaret. Each person and each relation is one input, so
nothing in the input says who is like whom: six units in between must find out. They encode
nationality, generation and branch of the family, and so the net answers questions it was never
taught.
"""

from __future__ import annotations

import numpy as np

from ..core.node import Array
from ..tensor import functions as f
from ..tensor.tensor import Tensor
from .base import Experiment, Lab, Report, spread
from .family_codes import draw, representation
from .family_facts import (
    cases,
)
from .networks import Net, Weights, random_orders
from .replicas import Replicas, Runs


def forward(w: Weights, x: Tensor) -> Tensor:
    """24 people to 6 units, 12 relations to 6 others; both to 12, those to 6 and to 24 people."""
    person = f.sigmoid(x[:, :24] @ w["person"] + w["person bias"])
    relation = f.sigmoid(x[:, 24:] @ w["relation"] + w["relation bias"])
    central = f.sigmoid(f.concat([person, relation], 1) @ w["central"] + w["central bias"])
    late = f.sigmoid(central @ w["late"] + w["late bias"])
    return f.sigmoid(late @ w["output"] + w["output bias"])


NET = Net(
    {
        "person": (24, 6),
        "person bias": (6,),
        "relation": (12, 6),
        "relation bias": (6,),
        "central": (12, 12),
        "central bias": (12,),
        "late": (12, 6),
        "late bias": (6,),
        "output": (6, 24),
        "output bias": (24,),
    },
    forward,
)


def error(y: Tensor, d: Tensor) -> Tensor:
    """½ Σ (y - d)², without outputs above 0.8 that should be on, or below 0.2 and off."""
    counts = f.where(d > 0.5, y < 0.8, y > 0.2)
    e: Tensor = 0.5 * f.where(counts, (y - d) ** 2, 0.0).sum()
    return e


def all_right(y: Tensor, d: Tensor) -> Tensor:
    """Whether every unit is on the right side of one half for every fact."""
    everywhere: Tensor = ((y - 0.5) * (d - 0.5)).min() > 0
    return everywhere


def right(y: Array, d: Array) -> Array:
    """Which facts (…, P) are answered right: all 24 units on the right side of one half."""
    return np.asarray(((y > 0.5) == (d > 0.5)).all(-1))


def run(lab: Lab) -> Report:
    """The paper's own rates, rates that work, and answers permuted as a control."""
    report = Report()
    x, d = cases()
    asked = int(d.sum())
    report.add(
        "facts",
        f"{len(x)} facts, {asked} answers",
        len(x) == 104 and asked == 112,
        reported="104 triples",
        criterion="104 facts, 112 answers",
    )

    seeds = lab.seeds(20)
    order = random_orders(5 * seeds, 104, stream=1)
    trained, held = order[:, 4:], order[:, :4]
    first = trained[:seeds]

    literal = train(lab, "literal", x[first], d[first], 0.3, (0.005, 0.01, 0.9), 0.002, 1500)
    share = right(literal.outputs(), literal.targets).mean(1)
    report.add(
        "the paper's rates taken literally (ε 0.01, α 0.9, init 0.3)",
        f"training facts right: {spread(share)}",
        reported="learned in 1,500 sweeps (the scale of the gradient is not known)",
        training=float(share.mean()),
    )

    runs = train(lab, "recipe", x[trained], d[trained], 1.0, (0.015, 0.03, 0.95), 0.0003, 4000)
    share = right(runs.outputs(), runs.targets).mean(1)[:seeds]
    good = int((share >= 0.95).sum())
    report.add(
        "training facts right (ε 0.03, α 0.95, init 1, 4,000 sweeps)",
        f"{spread(share, 3)}; at least 95 % on {good} of {seeds} seeds",
        good >= 0.9 * seeds,
        reported="all, after 1,500 sweeps",
        criterion="at least 95 % on at least 90 % of the seeds",
        training=float(share.mean()),
        seconds=round(runs.seconds, 2),
    )
    every = right(runs.outputs(x[held], own_cases=True), d[held]).sum(1)
    new = every[:seeds]
    report.add(
        "held-out facts right, of 4",
        f"mean {new.mean() / 4:.0%}; all four on {(new == 4).sum()} of {seeds} seeds",
        bool(new.mean() >= 2 and (new == 4).any()),
        reported="4 of 4",
        criterion="mean at least 50 %, and all four on at least one seed",
        held_out=new.tolist(),
    )
    report.add(
        f"the same over {5 * seeds} seeds",
        f"mean {every.mean() / 4:.0%}; all four on {(every == 4).sum()}; none on "
        f"{(every == 0).sum()}",
        held_out=every.tolist(),
    )
    representation(report, runs, seeds)

    shuffled = d[random_orders(seeds, 104, stream=2)]
    rows = np.arange(seeds)[:, None]
    control = train(
        lab, "control", x[first], shuffled[rows, first], 1.0, (0.015, 0.03, 0.95), 0.0003, 4000
    )
    share = right(control.outputs(), control.targets).mean()
    new = right(control.outputs(x[held[:seeds]], own_cases=True), shuffled[rows, held[:seeds]])
    report.add(
        "control: answers permuted among the facts",
        f"held-out facts right: {new.mean():.1%} (training {share:.0%})",
        bool(new.mean() < 0.05),
        criterion="held-out mean below 5 %",
        held_out=float(new.mean()),
        training=float(share),
    )
    report.figures["family-trees"] = lambda figure: draw(figure, runs)
    return report


def train(
    lab: Lab,
    name: str,
    x: Array,
    d: Array,
    init: float,
    rates: tuple[float, float, float],
    shrink: float,
    sweeps: int,
) -> Runs:
    """20 sweeps with α 0.5 and the first ε, then the second ε and α; weights always shrink."""
    nets = Replicas(
        NET,
        x,
        d,
        seeds=len(x),
        init=init,
        error=error,
        solved=all_right,
        freeze=False,
        own_cases=True,
    )
    first, second, alpha = rates
    lab.go_on(f"family trees, {name}", nets, 20, first, 0.5, shrink)
    lab.go_on(f"family trees, {name}", nets, sweeps - 20, second, alpha, shrink)
    return nets.runs()


EXPERIMENT = Experiment(
    "family-trees",
    "Family trees",
    "Rumelhart, Hinton & Williams 1986, Nature 323, Figures 2-4; Hinton 1986",
    run,
)
