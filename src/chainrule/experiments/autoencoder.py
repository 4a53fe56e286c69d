"""Deep autoencoders: an image through a few linear units and back again.

Restricted Boltzmann machines are trained one on the other; the stack is unrolled, the way down
being the transposed way up; then both, no longer tied, are fine-tuned by back-propagation of the
cross-entropy of the pixels. What is kept is measured as the squared error of an image, summed over
its pixels, beside principal components and the same net from small random weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..plot import COLOURS
from ..tensor import functions as f
from ..train import Trainer, pretrain, unroll
from .base import Experiment, Lab, Report
from .components import components, neighbours, principal, squared
from .images import Images, images, outputs_of, stack, start, tiles

STARTS = {"small random weights": "small", "Glorot's random weights": "glorot", "pre-trained": ""}
SMALL, PRETRAINED = "small random weights", "pre-trained"
FLAT = 2  # units of the code that is drawn


@dataclass(frozen=True)
class Plan:
    """Sizes, epochs and criteria of a tier."""

    layers: tuple[int, ...]  # of the encoder; the last is the code
    greedy: int  # epochs a layer
    tuned: int  # epochs of fine-tuning
    flat_tuned: int  # the same, of the net with two code units
    error: float  # criteria: squared error an image
    share: float  # of the error from small random weights
    flat_ahead: float  # points of nearest-neighbour accuracy above that of two components


QUICK = Plan((128, 64, 32, 8), 20, 40, 150, 2.0, 0.5, 5.0)
REPORTED = "3.00 (50 epochs a layer, long fine-tuning)"
FULL = Plan((1000, 500, 250, 30), 2, 3, 3, 7.0, 1 / 3, 25.0)


def run(lab: Lab) -> Report:
    """Principal components; the deep net from three starts; a code of two numbers, drawn."""
    report, data = Report(), images(lab)
    plan = FULL if lab.full else QUICK
    code = plan.layers[-1]
    linear = components(data.x, data.x_test, code)
    report.add(
        f"principal components, {code} of them",
        f"squared error {squared(linear, data.x_test):.2f} an image ({data.name}; the mean image: "
        f"{squared(data.x.mean(0), data.x_test):.2f})",
        reported="13.87" if lab.full else "",
        error=squared(linear, data.x_test),
    )
    curves, pictures = {}, {"principal components": linear}
    machines = machines_of(lab, plan, data, code)
    for name, how in STARTS.items():
        net = autoencoder(data, plan, code, how, machines)
        before = squared(rebuilt(net, data.x_test), data.x_test)
        curves[name] = fine_tune(lab, name, net, data, plan.tuned)
        pictures[name] = rebuilt(net, data.x_test)
        error, pretrained = float(curves[name][-1]), name == PRETRAINED
        report.add(
            f"{'-'.join(map(str, (data.side**2, *plan.layers)))}, {name}",
            f"squared error {error:.2f} an image ({before:.2f} before fine-tuning)",
            bool(error <= plan.error) if pretrained else None,
            reported=REPORTED if lab.full and pretrained else "",
            criterion=f"at most {plan.error:g}" if pretrained else "",
            error=error,
            before=before,
        )
    share = float(curves[PRETRAINED][-1] / curves[SMALL][-1])
    report.add(
        "pre-trained beside small random weights",
        f"{share:.2f} of the error",
        share <= plan.share,
        criterion=f"at most {plan.share:.2f}",
        share=share,
    )
    codes = flat(lab, report, plan, data, machines)
    report.figures["autoencoder"] = lambda figure: draw(figure, data, pictures, curves, codes)
    return report


# -- the net ---------------------------------------------------------------------------------------
def machines_of(lab: Lab, plan: Plan, data: Images, code: int, seed: int = 0) -> list[nn.RBM]:
    """The stack of machines, the top one with linear hidden units."""
    epochs = lab.epochs(plan.greedy)
    encoder = stack(data.side**2, *plan.layers[:-1], code)

    def watch(layer: int, epoch: int, error: float) -> None:
        lab.tell(f"machine {layer}", epoch, epochs)

    return pretrain(encoder, data.x, epochs=epochs, linear_lr=0.001, seed=seed, watch=watch)


def autoencoder(
    data: Images, plan: Plan, code: int, how: str, machines: list[nn.RBM]
) -> nn.Sequential:
    """Encoder and decoder; the last layer gives logits of the pixels."""
    sizes = (data.side**2, *plan.layers[:-1], code)
    encoder, decoder = stack(*sizes), stack(*sizes[::-1])
    if how:
        generator = f.Generator(1)
        return nn.Sequential(start(encoder, how, generator), start(decoder, how, generator))
    for layer, machine in zip(encoder[::2], machines, strict=True):
        layer.load_state_dict(machine.encoder().state_dict())
    return nn.Sequential(encoder, unroll(machines)[:-1])


def fine_tune(lab: Lab, what: str, net: nn.Sequential, data: Images, epochs: int) -> Array:
    """Adam, rate falling from 0.001, batches of 100; the test images' squared error each epoch."""
    epochs = lab.epochs(epochs)
    adam = optim.Adam(net.parameters(), lr=1e-3)
    falling = optim.lr_scheduler.LinearLR(adam, 1.0, 0.1, epochs)
    trainer = Trainer(net, nn.BCEWithLogitsLoss(), adam, falling)
    errors: list[float] = []

    def measure(trainer: Trainer, epoch: int, logs: Any) -> None:
        errors.append(squared(rebuilt(net, data.x_test), data.x_test))
        lab.tell(what, epoch + 1, epochs)

    trainer.fit(data.x, data.x, epochs, 100, callbacks=measure, progress=False, diagnose=False)
    return np.array(errors)


