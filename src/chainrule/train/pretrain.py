"""Greedy pre-training: layer by layer, each a restricted Boltzmann machine, without labels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.node import Array
from ..errors import DataError, OptionError, ShapeError
from ..nn.activation import Sigmoid
from ..nn.boltzmann import RBM
from ..nn.container import Sequential
from ..nn.linear import Flatten, Identity, Linear
from ..nn.module import Module
from ..nn.options import Constraint, check, choice, integer, number
from ..optim.sgd import SGD
from ..tensor.grad_mode import no_grad
from ..tensor.ops.random import Generator
from .listeners.callbacks import Callback, Logs
from .measure.batch import Batch
from .rows.arrays import arrays_of
from .trainer import Trainer

Watch = Callable[[int, int, float], object]  # layer, epoch (both from 1), error of reconstruction

EARLY_MOMENTUM, EARLY_EPOCHS = 0.5, 5
"""Hinton (2010), A practical guide to training restricted Boltzmann machines, section 9."""
MEASURED_ROWS = 200
"""Rows by which the error of reconstruction is told after each epoch."""

_OPTIONS: dict[str, Constraint] = {
    "epochs": integer(1),
    "batch_size": integer(1),
    "lr": number(0, brackets="()"),
    "linear_lr": number(0, brackets="()"),
    "momentum": number(0, 1, "[)"),
    "weight_decay": number(0),
    "k": integer(1),
    "chains": integer(0),
    "visible": choice("bernoulli", "gaussian"),
    "seed": integer(),
}


def pretrain(
    model: Module,
    x: Any,
    *,
    epochs: int = 10,
    batch_size: int = 100,
    lr: float = 0.1,
    linear_lr: float = 0.001,
    momentum: float = 0.9,
    weight_decay: float = 0.0002,
    k: int = 1,
    chains: int = 0,
    visible: str = "bernoulli",
    seed: int = 0,
    checkpoint: str | Path | None = None,
    watch: Watch | None = None,
) -> list[RBM]:
    """Train the Linear layers of ``model`` one after another as `nn.RBM`, and put weights there.

        Δw(t) = m Δw(t-1) - lr (∂L/∂w + weight_decay w),    L of `RBM.contrastive_divergence`

    ``model``: a Sequential of Linear and Sigmoid; a last Linear without Sigmoid is a code layer of
    linear units, for which the rate is ``linear_lr``. ``x`` (N, features) lies in [0, 1], or is
    standardized where ``visible="gaussian"``. Each layer sees the probabilities of the one below.
    The momentum m is 0.5 for 5 epochs, then ``momentum``; biases do not decay.

    ``k``, ``chains``: Gibbs steps, and persistent chains instead of starting from the data.
    ``seed``: of weights, samples and order; with ``checkpoint``, a folder, a run that was ended is
    continued with the same numbers. ``watch(layer, epoch, error)``: told the squared error of the
    reconstruction of an example (its mean over the first 200) after each epoch.

    Returns the machines, whose generative biases `unroll` needs. Then train as usual, with
    `Trainer`; a layer of outputs is left out here: ``pretrain(net[:-1], x)``.

    Raises OptionError for other layers, DataError and ShapeError for other data. Sources: Hinton,
    Osindero & Teh, "A fast learning algorithm for deep belief nets", 2006; Hinton & Salakhutdinov,
    "Reducing the dimensionality of data with neural networks", 2006 (the defaults).

    >>> import numpy as np, chainrule as cr
    >>> from chainrule import nn, train
    >>> x = np.repeat(np.eye(4, dtype="float32"), 25, axis=0)
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 4), nn.Sigmoid(),
    ...                     nn.Linear(4, 4))
    >>> machines = train.pretrain(net[:-1], x, epochs=20, batch_size=10)
    >>> [m.headline() for m in machines], cr.array_equal(net[0].weight, machines[0].weight)
    (['RBM(4, 8)', 'RBM(8, 4)'], True)
    """
    values = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "linear_lr": linear_lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "k": k,
        "chains": chains,
        "visible": visible,
        "seed": seed,
    }
    check("pretrain", _OPTIONS, values)
    layers = _layers(model)
    first = layers[0][0]
    data = _data("pretrain", x, first.in_features, first.weight.dtype, visible)
    generator = Generator(seed)
    machines: list[RBM] = []
    for depth, (layer, kind) in enumerate(layers, 1):
        machine = RBM(
            layer.in_features,
            layer.out_features,
            visible=visible if depth == 1 else "bernoulli",
            hidden=kind,
            chains=chains,
            generator=generator,
            dtype=layer.weight.dtype,
        )
        trainer = fit_rbm(
            machine,
            data,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr if kind == "bernoulli" else linear_lr,
            momentum=momentum,
            weight_decay=weight_decay,
            k=k,
            seed=seed + depth,
            checkpoint=None if checkpoint is None else Path(checkpoint) / f"layer{depth}",
            watch=None if watch is None else functools.partial(watch, depth),
        )
        _put(layer, machine)
        machines.append(machine)
        if depth < len(layers):
            data = trainer.predict(data)
    return machines


def fit_rbm(
    machine: RBM,
    x: Any,
    *,
    epochs: int = 10,
    batch_size: int = 100,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0002,
    k: int = 1,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    watch: Callable[[int, float], object] | None = None,
) -> Trainer:
    """Train one machine by contrastive divergence; the options are those of `pretrain`.

    ``seed`` is that of the order of the rows; samples are drawn by the machine's own generator.
    ``watch(epoch, error)`` is told of each epoch. Returns the `Trainer`, with history and `save`.

    >>> import numpy as np
    >>> from chainrule import nn, train
    >>> x = np.repeat(np.eye(4, dtype="float32"), 25, axis=0)
    >>> trainer = train.fit_rbm(nn.RBM(4, 8), x, epochs=3, batch_size=10)
    >>> trainer.step, trainer.predict(x).shape
    (30, (100, 8))
    """
    values = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "momentum": momentum}
    values |= {"weight_decay": weight_decay, "k": k, "seed": seed}
    check("fit_rbm", _OPTIONS, values)
    data = _data("fit_rbm", x, machine.visible_features, machine.weight.dtype, machine.visible)
    groups = [
        {"params": [machine.weight], "weight_decay": weight_decay},
        {"params": [machine.visible_bias, machine.hidden_bias]},
    ]
    sgd = SGD(groups, lr=lr, momentum=min(EARLY_MOMENTUM, momentum))
    for group in sgd.param_groups if momentum else ():
        group.track("momentum")  # it changes, and the step stays the same program
    trainer = Pretrainer(machine, k, sgd, seed)
    trainer.fit(
        data,
        data,
        epochs,
        batch_size,
        progress=False,
        diagnose=False,
        callbacks=[_Progress(data[:MEASURED_ROWS], momentum, watch)],
        checkpoint=checkpoint,
    )
    return trainer


class Pretrainer(Trainer):
    """A `Trainer` whose loss is contrastive divergence; its targets are not looked at."""

    def __init__(self, machine: RBM, k: int, optimizer: SGD, seed: int) -> None:
        super().__init__(machine, _unused, optimizer, seed=seed)
        self.k = k

    def training_step(self, batch: Batch) -> Any:
        """The scalar whose gradient is the rule."""
        return self.model.contrastive_divergence(batch.x, self.k)


def _unused(prediction: Any, target: Any) -> Any:
    return prediction.sum() * 0


class _Progress(Callback):
    """Raises the momentum after the first epochs, and measures."""

    def __init__(
        self, rows: Array, momentum: float, watch: Callable[[int, float], object] | None
    ) -> None:
        self.rows, self.momentum, self.watch = rows, momentum, watch

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Momentum: small at first, while the gradients are large."""
        if trainer.epoch >= EARLY_EPOCHS and self.momentum > EARLY_MOMENTUM:
            for group in trainer.optimizer.param_groups:
                group["momentum"] = self.momentum

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Tell who watches."""
        if self.watch is not None:
            machine = trainer.model
            assert isinstance(machine, RBM)
            with no_grad():
                seen = machine.reconstruct(self.rows).numpy()
            error = float(((self.rows - seen) ** 2).sum(1).mean())
            self.watch(trainer.epoch, error)


def unroll(machines: Sequence[RBM]) -> Sequential:
    """The way back: a Sequential from the top hidden units of ``machines`` to their data.

    Its weights are the transposed ones, its biases the visible ones (copies, untied from now on);
    logistic units, but for a gaussian bottom. ``Sequential(net, unroll(machines))`` is the deep
    autoencoder of Hinton & Salakhutdinov, 2006.

    >>> import chainrule as cr
    >>> from chainrule import nn, train
    >>> machines = [nn.RBM(8, 5), nn.RBM(5, 2, hidden="gaussian")]
    >>> train.unroll(machines)(cr.zeros(3, 2)).shape
    (3, 8)
    """
    machines = list(machines)
    if not machines:
        raise OptionError("unroll: no machine; give the list that pretrain returns")
    found: list[Module] = []
    for machine in reversed(machines):
        if found and found[-2 if isinstance(found[-1], Sigmoid) else -1].out_features != (
            machine.hidden_features
        ):
            raise ShapeError(f"unroll: {machine.headline()} does not fit the one above it")
        found.append(machine.decoder())
        if machine.visible == "bernoulli":
            found.append(Sigmoid())
    return Sequential(*found)


# -- parts -----------------------------------------------------------------------------------------
def _layers(model: Module) -> list[tuple[Linear, str]]:
    """The Linear layers, and the kind of their units. Raises OptionError for any other net."""
    modules = _flat(model)
    if modules and isinstance(modules[0], Flatten):
        modules = modules[1:]
    found: list[tuple[Linear, str]] = []
    for i, module in enumerate(modules):
        after = modules[i + 1] if i + 1 < len(modules) else None
        if isinstance(module, Linear):
            logistic = isinstance(after, Sigmoid)
            if not logistic and after is not None:
                raise _not_logistic(f"Linear is followed by {type(after).__name__}")
            if module.bias is None:
                raise _not_logistic("Linear has no bias")
            found.append((module, "bernoulli" if logistic else "gaussian"))
        elif not isinstance(module, Sigmoid) or i == 0:
            raise _not_logistic(f"{type(module).__name__} is layer {i}")
    if not found:
        raise _not_logistic("it has no layer")
    return found


def _not_logistic(what: str) -> OptionError:
    return OptionError(
        "pretrain: the model must be a Sequential of Linear (with bias) and Sigmoid, for "
        f"restricted Boltzmann machines have logistic units; {what}. Leave out what comes after: "
        "pretrain(net[:-1], x)"
    )


def _flat(model: Module) -> list[Module]:
    if isinstance(model, Sequential):
        return [m for child in model for m in _flat(child)]
    return [] if isinstance(model, Identity) else [model]


def _data(where: str, x: Any, features: int, dtype: DType, visible: str) -> Array:
    """The rows of ``x``, checked against what visible units can be."""
    arrays = arrays_of(where, "x", x, dtype)
    if not arrays.single:
        raise DataError(f"{where}: x is one array or table of features")
    data = np.ascontiguousarray(arrays.arrays[0])
    data = data.reshape(len(data), -1).astype(dtype, copy=False)
    if not len(data):
        raise DataError(f"{where}: x has no rows")
    if data.shape[1] != features:
        raise ShapeError(
            f"{where}: x has {data.shape[1]} features, the first layer expects {features}"
        )
    low, high = float(data.min()), float(data.max())
    if visible == "bernoulli" and not 0 <= low <= high <= 1:
        raise DataError(
            f"{where}: x goes from {low:g} to {high:g}; visible units are probabilities, from 0 to "
            '1: scale x, or standardize it and say visible="gaussian"'
        )
    return data


def _put(layer: Linear, machine: RBM) -> None:
    with no_grad():
        layer.weight.assign(machine.weight.detach())
        assert layer.bias is not None
        layer.bias.assign(machine.hidden_bias.detach())
