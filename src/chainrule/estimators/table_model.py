"""TableModel: a net for a table, with the table's preprocessing, in one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..data import Preprocessor, source_of
from ..data.tables import Table
from ..errors import CheckpointError, DataError, OptionError
from ..train import History, Trainer
from .as_estimator import Labels, estimator_tags, joined
from .drawing import draw
from .importance import ROWS, importances
from .measure import scores_of
from .model_file import (
    DAMAGE,
    VERSION,
    damaged,
    misfit,
    numbers_in,
    options_in,
    read_model,
    write_model,
)
from .network import Spec, Training, outputs
from .said import shown
from .session import Session, warn_interrupted
from .table_fit import Trained, train_table
from .table_options import DEFAULTS, TableOptions


class _Fit:
    """`TableModel.fit` of the class makes a model; of a model with options, it fits that one."""

    def __get__(
        self, model: TableModel | None, kind: type[TableModel]
    ) -> Callable[..., TableModel]:
        def fit(
            data: Any,
            target: str | int | Sequence[str | int] | Any,
            *,
            progress: bool | None = False,
            callbacks: Any = None,
            checkpoint: Any = None,
            **options: Any,
        ) -> TableModel:
            found = kind() if model is None else model
            return found._fit(data, target, options, progress, callbacks, checkpoint)

        fit.__doc__ = kind._fit.__doc__
        return fit


class TableModel:
    """A trained net and everything needed to feed it a table.

    Options (see `TableOptions`) are given to ``TableModel.fit``, or to ``TableModel(...)``, which
    scikit-learn takes for an estimator: ``fit(X, y)`` with a DataFrame, `predict`, `score`.

    >>> import numpy as np
    >>> from chainrule.estimators import TableModel
    >>> x = np.linspace(-1, 1, 60)
    >>> table = {"x": x, "sign": np.where(x > 0, "plus", "minus")}
    >>> model = TableModel.fit(table, "sign", hidden=(8,), epochs=40, lr=0.05)
    >>> model.predict({"x": [-0.5, 0.5]})["sign"].tolist()
    ['minus', 'plus']
    >>> model
    TableModel(predicts 'sign' (binary) from 1 column, net 1 - 8 - 2, accuracy 1)
    """

    preprocessor: Preprocessor
    spec: Spec
    weights: dict[str, Array]
    training: dict[str, Any]
    metrics: dict[str, float]
    """Measured on the validation rows, by which the epoch was chosen."""
    baseline: dict[str, float]
    """The same measures for always answering the most frequent class, or the mean."""
    test_metrics: dict[str, float]
    """Measured on the test rows, which chose nothing; empty without `test`."""
    test_baseline: dict[str, float]
    history: History
    notes: list[str]
    interrupted: bool
    """Whether Ctrl-C ended the training."""
    fit = _Fit()

    def __init__(self, **options: Any) -> None:
        """A model to be fitted with these options. Raises TypeError for one that is unknown."""
        TableOptions.of("TableModel", options)
        self._options = options
        self._labels: Labels | None = None

    # -- making ------------------------------------------------------------------------------------
    def _fit(
        self,
        data: Any,
        target: Any,
        options: dict[str, Any],
        progress: bool | None,
        callbacks: Any,
        checkpoint: Any,
    ) -> TableModel:
        """Train on a table: a path, Source, DataFrame or dict of columns (see `data.source_of`).

        ``target``: the column to predict, or several; of ``TableModel(...)`` also the values
        themselves. The other options, with their defaults, are those of `TableOptions`. A share
        ``validation`` of the rows is held out (by seed; stratified by class; or the latest, with
        ``split="time:COLUMN"``); training stops when their loss has not improved for ``patience``
        epochs, and the best weights are kept. As these rows chose the epoch, their measures are a
        little too good; ``test`` (a share, "last:N", another table) holds out rows that choose
        nothing. The table is read three times, in pieces; its encoded rows are held in memory.

        ``checkpoint``: a folder (or a `Checkpoint`) that the state of the training is written into;
        a run found there is continued, to the same bits. Ctrl-C ends the training, with a warning:
        the model is what was learned until then (``interrupted`` says so), the best epoch's where
        there is a ``patience``. A second Ctrl-C raises KeyboardInterrupt at once.
        """
        chosen = TableOptions.of("TableModel", self._options | options)
        labels: Labels | None = None
        if Labels.are(target, data):
            data, target, labels = joined(data, target)
        found = train_table(chosen, data, target, progress, callbacks, checkpoint)
        self._take(found)
        self._labels = labels
        other = chosen.test if found.other else None
        if other is not None:
            self.test_metrics = self.evaluate(other)
            self.test_baseline = self._measure(other, found.constant)[0]
            self.notes = found.notes
        if self.interrupted:
            warn_interrupted(self.history, self.training["epochs"], chosen.patience)
        return self

    def _take(self, found: Trained) -> None:
        self.preprocessor, self.spec, self.weights = found.preprocessor, found.spec, found.weights
        self.training, self.metrics, self.baseline = found.training, found.metrics, found.baseline
        self.test_metrics, self.test_baseline = found.test_metrics, found.test_baseline
        self.history, self.notes = found.history, found.notes
        self.interrupted, self._last = found.interrupted, found

    def __repr__(self) -> str:
        if not hasattr(self, "spec"):
            changed = {k: v for k, v in self._options.items() if v != getattr(DEFAULTS, k)}
            return f"TableModel({', '.join(f'{k}={v!r}' for k, v in changed.items())})"
        p, count = self.preprocessor, len(self.preprocessor.columns)
        name, value = next(iter((self.test_metrics or self.metrics).items()), ("", 0.0))
        return (
            f"TableModel(predicts {', '.join(map(repr, p.target_names))} ({p.task}) from {count} "
            f"column{'s' * (count != 1)}, net {' - '.join(map(str, self.spec.sizes))}, "
            f"{name} {value:.4g})"
        )

    def example_step(self) -> tuple[Trainer, Array, Array]:
        """A Trainer as in the training of this model, and one batch of made-up rows, x and y."""
        training = Training(**{f.name: self.training[f.name] for f in fields(Training)})
        rows, spec = training.batch_size, self.spec
        labels = spec.loss == "cross_entropy"
        y = np.zeros(rows, np.int64) if labels else np.zeros((rows, spec.outputs), np.float32)
        trainer = Session(spec, self.weights, training).trainer
        trainer.metrics = ["accuracy" if labels else "mae"]
        return trainer, np.zeros((rows, spec.inputs), np.float32), y

    # -- as an estimator of scikit-learn -----------------------------------------------------------
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options given, and the defaults of the others."""
        return {k: v for k, v in TableOptions.of("TableModel", self._options).__dict__.items()}

    def set_params(self, **options: Any) -> TableModel:
        """Change options."""
        TableOptions.of("TableModel", self._options | options)
        self._options = self._options | options
        return self

    def score(self, data: Any, target: Any = None) -> float:
        """Accuracy, or R²; ``target``: its values, where they are no column of ``data``."""
        if Labels.are(target, data):
            data, _, _ = joined(data, target, self.preprocessor.target_names[0])
        measures = self.evaluate(data)
        return measures["accuracy" if self.preprocessor.classes else "r2"]

    @property
    def classes_(self) -> Array:
        """The classes as they were given to ``fit(X, y)``."""
        if not self.preprocessor.classes:
            raise AttributeError("this TableModel predicts numbers, no classes")
        words = self.preprocessor.classes
        return self._labels.of(words) if self._labels else np.array(words, object)

    def predict_proba(self, data: Any) -> Array:
        """float64 (rows, classes), in the order of `classes_`."""
        columns = self._predicted(data, True)
        return np.stack([columns[f"probability of {c}"] for c in self.preprocessor.classes], 1)

    def __sklearn_tags__(self) -> Any:
        return estimator_tags(TableOptions.of("TableModel", self._options).task)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "spec")

    # -- using -------------------------------------------------------------------------------------
    def predictions(
        self, data: Any, proba: bool = False, keep: Sequence[str] = ()
    ) -> Iterator[dict[str, Array]]:
        """`predict`, piece by piece, for tables larger than memory.

        First the columns of the table in ``keep``. Sets `notes` at the end.
        """
        p = self.preprocessor
        if proba and p.task == "regression":
            raise OptionError("probabilities need classes; this model predicts numbers")
        for x, table in p.pieces(data, keep=keep):
            z = self._outputs(x, table)
            kept = {f"{n} (given)" if n in p.target_names else n: table.shown(n) for n in keep}
            if p.task == "regression":
                yield kept | dict(zip(p.target_names, p.numbers(z).T, strict=True))
                continue
            found = kept | {p.target_names[0]: np.array(p.classes, object)[z.argmax(axis=1)]}
            if proba:
                shares = zip(p.classes, shown(p, z).T, strict=True)
                found |= {f"probability of {c}": v for c, v in shares}
            yield found
        self.notes = list(p.notes)

    def predict(self, data: Any, proba: bool = False) -> Any:
        """Columns by name: the target's prediction and, with ``proba``, ``probability of CLASS``.

        A model that was fitted to X and y apart gives the prediction alone, as an array.
        """
        found = self._predicted(data, proba)
        if self._labels is None:
            return found
        (answer,) = (found[n] for n in self.preprocessor.target_names)
        return self._labels.of(answer) if self.preprocessor.classes else answer

    def _predicted(self, data: Any, proba: bool) -> dict[str, Array]:
        if not hasattr(self, "spec"):
            raise OptionError("this TableModel is not fitted; call fit first")
        if isinstance(data, np.ndarray) and data.ndim == 2:
            data = {f"x{i}": data[:, i] for i in range(data.shape[1])}
        source = source_of(data)
        if not source.rows:
            raise DataError(f"{source.name}: the table has no rows")
        parts = list(self.predictions(source, proba))
        return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}

    def evaluate(self, data: Any) -> dict[str, float]:
        """Accuracy, log loss, F1 (and AUC of two classes); or RMSE, MAE and R².

        In the target's unit. Rows without a target are left out.
        """
        return self._measure(data)[0]

    measure = evaluate
    """The same: what `evaluate` was called before."""

    def importances(self, data: Any) -> dict[str, float]:
        """By column, the largest first: what shuffling it costs.

        That is what the accuracy falls by, or the RMSE rises by, if the values of the column are
        shuffled among (at most 2000) rows of a table.
        """
        p, x, y, rows = self.preprocessor, [], [], 0
        for part, table in p.pieces(data, targets=True):
            known = ~np.any([table.missing(n) for n in p.target_names], axis=0)
            x.append(part[known])
            targets = p.targets_of(table.take(known))
            y.append(targets if p.classes else p.unscaled(targets))
            rows += len(x[-1])
            if rows >= ROWS:
                break
        return importances(p, self.spec, self.weights, np.concatenate(x), np.concatenate(y))

    def draw(self, path: str | Path, data: Any = None) -> Path:
        """Draw true against predicted (or the confusion matrix) and importances into a file.

        Of a table's rows; without ``data``, of a model just trained, those of its test rows
        (validation rows, if there are none) and the learning curve.

        Needs matplotlib.
        """
        p = self.preprocessor
        if data is not None:
            return draw(path, p, *self.answers(data), self.importances(data))
        last = self._last
        if last.truth is None or last.rows is None:
            raise OptionError("draw: a model that was loaded needs a table to draw the answers of")
        truth = last.truth[: len(last.rows)]
        found = importances(p, self.spec, self.weights, last.rows, truth)
        rows = "test rows" if self.test_metrics and not last.other else "validation rows"
        return draw(path, p, last.truth, last.answers, found, self.history, rows)

    def answers(self, data: Any) -> tuple[Array, Array]:
        """The target of the rows that have one, and what the model says.

        Class numbers (rows,) and probabilities (rows, classes), or numbers (rows, targets) both.
        """
        _, truth, said = self._measure(data)
        return truth, said

    def _measure(
        self, data: Any, constant: Array | None = None
    ) -> tuple[dict[str, float], Array, Array]:
        """Measures of the net, or of always saying ``constant``; the truth, and what was said."""
        p = self.preprocessor
        scores = scores_of(len(p.classes))
        left_out, truth, said = 0, [], []
        for x, table in p.pieces(data, targets=True):
            known = ~np.any([table.missing(n) for n in p.target_names], axis=0)
            left_out += int((~known).sum())
            if known.any():
                y = p.targets_of(table.take(known))
                truth.append(y if p.classes else p.unscaled(y))
                if constant is None:
                    said.append(shown(p, self._outputs(x, table)[known]))
                else:
                    said.append(np.broadcast_to(constant, (len(y), len(constant))))
                scores.add(truth[-1], said[-1])
        if not scores.rows:
            raise DataError(
                f"{source_of(data).name}: the target {p.target_names[0]!r} has no values in any row"
            )
        self.notes = list(p.notes)
        if left_out:
            self.notes.append(f"{left_out} rows without a target are left out")
        return scores.result(), np.concatenate(truth), np.concatenate(said)

    def _outputs(self, x: Array, table: Table) -> Array:
        """float64 (rows, outputs), all finite, also in the units of the targets."""
        z = outputs(self.spec, self.weights, x)
        with np.errstate(over="ignore", invalid="ignore"):
            shown = z if self.preprocessor.classes else self.preprocessor.numbers(z)
        bad = ~np.isfinite(shown).all(axis=1)
        if bad.any():
            raise DataError(
                f"{table.source}: the model's output for {table.where(int(bad.argmax()))} "
                "is not a finite number: its weights are too large for this row"
            )
        return z

    # -- file --------------------------------------------------------------------------------------
    def describe(self) -> dict[str, Any]:
        """Everything but the weights, as JSON values."""
        return {
            "version": VERSION,
            "network": self.spec.to_json(),
            "preprocessor": self.preprocessor.to_json(),
            "training": self.training,
            "metrics": self.metrics,
            "baseline": self.baseline,
            **({"test": held} if (held := self._test()) else {}),
        }

    def _test(self) -> dict[str, dict[str, float]]:
        if not self.test_metrics:
            return {}
        return {"metrics": self.test_metrics, "baseline": self.test_baseline}

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file whose metadata describe the model; it is whole or not there."""
        return write_model(path, "table", self.describe(), self.weights)

    @classmethod
    def load(cls, path: str | Path) -> TableModel:
        """Read what `save` wrote. Raises CheckpointError with the reason for anything else."""
        path = Path(path)
        held, weights = read_model(path, "table")
        try:
            test = held.get("test", {"metrics": {}, "baseline": {}})
            model = cls()
            model._take(
                Trained(
                    Preprocessor.from_json(held["preprocessor"]),
                    Spec.from_json(held["network"]),
                    weights,
                    options_in(held["training"]),
                    numbers_in("metrics", held["metrics"]),
                    numbers_in("baseline", held["baseline"]),
                    numbers_in("metrics of the test", test["metrics"]),
                    numbers_in("baseline of the test", test["baseline"]),
                )
            )
        except DAMAGE as error:
            raise damaged(path, error) from None
        model._check(path)
        return model

    def _check(self, path: Path) -> None:
        """Weights, network and preprocessing belong together."""
        odd = misfit(self.spec.shapes(), {k: v.shape for k, v in self.weights.items()})
        if odd:
            raise CheckpointError(f"{path}: the weights do not fit the network: {odd}")
        p, s = self.preprocessor, self.spec
        if (p.width, p.outputs) != (s.inputs, s.outputs):
            raise CheckpointError(
                f"{path}: preprocessing makes {p.width} inputs and {p.outputs} outputs, the "
                f"network has {s.inputs} and {s.outputs}"
            )