def rebuilt(net: nn.Sequential, x: Array) -> Array:
    """What comes back of each image."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * outputs_of(net, x))))


# -- a code of two numbers -------------------------------------------------------------------------
def flat(
    lab: Lab, report: Report, plan: Plan, data: Images, machines: list[nn.RBM]
) -> dict[str, Array]:
    """The test images' codes of two numbers: of a net, and of two principal components.

    The net's code layer has two units (on the same machines below).
    """
    top = stack(plan.layers[-2], FLAT)
    below = data.x
    for machine in machines[:-1]:
        below = outputs_of(machine, below)
    [last] = pretrain(top, below, epochs=lab.epochs(plan.greedy), linear_lr=0.001, seed=1)
    net = autoencoder(data, plan, FLAT, "", [*machines[:-1], last])
    fine_tune(lab, "two code units", net, data, plan.flat_tuned)
    mean, axes = principal(data.x, FLAT)
    codes = {
        "two principal components": (data.x_test - mean) @ axes,
        "two units of a deep autoencoder": outputs_of(net[0], data.x_test),
    }
    plain, deep = (neighbours(c, data.y_test) for c in codes.values())
    report.add(
        "a code of two numbers: is the nearest neighbour of the same class?",
        f"{deep:.1f} % of the test images; {plain:.1f} % by two principal components",
        deep - plain >= plan.flat_ahead,
        criterion=f"at least {plan.flat_ahead:g} points more",
        deep=deep,
        components=plain,
    )
    return codes


def draw(
    figure: Any,
    data: Images,
    pictures: dict[str, Array],
    curves: dict[str, Array],
    codes: dict[str, Array],
) -> None:
    """Images and what came back; errors by epoch; the two codes of two numbers."""
    figure.set_size_inches(11, 9)
    (a, b), (c, d) = figure.subplots(2, 2)
    first = [int(np.flatnonzero(data.y_test == k)[0]) for k in range(10)]
    rows = np.concatenate([data.x_test[first], *(p[first] for p in pictures.values())])
    title = "rows: the image, and what comes back by\n" + ", ".join(pictures)
    tiles(a, rows, data.side, 10, title, signed=False)
    for (name, errors), colour in zip(curves.items(), COLOURS, strict=False):
        b.plot(np.arange(1, len(errors) + 1), errors, color=colour, label=name, marker=".")
    b.set(yscale="log", xlabel="epochs of fine-tuning", ylabel="squared error an image")
    b.locator_params(axis="x", integer=True)
    b.grid(alpha=0.3, which="both")
    b.legend(fontsize=8)
    for axes, (name, code) in zip((c, d), codes.items(), strict=True):
        seen = axes.scatter(*code[:2000].T, c=data.y_test[:2000], cmap="tab10", s=5)
        axes.legend(*seen.legend_elements(num=range(10)), fontsize=7, title="digit")
        axes.set_title(name, fontsize=9)


EXPERIMENT = Experiment(
    "autoencoder",
    "Deep autoencoder",
    "Hinton & Salakhutdinov 2006, Science 313, pages 504-507",
    run,
)
