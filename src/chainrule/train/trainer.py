"""Trainer: fit, evaluate and predict, with the whole loop in native code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import OptionError
from ..habits import FIT, FIT_SYNONYMS, TRAINER, Renamed, knows, no_attribute
from ..nn.module import Module
from ..nn.options import Constraint, check, choice, integer, number, optional
from ..optim.optimizer import Optimizer
from ..tensor.capture import active
from .alone import one_thread
from .evaluator import Evaluator
from .inspect.diagnosis import Diagnosis, diagnose
from .inspect.lr_finder import LRSearch, find_lr
from .interrupt import interruptible
from .listeners.early_stopping import EarlyStopping, early_stopping_of
from .listeners.given import as_callbacks
from .loop import Loop
from .measure.history import History
from .measure.measures import Measures
from .rows.loaders import gives_batches, training_rows
from .run import Plan
from .state.checkpoint import as_checkpoint, read_file, save_state
from .state.meta import HISTORY
from .state.snapshot import restore, state_of
from .step import given

BATCH = 32
_FIT: dict[str, Constraint] = {
    "epochs": integer(1),
    "batch_size": integer(1),
    "validation_split": number(0, 1, "[)"),
    "max_seconds": optional(number(0, brackets="()")),
    "shuffle": choice(True, False),
    "progress": choice(True, False, None),
    "diagnose": choice(True, False),
    "group_by_length": choice(True, False),
}


class Trainer(Evaluator):
    """Trains a model: draws minibatches, back-propagates and updates in one native program.

    ``loss``: a loss of `nn` or its name ("cross_entropy", "mse"), or a function (prediction,
    target) -> scalar tensor; a list or dict of them for a model with several outputs, weighed by
    ``loss_weights``. ``optimizer``: one of `optim`, or the name or class of one, which then has its
    defaults and all parameters of the model. ``metrics``: names, `Metric` objects or functions,
    computed in the program (for several outputs: a dict output -> metrics); those given to `fit`
    take their place. ``scheduler``: a learning rate schedule, stepped after each epoch or, with
    ``scheduler_interval="step"``, after each update, inside the program. ``clip_norm``,
    ``clip_value``: bounds on the gradients. ``accumulate``: batches per update. ``seed``: of the
    order of the rows. ``seeds``: how many nets, or the seeds of them: makes a `SeedTrainer`, which
    trains them all; ``vary``: what differs between them.

    A subclass may override `training_step` (and `forward`).

    Several threads may call `predict` and `evaluate`: they take turns, also with other Trainers of
    the same model. While one trains it, the others get a `ThreadError`.

    >>> import numpy as np, chainrule as cr
    >>> from chainrule import nn, optim
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    >>> y = np.array([[0], [1], [1], [0]], "float32")
    >>> _ = cr.manual_seed(4)
    >>> net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    >>> adam = optim.Adam(net.parameters(), lr=0.1)
    >>> trainer = cr.Trainer(net, loss=nn.BCEWithLogitsLoss(), optimizer=adam)
    >>> history = trainer.fit(x, y, epochs=100, batch_size=4, metrics=["accuracy"], progress=False)
    >>> history["accuracy"][-1]
    1.0
    """

    schedule = Renamed("a Trainer", "Trainer")
    _of_seeds: ClassVar[Any] = None  # `SeedTrainer`, which is made of this class

    def __new__(cls, *args: Any, seeds: Any = None, **options: Any) -> Any:
        """A trainer of one net or, with ``seeds``, a `SeedTrainer`."""
        if seeds is None:
            if options.get("vary") is not None:
                raise OptionError("Trainer: vary gives each of several seeds a number; add seeds=")
            return super().__new__(cls)
        return Trainer._of_seeds(*args, seeds=seeds, kind=cls, **options)

    @knows(TRAINER)
    def __init__(
        self,
        model: Module,
        loss: Any,
        optimizer: Optimizer | type[Optimizer] | str,
        scheduler: Any = None,
        metrics: Any = None,
        seed: int = 0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        loss_weights: Any = None,
        scheduler_interval: str = "epoch",
        *,
        seeds: Any = None,
        vary: Any = None,
    ) -> None:
        """Raises OptionError for arguments that do not fit together."""
        parts = model, loss, optimizer, scheduler, loss_weights
        options = seed, clip_norm, clip_value, accumulate, scheduler_interval
        super().__init__(*parts, *options, metrics=metrics)

    # -- training ----------------------------------------------------------------------------------
    @knows(FIT, FIT_SYNONYMS)
    @interruptible
    @one_thread(long=True)
    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int = 10,
        batch_size: int = BATCH,
        *,
        validation_data: Any = None,
        validation_split: float = 0.0,
        metrics: Any = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: Any = None,
        group_by_length: bool = False,
        progress: bool | None = None,
        callbacks: Any = None,
        checkpoint: Any = None,
        early_stopping: EarlyStopping | int | bool | None = None,
        max_seconds: float | None = None,
        diagnose: bool = True,
    ) -> History:
        """Train for ``epochs`` passes over the rows of ``x`` and ``y``; returns the `History`.

        The history goes on over all calls, and after `load`: ``len(history) == trainer.epoch``.

        ``x``, ``y``: arrays, tensors or tables with one row per example; a tuple or dict for
        several inputs or outputs; or ``x`` alone, a `DataLoader` (ours or PyTorch's), whose rows
        are read once, or `data.Batches`, whose rows, batch size and ``augment`` are taken: each
        example is changed inside the step, by random numbers of (the Trainer's seed, epoch, row).
        If the model's forward takes ``lengths``, ``x`` may be a list of sequences of
        unequal length, padded here, and ``y`` a list with a target for each step: padding counts in
        no loss and no metric. ``group_by_length``: batches are of sequences of similar length, and
        no longer than those (up to 8 lengths, a program for each; rows are shuffled among those of
        their length). ``validation_data``: (x, y) or (x, y,
        sample_weight), measured after each epoch; or ``validation_split``, the share of rows taken
        from the end. ``metrics``: the Trainer's from now on.
        ``sample_weight``: one number per row, of which only ratios matter; ``class_weight``: a dict
        or "balanced" (weights are for the loss; metrics count every row alike).
        ``early_stopping``: an `EarlyStopping`, or its patience. ``checkpoint``: a folder; a run
        found there is continued, one of other options, another model or other data is refused.
        ``progress``: a live display (None: if stderr is a terminal).
        ``diagnose``: look at units, gradients and updates now and then (1 % of the time), and warn
        (`TrainingWarning`) if the training goes nowhere because of them.

        Raises DataError, ShapeError, DTypeError or OptionError before any training if something is
        wrong; `NonFiniteLossError` at the first loss that is NaN or infinite. Ctrl-C raises
        KeyboardInterrupt between two steps, after a checkpoint; the model is as trained so far or,
        with early stopping, has the best epoch's weights. A second Ctrl-C ends at once. After an
        error of a callback the model is as trained so far, and `restore_best` goes back to what
        early stopping kept.
        """
        shuffle = bool(shuffle) if isinstance(shuffle, np.bool_) else shuffle
        asked = locals()
        check("fit", _FIT, {name: asked[name] for name in _FIT})
        if active.capture is not None:
            raise OptionError("fit: call it outside of compiled functions")
        augment, drop_last = None, False
        if gives_batches(x):
            rows = training_rows(x, y, batch_size, BATCH, shuffle)
            x, y, batch_size, shuffle, augment, drop_last = rows  # type: ignore[assignment]
        listeners = as_callbacks(callbacks) + early_stopping_of(early_stopping)
        data, validation = given.training_sets(
            self._steps,
            x,
            y,
            int(batch_size),
            shuffle,
            validation_data,
            validation_split,
            sample_weight=sample_weight,
            class_weight=class_weight,
            group_by_length=group_by_length,
            augment=augment,
            drop_last=drop_last,
        )
        self.has_validation = validation is not None
        with self._mode(True):
            wanted = self.metrics if metrics is None else metrics
            self._compiled = given.with_metrics(self._steps, wanted, data)
            self._metrics = wanted
            folder, look = as_checkpoint(checkpoint), bool(diagnose)
            parts = (data, validation, int(epochs), max_seconds, progress, listeners, folder, look)
            history: History = self._run(Plan(*parts))
            return history

    def _run(self, plan: Plan) -> Any:
        return Loop(self._steps, plan).run()

    def train_on_batch(
        self, x: Any, y: Any = None, *, sample_weight: Any = None, class_weight: Any = None
    ) -> dict[str, float]:
        """One step with these rows; returns loss and metrics, by name. It is an epoch of one step:
        schedules go on, and the history grows by one. `fit` is the quicker way to many steps.
        """
        first = next(iter(x.values())) if isinstance(x, Mapping) else x
        rows = len(first[0] if isinstance(first, tuple) else first)
        options = {"sample_weight": sample_weight, "class_weight": class_weight}
        found = self.fit(x, y, 1, rows, shuffle=False, progress=False, diagnose=False, **options)
        return Measures({name: values[-1] for name, values in found.items() if values})

    # -- looking at it -----------------------------------------------------------------------------
    @one_thread(long=True)
    def find_lr(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        *,
        start: float = 1e-6,
        stop: float = 10.0,
        steps: int = 100,
    ) -> LRSearch:
        """Raise the learning rate from ``start`` to ``stop`` over ``steps`` batches, and look.

        Ends early where the loss grows fourfold. See ``.suggestion``, ``.table()`` and
        ``.plot(path)``.
        """
        check("find_lr", {"batch_size": integer(1)}, {"batch_size": batch_size})
        data, _ = given.training_sets(self._steps, x, y, int(batch_size), True)
        with self._mode(True):
            return find_lr(given.with_metrics(self._steps, None, data), data, start, stop, steps)

    @one_thread()
    def diagnose(self, x: Any, y: Any = None, *, rows: int = 256) -> Diagnosis:
        """Look at one step on the first ``rows`` rows: its units, gradients and updates.

        Nothing is changed; ``print`` the result.
        """
        check("diagnose", {"rows": integer(1)}, {"rows": rows})
        data, _ = given.training_sets(self._steps, x, y, int(rows), False)
        with self._mode(True):
            return diagnose(self._steps, data, np.arange(min(rows, data.rows)))

    # -- state -------------------------------------------------------------------------------------

    @one_thread()
    def save(self, path: str | Path) -> Path:
        """Write the whole state into a file.

        Weights, optimizer, schedule, counters, random numbers and history.

        Weights alone: `Module.state_dict`. The file is written whole or not at all. Raises
        WriteError if its folder does not exist or nothing can be written there.
        """
        return save_state(path, state_of(self, self._steps))

    @one_thread()
    def load(self, path: str | Path) -> None:
        """Take back what `save` (or a checkpoint of `fit`) wrote; `fit` goes on from there.

        Raises CheckpointError, and changes nothing, if the file is damaged or of another model or
        optimizer.
        """
        state = read_file(Path(path))
        kept = ("model.", "optimizer.", "generator.", "best.", HISTORY)
        state.arrays = {k: v for k, v in state.arrays.items() if k.startswith(kept)}
        restore(self, self._steps, state, str(path), only=kept)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise no_attribute("a Trainer", "Trainer", name)

    def __repr__(self) -> str:
        return (
            f"Trainer({type(self.model).__name__}, {type(self.optimizer).__name__}, epoch "
            f"{self.epoch}, step {self.step})"
        )
