"""Pre-train, then fine-tune (GPT, 2018): what is reading worth, where labels are few?

A small GPT reads texts in which nothing is labelled and learns what character comes next. Then it
learns a task from 100 or from 1,000 labels: which language a piece of a sentence is in; whether a
word is a first name or one of Shakespeare's. The same net learns the same labels from random
weights, and beside both stand counts of three characters (trigrams) of each class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import (
    Batches,
    TextBatches,
    TextCorpus,
)
from ..models import GPT
from ..nn.functional import cross_entropy
from ..plot import COLOURS
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from .base import Experiment, Lab, Report
from .few_labels import Task, languages, names_or_words, trigrams

LABELS = (100, 1000)
AUXILIARY = 0.5  # weight of the loss of the language model in fine-tuning, as in 2018


@dataclass(frozen=True)
class Plan:
    """The net, and how many updates it learns for."""

    width: int
    layers: int
    reading: int
    tuning: int
    seeds: int = 5
    length: int = 32
    batch: int = 32


QUICK, FULL = Plan(64, 2, 2000, 150), Plan(128, 4, 6000, 400)


class Classifier(nn.Module):
    """A GPT, and scores of classes from what it has seen behind the last character."""

    def __init__(self, gpt: GPT, classes: int) -> None:
        super().__init__()
        self.gpt = gpt
        self.output = nn.Linear(gpt.head.in_features, classes)

    def forward(self, tokens: Any) -> tuple[Any, Any]:
        """Scores of classes (N, classes), and of the next characters (N, T, vocabulary)."""
        seen = self.gpt.features(tokens)
        return self.output(seen[:, -1]), self.gpt.head(seen)


def net(plan: Plan, corpus: TextCorpus) -> GPT:
    """The language model."""
    return GPT(len(corpus.vocabulary), plan.length, plan.width, 4, plan.layers, 0.1)


def read(lab: Lab, plan: Plan, what: Task) -> tuple[GPT, float]:
    """A net that has read the text without labels, and its loss at the end."""
    model = net(plan, what.corpus)
    pieces = TextBatches(what.corpus, plan.length, plan.batch, seed=0)
    adam = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    updates = lab.epochs(plan.reading)
    course = optim.lr_scheduler.WarmupCosineLR(adam, min(50, updates), updates + 50)

    @compiled
    def step() -> Any:
        x, y = pieces.next()
        loss = cross_entropy(model(x).movedim(-1, 1), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        course.step()
        return loss

    loss = step.repeat(updates)
    lab.tell(f"{what.name}: read", updates, updates)
    return model, float(loss)


def tune(lab: Lab, plan: Plan, what: Task, start: GPT | None, rows: Array, seed: int) -> float:
    """The test accuracy after learning from the labels of these rows."""
    f.manual_seed(seed)
    model = Classifier(net(plan, what.corpus), what.classes)
    if start is not None:
        model.gpt.load_state_dict(start.state_dict())
    batches = Batches(what.x[rows], what.y[rows], min(plan.batch, len(rows)), seed=seed)
    updates = lab.epochs(plan.tuning)
    adam = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    course = optim.lr_scheduler.WarmupCosineLR(adam, min(15, updates), updates + 15)

    @compiled
    def step() -> None:
        x, y = batches.next()
        scores, following = model(x)
        loss = cross_entropy(scores, y)
        loss = loss + AUXILIARY * cross_entropy(following[:, :-1].movedim(-1, 1), x[:, 1:])
        adam.zero_grad()
        loss.backward()
        adam.step()
        course.step()

    step.repeat(updates)
    model.eval()
    with no_grad():
        said = compiled(lambda x: model(x)[0].argmax(1))(f.tensor(what.x_test)).numpy()
    return float((said == what.y_test).mean())


def run(lab: Lab) -> Report:
    """Read once, then learn from few labels with each seed, from what was read and from nothing."""
    plan, report = FULL if lab.full else QUICK, Report()
    seeds = lab.seeds(plan.seeds)
    found: dict[tuple[str, int], Array] = {}
    for make in (languages, names_or_words):
        what = make(np.random.default_rng(0))
        f.manual_seed(0)
        start, loss = read(lab, plan, what)
        for labels in LABELS:
            rows = [
                np.random.default_rng(s).permutation(len(what.y))[:labels] for s in range(seeds)
            ]
            each = []
            for seed, chosen in enumerate(rows):
                own = [tune(lab, plan, what, g, chosen, seed) for g in (start, None)]
                each.append((*own, trigrams(what, chosen)))
                lab.tell(f"{what.name}: {labels} labels", seed + 1, seeds)
            found[what.name, labels] = table = 100 * np.array(each)
            pre, plain, counted = table.mean(0)
            better = int((table[:, 0] > table[:, 1]).sum())
            report.add(
                f"{what.name}: {labels:,} labels",
                f"{pre:.1f} % right with pre-training (to {loss:.2f} nats), {plain:.1f} % without, "
                f"trigrams {counted:.1f} %; better with {better} of {seeds} seeds",
                better >= np.ceil(0.8 * seeds),
                reported="better on 9 of 12 tasks than what was trained for each",
                criterion="pre-trained is better with 4 of 5 seeds",
                accuracies=table.tolist(),
            )
    report.figures["finetuning"] = lambda figure: draw(figure, found)
    return report


def draw(figure: Any, found: dict[tuple[str, int], Array]) -> None:
    """Accuracy by the number of labels: with pre-training, without, and of trigrams."""
    figure.set_size_inches(9, 4)
    tasks = list(dict.fromkeys(name for name, _ in found))
    for name, axes in zip(tasks, figure.subplots(1, len(tasks)), strict=True):
        tables = [found[name, labels] for labels in LABELS]
        for k, what in enumerate(("pre-trained", "from random weights", "trigrams")):
            for seed in range(len(tables[0])):
                axes.plot(LABELS, [t[seed, k] for t in tables], color=COLOURS[k], alpha=0.2)
            mean = [t[:, k].mean() for t in tables]
            axes.plot(LABELS, mean, color=COLOURS[k], marker="o", label=what)
        axes.set_xscale("log")
        axes.set_xticks(LABELS, [f"{n:,}" for n in LABELS])
        axes.set(xlabel="labels", ylabel="test accuracy, %", title=name)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)


EXPERIMENT = Experiment(
    "finetuning",
    "Reading first, then learning from few labels",
    "Radford, Narasimhan, Salimans & Sutskever 2018, Improving language understanding by "
    "generative pre-training",
    run,
)
