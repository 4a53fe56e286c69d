"""Trainer: fit, evaluate and predict, with the whole loop in native code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..core import dtypes as dt
from ..core.host.whole_file import whole_file
from ..core.node import Array
from ..errors import OptionError, ShapeError
from ..habits import (
    EVALUATE,
    EVALUATE_SYNONYMS,
    FIT,
    FIT_SYNONYMS,
    PREDICT,
    PREDICT_SYNONYMS,
    knows,
    no_attribute,
)
from ..nn.module import Module
from ..nn.options import Constraint, check, choice, integer, number, optional
from ..optim.lbfgs import LBFGS
from ..optim.optimizer import Optimizer
from ..tensor.capture import active
from ..tensor.tensor import Tensor
from ..tensor.value import Value, stored
from .alone import one_thread
from .arrays import arrays_of
from .callbacks import EarlyStopping
from .checkpoint import as_checkpoint, read_file, to_bytes
from .dataset import EVALUATION_BATCH, Dataset, evaluation_data, training_data
from .diagnosis import Diagnosis, diagnose
from .fitting import Fit
from .given_callbacks import as_callbacks
from .history import History
from .interrupt import interruptible
from .loaders import gives_batches, rows_of, training_rows
from .lr_finder import LRSearch, find_lr
from .measures import Measures
from .meta import HISTORY
from .meter import Meter, named_metrics
from .metrics import Metric
from .names import optimizer_of
from .objective import BatchLoss, Objective, prepare_targets
from .plan import Plan
from .probabilities import probabilities
from .sequences import padded_data, steps_there
from .snapshot import restore, state_of
from .steps import Steps, tensors_in

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
_TRAINER: dict[str, Constraint] = {
    "accumulate": integer(1),
    "clip_norm": optional(number(0, brackets="()")),
    "clip_value": optional(number(0, brackets="()")),
    "seed": integer(),
    "schedule": choice("epoch", "step"),
}


class Trainer:
    """Trains a model: draws minibatches, back-propagates and updates in one native program.

    ``loss``: a loss of `nn` or its name ("cross_entropy", "mse"), or a function (prediction,
    target) -> scalar tensor; a list or dict of them for a model with several outputs, weighed by
    ``loss_weights``. ``optimizer``: one of `optim`, or the name or class of one, which then has its
    defaults and all parameters of the model. ``metrics``: names, `Metric`
    objects or functions, computed in the program (for several outputs: a dict output -> metrics).
    ``scheduler``: a learning rate schedule, stepped after each epoch or, with ``schedule="step"``,
    inside the program. ``clip_norm``, ``clip_value``: bounds on the gradients. ``accumulate``:
    batches per update. ``seed``: of the order of the rows. ``seeds``: how many nets, or the seeds
    of them: makes a `SeedTrainer`, which trains them all; ``vary``: what differs between them.

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

    _watched_ = ("model", "optimizer", "objective")
    _of_seeds: ClassVar[Any] = None  # `SeedTrainer`, which is made of this class

    def __new__(cls, *args: Any, seeds: Any = None, **options: Any) -> Any:
        """A trainer of one net or, with ``seeds``, a `SeedTrainer`."""
        if seeds is None:
            if options.get("vary") is not None:
                raise OptionError("Trainer: vary gives each of several seeds a number; add seeds=")
            return super().__new__(cls)
        return Trainer._of_seeds(*args, seeds=seeds, kind=cls, **options)

    def __init__(
        self,
        model: Module,
        loss: Any,
        optimizer: Optimizer | type[Optimizer] | str | None = None,
        scheduler: Any = None,
        metrics: Any = None,
        seed: int = 0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        loss_weights: Any = None,
        schedule: str = "epoch",
        *,
        seeds: Any = None,
        vary: Any = None,
    ) -> None:
        """Raises OptionError for arguments that do not fit together."""
        used = _check_kinds(model, optimizer_of(model, optimizer))
        options = {"clip_norm": clip_norm, "clip_value": clip_value, "seed": seed}
        check("Trainer", _TRAINER, {"accumulate": accumulate, **options, "schedule": schedule})
        self.model, self.optimizer, self.schedule = model, used, schedule
        self.schedulers = _schedulers(scheduler, used)
        self._loss, self._loss_weights = loss, loss_weights
        self.objective = Objective(loss, loss_weights)
        self._metrics, self.seed = metrics, int(seed)
        self.clip_norm, self.clip_value, self.accumulate = clip_norm, clip_value, accumulate
        self._check_parts()
        self.history = History()
        self.epoch = 0
        """Epochs finished, over all calls of `fit`."""
        self.step = 0
        """Batches used, over all calls of `fit`."""
        self.has_validation = False
        self.first_loss: float | None = None
        """The loss of some rows before the first step, where a `Watch` has measured it."""
        self._best: dict[str, Array] | None = None
        self.weights_of_epoch: Callable[[], dict[str, Array]] | None = None
        """While callbacks are told late of an epoch: the weights after it."""
        self._stop = ""
        self._batch: tuple[int, Tensor | None, Tensor | None] = (0, None, None)
        self._batch_loss: BatchLoss | None = None
        self._started: dict[Path, dict[str, Any]] = {}  # checkpoint folders: how runs there began
        self._used_metrics: list[tuple[Any, str, Metric]] = []
        self._given_metrics: Any = ()
        self._steps = Steps(self, Meter(self.objective, []), Meter(self.objective, []))

    # -- its parts, any of which may be replaced between two calls ---------------------------------
    @property
    def loss(self) -> Any:
        """The loss, or the list or dict of losses; another one is used from the next call on."""
        return self._loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        self._replace_objective(loss, self._loss_weights)

    @property
    def loss_weights(self) -> Any:
        """The weights of several losses."""
        return self._loss_weights

    @loss_weights.setter
    def loss_weights(self, weights: Any) -> None:
        self._replace_objective(self._loss, weights)

    def _replace_objective(self, loss: Any, weights: Any) -> None:
        self.objective = Objective(loss, weights)
        self._loss, self._loss_weights = loss, weights
        self._forget_metrics()

    @property
    def metrics(self) -> Any:
        """The metrics, as they were given; others are measured from the next call on."""
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._metrics = metrics
        self._forget_metrics()

    def _forget_metrics(self) -> None:
        """Make the meters anew before they are used again."""
        self._used_metrics, self._given_metrics = [], ()
        self._steps = Steps(self, Meter(self.objective, []), Meter(self.objective, []))

    @property
    def scheduler(self) -> Any:
        """The schedule (or the list of several); another one is stepped from now on."""
        return self.schedulers[0] if len(self.schedulers) == 1 else self.schedulers or None

    @scheduler.setter
    def scheduler(self, scheduler: Any) -> None:
        self.schedulers = _schedulers(scheduler, self.optimizer)

    @property
    def _modules(self) -> list[Module]:
        """The model, and the losses that are modules."""
        return [self.model, *(p.loss for p in self.objective.parts if isinstance(p.loss, Module))]

    def _check_parts(self) -> None:
        """Whether model, optimizer and schedule belong together: at first, and before each
        training, for they may have been replaced."""
        _check_kinds(self.model, self.optimizer)
        _schedulers(self.schedulers, self.optimizer)
        own = {id(p) for m in self._modules for p in m.parameters()}
        used = [p for group in self.optimizer.param_groups for p in group["params"]]
        strangers = [p for p in used if id(p) not in own]
        if strangers:
            shapes = ", ".join(str(p.shape) for p in strangers[:4]) + (
                ", ..." if len(strangers) > 4 else ""
            )
            raise OptionError(
                f"Trainer: {len(strangers)} of {len(used)} parameters of the optimizer (shapes "
                f"{shapes}) are not in the"
                " model; make the optimizer from model.parameters() of the model that is trained"
                + self._how_to_replace()
            )
        frozen = [p for p in used if p.requires_grad]
        if not frozen:
            raise OptionError(
                "Trainer: all parameters of the optimizer are frozen (requires_grad=False)"
            )

    def _how_to_replace(self) -> str:
        """What to write once the trainer exists: a layer or the model was replaced."""
        if not hasattr(self, "_steps"):
            return ""
        name = type(self.optimizer).__name__
        return f": trainer.optimizer = optim.{name}(trainer.model.parameters(), ...)"

    # -- what a subclass may change ----------------------------------------------------------------
    def forward(self, x: Any) -> Any:
        """The prediction for a batch: ``model(x)``; a tuple of inputs are arguments, a dict named
        ones."""
        if isinstance(x, Mapping):
            return self.model(**x)
        return self.model(*x) if isinstance(x, tuple) else self.model(x)

    def training_step(self, x: Any, y: Any) -> Any:
        """The loss of a batch, or (loss, prediction); a subclass may compute anything here.

        Runs once, to be compiled: only tensor operations. Metrics need the prediction.

        >>> import chainrule as cr
        >>> class L1(cr.Trainer):
        ...     def training_step(self, x, y):
        ...         prediction = self.forward(x)
        ...         penalty = sum(abs(p).sum() for p in self.model.parameters())
        ...         return self.compute_loss(prediction, y) + 1e-4 * penalty, prediction
        """
        prediction = self.forward(x)
        return self.compute_loss(prediction, y), prediction

    def compute_loss(self, prediction: Any, y: Any) -> Tensor:
        """The loss of this trainer for a prediction, with the row weights of the batch."""
        self._batch_loss = found = self.objective(prediction, y, *self._batch)
        return found.total

    def after_update(self) -> None:
        """After each update, inside the compiled step: tensor operations and ``assign`` (an average
        of weights)."""

    def _loss_of_step(
        self, x: Any, y: Any, rows: int, weight: Tensor | None, padded: bool = False
    ) -> tuple[Tensor, Any, BatchLoss]:
        steps = steps_there(y, x["lengths"]) if padded else None
        self._batch = (rows, weight, steps)
        self._batch_loss = None
        result = self.training_step(x, y)
        loss, prediction = result if isinstance(result, tuple) else (result, None)
        if not isinstance(loss, Tensor):
            raise OptionError(
                "training_step must return a scalar tensor, or (loss, prediction); got "
                f"{_kind(loss)}"
            )
        if loss.shape != ():
            raise OptionError(
                f"training_step must return a scalar loss, got shape {loss.shape}; end with .mean()"
            )
        if prediction is None and self._used_metrics:
            raise OptionError(
                "metrics need the prediction: let training_step return (loss, prediction)"
            )
        made = self._batch_loss
        return loss, prediction, BatchLoss(loss, rows, made.parts if made else {}, steps)

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
        are read once. If the model's forward takes ``lengths``, ``x`` may be a list of sequences of
        unequal length, padded here, and ``y`` a list with a target for each step: padding counts in
        no loss and no metric. ``group_by_length``: batches are of sequences of similar length, and
        no longer than those (up to 8 lengths, a program for each; rows are shuffled among those of
        their length). ``validation_data``: (x, y) or (x, y,
        sample_weight), measured after each epoch; or ``validation_split``, the share of rows taken
        from the end.
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
        check(
            "fit",
            _FIT,
            {
                "epochs": epochs,
                "batch_size": batch_size,
                "validation_split": validation_split,
                "max_seconds": max_seconds,
                "shuffle": bool(shuffle) if isinstance(shuffle, np.bool_) else shuffle,
                "progress": progress,
                "diagnose": diagnose,
                "group_by_length": group_by_length,
            },
        )
        if active.capture is not None:
            raise OptionError("fit: call it outside of compiled functions")
        if gives_batches(x):
            x, y, batch_size, shuffle = training_rows(x, y, batch_size, BATCH, shuffle)  # type: ignore[assignment]
        if gives_batches(validation_data):
            validation_data = rows_of("fit: validation_data", validation_data)[:2]
        self._check_parts()
        stopping = _early_stopping(early_stopping)
        listeners = as_callbacks(callbacks) + ([stopping] if stopping else [])
        x, y = self._padded("fit", x, y)
        if isinstance(validation_data, tuple | list) and len(validation_data) in (2, 3):
            pair = self._padded("fit: validation_data", *validation_data[:2])
            validation_data = (*pair, *validation_data[2:])
        data, validation = training_data(
            self._float_dtype(),
            x,
            y,
            int(batch_size),
            shuffle,
            validation_data,
            validation_split,
            sample_weight,
            class_weight,
            self.objective.ignore_index,
            group_by_length,
        )
        data = self._checked("fit", data)
        if validation is not None:
            where = "fit" if validation_data is None else "fit: validation_data"
            validation = self._checked(where, validation)
        self.has_validation = validation is not None
        with self._mode(True):
            self._use_metrics(self.metrics if metrics is None else metrics, data)
            plan = Plan(
                data,
                validation,
                int(epochs),
                max_seconds,
                progress,
                listeners,
                as_checkpoint(checkpoint),
                bool(diagnose),
            )
            return self._run(plan)

    def _run(self, plan: Plan) -> History:
        return Fit(self, self._steps, plan).run()

    def _padded(self, where: str, x: Any, y: Any) -> tuple[Any, Any]:
        """Lists of sequences as padded arrays, where the model takes lengths."""
        return padded_data(where, self.model, self.objective.padding_label, x, y)

    def _training_data(self, x: Any, y: Any, batch: int, shuffle: bool) -> Dataset:
        self._check_parts()
        x, y = self._padded("fit", x, y)
        data, _ = training_data(self._float_dtype(), x, y, batch, shuffle)
        return self._checked("fit", data)

    def _checked(self, where: str, data: Dataset) -> Dataset:
        """The data after a look at what the model makes of it: layers fit, labels are in range."""
        with self._mode(False):
            prediction = self._probe(where, data)
        assert data.y is not None
        y = prepare_targets(where, self.objective, data.y, prediction)
        return replace(data, y=y)

    def _probe(self, where: str, data: Dataset) -> Any:
        """A prediction without numbers. Raises ShapeError where ``x`` is one row without the axis
        of rows: a vector that the model takes as a row, but not in any number."""
        vectors = [n for n, a in zip(data.x.names, data.x.arrays, strict=True) if a.ndim == 1]
        problem = ""
        try:
            prediction, _ = self._steps.probe(data)
        except ShapeError as error:
            if not vectors:
                raise
            problem = f": {str(error).splitlines()[0]}"
        if not vectors or not problem and self._takes_any_rows(data):
            return prediction
        name, n = vectors[0], data.rows
        raise ShapeError(
            f"{where}: {name} has shape ({n},), {n} rows of one number each, which the model does "
            f"not take; for one row of {n} features write {name}[None], for {n} rows of one feature"
            f" {name}[:, None]{problem}"
        )

    def _takes_any_rows(self, data: Dataset) -> bool:
        """Whether one row more than a batch has makes one prediction more."""
        try:
            found, _ = self._steps.probe(data, 1)
        except ShapeError:
            return False
        first = found[0] if isinstance(found, tuple) else found
        rows = min(data.batch, data.rows) + 1
        return not isinstance(first, Tensor) or first.shape[:1] == (rows,)

    def train_on_batch(
        self, x: Any, y: Any = None, *, sample_weight: Any = None, class_weight: Any = None
    ) -> dict[str, float]:
        """One step with these rows; returns loss and metrics, by name. It is an epoch of one step:
        schedules go on, and the history grows by one. `fit` is the quicker way to many steps.
        """
        rows = len(next(iter(x.values())) if isinstance(x, Mapping) else x)
        if isinstance(x, tuple):
            rows = len(x[0])
        options = {"sample_weight": sample_weight, "class_weight": class_weight}
        found = self.fit(x, y, 1, rows, shuffle=False, progress=False, diagnose=False, **options)
        return Measures({name: values[-1] for name, values in found.items() if values})

    def _use_metrics(self, given: Any, data: Dataset) -> None:
        """Make meters for these metrics (the compiled steps are kept while the metrics stay the
        same)."""
        key = _metric_key(given)
        if key != self._given_metrics:
            self._used_metrics = named_metrics(given, self.objective, data.y)
            self._given_metrics = key
            self._steps = Steps(
                self,
                Meter(self.objective, self._used_metrics),
                Meter(self.objective, self._used_metrics),
            )
        if not self._used_metrics:
            return
        with self._mode(False):
            prediction, target = self._steps.probe(data)
        self._steps.meter.prepare(prediction, target)
        self._steps.eval_meter.prepare(prediction, target)

    # -- evaluation --------------------------------------------------------------------------------
    @knows(EVALUATE, EVALUATE_SYNONYMS)
    @one_thread()
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = EVALUATION_BATCH,
        *,
        sample_weight: Any = None,
        metrics: Any = None,
    ) -> dict[str, float]:
        """Loss and metrics over the rows of ``x`` and ``y``, in evaluation mode; nothing is
        changed.

        The result does not depend on ``batch_size``: it is over all rows that count. A dict by
        name; unpacking it is a TypeError.
        """
        check("evaluate", {"batch_size": integer(1)}, {"batch_size": batch_size})
        if gives_batches(x) and y is None:
            x, y = rows_of("evaluate", x)[:2]
        x, y = self._padded("evaluate", x, y)
        data = evaluation_data(
            "evaluate",
            self._float_dtype(),
            x,
            y,
            sample_weight,
            int(batch_size),
            self.objective.ignore_index,
        )
        data = self._checked("evaluate", data)
        if metrics is not None or not self._used_metrics:
            self._use_metrics(self.metrics if metrics is None else metrics, data)
        else:
            with self._mode(False):
                self._steps.eval_meter.prepare(*self._steps.probe(data))
        return Measures(self._evaluate(data))

    def _evaluate(self, data: Dataset, prefix: str = "") -> dict[str, float]:
        steps = self._steps
        steps.eval_meter.reset()
        steps.eval_cursor.start()
        with self._mode(False):
            for rows, _, n, length in data.turns(1):
                steps.run_evaluation(data, rows, n, length)
        return steps.eval_meter.logs(prefix)

    @knows(PREDICT, PREDICT_SYNONYMS)
    @one_thread()
    def predict(self, x: Any, batch_size: int = EVALUATION_BATCH) -> Any:
        """The model's outputs for the rows of ``x``, in evaluation mode, as NumPy arrays.

        A last batch that is smaller is filled up with copies of its last row, so that few sizes are
        compiled.
        """
        check("predict", {"batch_size": integer(1)}, {"batch_size": batch_size})
        if gives_batches(x):
            x = rows_of("predict", x).x
        x, _ = self._padded("predict", x, None)
        xs = arrays_of("predict", "x", x, self._float_dtype())
        data = Dataset(xs, None, None, int(batch_size), False, where="predict")
        outputs: list[Any] = []
        with self._mode(False):
            _check_rows(data, self._probe("predict", data))
            for start in range(0, data.rows, data.batch):
                stop = min(start + data.batch, data.rows)
                wanted = stop - start
                padded = min(1 << (wanted - 1).bit_length(), int(batch_size))
                tensors = tuple(stored(_rows(a, start, stop, padded)) for a in xs.arrays)
                outputs.append(_numpy(self._predicted(data, tensors), wanted))
        return _joined(outputs)

    @knows(PREDICT, PREDICT_SYNONYMS)
    def predict_proba(self, x: Any, batch_size: int = EVALUATION_BATCH) -> Any:
        """Probabilities, as the loss understands the outputs: the softmax of logits over axis 1
        (``CrossEntropyLoss``), their sigmoid (``BCEWithLogitsLoss``), the exponential of
        log-probabilities (``NLLLoss``).

        Raises OptionError for another loss, or several.
        """
        loss = self.objective.parts[0].loss if self.objective.single else self.loss
        return probabilities(loss, self.predict(x, batch_size))

    def _predicted(self, data: Dataset, tensors: tuple[Tensor, ...]) -> Any:
        return self._steps.run_prediction(data, tensors)

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
        """Raise the learning rate from ``start`` to ``stop`` over ``steps`` batches; the model
        stays as it is.

        Ends early where the loss grows fourfold. See ``.suggestion``, ``.table()`` and
        ``.plot(path)``.
        """
        check("find_lr", {"batch_size": integer(1)}, {"batch_size": batch_size})
        data = self._training_data(x, y, int(batch_size), True)
        with self._mode(True):
            self._use_metrics(None, data)
            return find_lr(self, self._steps, data, start, stop, steps)

    @one_thread()
    def diagnose(self, x: Any, y: Any = None, rows: int = 256) -> Diagnosis:
        """Look at one step on the first ``rows`` rows: dead or saturated units, gradients and
        updates by layer.

        Nothing is changed; ``print`` the result.
        """
        check("diagnose", {"rows": integer(1)}, {"rows": rows})
        data = self._training_data(x, y, int(rows), False)
        assert data.y is not None
        some = Dataset(
            data.x.slice(0, rows), data.y.slice(0, rows), None, int(rows), False, data.to_float
        )
        with self._mode(True):
            return diagnose(self, self._steps, some)

    # -- state -------------------------------------------------------------------------------------
    @property
    def trained(self) -> list[Any]:
        """The parameters the optimizer changes."""
        return [
            p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad
        ]

    def name_of(self, parameter: Any) -> str:
        """The name of a parameter in the model."""
        for module in self._modules:
            for name, p in module.named_parameters():
                if p is parameter:
                    return f"`{name}`"
        return f"of shape {parameter.shape}"

    @one_thread()
    def save(self, path: str | Path) -> Path:
        """Write the whole state (weights, optimizer, schedule, counters, random numbers, history)
        into a file.

        Weights alone: `Module.state_dict`. The file is written whole or not at all. Raises
        WriteError if its folder does not exist or nothing can be written there.
        """
        target = Path(path)
        with whole_file(target) as file:
            file.write(to_bytes(state_of(self, self._steps)))
        return target

    @one_thread()
    def load(self, path: str | Path) -> None:
        """Take back what `save` (or a checkpoint of `fit`) wrote; the next `fit` goes on from
        there.

        Raises CheckpointError, and changes nothing, if the file is damaged or of another model or
        optimizer.
        """
        state = read_file(Path(path))
        kept = ("model.", "optimizer.", "generator.", "best.", HISTORY)
        state.arrays = {k: v for k, v in state.arrays.items() if k.startswith(kept)}
        restore(self, self._steps, state, str(path), only=kept)

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the training after the callback that calls this."""
        self._stop = reason

    def model_tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers of the model (and of losses that have some), by name."""
        found: dict[str, Tensor] = {}
        for i, module in enumerate(self._modules):
            prefix = "" if i == 0 else f"loss{i - 1}."
            found |= {prefix + k: p for k, p in module.named_parameters()}
            found |= {prefix + k: b for k, b in module.named_buffers()}
        return found

    @property
    def own_step(self) -> bool:
        """Whether a subclass has a `training_step` or `forward` of its own."""
        kind = type(self)
        return (
            kind.training_step is not Trainer.training_step or kind.forward is not Trainer.forward
        )

    @property
    def measures(self) -> list[str]:
        """The names of what `fit` measures in each epoch."""
        own = ["loss", *(f"{p.name}_loss" for p in self.objective.parts if p.name)]
        own += [name for _, name, _ in self._used_metrics]
        return own + ([f"val_{name}" for name in own] if self.has_validation else [])

    def remember_best(self) -> None:
        """Keep a copy of the weights as they are now (as they were after the epoch, where a
        callback is told of one late)."""
        if self.weights_of_epoch is not None:
            self._best = self.weights_of_epoch()
        else:
            self._best = {k: np.array(t._read()) for k, t in self.model_tensors().items()}

    def restore_best(self) -> None:
        """Go back to the weights kept by `remember_best`, if there are some."""
        if self._best is not None:
            for name, tensor in self.model_tensors().items():
                np.copyto(tensor._storage_for_update(), self._best[name])
            self._best = None

    def _float_dtype(self) -> dt.DType:
        for p in self.model.parameters():
            return dt.float64 if p.dtype == dt.float64 else dt.float32
        return dt.float32

    @contextmanager
    def _mode(self, training: bool) -> Iterator[None]:
        """All modules in training or evaluation mode, and afterwards as they were (frozen ones stay
        in eval)."""
        before = [(m, m._training) for root in self._modules for m in root.modules()]
        try:
            if not training or not self.model._training:
                for root in self._modules:
                    root.train(training)
            yield
        finally:
            for module, mode in before:
                module.training = mode

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise no_attribute("a Trainer", "Trainer", name)

    def __repr__(self) -> str:
        return (
            f"Trainer({type(self.model).__name__}, {type(self.optimizer).__name__}, epoch "
            f"{self.epoch}, step {self.step})"
        )


