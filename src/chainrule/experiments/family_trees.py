"""Family trees: a net that learns what is common to two families.

Two trees of twelve people with the same shape, one English and one Italian; the net is told "Colin
has-aunt" and must turn on Jennifer and Margaret. Each person and each relation is one input, so
nothing in the input says who is like whom: six units in between must find out. They encode
nationality, generation and branch of the family, and so the net answers questions it was never
taught.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import hinton
from ..tensor import functions as f
from ..tensor.tensor import Tensor
from .base import Experiment, Lab, Report, spread
from .networks import Net, Weights, random_orders
from .replicas import Replicas, Runs

ENGLISH = (
    "Christopher Andrew Penelope Christine Victoria James Jennifer Arthur Margaret Charles Colin "
    "Charlotte"
).split()
ITALIAN = (
    "Roberto Pierro Maria Francesca Lucia Marco Angela Emilio Gina Tomaso Alfonso Sophia".split()
)
PEOPLE = ENGLISH + ITALIAN
RELATIONS = "father mother husband wife son daughter uncle aunt brother sister nephew niece".split()

MARRIED = (
    "Christopher Penelope",
    "Andrew Christine",
    "Arthur Margaret",
    "James Victoria",
    "Charles Jennifer",
)
CHILDREN = {
    "Christopher Penelope": "Arthur Victoria",
    "Andrew Christine": "James Jennifer",
    "James Victoria": "Colin Charlotte",
}
MALE = set("Christopher Andrew James Arthur Charles Colin".split())

NATIONALITY = np.repeat([1.0, -1.0], 12)
GENERATION = np.tile(
    [
        {
            "Christopher": 1,
            "Penelope": 1,
            "Andrew": 1,
            "Christine": 1,
            "Colin": 3,
            "Charlotte": 3,
        }.get(p, 2)
        for p in ENGLISH
    ],
    2,
)
BRANCH = np.tile(
    [
        {
            "Christopher": -1,
            "Penelope": -1,
            "Arthur": -1,
            "Margaret": -1,
            "Victoria": -1,
            "Colin": 0,
            "Charlotte": 0,
        }.get(p, 1)
        for p in ENGLISH
    ],
    2,
)


def english_facts() -> dict[tuple[str, str], set[str]]:
    """(person, relation) to the set of answers, for every pair that has an answer: 52."""
    spouse = {}
    for couple in MARRIED:
        a, b = couple.split()
        spouse[a], spouse[b] = b, a
    parents = {c: pair.split() for pair, children in CHILDREN.items() for c in children.split()}

    def siblings(p: str) -> list[str]:
        return [q for q in ENGLISH if q != p and p in parents and parents.get(q) == parents[p]]

    def children(p: str) -> list[str]:
        return [q for q in ENGLISH if p in parents.get(q, [])]

    found: dict[tuple[str, str], set[str]] = {}

    def add(person: str, male: str, female: str, others: list[str]) -> None:
        for q in others:
            found.setdefault((person, male if q in MALE else female), set()).add(q)

    for p in ENGLISH:
        partner = [spouse[p]] if p in spouse else []
        of_parents = [q for parent in parents.get(p, []) for q in siblings(parent)]
        add(p, "husband", "wife", partner)
        add(p, "father", "mother", parents.get(p, []))
        add(p, "son", "daughter", children(p))
        add(p, "brother", "sister", siblings(p))
        add(p, "uncle", "aunt", of_parents + [spouse[q] for q in of_parents if q in spouse])
        add(
            p,
            "nephew",
            "niece",
            [c for q in (p, *partner) for s in siblings(q) for c in children(s)],
        )
    return found


def facts() -> list[tuple[str, str, set[str]]]:
    """All 104 facts: person, relation, answers."""
    translate = dict(zip(ENGLISH, ITALIAN, strict=True))
    english = [(p, r, answers) for (p, r), answers in english_facts().items()]
    return english + [
        (translate[p], r, {translate[q] for q in answers}) for p, r, answers in english
    ]


def cases() -> tuple[Array, Array]:
    """Inputs (104, 24 + 12), one person and one relation on; targets (104, 24)."""
    x, d = np.zeros((104, 36)), np.zeros((104, 24))
    for k, (person, relation, answers) in enumerate(facts()):
        x[k, PEOPLE.index(person)] = x[k, 24 + RELATIONS.index(relation)] = 1
        d[k, [PEOPLE.index(a) for a in answers]] = 1
    return x, d


def forward(w: Weights, x: Tensor) -> Tensor:
    """24 people to 6 units, 12 relations to 6 others; both to 12, these to 6, these to 24
    people."""
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
    """½ Σ (y - d)², without the outputs that are above 0.8 and should be on, or below 0.2 and
    off."""
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
    """20 sweeps with α 0.5 and the first ε, the others with the second ε and α; weights shrink all
    the time."""
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


# -- what the six units say about a person ---------------------------------------------------------
def correlations(codes: Array) -> Array:
    """|correlation| of each unit's incoming weights (R, 24, 6) with nationality, generation,
    branch: (R, 3, 6)."""
    labels = np.stack([NATIONALITY, GENERATION, BRANCH]).astype(float)
    labels = (labels - labels.mean(1, keepdims=True)) / labels.std(1, keepdims=True)
    codes = (codes - codes.mean(1, keepdims=True)) / codes.std(1, keepdims=True)
    return np.asarray(np.abs(np.einsum("lp,rpu->rlu", labels, codes)) / 24)


def twin_ratio(codes: Array) -> Array:
    """Distance of equivalent people's codes over the mean distance, without the nationality unit:
    (R,)."""
    unit = correlations(codes)[:, 0].argmax(1)
    found = []
    for code, nationality in zip(codes, unit, strict=True):
        rest = np.delete(code, nationality, axis=1)
        apart = np.linalg.norm(rest[:, None] - rest, axis=-1)
        found.append(
            apart[np.arange(12), np.arange(12) + 12].mean() / apart[np.triu_indices(24, 1)].mean()
        )
    return np.array(found)


def representation(report: Report, runs: Runs, seeds: int) -> None:
    """The best unit of each net for nationality, generation and branch."""
    codes = runs.weights["person"][:seeds].astype(float)
    best = correlations(codes).max(2).mean(0)
    report.add(
        "best |correlation| of a person unit with nationality, generation, branch",
        ", ".join(f"{b:.2f}" for b in best),
        bool((best >= (0.6, 0.6, 0.5)).all()),
        reported="one unit each for nationality, generation and branch",
        criterion="on average at least 0.6, 0.6, 0.5 (random labels: 0.35)",
        correlations=best.tolist(),
    )
    ratio = twin_ratio(codes)
    report.add(
        "distance of equivalent people's codes, over the mean distance",
        spread(ratio),
        ratio=float(ratio.mean()),
    )


def draw(figure: Any, runs: Runs) -> None:
    """The weights from the 24 people to the six units, of the net whose units are the clearest."""
    codes = runs.weights["person"].astype(float)
    strength = correlations(codes)
    seed = int(strength.max(2).sum(1).argmax())
    figure.set_size_inches(11, 5.2)
    named = {
        int(strength[seed, k].argmax()): (what, strength[seed, k].max())
        for k, what in enumerate(("nationality", "generation", "branch"))
    }
    grid = figure.subplots(3, 2, sharex=True)
    for unit, axes in enumerate(grid.ravel()):
        code = codes[seed, :, unit].reshape(2, 12)
        hinton(code, axes, rows=("English", "Italian"), columns=ENGLISH)
        title = f"unit {unit + 1}"
        if unit in named:
            title += f": {named[unit][0]} (|r| = {named[unit][1]:.2f})"
        axes.set_title(title, fontsize=9)
    for axes in grid[-1]:
        both = [f"{e} / {i}" for e, i in zip(ENGLISH, ITALIAN, strict=True)]
        axes.set_xticks(range(12), both, rotation=50, ha="right", fontsize=7)
    figure.suptitle(
        f"Weights from the 24 people to the six person units, seed {seed}"
        f" (the clearest of {len(codes)} nets)",
        fontsize=10,
    )


EXPERIMENT = Experiment(
    "family-trees",
    "Family trees",
    "Rumelhart, Hinton & Williams 1986, Nature 323, Figures 2-4; Hinton 1986",
    run,
)
