"""Images of digits, and deep nets for them: what the experiments on images share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import load_cifar10, load_digits, load_mnist
from ..models import ScaledTanh
from ..models.lenet import BACKGROUND, INK
from ..plot import tiles as tiles
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compile_function
from ..tensor.grad_mode import no_grad
from ..train import Trainer
from .base import Lab

TEST_DIGITS = 397


@dataclass(frozen=True)
class Images:
    """Grey levels in [0, 1], (N, side²) float32, and labels (N,); of `cifar` three colours."""

    name: str
    side: int
    x: Array
    y: Array
    x_test: Array
    y_test: Array


def images(lab: Lab) -> Images:
    """The bundled digits of 8 × 8 pixels or, in full, MNIST."""
    if lab.full:
        return mnist()
    x, y = load_digits()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / np.float32(16), y[order]
    train, test = slice(TEST_DIGITS, None), slice(0, TEST_DIGITS)
    return Images("8 × 8 digits", 8, x[train], y[train], x[test], y[test])


def mnist() -> Images:
    """All of MNIST; raises DataError that says where to get it."""
    (x, y), (x_test, y_test) = load_mnist()
    scaled = [np.asarray(a.reshape(len(a), -1) / np.float32(255)) for a in (x, x_test)]
    return Images("MNIST", 28, scaled[0], y, scaled[1], y_test)


def cifar() -> Images:
    """The subset of CIFAR-10, rows of 3 · 32² numbers of mean about 0 and variance about 1.

    Raises DataError that says where to get it.
    """
    (x, y), (x_test, y_test) = load_cifar10(subset=True)
    scaled = [
        (a.reshape(len(a), -1) / np.float32(255) - np.float32(0.47)) / np.float32(0.25)
        for a in (x, x_test)
    ]
    return Images("CIFAR-10 subset", 32, scaled[0], y, scaled[1], y_test)


def stack(*sizes: int, unit: type[nn.Module] = nn.Sigmoid, last: bool = False) -> nn.Sequential:
    """Linear layers of ``sizes``, a ``unit`` after each, after the last one only if ``last``."""
    layers: list[nn.Module] = []
    for n, m in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(n, m), unit()]
    return nn.Sequential(*(layers if last else layers[:-1]))


def start(net: nn.Module, how: str, generator: Any = None) -> nn.Module:
    """Initial weights, biases 0.

    "small", of deviation 1/√fan-in; "glorot", uniform, 4 times as wide for logistic units as for
    tanh (Glorot & Bengio 2010); "he", for ReLU (He et al. 2015).
    """
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            if how == "small":
                nn.init.normal_(layer.weight, 0, layer.in_features**-0.5, generator)
            elif how == "glorot":
                nn.init.xavier_uniform_(layer.weight, 4.0, generator)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            with no_grad():
                nn.init.zeros_(layer.bias)
    return net


def outputs_of(net: nn.Module, x: Array) -> Array:
    """What the net gives for each row of x."""
    trainer = Trainer(net, nn.MSELoss(), optim.SGD(net.parameters(), lr=0.1))
    return np.asarray(trainer.predict(x))


def fine_tune(
    lab: Lab,
    what: str,
    net: nn.Module,
    x: Array,
    y: Array,
    test: tuple[Array, Array],
    epochs: int,
    lr: float = 0.1,
    seed: int = 0,
) -> Array:
    """Back-propagation; returns the test error in per cent after each epoch.

    Batches of 100, momentum 0.9, a rate that falls to a tenth; after the last epoch alone where all
    take few steps.
    """
    epochs = lab.epochs(epochs)
    sgd = optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    falling = optim.lr_scheduler.LinearLR(sgd, 1.0, 0.1, epochs)
    trainer = Trainer(net, nn.CrossEntropyLoss(), sgd, falling, metrics=["accuracy"], seed=seed)
    often = len(x) > len(test[0])
    history = trainer.fit(
        x,
        y,
        epochs,
        min(100, len(x)),
        validation_data=test if often else None,
        progress=False,
        diagnose=False,
        callbacks=lambda t, epoch, logs: lab.tell(what, epoch + 1, epochs),
    )
    accuracy = history["val_accuracy"] if often else [trainer.evaluate(*test)["accuracy"]]
    return 100 * (1 - np.asarray(accuracy))


def dense(*sizes: int) -> Callable[[], nn.Module]:
    """A net of full connections for images (N, 1, 28, 28)."""
    return lambda: nn.Sequential(nn.Flatten(), *stack(*sizes, unit=ScaledTanh))


def grey(images: Array) -> Array:
    """Grey levels (N, 1, side, side) with the paper's background and ink."""
    side = round(images.shape[1] ** 0.5)
    scaled = images * np.float32(INK - BACKGROUND) + np.float32(BACKGROUND)
    return scaled.reshape(-1, 1, side, side)


def shifted(images: Array, rng: np.random.Generator, most: int = 2) -> Array:
    """Each image moved by up to ``most`` pixels in both directions; background comes in."""
    edges = [(0, 0), (0, 0), (most, most), (most, most)]
    wide = np.pad(images, edges, constant_values=BACKGROUND)
    side, found = images.shape[-1], np.empty_like(images)
    for i, (down, right) in enumerate(rng.integers(0, 2 * most + 1, (len(images), 2))):
        found[i] = wide[i, :, down : down + side, right : right + side]
    return found


def answers(net: nn.Module, *sets: Array) -> list[Array]:
    """The class with the largest output for each image of each set."""
    name = compile_function(lambda images: net(images).argmax(1))
    found = []
    for x in sets:
        parts = np.array_split(x, max(1, len(x) // 500))
        with no_grad():
            found.append(np.concatenate([name(f.tensor(part)).numpy() for part in parts]))
    return found
