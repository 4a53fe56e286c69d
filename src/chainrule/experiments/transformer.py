"""Copy, turn round, sort, add: what a small Transformer learns, and where it looks meanwhile.

No order is built in but that of the positions it is told. To reverse a sequence, each place must
look at the mirror image of itself; that shows in the attention between decoder and encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.node import Array
from ..data import make_copy, make_sums
from ..models import END, Seq2SeqTransformer, beam_search
from ..plot import COLOURS
from ..tensor import functions as f
from ..tensor.grad_mode import no_grad
from .base import Experiment, Lab, Report
from .seq2seq import Pairs, Teacher, exact, pairs_of

SYMBOLS, LENGTH, BATCH = 10, 10, 64
SIGNS = "0123456789+="  # of sums; a sign and a symbol have numbers from 3 on
FIRST = END + 1
VOCABULARY = FIRST + len(SIGNS)
TESTED = 1000
WIDTH, WARMUP, FACTOR = 64, 400, 0.5


@dataclass(frozen=True)
class Plan:
    """Updates of each task, and seeds; digits of the numbers to be added."""

    updates: dict[str, int]
    seeds: int
    looks: int  # as training goes
    digits: int
    added: float  # per cent of held-out sums
    deep: int = 6  # layers where norms are compared
    deep_updates: int = 1500
    deep_seeds: int = 0


COPY, REVERSE, SORT, ADD, LONGER = "copy", "reverse", "sort", "addition", "copy, 1 to 10 symbols"
SHORT = {COPY: 800, REVERSE: 800, SORT: 1800, ADD: 1500, LONGER: 800}
LONG = {COPY: 1500, REVERSE: 1500, SORT: 2500, ADD: 20_000, LONGER: 1500}
QUICK, FULL = Plan(SHORT, 1, 4, 2, 90), Plan(LONG, 5, 6, 3, 98, deep_seeds=5)


def drawn(task: str, count: int, plan: Plan, seed: int, test: bool = False) -> Pairs:
    """Fresh sequences of a task.

    For `LONGER` the tests have 11 to 20 symbols, for `ADD` they are pairs that are never trained.
    """
    if task == ADD:
        texts = make_sums(count, plan.digits, test, seed)
        x, y = ([np.array([SIGNS.index(c) for c in t]) for t in part] for part in texts)
        limit = 2 * plan.digits + 2
    else:
        limit = 2 * LENGTH if task == LONGER and test else LENGTH
        least = limit - LENGTH + 1 if task == LONGER else LENGTH
        lengths = np.random.default_rng(seed).integers(least, limit + 1, count)
        both = make_copy(count, limit, SYMBOLS, COPY if task == LONGER else task, seed)
        x, y = ([a[:n] - 1 for a, n in zip(part, lengths, strict=True)] for part in both)
    return pairs_of([a + FIRST for a in x], [a + FIRST for a in y], limit)


# -- training --------------------------------------------------------------------------------------
@dataclass
class Course:
    """A net on a task: right answers in per cent by updates, and at the end on the tests."""

    model: Seq2SeqTransformer
    updates: list[int]
    right: list[float]
    tests: Pairs


def correct(model: Seq2SeqTransformer, pairs: Pairs) -> float:
    """The share of sequences that it writes without a mistake, greedily, in per cent."""
    return exact(beam_search(model, pairs.source, pairs.y.shape[1], 1).numpy(), pairs)


def course(lab: Lab, task: str, plan: Plan, seed: int, updates: int, **options: Any) -> Course:
    """Train on fresh sequences, and look now and then.

    ``options``: layers, norm_first, and lr instead of the schedule.
    """
    f.manual_seed(seed)
    lr, layers = options.pop("lr", None), options.pop("layers", 2)
    model = Seq2SeqTransformer(VOCABULARY, WIDTH, 4, layers, 128, 0.0, **options)
    teacher = Teacher(model, WARMUP, factor=FACTOR, lr=lr, seed=seed)
    tests = drawn(task, TESTED if lab.epochs(2) > 1 else BATCH, plan, 100 * seed, test=True)
    found, parts = Course(model, [], [], tests), lab.epochs(plan.looks)
    for part in range(parts):
        count = lab.epochs(updates // plan.looks) * BATCH
        train = drawn(task, count, plan, 100 * seed + part + 1)
        teacher.fit(train.x, train.y, 1, BATCH, progress=False, diagnose=False)
        found.updates.append(teacher.step)
        found.right.append(correct(model, tests))
        lab.tell(task, part + 1, parts)
    return found


def looks(model: Seq2SeqTransformer, pairs: Pairs) -> Array:
    """Mean attention of each head of the decoder to the source.

    (heads of all layers, places that are written, places that are read).
    """
    with no_grad():
        maps = model.eval().attention(*pairs.x)
    return np.concatenate([m.numpy().mean(0)[:, :LENGTH] for m in maps])


def run(lab: Lab) -> Report:
    """All tasks; norms before and after."""
    plan, report = FULL if lab.full else QUICK, Report()
    courses: dict[str, list[Course]] = {}
    for task, updates in plan.updates.items():
        seeds = 1 if task == ADD else lab.seeds(plan.seeds)
        courses[task] = [course(lab, task, plan, seed, updates) for seed in range(seeds)]
        compare(report, plan, task, courses[task])
    places = np.arange(LENGTH)
    for task, read in ((COPY, places), (REVERSE, places[::-1])):
        heads = looks(courses[task][0].model, courses[task][0].tests)
        best = float(heads[:, places, read].mean(1).max())
        report.add(
            f"{task}: attention of the best head at the right place, mean over places",
            f"{best:.2f}",
            best >= 0.5,
            criterion="at least 0.5",
            best=best,
        )
    if plan.deep_seeds:
        norms(lab, report, plan)
    report.figures["transformer"] = lambda figure: draw(figure, courses)
    return report


def compare(report: Report, plan: Plan, task: str, found: list[Course]) -> None:
    """Exact sequences of one task."""
    last = [c.right[-1] for c in found]
    wanted = {ADD: plan.added, LONGER: None}.get(task, 99.0)
    needed = int(np.ceil(0.8 * len(last)))
    of = {ADD: "held-out pairs", LONGER: "sequences of 11 to 20"}.get(task, "fresh sequences")
    good = None if wanted is None else sum(v >= wanted for v in last) >= needed
    report.add(
        f"{task}: exact after {found[0].updates[-1]:,} updates",
        f"{', '.join(f'{v:.1f}' for v in last)} % of {len(found[0].tests.source):,} {of}",
        good,
        criterion="" if wanted is None else f"at least {wanted:g} % on {needed} of {len(last)}",
        right=last,
        updates=found[0].updates,
        course=[c.right for c in found],
    )


def norms(lab: Lab, report: Report, plan: Plan) -> None:
    """Deep nets at a constant rate without warm-up: norms behind the sums, and before the parts."""
    peak = FACTOR * (WIDTH * WARMUP) ** -0.5
    for name, first in (("norms before the parts", True), ("norms behind the sums", False)):
        options = {"lr": peak, "layers": plan.deep, "norm_first": first}
        found = [
            course(lab, COPY, plan, seed, plan.deep_updates, **options)
            for seed in range(lab.seeds(plan.deep_seeds))
        ]
        last = [c.right[-1] for c in found]
        report.add(
            f"copy, {plan.deep} + {plan.deep} layers, no warm-up, {name}",
            f"{', '.join(f'{v:.1f}' for v in last)} % exact after {found[0].updates[-1]:,} updates",
            right=last,
        )


def draw(figure: Any, courses: dict[str, list[Course]]) -> None:
    """Exact sequences as training goes; where copy and reverse look."""
    figure.set_size_inches(14, 4.5)
    left, *maps = figure.subplots(1, 3)
    for (task, found), colour in zip(courses.items(), COLOURS, strict=False):
        for k, c in enumerate(found):
            left.plot(c.updates, c.right, ".-", color=colour, label=None if k else task)
    left.set(xlabel="updates", ylabel="exact sequences, %", xscale="log")
    left.grid(alpha=0.3, which="both")
    left.legend(fontsize=8)
    for axes, task in zip(maps, (COPY, REVERSE), strict=True):
        heads = looks(courses[task][0].model, courses[task][0].tests)
        sharpest = int(np.argmax(heads.max(-1).mean(-1)))
        axes.imshow(heads[sharpest], cmap="Blues", vmin=0, vmax=1)
        layer, head = divmod(sharpest, len(heads) // 2)
        axes.set_title(f"{task}: layer {layer + 1}, head {head + 1}", fontsize=9)
        axes.set(xlabel="place that is read", ylabel="place that is written")


EXPERIMENT = Experiment(
    "transformer",
    "What a small Transformer learns",
    "Vaswani et al. 2017; Rush, The Annotated Transformer, 2018",
    run,
)