def _schedulers(given: Any, optimizer: Optimizer) -> list[Any]:
    """One or several schedules, of this optimizer."""
    listed = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for s in listed:
        if isinstance(s, str):
            raise OptionError(
                f"Trainer: scheduler is the text {s!r}; write a schedule of optim.lr_scheduler,"
                " such as CosineAnnealingLR(optimizer, T_max=epochs)"
            )
        if isinstance(s, type) or not hasattr(s, "step"):
            raise OptionError(
                f"Trainer: scheduler must be a schedule of optim.lr_scheduler, got {_kind(s)}"
            )
        if getattr(s, "optimizer", optimizer) is not optimizer:
            raise OptionError(f"Trainer: the {type(s).__name__} was made for another optimizer")
    return listed


def _check_kinds(model: Any, optimizer: Any) -> Optimizer:
    if not isinstance(model, Module):
        raise OptionError(f"Trainer: model must be an nn.Module, got {_kind(model)}")
    if optimizer is None:
        raise OptionError(
            "Trainer: give an optimizer, such as optim.Adam(model.parameters(), lr=1e-3)"
        )
    if not isinstance(optimizer, Optimizer):
        raise OptionError(
            f"Trainer: optimizer must be an optimizer of optim, got {_kind(optimizer)}"
        )
    if isinstance(optimizer, LBFGS):
        raise OptionError(
            "Trainer: LBFGS computes the loss several times in a step and cannot be part of a "
            "compiled loop; call"
            " optimizer.step(closure) in a loop of your own"
        )
    return optimizer


