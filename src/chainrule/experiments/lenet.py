"""LeNet-5 and the nets beside it in the paper: how much is it worth to know what an image is?

All see the same 60,000 digits of MNIST. A linear classifier and nets of full connections must learn
anew at each place what a stroke is; nets of shared, local weights learn it once. LeNet-5 is
trained with its fixed codes and radial outputs, as in the paper, and with a softmax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import Batches, RandomShift
from ..models import LeNet1, LeNet4, LeNet5, map_loss
from ..models.lenet import BACKGROUND
from ..nn.functional import cross_entropy
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compile_function
from ..tensor.grad_mode import no_grad
from .base import Experiment, Lab, Report, spread
from .images import Images, answers, dense, grey, mnist, shifted, tiles

SHIFT = 2  # pixels in each direction, of distorted images
SHOWN = 40  # wrong digits in the figure


@dataclass(frozen=True)
class System:
    """A net of the paper, how it is trained here, and what is asked of it, in per cent."""

    make: Callable[[], nn.Module]
    quick: tuple[float, ...]  # the rate of each pass
    full: tuple[float, ...]
    reported: str
    quick_error: float | None
    full_error: float | None
    loss: Callable[..., Any] = cross_entropy
    shift: int = 0


FALLING = (0.05, 0.05, 0.025, 0.0125, 0.0125, 0.005, 0.005, 0.0025, 0.001, 0.001)
LONG = (*(0.05,) * 6, *(0.025,) * 4, *(0.0125,) * 4, *(0.005,) * 3, *(0.001,) * 3)
SHORT, DENSE, MOVED = (0.05, 0.0125), (0.05, 0.05, 0.02, 0.005), (0.05, 0.05, 0.0125)
LINEAR, HIDDEN, SOFTMAX, RADIAL, SHIFTED = (
    "linear",
    "784-300-10",
    "LeNet-5, softmax",
    "LeNet-5, radial outputs",
    "LeNet-5, softmax, distorted images",
)


def times(factor: float, rates: tuple[float, ...]) -> tuple[float, ...]:
    """Rates for a loss or a net with steeper slopes."""
    return tuple(factor * rate for rate in rates)


SYSTEMS: dict[str, System] = {
    LINEAR: System(dense(784, 10), (0.01, 0.001), times(0.2, FALLING), "12.0 %", 15, 12.5),
    HIDDEN: System(dense(784, 300, 10), DENSE, FALLING, "4.7 %", 4.7, 2.5),
    "784-300-100-10": System(dense(784, 300, 100, 10), DENSE, FALLING, "3.05 %", None, 2.3),
    "LeNet-1": System(LeNet1, SHORT, FALLING, "1.7 % (16 x 16 pixels)", None, 2.2),
    "LeNet-4": System(LeNet4, SHORT, FALLING, "1.1 %", None, 1.4),
    SOFTMAX: System(lambda: LeNet5("softmax"), SHORT, FALLING, "", 3.5, 1.15),
    RADIAL: System(LeNet5, times(0.02, SHORT), times(0.02, FALLING), "0.95 %", 3.5, 1.15, map_loss),
    SHIFTED: System(
        lambda: LeNet5("softmax"), MOVED, LONG, "0.8 %", None, 0.95, cross_entropy, SHIFT
    ),
}


def run(lab: Lab) -> Report:
    """Train each net; count its errors; look inside of LeNet-5."""
    report, data = Report(), mnist()
    x, x_test = (grey(images) for images in (data.x, data.x_test))
    tests = (x_test, shifted(x_test, np.random.default_rng(0)))
    nets: dict[str, nn.Module] = {}
    said: dict[str, list[Array]] = {}  # of the last seed: the test images, and those moved
    moved: dict[str, float] = {}
    for name, system in SYSTEMS.items():
        rates, errors = system.full if lab.full else system.quick, []
        for seed in range(lab.seeds(3 if lab.full else 2)):
            f.manual_seed(seed)
            net = nets[name] = system.make()
            learn(lab, name, net, x, data.y, rates, system, seed)
            said[name] = answers(net, *tests)
            still, moved[name] = (100 * float((a != data.y_test).mean()) for a in said[name])
            errors.append(still)
        describe(lab, report, name, net, errors, moved[name])
    report.add(
        f"the same test images, moved by up to {SHIFT} pixels",
        f"test error {moved[SOFTMAX]:.2f} % of {SOFTMAX}; {moved[HIDDEN]:.2f} % of {HIDDEN}, which "
        "has four times as many weights",
        moved[SOFTMAX] < moved[HIDDEN],
        reported="some degree of shift invariance",
        criterion="LeNet-5 makes fewer errors",
    )
    report.figures["lenet"] = lambda figure: draw(
        figure, nets[SOFTMAX], nets[RADIAL], x_test, data, said[SOFTMAX][0]
    )
    return report


def describe(
    lab: Lab, report: Report, name: str, net: nn.Module, errors: list[float], moved: float
) -> None:
    """The line of one net."""
    system = SYSTEMS[name]
    limit = system.full_error if lab.full else system.quick_error
    passes = lab.epochs(len(system.full if lab.full else system.quick))
    weights = sum(p.numel() for p in net.parameters())
    mean = float(np.mean(errors))
    shown = f"{mean:.2f} %" if len(errors) == 1 else f"{spread(errors)} %, {len(errors)} seeds,"
    report.add(
        f"{name} ({weights:,} weights)",
        f"test error {shown} after {passes} passes (moved images: {moved:.2f} %)",
        None if limit is None else mean <= limit,
        reported=system.reported,
        criterion="" if limit is None else f"at most {limit:g} %",
        errors=errors,
        weights=weights,
        moved=moved,
    )


# -- training --------------------------------------------------------------------------------------
def program(
    net: nn.Module, x: Array, y: Array, rates: tuple[float, ...], system: System, seed: int
) -> tuple[Any, Any]:
    """A step of gradient descent with momentum 0.9 on batches of 50, and its falling rate.

    The paper: online, each weight with a rate of its own, from second derivatives.
    """
    distort = RandomShift(system.shift, BACKGROUND) if system.shift else ()
    batches = Batches(x, y, min(50, len(x)), seed=seed, augment=distort)
    sgd = optim.SGD(net.parameters(), lr=rates[0], momentum=0.9)
    falling = optim.lr_scheduler.LambdaLR(sgd, lambda e: rates[min(e, len(rates) - 1)] / rates[0])

    @compile_function
    def step() -> Any:
        images, labels = batches.next()
        loss = system.loss(net(images), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return loss

    return step, falling


def learn(
    lab: Lab, what: str, net: nn.Module, x: Array, y: Array, rates: Any, system: System, seed: int
) -> None:
    """As many passes as there are rates."""
    step, falling = program(net, x, y, rates, system, seed)
    epochs = lab.epochs(len(rates))
    for epoch in range(epochs):
        step.repeat(len(x) // min(50, len(x)))
        falling.step()
        lab.tell(what, epoch + 1, epochs)


# -- figure ----------------------------------------------------------------------------------------
def draw(figure: Any, net: Any, radial: Any, x: Array, data: Images, found: Array) -> None:
    """Kernels and maps of LeNet-5 for one digit, its codes, and the digits it takes for others."""
    figure.set_size_inches(12, 7)
    places = figure.subplot_mosaic([["kernels", "c1", "wrong"], ["codes", "c3", "wrong"]])
    kernels = net.c1.weight.detach().numpy().reshape(6, -1)
    tiles(places["kernels"], kernels, 5, 3, "C1: the six kernels", signed=True)
    first = int(np.flatnonzero(found == data.y_test)[0])
    for layer, parts, columns in (("c1", net[:3], 3), ("c3", net[:7], 4)):
        with no_grad():
            maps = parts(x[first : first + 1]).numpy()[0]
        title = f"{layer.upper()}: its {len(maps)} maps of a {data.y_test[first]}"
        tiles(places[layer], maps, maps.shape[-1], columns, title, signed=True)
    with no_grad():
        shown = [np.flatnonzero(data.y_test == digit)[:20] for digit in range(10)]
        codes = np.stack([radial[:-1](x[rows]).numpy().mean(0) for rows in shown])
    tiles(
        places["codes"], codes, (12, 7), 5, "F6 of the radial net: mean of each digit", signed=True
    )
    wrong = np.flatnonzero(found != data.y_test)
    few = wrong[:SHOWN]
    labels = [f"{data.y_test[i]} as {found[i]}" for i in few]
    title = f"test digits taken for others ({len(few)} of {len(wrong)}): label as answer"
    pictures = data.x_test[few]
    tiles(places["wrong"], pictures, data.side, 5, title, signed=False, labels=labels)


EXPERIMENT = Experiment(
    "lenet",
    "LeNet-5 and the nets beside it",
    "LeCun, Bottou, Bengio & Haffner 1998, Proceedings of the IEEE 86, pages 2278-2324",
    run,
)
