"""A belief net: layers up and down, and the memory on top that knows labels.

It learns as a whole by contrastive wake-sleep ("up-down").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import Batches
from ..nn.functional import binary_cross_entropy_with_logits as cross_entropy
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compile_function
from ..tensor.grad_mode import no_grad
from ..train import fit_rbm, unroll
from .base import Lab, Report
from .images import Images

STEPS_OF_GIBBS = 1000
CLASSES = 10


@dataclass
class BeliefNet:
    """Logistic layers up to the memory, and down from it; the memory sees the labels too."""

    up: nn.Sequential
    memory: nn.RBM
    down: nn.Sequential

    @property
    def width(self) -> int:
        """The units of the memory that are no labels."""
        return int(self.memory.visible_features) - CLASSES


def greedy(
    lab: Lab, up: nn.Sequential, machines: Sequence[nn.RBM], units: int, epochs: int, data: Images
) -> BeliefNet:
    """The belief net whose layers ``up`` were pre-trained as these machines.

    Its memory is trained here, on what they make of the images and on the labels.
    """
    seen = remembered(up, data)
    memory = nn.RBM(seen.shape[1], units, labels=CLASSES, generator=f.Generator(10))
    epochs = lab.epochs(epochs)
    what = "associative memory"
    fit_rbm(memory, seen, epochs=epochs, watch=lambda e, _: lab.tell(what, e, epochs))
    return BeliefNet(up, memory, unroll(machines))


def remembered(up: nn.Sequential, data: Images) -> Array:
    """What the memory sees: what the layers make of the images, and the labels."""
    with no_grad():
        return np.concatenate([up(data.x).numpy(), np.eye(CLASSES, dtype="float32")[data.y]], 1)


def persist(lab: Lab, net: BeliefNet, data: Images, epochs: int) -> None:
    """The memory alone goes on learning, by chains that are not started anew at the data.

    What it would come to by itself, far from all data, is unlearned too (Tieleman, 2008).
    """
    old, size = net.memory, min(100, len(data.x))
    options: Any = {"labels": CLASSES, "chains": size, "generator": f.Generator(12)}
    net.memory = nn.RBM(old.visible_features, old.hidden_features, **options)
    net.memory.load_state_dict({**old.state_dict(), "chains": net.memory.chains})
    epochs, seen = lab.epochs(epochs), remembered(net.up, data)
    what = "associative memory, persistent chains"
    fit_rbm(
        net.memory,
        seen,
        epochs=epochs,
        lr=0.005,
        momentum=0.5,
        k=2,
        watch=lambda e, _: lab.tell(what, e, epochs),
    )


def up_down(lab: Lab, net: BeliefNet, data: Images, epochs: int, lr: float, k: int = 3) -> None:
    """All layers at once.

    On the way up from an image each layer is drawn, and the way down learns to say what was below;
    the memory goes ``k`` steps of Gibbs sampling from there and learns by contrastive divergence;
    on the way down from what it came to, the way up learns to say what was above. The rate falls to
    a tenth.
    """
    ups = [layer for layer in net.up if isinstance(layer, nn.Linear)]
    downs = [layer for layer in net.down if isinstance(layer, nn.Linear)][::-1]
    size = min(100, len(data.x))
    batches = Batches(data.x, data.y, size, seed=0)
    parts = (net.up, net.memory, net.down)
    sgd = optim.SGD([p for part in parts for p in part.parameters()], lr=lr, momentum=0.9)
    epochs = lab.epochs(epochs)
    falling = optim.lr_scheduler.LinearLR(sgd, 1.0, 0.1, epochs)
    generator = f.Generator(11)

    def drawn(mean: Any) -> Any:
        return f.bernoulli(mean, generator=generator)

    @compile_function
    def step() -> None:
        x, y = batches.next()
        with no_grad():
            wake = [x]
            for layer in ups:
                wake.append(drawn(f.sigmoid(layer(wake[-1]))))
            seen = f.cat([wake[-1], f.one_hot(y, CLASSES).float()], 1)
            fantasy = net.memory.gibbs(seen, k)
            sleep = [fantasy[:, : net.width]]
            for layer in downs[:0:-1]:
                sleep.insert(0, drawn(f.sigmoid(layer(sleep[0]))))
            sleep.insert(0, f.sigmoid(downs[0](sleep[0])))
        loss = size * (net.memory.free_energy(seen) - net.memory.free_energy(fantasy)).mean()
        for i, (up, down) in enumerate(zip(ups, downs, strict=True)):
            loss = loss + cross_entropy(down(wake[i + 1]), wake[i], reduction="sum")
            loss = loss + cross_entropy(up(sleep[i]), sleep[i + 1], reduction="sum")
        sgd.zero_grad()
        (loss / size).backward()
        sgd.step()

    for epoch in range(epochs):
        step.repeat(len(batches))
        falling.step()
        lab.tell("up-down", epoch + 1, epochs)


def told_apart(
    report: Report, net: BeliefNet, data: Images, what: str, most: float, reported: str
) -> None:
    """Test errors of the label with the lowest free energy, after one way up without chance."""
    name = compile_function(lambda v: net.memory.label_logits(net.up(v)).argmax(1))
    parts = np.array_split(data.x_test, max(1, len(data.x_test) // 500))
    with no_grad():
        found = np.concatenate([name(f.tensor(part)).numpy() for part in parts])
    error = 100 * float((found != data.y_test).mean())
    report.add(
        f"belief net, {what}",
        f"test error {error:.2f} %",
        error <= most,
        reported=reported,
        criterion=f"at most {most:g} %",
        error=error,
    )


def recall(lab: Lab, net: BeliefNet, each: int) -> Array:
    """Images of each class, (classes, images, side²).

    Its label is held on in the memory for 1,000 steps of Gibbs sampling that begin at random units,
    then one way down.
    """
    labels = np.repeat(np.arange(CLASSES), each)
    noise = np.random.default_rng(0).random((len(labels), net.width)) < 0.5
    first = np.concatenate([noise, np.eye(CLASSES)[labels]], 1).astype("float32")
    held = f.tensor(np.arange(net.width + CLASSES) >= net.width)
    steps = lab.epochs(STEPS_OF_GIBBS)

    def generate(v: Any) -> Any:
        h = net.memory.hidden_mean(net.memory.gibbs(v, steps, clamp=held))
        return net.down(net.memory.visible_mean(h)[:, : net.width])

    with no_grad():
        made = compile_function(generate)(f.tensor(first)).numpy()
    return np.asarray(made.reshape(CLASSES, each, -1))


def recognized(judge: nn.Module, made: Array) -> float:
    """How many of these images (classes, images, side²) the judge takes for their class, in %."""
    with no_grad():
        said = judge(made.reshape(-1, made.shape[-1])).numpy().argmax(1)
    return 100 * float((said.reshape(made.shape[:2]) == np.arange(CLASSES)[:, None]).mean())