def _kind(x: Any) -> str:
    return f"the class {x.__name__} (add parentheses)" if isinstance(x, type) else type(x).__name__


def _metric_key(given: Any) -> Any:
    """What makes two lists of metrics the same."""
    if isinstance(given, Mapping):
        return tuple((k, _metric_key(v)) for k, v in given.items())
    if isinstance(given, list | tuple):
        return tuple(_metric_key(v) for v in given)
    return given


def _early_stopping(given: Any) -> EarlyStopping | None:
    if given is None or given is False:
        return None
    if given is True:
        return EarlyStopping()
    if isinstance(given, int):
        return EarlyStopping(patience=given)
    if isinstance(given, EarlyStopping):
        return given
    raise OptionError(
        f"fit: early_stopping is an EarlyStopping or its patience, got {_kind(given)}"
    )


def _check_rows(data: Dataset, prediction: Any) -> None:
    """The model returns one output for each row."""
    for t in tensors_in(prediction):
        if t.shape[:1] != (data.batch,):
            raise ShapeError(
                f"predict: the model returns shape {t.shape} for {data.batch} rows; the first axis "
                "must count the rows"
            )


def _rows(array: Array, start: int, stop: int, padded: int) -> Array:
    part = array[start:stop]
    if padded > stop - start:
        part = np.concatenate([part, np.repeat(part[-1:], padded - (stop - start), axis=0)])
    part = part.view()
    part.setflags(write=False)
    return part


def _numpy(output: Any, rows: int) -> Any:
    if isinstance(output, Mapping):
        return {k: _numpy(v, rows) for k, v in output.items()}
    if isinstance(output, tuple | list):
        return tuple(_numpy(v, rows) for v in output)
    return np.asarray(output._read())[:rows] if isinstance(output, Value) else output


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {k: _joined([p[k] for p in parts]) for k in first}
    if isinstance(first, tuple):
        return tuple(_joined(list(p)) for p in zip(*parts, strict=True))
    return np.concatenate(parts) if len(parts) > 1 else np.array(first)
