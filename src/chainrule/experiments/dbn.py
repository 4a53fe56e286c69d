"""Deep belief nets: layers that first learn to generate the images, and only then their names.

Each layer is a restricted Boltzmann machine, trained by contrastive divergence on what the layers
below make of the images; the top one sees the labels too, as a softmax group, and is an associative
memory: with a label held on, it recalls images of that digit. Then back-propagation fine-tunes the
same layers as a net. The claim of 2006 was that deep nets of logistic units can be trained only so;
whether it is the pre-training or the start that matters is seen beside good random weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import nn
from ..core.node import Array
from ..tensor import functions as f
from ..train import pretrain
from .base import Experiment, Lab, Report, spread
from .belief import (
    CLASSES,
    BeliefNet,
    greedy,
    persist,
    recall,
    recognized,
    told_apart,
    up_down,
)
from .dbn_figure import draw
from .images import Images, fine_tune, images, stack, start


@dataclass(frozen=True)
class Plan:
    """Sizes, epochs and criteria of a tier."""

    layers: tuple[int, ...]  # hidden layers; the last is the top of the belief net
    greedy: int  # epochs a layer
    up_down: int  # epochs of contrastive wake-sleep
    lasting: int  # epochs of persistent chains in the memory
    tuned: int  # epochs of back-propagation
    few: int  # labels
    few_epochs: int
    draws: int  # of the images whose labels are known
    rate: float  # of the logistic nets
    generated: int  # images of each class
    greedy_error: float  # criteria, in per cent or points
    up_down_error: float
    tuned_error: float
    ahead: float
    ahead_of_few: float


QUICK = Plan((100, 100, 200), 30, 50, 30, 15, 100, 150, 3, 0.1, 20, 10.0, 8.0, 5.0, 10.0, 3.0)
FULL = Plan((500, 500, 2000), 5, 10, 5, 6, 1000, 40, 1, 0.1, 20, 5.0, 4.0, 3.0, 10.0, 3.0)

STARTS = {
    "logistic, small random weights": (nn.Sigmoid, "small"),
    "logistic, Glorot's random weights": (nn.Sigmoid, "glorot"),
    "ReLU, He's random weights": (nn.ReLU, "he"),
    "logistic, pre-trained": (nn.Sigmoid, ""),
}
SMALL, RELU, PRETRAINED = (list(STARTS)[i] for i in (0, 2, 3))


def run(lab: Lab) -> Report:
    """Pre-train; recall; back-propagate from four starts, with all labels and with few."""
    report, data = Report(), images(lab)
    plan = FULL if lab.full else QUICK
    epochs = lab.epochs(plan.greedy)

    def watch(layer: int, epoch: int, error: float) -> None:
        lab.tell(f"machine {layer}", epoch, epochs)

    encoder = stack(data.side**2, *plan.layers, last=True)
    machines = pretrain(encoder, data.x, epochs=epochs, watch=watch)

    # The four starts, with all labels; one of the nets looks at what the belief net recalls.
    names = np.arange(len(data.y))
    curves, nets = tuned(lab, plan, machines, data, names, plan.tuned)
    believer = greedy(lab, encoder[:-2], machines[:-1], plan.layers[-1], plan.greedy, data)
    recalled = generative(lab, report, plan, believer, nets[RELU], data)
    last = {name: curve[-1] for name, curve in curves.items()}
    for name, error in last.items():
        report.add(
            f"{'-'.join(map(str, (data.side**2, *plan.layers, 10)))}, {name}",
            f"test error {error:.2f} % ({data.name}, {len(data.y):,} labels)",
            bool(error <= plan.tuned_error) if name == PRETRAINED else None,
            reported={PRETRAINED: "1.2 %", SMALL: "1.6 %"}.get(name, ""),
            criterion=f"at most {plan.tuned_error} %" if name == PRETRAINED else "",
            error=float(error),
        )
    compared(report, "all labels: small random weights against pre-trained", last, plan.ahead)

    # Few labels; the machines have seen all images.
    fewer: dict[str, list[float]] = {name: [] for name in STARTS}
    draws = lab.seeds(plan.draws)
    for seed in range(draws):
        few = np.random.default_rng(seed).permutation(len(data.y))[: plan.few]
        found, _ = tuned(lab, plan, machines, data, few, plan.few_epochs)
        for name, curve in found.items():
            fewer[name].append(float(curve[-1]))
    mean = {name: float(np.mean(errors)) for name, errors in fewer.items()}
    for name, errors in fewer.items():
        report.add(
            f"{plan.few:,} labels, {name}",
            f"test error {spread(errors)} %, {draws} draws of the labels",
            errors=errors,
        )
    compared(report, f"{plan.few:,} labels: the same", mean, plan.ahead_of_few)

    filters = machines[0].weight.numpy()
    report.figures["dbn"] = lambda figure: draw(figure, filters, recalled, curves, data)
    return report


def generative(
    lab: Lab, report: Report, plan: Plan, net: BeliefNet, judge: nn.Module, data: Images
) -> Array:
    """The belief net before up-down and after it: its errors, and images that it recalls."""
    greedy, whole = lab.epochs(plan.greedy), lab.epochs(plan.up_down)
    before = recognized(judge, recall(lab, net, plan.generated))
    told_apart(
        report, net, data, f"greedy ({greedy} epochs a layer)", plan.greedy_error, "2.49 % (30)"
    )
    up_down(lab, net, data, plan.up_down, plan.rate / 5)
    told_apart(report, net, data, f"{whole} epochs of up-down", plan.up_down_error, "1.25 % (359)")
    between = recognized(judge, recall(lab, net, plan.generated))
    persist(lab, net, data, plan.lasting)
    last = lab.epochs(plan.lasting)
    told_apart(
        report, net, data, f"then {last} epochs of persistent chains", plan.up_down_error, ""
    )
    made = recall(lab, net, plan.generated)
    right = recognized(judge, made)
    report.add(
        "images recalled from a label",
        f"{right:.1f} % of {CLASSES * plan.generated} are that digit to the net of ReLU units "
        f"(before the persistent chains {between:.1f} %, before up-down {before:.1f} %)",
        right >= 80,
        reported="they look like digits",
        criterion="at least 80 %",
        right=right,
        before=before,
        between=between,
    )
    return made


def compared(report: Report, what: str, errors: dict[str, float], points: float) -> None:
    """How far the pre-trained net is ahead of the same net from random weights."""
    found = errors[PRETRAINED]
    ahead = errors[SMALL] - found
    report.add(
        what,
        f"{ahead:.2f} points fewer errors (than ReLU units: {errors[RELU] - found:.2f})",
        bool(ahead >= points),
        criterion=f"at least {points:g} points",
        ahead=float(ahead),
    )


def tuned(
    lab: Lab, plan: Plan, machines: list[nn.RBM], data: Images, rows: Array, epochs: int
) -> tuple[dict[str, Array], dict[str, nn.Sequential]]:
    """Test errors by epoch, and the nets, from each of the four starts."""
    curves, nets = {}, {}
    for name, (unit, how) in STARTS.items():
        net = stack(data.side**2, *plan.layers, 10, unit=unit)
        start(net, how or "small", f.Generator(1))
        if not how:
            for layer, machine in zip(net[::2], machines, strict=False):
                layer.load_state_dict(machine.encoder().state_dict())
        x, y, test = data.x[rows], data.y[rows], (data.x_test, data.y_test)
        rate = plan.rate if unit is nn.Sigmoid else 0.2 * plan.rate
        curves[name] = fine_tune(lab, name, net, x, y, test, epochs, rate)
        nets[name] = net
    return curves, nets


EXPERIMENT = Experiment(
    "dbn",
    "Deep belief net",
    "Hinton, Osindero & Teh 2006, Neural Computation 18, pages 1527-1554",
    run,
)
