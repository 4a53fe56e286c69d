"""Must the feedback be symmetric? Back-propagation against three rules that a brain could follow.

Back-propagation sends the error of a layer down through the transposed weights of that layer. No
neuron knows them: the criticism of biological implausibility. Feedback alignment sends it through
fixed random weights, and the forward weights turn until that feedback is useful; direct feedback
alignment sends the error of the outputs to every layer at once; sign-symmetric feedback knows the
signs of the weights only. Here the rules stand side by side: what they learn, and the angle of what
they change to the gradient.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..plot import COLOURS
from ..train import Callback, Trainer
from .base import Experiment, Lab, Report
from .feedback import MEASURED, RULES, Net, angles
from .images import Images, cifar, images


# -- the experiment --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Plan:
    """Hidden layers, epochs, the rate of each rule, and the criterion on one set of images."""

    hidden: tuple[int, ...]
    epochs: int
    seeds: int
    behind: float  # points of accuracy
    rates: tuple[float, ...]  # in the order of RULES


QUICK = Plan((60, 60), 20, 2, 3.0, (0.05, 0.05, 0.05, 0.05))
# Chosen on a sixth (MNIST) and a fifth (CIFAR) of the training images, not on the test images.
FULL = Plan((400, 400), 8, 3, 1.0, (0.05, 0.1, 0.1, 0.1))
COLOUR = Plan((400, 400), 20, 3, 3.0, (0.003, 0.003, 0.01, 0.003))


class _Angles(Callback):
    """Measures the angles before the first epoch and after each."""

    def __init__(self, lab: Lab, what: str, epochs: int, x: Array, y: Array) -> None:
        self.lab, self.what, self.epochs, self.x, self.y = lab, what, epochs, x, y
        self.found: list[Array] = []

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Of the initial weights."""
        self.found.append(angles(trainer.model, self.x, self.y))  # type: ignore[arg-type]

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Any) -> None:
        """Of the weights now."""
        self.found.append(angles(trainer.model, self.x, self.y))  # type: ignore[arg-type]
        self.lab.tell(self.what, epoch + 1, self.epochs)


def run(lab: Lab) -> Report:
    """Train from the same weights by the four rules."""
    report = Report()
    sets = [(images(lab), FULL if lab.full else QUICK)]
    sets += [(cifar(), COLOUR)] if lab.full else []
    found = {data.name: trained(lab, data, plan) for data, plan in sets}
    for data, plan in sets:
        curves, turned = found[data.name]
        for rule in RULES:
            compare(report, plan, rule, curves, turned[rule], data.name)
    report.figures["feedback-alignment"] = lambda figure: draw(figure, found)
    return report


Curves = dict[str, Array]


def trained(lab: Lab, data: Images, plan: Plan) -> tuple[Curves, Curves]:
    """By rule: test accuracy (seeds, epochs); angles (seeds, epochs + 1, layers)."""
    epochs, seeds = lab.epochs(plan.epochs), lab.seeds(plan.seeds)
    sizes = (data.x.shape[1], *plan.hidden, 10)
    curves: Curves = {}
    turned: Curves = {}
    for rule, rate in zip(RULES, plan.rates, strict=True):
        accuracies, measured = [], []
        for seed in range(seeds):
            net = Net(sizes, rule, seed)
            sgd = optim.SGD(net.parameters(), lr=rate, momentum=0.9)
            falling = optim.lr_scheduler.LinearLR(sgd, 1.0, 0.1, epochs)
            trainer = Trainer(net, nn.CrossEntropyLoss(), sgd, falling, ["accuracy"], seed=seed)
            what = f"{rule}, {data.name}"
            look = _Angles(lab, what, epochs, data.x[:MEASURED], data.y[:MEASURED])
            history = trainer.fit(
                data.x,
                data.y,
                epochs,
                100,
                validation_data=(data.x_test, data.y_test),
                callbacks=[look],
                progress=False,
                diagnose=False,
            )
            accuracies.append(100 * np.asarray(history["val_accuracy"]))
            measured.append(np.array(look.found))
        curves[rule], turned[rule] = np.array(accuracies), np.array(measured)
    return curves, turned


def compare(
    report: Report, plan: Plan, rule: str, curves: Curves, turned: Array, name: str
) -> None:
    """Accuracy beside back-propagation's, and where the angles of the hidden layers went."""
    final, best = curves[rule][:, -1].mean(), curves[RULES[0]][:, -1].mean()
    other = rule != RULES[0]
    report.add(
        f"{rule}, {name}: accuracy",
        f"{final:.2f} % of the test images (seeds: {len(turned)})",
        bool(best - final <= plan.behind) if other else None,
        criterion=f"at most {plan.behind:g} below back-propagation" if other else "",
        reported="as good as back-propagation" if rule == RULES[1] else "",
        accuracy=float(final),
    )
    if not other:
        return
    hidden = turned.mean(0)[:, :-1]  # the last layer's change is the gradient itself
    first, last = hidden[0], hidden[-1]
    words = ", ".join(f"{a:.0f}° to {b:.0f}°" for a, b in zip(first, last, strict=True))
    falls = bool((last < first).all()) if rule != RULES[3] else True
    report.add(
        f"{rule}, {name}: angle to the gradient, by hidden layer, before and after",
        words,
        bool((last < 90).all() and falls),
        criterion="below 90° in the end" + (", and smaller" if rule != RULES[3] else ""),
        reported="falls below 90°" if rule == RULES[1] else "",
        before=[float(a) for a in first],
        after=[float(a) for a in last],
    )


def draw(figure: Any, found: dict[str, tuple[Curves, Curves]]) -> None:
    """For each set of images: test error by epoch; the angle by layer and epoch."""
    figure.set_size_inches(11, 3.9 * len(found))
    panels = figure.subplots(len(found), 2, squeeze=False)
    for (name, (curves, turned)), (left, right) in zip(found.items(), panels, strict=True):
        for (rule, accuracy), colour in zip(curves.items(), COLOURS, strict=False):
            epochs = np.arange(1, accuracy.shape[1] + 1)
            left.plot(epochs, 100 - accuracy.mean(0), color=colour, label=rule)
            layers = turned[rule].mean(0)[:, :-1].T if rule != RULES[0] else ()
            for k, (layer, line) in enumerate(zip(layers, itertools.cycle(("-", "--", ":")))):
                right.plot(layer, line, color=colour, label=f"{rule}, layer {k + 1}")
        left.set_yscale("log")
        left.set_ylabel("test error, per cent")
        right.axhline(90, color="#8a8a8a", lw=0.8)
        right.set_ylabel("angle to the gradient, degrees")
        right.set_ylim(0, 100)
        for axes in (left, right):
            axes.set_title(name, fontsize=9)
            axes.set_xlabel("epochs")
            axes.locator_params(axis="x", integer=True)
            axes.grid(alpha=0.3, which="both")
        left.legend(fontsize=7)
        right.legend(fontsize=6, loc="lower center", ncols=3, columnspacing=1)


EXPERIMENT = Experiment(
    "feedback-alignment",
    "Feedback alignment beside back-propagation",
    "Lillicrap, Cownden, Tweed & Akerman 2016, Nature Communications 7, 13276; Nøkland 2016; "
    "Liao, Leibo & Poggio 2016",
    run,
)
