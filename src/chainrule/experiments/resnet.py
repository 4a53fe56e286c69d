"""ResNet-20 beside plain nets, on a tenth of CIFAR-10: what is the way around a layer worth?

A plain net must learn the identity where it has more layers than it needs; a block with a shortcut
has it from the start. The images went through JPEG and are few: compare the nets with each other,
not with figures that were published for all of CIFAR-10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import CIFAR10_CLASSES, Batches, RandomCrop, RandomFlip, load_cifar10
from ..models import ResNet
from ..plot import COLOURS
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from .base import Experiment, Lab, Report

BATCH = 50


@dataclass(frozen=True)
class Plan:
    """Layers of the residual net and the plain one, and passes over the images."""

    depth: int
    epochs: int
    seeds: int


QUICK, FULL = Plan(8, 8, 1), Plan(20, 12, 1)


@dataclass(frozen=True)
class Images:
    """Images (N, 3, 32, 32) less their channel's mean, in units of its deviation; labels (N,)."""

    x: Array
    y: Array
    x_test: Array
    y_test: Array


def images() -> Images:
    """The subset of CIFAR-10."""
    (x, y), (x_test, y_test) = load_cifar10(subset=True)
    mean, deviation = (getattr(x, kind)((0, 2, 3), keepdims=True) for kind in ("mean", "std"))
    x, x_test = (((part - mean) / deviation).astype(np.float32) for part in (x, x_test))
    return Images(x, y, x_test, y_test)


def linear() -> nn.Module:
    """Scores of the pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))


def convolutions() -> nn.Module:
    """Two convolutions, as in 1998."""
    first, second = nn.Conv2d(3, 16, 5, padding=2), nn.Conv2d(16, 32, 5, padding=2)
    ends = (nn.Flatten(), nn.Linear(2048, 10))
    return nn.Sequential(
        first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.MaxPool2d(2), *ends
    )


def systems(depth: int) -> dict[str, tuple[Callable[[], nn.Module], float]]:
    """The nets, and their largest rates."""
    return {
        "linear": (linear, 0.002),
        "two convolutions": (convolutions, 0.02),
        f"plain net, {depth} layers": (lambda: ResNet(depth, shortcuts=False), 0.1),
        f"ResNet-{depth}": (lambda: ResNet(depth), 0.1),
    }


@dataclass
class Course:
    """A net, and after each pass: training loss, and errors on the test images in per cent."""

    net: nn.Module
    losses: list[float]
    errors: list[float]
    said: Array


def course(
    lab: Lab, name: str, make: Any, rate: float, data: Images, epochs: int, seed: int
) -> Course:
    """Gradient descent with momentum 0.9 and a decay of 1e-4; the rate falls as a cosine.

    On images that are moved by up to 4 pixels and mirrored.
    """
    f.manual_seed(seed)
    net = make()
    augment: list[Any] = [RandomCrop(None, padding=4), RandomFlip()]
    batches = Batches(data.x, data.y, BATCH, seed=seed, augment=augment)
    sgd = optim.SGD(net.parameters(), lr=rate, momentum=0.9, weight_decay=1e-4)
    epochs, updates = lab.epochs(epochs), len(data.x) // BATCH
    falling = optim.lr_scheduler.CosineAnnealingLR(sgd, epochs * updates)

    @compiled
    def step(total: Any) -> Any:
        x, y = batches.next()
        loss = nn.functional.cross_entropy(net(x), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        falling.step()
        return total + loss.detach()

    answer = compiled(lambda x: net(x).argmax(1))
    found = Course(net, [], [], np.zeros(0))
    for epoch in range(epochs):
        total = f.tensor(0.0)
        for _ in range(updates):
            total = step(total)
        found.losses.append(total.item() / updates)
        net.eval()
        with no_grad():
            parts = np.array_split(data.x_test, max(1, len(data.x_test) // 200))
            found.said = np.concatenate([answer(part).numpy() for part in parts])
        net.train()
        found.errors.append(float(100 * (found.said != data.y_test).mean()))
        lab.tell(name, epoch + 1, epochs)
    return found


def run(lab: Lab) -> Report:
    """Train each net."""
    plan, report, data = FULL if lab.full else QUICK, Report(), images()
    courses: dict[str, Course] = {}
    for name, (make, rate) in systems(plan.depth).items():
        seeds = range(lab.seeds(plan.seeds))
        found = [course(lab, name, make, rate, data, plan.epochs, seed) for seed in seeds]
        courses[name] = found[0]
        errors = [c.errors[-1] for c in found]
        weights = sum(p.numel() for p in found[0].net.parameters())
        others = [c.errors[-1] for other, c in courses.items() if other != name]
        most = min(others) if lab.full and others else courses["linear"].errors[-1] - 10
        residual = name.startswith("ResNet")
        report.add(
            f"{name} ({weights:,} weights)",
            f"{', '.join(f'{e:.1f}' for e in errors)} % of the test images wrong after "
            f"{len(found[0].errors)} passes; training loss {found[0].losses[-1]:.3f}",
            bool(np.mean(errors) < most) if residual else None,
            criterion=("fewest errors" if lab.full else "10 less than the linear net") * residual,
            errors=[c.errors for c in found],
            losses=[c.losses for c in found],
        )
    report.figures["resnet"] = lambda figure: draw(figure, courses, data)
    return report


def draw(figure: Any, courses: dict[str, Course], data: Images) -> None:
    """Errors and losses by passes; what is taken for what."""
    figure.set_size_inches(14, 4.5)
    left, middle, right = figure.subplots(1, 3)
    for (name, c), colour in zip(courses.items(), COLOURS, strict=False):
        passes = range(1, len(c.errors) + 1)
        left.plot(passes, c.errors, ".-", color=colour, label=name)
        middle.plot(passes, c.losses, ".-", color=colour)
    left.set(xlabel="passes over the images", ylabel="test images wrong, %")
    middle.set(xlabel="passes over the images", ylabel="training loss, nats")
    left.legend(fontsize=8)
    for axes in (left, middle):
        axes.grid(alpha=0.3)
    name, last = list(courses.items())[-1]
    taken = np.zeros((10, 10))
    np.add.at(taken, (data.y_test, last.said), 1)
    right.imshow(taken, cmap="Blues")
    right.set_xticks(range(10), CIFAR10_CLASSES, rotation=90, fontsize=8)
    right.set_yticks(range(10), CIFAR10_CLASSES, fontsize=8)
    right.set(xlabel=f"said by {name}", ylabel="is")


EXPERIMENT = Experiment(
    "resnet",
    "ResNet-20 beside plain nets",
    "He, Zhang, Ren & Sun 2016, Deep residual learning for image recognition; Krizhevsky 2009",
    run,
)
