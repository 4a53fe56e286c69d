"""SeedTrainer: a Trainer of the nets of many seeds."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ...nn.loss import module_of
from ...nn.module import Module
from ...optim.optimizer import Optimizer
from ...tensor.ops import random
from ..kept import write_array
from ..measure.objective import target_of
from ..names import optimizer_of
from ..rows.dataset import EVALUATION_BATCH, Dataset
from ..run import Plan
from ..state.checkpoint import read_file, save_state
from ..trainer import BATCH, Trainer
from .checkpoints import LOADED, restore, state_of
from .first import FirstStates, Model, first_states, named_tensors, times_gain
from .history import SeedHistory
from .loop import SeedLoop
from .nets import Nets
from .vary import varied


class _One(Trainer):
    """The trainer of one net; its steps are mapped over the seeds, and ``over`` runs them."""

    over: SeedTrainer

    def while_traced(self) -> contextlib.AbstractContextManager[None]:
        return self.over.varied.numbers()

    def _run(self, plan: Plan) -> Any:
        return SeedLoop(self.over, plan).run()

    def _evaluate(self, data: Dataset) -> Any:
        return self.over.passes.evaluate(data)

    def _predicted(self, data: Dataset, tensors: Any) -> Any:
        return self.over.passes.predict(data, tensors)


class SeedTrainer(Nets):
    """Trains the nets of many seeds side by side; ``Trainer(..., seeds=100)`` makes one.

    ``seeds``: how many (0, 1, …), or which. Seed s begins with the net of ``manual_seed(s)``: what
    the function ``model`` makes then, or the module ``model`` with ``reset_parameters`` of all its
    parts; its rows come in the order of ``Trainer(seed=s)``. So each net becomes what it would
    become alone. ``optimizer``: a name, a class, an optimizer of the module's parameters, or a
    function that makes one of a list of parameters; ``scheduler`` may be a function of the
    optimizer. ``vary``: numbers that differ, one for each seed (of "betas" a pair): options of the
    optimizer, "clip_norm" and "clip_value", options of the loss, of all layers that have one of
    this name, or of one ("1.momentum", "encoder.norm.eps"); "dropout" (the probability of all
    dropout layers) and "gain" (which multiplies the first weights of two or more axes).

    All else is as for `Trainer`: any layers, loss, optimizer, metrics. Small nets are the lanes of
    one program; large ones are trained one after another, an epoch each.

    >>> import numpy as np, chainrule as cr
    >>> from chainrule import nn
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    >>> y = np.array([[0], [1], [1], [0]], "float32")
    >>> net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    >>> rates = {"lr": [0.03, 0.1] * 10}
    >>> trainer = cr.Trainer(net, "bce_with_logits", "adam", seeds=20, vary=rates)
    >>> history = trainer.fit(x, y, epochs=100, batch_size=4, progress=False)
    >>> history["loss"].shape, trainer.predict(x).shape
    ((100, 20), (4, 1))
    """

    def __init__(
        self,
        model: Model,
        loss: Any,
        optimizer: Any,
        scheduler: Any = None,
        *,
        seeds: int | Sequence[int],
        vary: Mapping[str, Any] | None = None,
        kind: type[Trainer] = Trainer,
        **options: Any,
    ) -> None:
        """``kind``: the class of Trainer that says what a step is.

        Raises OptionError for arguments that do not fit together.
        """
        numbers = _seeds(seeds)
        if options.pop("seed", 0):
            raise OptionError("Trainer: give seed= or seeds=, not both; seeds=[7] is one net")
        differing = varied(vary, len(numbers))
        first = first_states("Trainer", model, numbers)
        net = first.net
        if isinstance(optimizer, Optimizer):
            if not isinstance(model, Module):
                raise OptionError(
                    "Trainer: the model is a function, and the optimizer was made for a net of "
                    "before; give its name or class, or a function: "
                    "lambda parameters: optim.SGD(parameters, lr=0.1)"
                )
            net = model
        if _is_function(optimizer):
            optimizer = optimizer(list(net.parameters()))
        optimizer = optimizer_of(net, optimizer)
        if _is_function(scheduler):
            scheduler = scheduler(optimizer)
        one = type(kind.__name__, (_One, kind), {"over": self})(
            net, loss, optimizer, scheduler, **options
        )
        if "lr" in differing and one.scheduler_interval == "step" and one.schedulers:
            raise OptionError(
                "Trainer: vary['lr'] with scheduler_interval='step': the rate that the schedule "
                "multiplies is part of the program; use scheduler_interval='epoch'"
            )
        super().__init__(one, numbers, differing)
        self._begin(first)

    def _begin(self, first: FirstStates) -> None:
        """The rows of all that differs between seeds, or that training changes."""
        one, stack = self.one, self.stack
        if "gain" in self.vary:
            names = [name for name, _ in one.model.named_parameters()]
            times_gain(first.tensors, self.vary["gain"], names)
        own = named_tensors(one.model)
        for name, tensor in own.items():
            stack.put(tensor, first.tensors[name])
        stack.put(random.default_generator.key, first.key)
        stack.put(random.default_generator.counter, first.counter)
        for tensor in self.tensors().values():
            stack.add(tensor)

    # -- training ----------------------------------------------------------------------------------
    def fit(
        self, x: Any, y: Any = None, epochs: int = 10, batch_size: int = BATCH, **options: Any
    ) -> SeedHistory:
        """Train all seeds; arguments as of `Trainer.fit`. Returns the `SeedHistory`.

        A seed whose early stopping ends it keeps the weights it has then, or its best ones; one
        whose loss becomes NaN or infinite is left out from then on, with a `TrainingWarning`
        (`NonFiniteLossError` if that happens to all). Callbacks are called once an epoch with this
        trainer and arrays (R,) in ``logs``; `stop` ends all seeds. Checkpoints are written after
        epochs, and a run found in the folder is continued. Ctrl-C is answered soon: all seeds are
        then as after the last whole epoch.
        """
        found: SeedHistory = self.one.fit(x, y, epochs, batch_size, **options)  # type: ignore[assignment]
        return found

    # -- what they learned -------------------------------------------------------------------------
    def evaluate(
        self, x: Any, y: Any = None, batch_size: int = EVALUATION_BATCH, **options: Any
    ) -> dict[str, Array]:
        """Loss and metrics of each seed, arrays (R,) by name; see `Trainer.evaluate`."""
        found: Any = self.one.evaluate(x, y, batch_size, **options)
        return dict(found.items())

    def predict(
        self, x: Any, batch_size: int = EVALUATION_BATCH, *, seed: int | str = "mean"
    ) -> Any:
        """The outputs for the rows of ``x``, as NumPy arrays.

        ``seed``: "mean" for the ensemble of all seeds, "all" for those of each, (R, N, …), "best"
        for the net of `best_seed`, or the number of a seed. The ensemble is the mean of the outputs
        or, where the loss takes logits, of the probabilities, again as logits: softmax (or sigmoid)
        of it is the mean of the nets' probabilities.
        """
        if seed == "best":
            seed = self.best_seed
        if seed not in ("mean", "all"):
            place = self.history.place(seed)  # type: ignore[arg-type]
        outputs = self.one.predict(x, batch_size)
        if seed == "mean":
            return _each(lambda a, key: self._mean(a, key), outputs)
        if seed == "all":
            return _each(lambda a, _: np.moveaxis(a, 1, 0), outputs)
        return _each(lambda a, _: np.ascontiguousarray(a[:, place]), outputs)

    def _mean(self, outputs: Array, key: Any) -> Array:
        """The ensemble's output, of (N, R, …)."""
        if not (outputs.ndim > 1 and outputs.dtype.kind == "f"):
            return np.moveaxis(outputs, 1, 0)
        used = outputs[:, ~self.failed]
        losses = {p.key: module_of(p.loss) for p in self.one.objective.parts}
        loss = losses.get(key, losses.get(None))
        logits = "log" in getattr(loss, "prediction", "")  # of classes: log-probabilities, too
        wide = used.astype(np.float64)
        if logits and target_of(loss) == "labels" and outputs.ndim > 2:
            found = _log_mean(wide - _log_sum(wide, 2), 1)
        elif logits and target_of(loss) == "probabilities":
            found = _log_mean(-np.logaddexp(0, -wide), 1) - _log_mean(-np.logaddexp(0, wide), 1)
        else:
            found = wide.mean(axis=1)
        return found.astype(outputs.dtype)

    @property
    def best_seed(self) -> int:
        """The seed whose "val_loss" (without validation: "loss") is lowest.

        The best of its epochs where early stopping went back to it, otherwise the last one's.
        """
        name = "val_loss" if "val_loss" in self.history else "loss"
        if not len(self.history):
            raise OptionError("SeedTrainer: nothing is trained yet, so no seed is the best")
        values = self._measured(name)
        return self.seeds[int(np.nanargmin(np.where(self.failed, np.nan, values)))]

    def _measured(self, name: str) -> Array:
        """What each seed's net measured: in its best epoch, or in the last one."""
        values = self.history[name][self.best_row, np.arange(len(self.seeds))]
        found: Array = np.where(self.best_row < 0, self.history.last(name), values)
        return found

    def model_of(self, seed: int | str = "best") -> Module:
        """The net of one seed, a module of its own; "best": of `best_seed`."""
        number: Any = self.best_seed if seed == "best" else seed
        place = self.history.place(number)
        net = copy.deepcopy(self.one.model)
        for name, tensor in named_tensors(net).items():
            held = named_tensors(self.one.model)[name]
            write_array(tensor, self.stack.rows(held)[place])
        self.varied.give(net, place)
        return net

    # -- files -------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write the whole state of all seeds into a file; as `Trainer.save`."""
        return save_state(path, state_of(self))

    def load(self, path: str | Path) -> None:
        """Take back what `save` (or a checkpoint of `fit`) wrote; `fit` goes on from there.

        The trainer must be made with the same arguments.
        """
        restore(self, read_file(Path(path)), str(path), only=LOADED)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if hasattr(Trainer, name):
                raise AttributeError(
                    f"a SeedTrainer has no {name}, which is of one net: make a Trainer of one, "
                    "Trainer(trainer.model_of(seed), ...)"
                )
            raise AttributeError(f"a SeedTrainer has no attribute {name!r}")

    def __getstate__(self) -> Any:
        raise TypeError(
            "a SeedTrainer cannot be copied or pickled; write save(path), and load(path) of one "
            "made with the same arguments, or copy the net of one seed: model_of(seed)"
        )

    def __repr__(self) -> str:
        return (
            f"SeedTrainer({type(self.one.model).__name__}, {type(self.one.optimizer).__name__}, "
            f"{len(self.seeds)} seeds, step {self.step})"
        )


