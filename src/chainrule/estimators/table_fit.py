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
from .network import Spec, outputs
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
    source = source_of(data).read_as(options.reading())
    names, drop = column_names(target), column_names(options.drop)
    answers = read_answers(source, names, options.task, drop)
    link = _link(options, answers, source, names)
    known = np.flatnonzero(answers.known)
    notes = []
    if len(known) < source.rows:
        notes.append(f"{source.rows - len(known)} rows without a target are left out")
    if len(known) < 5:
        few = "1 row is" if len(known) == 1 else f"{len(known)} rows are"
        raise DataError(f"{source.name}: {few} too few; give at least 5")
    classes = answers.values[known] if answers.classes else None
    parts = parts_of(
        source, known, options.validation, options.test, options.split, training.seed, classes
    )
    learned = np.zeros(source.rows, bool)
    learned[parts.kept] = True
    p = Preprocessor.fit(source, names, options.task, drop, (), answers, learned, link=link)
    notes += p.notes
    x, xv, xt = _encode(p, source, [parts.kept, parts.validation, parts.test])
    y, yv = (
        answers.values[i] if answers.classes else p.standardised(answers.values[i])
        for i in (parts.kept, parts.validation)
    )
    spec = Spec(
        p.width,
        tuple(options.hidden),
        p.outputs,
        _plain(options.activation),
        _plain(options.dropout),
        "poisson" if link == "log" else "cross_entropy" if answers.classes else "mse",
    )
    weights = spec.new_weights(training.seed)
    if link == "log":  # the net begins at the mean
        weights[f"layers.{len(spec.hidden)}.bias"][:] = np.log(y.mean(0))
    session = Session(spec, weights, training)
    trainer = session.trainer
    trainer.schedulers = schedules_of(options.schedule, trainer.optimizer, training.epochs)
    by_class = _class_weights(options.class_weight, answers, parts.kept)
    with interrupts() as presses:
        interrupted = session.fit_until_interrupted(
            presses,
            x,
            y,
            None if by_class is None else by_class[y],
            (xv, yv) if by_class is None else (xv, yv, by_class[yv]),
            EarlyStopping("val_loss", options.patience) if options.patience else None,
            metrics=["accuracy"] if answers.classes else ["mae"],
            progress=progress,
            callbacks=callbacks,
            checkpoint=checkpoint,
        )
        history = trainer.history
        own: dict[str, Any] = {"schedule": options.schedule, "validation": options.validation}
        own |= {"patience": options.patience, "rows": len(x), "validation_rows": len(xv)}
        own |= {"test_rows": len(xt)} if len(xt) else {}
        own |= {"split": options.split} if options.split != "random" else {}
        own |= {"epochs_run": len(history)}
        found = Trained(p, spec, session.weights(), training.__dict__ | own, {}, {}, notes=notes)
        found.metrics, found.answers = measured(
            p, spec, found.weights, answers, parts.validation, xv
        )
        found.truth = answers.values[parts.validation]
        found.constant, found.other = _constant(answers, parts.kept), parts.other is not None
        found.baseline = _baseline(answers, found.constant, parts.validation)
        if len(xt):
            found.test_metrics, found.answers = measured(
                p, spec, found.weights, answers, parts.test, xt
            )
            found.truth = answers.values[parts.test]
            found.test_baseline = _baseline(answers, found.constant, parts.test)
        found.rows = (xt if len(xt) else xv)[:ROWS]
        found.history = history
        found.interrupted = interrupted or presses.waiting
        presses.answered = presses.answered or found.interrupted
    plain = y if answers.classes else answers.values[parts.kept]
    found.notes += doubts(p, x, plain, found.metrics, found.baseline)
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
