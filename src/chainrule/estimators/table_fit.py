"""Training a net for a table: from a source to weights, measures and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.node import Array
from ..data import Preprocessor, source_of
from ..data.preprocess import read_answers
from ..data.target import Answers
from ..data.understood import Understood, column_names
from ..errors import DataError, OptionError
from ..train import EarlyStopping, History
from ..train.interrupt import interrupts
from .doubts import doubts
from .importance import ROWS
from .measure import scores_of
from .network import Spec, Training, outputs
from .parts import parts_of
from .said import shown
from .schedule import schedules_of
from .session import Session
from .table_options import TableOptions


@dataclass
class Trained:
    """What `train_table` learned."""

    preprocessor: Preprocessor
    spec: Spec
    weights: dict[str, Array]
    training: dict[str, Any]
    metrics: dict[str, float]
    baseline: dict[str, float]
    test_metrics: dict[str, float] = field(default_factory=dict)
    test_baseline: dict[str, float] = field(default_factory=dict)
    history: History = field(default_factory=History)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    constant: Array = field(default_factory=lambda: np.zeros(1))
    """What the baseline always answers: the mean, or the share of each class."""
    other: bool = False
    """Whether the test is a table of its own, still to be measured."""
    truth: Array | None = None
    """The target of the validation rows, or of the test rows where there are some."""
    answers: Array | None = None
    """Of the same rows, predicted numbers or probabilities."""
    rows: Array | None = None
    """Inputs of some of these rows."""


class _Rows:
    """The rows of a table as a net takes them: those learned from, held out, and for the test."""

    def __init__(self, options: TableOptions, data: Any, target: Any, seed: int) -> None:
        """Raises DataError and OptionError for a table, or options, that no net can learn from."""
        source = source_of(data).read_as(options.reading())
        names, drop = column_names(target), column_names(options.drop)
        self.answers = answers = read_answers(source, names, options.task, drop)
        self.link = _link(options, answers, source, names)
        known = np.flatnonzero(answers.known)
        self.notes: list[str] = []
        if len(known) < source.rows:
            self.notes.append(f"{source.rows - len(known)} rows without a target are left out")
        if len(known) < 5:
            few = "1 row is" if len(known) == 1 else f"{len(known)} rows are"
            raise DataError(f"{source.name}: {few} too few; give at least 5")
        classes = answers.values[known] if answers.classes else None
        self.parts = parts = parts_of(
            source, known, options.validation, options.test, options.split, seed, classes
        )
        learned = np.zeros(source.rows, bool)
        learned[parts.kept] = True
        self.preprocessor = p = Preprocessor.fit(
            source, names, options.task, drop, (), answers, learned, link=self.link
        )
        self.notes += p.notes
        self.x, self.xv, self.xt = _encode(p, source, [parts.kept, parts.validation, parts.test])
        self.y, self.yv = (
            answers.values[i] if answers.classes else p.standardised(answers.values[i])
            for i in (parts.kept, parts.validation)
        )

    def session(self, options: TableOptions, training: Training) -> Session:
        """A net for them, ready to be trained."""
        p, link = self.preprocessor, self.link
        loss = "poisson" if link == "log" else "cross_entropy" if self.answers.classes else "mse"
        activation, dropout = _plain(options.activation), _plain(options.dropout)
        spec = Spec(p.width, tuple(options.hidden), p.outputs, activation, dropout, loss)
        weights = spec.new_weights(training.seed)
        if link == "log":  # the net begins at the mean
            weights[f"layers.{len(spec.hidden)}.bias"][:] = np.log(self.y.mean(0))
        session = Session(spec, weights, training)
        trainer = session.trainer
        trainer.schedulers = schedules_of(options.schedule, trainer.optimizer, training.epochs)
        return session

    def described(self, options: TableOptions) -> dict[str, Any]:
        """What a model file says of them."""
        own: dict[str, Any] = {"schedule": options.schedule, "validation": options.validation}
        own |= {"patience": options.patience}
        own |= {"rows": len(self.x), "validation_rows": len(self.xv)}
        own |= {"test_rows": len(self.xt)} if len(self.xt) else {}
        return own | ({"split": options.split} if options.split != "random" else {})

    def measure(self, found: Trained) -> None:
        """Measure a net by the rows that are held out, and by those for the test."""
        answers, parts = self.answers, self.parts
        found.constant, found.other = _constant(answers, parts.kept), parts.other is not None
        held: list[tuple[Array, Array]] = [(parts.validation, self.xv)]
        held += [(parts.test, self.xt)] if len(self.xt) else []
        for rows, x in held:
            metrics, found.answers = measured(
                self.preprocessor, found.spec, found.weights, answers, rows, x
            )
            baseline = _baseline(answers, found.constant, rows)
            found.truth, found.rows = answers.values[rows], x[:ROWS]
            if x is self.xv:
                found.metrics, found.baseline = metrics, baseline
            else:
                found.test_metrics, found.test_baseline = metrics, baseline


def train_table(
    options: TableOptions,
    data: Any,
    target: Any,
    progress: bool | None,
    callbacks: Any,
    checkpoint: Any,
) -> Trained:
    """Train on a table; see `TableModel.fit`."""
    training = options.for_training()
    rows = _Rows(options, data, target, training.seed)
    p, answers, kept = rows.preprocessor, rows.answers, rows.parts.kept
    session = rows.session(options, training)
    validation: tuple[Array, ...] = (rows.xv, rows.yv)
    by_class = _class_weights(options.class_weight, answers, kept)
    if by_class is not None:
        validation = (*validation, by_class[rows.yv])
    with interrupts() as presses:
        interrupted = session.fit_until_interrupted(
            presses,
            rows.x,
            rows.y,
            None if by_class is None else by_class[rows.y],
            validation,
            EarlyStopping("val_loss", options.patience) if options.patience else None,
            metrics=["accuracy"] if answers.classes else ["mae"],
            progress=progress,
            callbacks=callbacks,
            checkpoint=checkpoint,
        )
        history = session.trainer.history
        said = training.__dict__ | rows.described(options) | {"epochs_run": len(history)}
        found = Trained(p, session.spec, session.weights(), said, {}, {}, notes=rows.notes)
        rows.measure(found)
        found.history = history
        found.interrupted = interrupted or presses.waiting
        presses.answered = presses.answered or found.interrupted
    plain = rows.y if answers.classes else answers.values[kept]
    found.notes += doubts(p, rows.x, plain, found.metrics, found.baseline)
    return found


def _link(options: TableOptions, answers: Answers, source: Understood, names: list[str]) -> str:
    """How numbers follow from outputs; OptionError and DataError where that cannot be."""
    link = "log1p" if options.log_target else "log" if options.loss == "poisson" else ""
    if link and answers.classes:
        what = "log_target" if options.log_target else "loss 'poisson'"
        raise OptionError(
            f"{what} is for numbers; the target {names[0]!r} has classes (task 'regression' makes "
            "numbers of them)"
        )
    if link and np.nanmin(answers.values) < 0:
        raise DataError(
            f"{source.name}: the target has {np.nanmin(answers.values):g}; "
            f"{'log_target' if options.log_target else 'loss poisson'} needs numbers from 0 on"
        )
    return link


def _class_weights(given: Any, answers: Answers, kept: Array) -> Array | None:
    """float32 (classes,): the weight of each class."""
    if given is None:
        return None
    if not answers.classes:
        raise OptionError("class_weight is for classes; this target holds numbers")
    counts = np.bincount(answers.values[kept], minlength=len(answers.classes))
    if given == "balanced":
        return np.asarray(len(kept) / (len(counts) * np.maximum(counts, 1)), np.float32)
    if not isinstance(given, Mapping):
        raise OptionError(f'class_weight is "balanced" or a weight by class, got {given!r}')
    by_name = {str(k): v for k, v in given.items()}
    odd = [k for k in by_name if k not in answers.classes]
    if odd:
        raise OptionError(
            f"class_weight: no class {odd[0]!r}; there are "
            f"{', '.join(map(repr, answers.classes[:8]))}"
        )
    found = np.array([by_name.get(c, 1.0) for c in answers.classes], np.float32)
    if not np.isfinite(found).all() or (found < 0).any() or not (found[answers.values[kept]]).any():
        raise OptionError(f"class_weight: weights are numbers from 0 on, got {dict(given)!r}")
    return found


def measured(
    p: Preprocessor, spec: Spec, weights: Any, answers: Answers, rows: Array, x: Array
) -> tuple[dict[str, float], Array]:
    """The measures of the net on rows of the table, and what it says of them."""
    said = shown(p, outputs(spec, weights, x))
    scores = scores_of(len(p.classes))
    scores.add(answers.values[rows], said)
    return scores.result(), said


def _plain(value: Any) -> Any:
    """One value, or a tuple of one for each layer."""
    return value if isinstance(value, str | int | float) else tuple(value)


def _encode(p: Preprocessor, source: Understood, parts: list[Array]) -> list[Array]:
    """The rows of each part (sorted row numbers), float32, read in one pass."""
    found = [np.empty((len(rows), p.width), np.float32) for rows in parts]
    filled = [0] * len(parts)
    for x, table in p.pieces(source):
        stop = table.first_row + len(x)
        for i, rows in enumerate(parts):
            end = int(np.searchsorted(rows, stop))
            found[i][filled[i] : end] = x[rows[filled[i] : end] - table.first_row]
            filled[i] = end
    return found


def _constant(answers: Answers, kept: Array) -> Array:
    """The mean of the rows learned from, or the share of each class."""
    known = answers.values[kept]
    if answers.classes:
        return np.asarray(np.bincount(known, minlength=len(answers.classes)) / len(known))
    return np.asarray(known.mean(0))


def _baseline(answers: Answers, constant: Array, rows: Array) -> dict[str, float]:
    """The measures of always answering the most frequent class and the shares, or the mean."""
    asked = answers.values[rows]
    scores = scores_of(len(answers.classes))
    scores.add(asked, np.broadcast_to(constant, (len(asked), len(constant))))
    return scores.result()