def _seeds(given: Any) -> list[int]:
    one = isinstance(given, int | np.integer) and not isinstance(given, bool)
    listed = list(range(int(given))) if one else list(given) if np.iterable(given) else []
    good = all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in listed)
    if not listed or not good or isinstance(given, str):
        raise OptionError(
            "Trainer: seeds is how many there are, at least 1, or a list of integers; got "
            f"{given!r}"
        )
    numbers = [int(s) for s in listed]
    if len(set(numbers)) < len(numbers):
        raise OptionError(
            "Trainer: a seed occurs twice, and its nets would be the same; give each its own"
        )
    return numbers


def _is_function(given: Any) -> bool:
    return callable(given) and not isinstance(given, type) and not hasattr(given, "step")


def _each(function: Callable[[Array, Any], Any], outputs: Any, key: Any = None) -> Any:
    """``function`` of each array in tuples and dicts of outputs, and its key among them."""
    if isinstance(outputs, dict):
        return {k: _each(function, v, k) for k, v in outputs.items()}
    if isinstance(outputs, tuple):
        return tuple(_each(function, v, i) for i, v in enumerate(outputs))
    return function(outputs, key) if isinstance(outputs, np.ndarray) else outputs


def _log_sum(a: Array, axis: int) -> Array:
    """ln Σ eᵃ along an axis, which stays."""
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    found: Array = top + np.log(np.exp(a - top).sum(axis=axis, keepdims=True))
    return found


def _log_mean(a: Array, axis: int) -> Array:
    """ln of the mean of eᵃ along an axis."""
    found: Array = np.squeeze(_log_sum(a, axis), axis) - np.log(a.shape[axis])
    return found


Trainer._of_seeds = SeedTrainer
