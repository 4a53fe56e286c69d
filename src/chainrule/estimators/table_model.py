"""TableModel: a net for a table, with the table's preprocessing, in one file."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_bytes

from ..core.node import Array
from ..data import Preprocessor, Table, table_of
from ..errors import ChainruleError, CheckpointError, DataError, OptionError
from ..train import EarlyStopping, History
from .network import Session, Spec, Training, outputs, softmax
from .split import split_rows

FORMAT = "chainrule_table_model"
VERSION = 1


@dataclass
class TableModel:
    """A trained net and everything needed to feed it a table.

    >>> import numpy as np
    >>> from chainrule.estimators import TableModel
    >>> x = np.linspace(-1, 1, 60)
    >>> table = {"x": x, "sign": np.where(x > 0, "plus", "minus")}
    >>> model = TableModel.fit(table, "sign", hidden=(8,), training=dict(epochs=40, lr=0.05))
    >>> model.predict({"x": [-0.5, 0.5]})["sign"].tolist()
    ['minus', 'plus']
    """

    preprocessor: Preprocessor
    spec: Spec
    weights: dict[str, Array]
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """Measured on the rows held out of training."""
    baseline: dict[str, float] = field(default_factory=dict)
    """The same measures for always answering the most frequent class, or the mean."""
    history: History = field(default_factory=History)
    notes: list[str] = field(default_factory=list)

    # -- making ------------------------------------------------------------------------------------
    @classmethod
    def fit(
        cls,
        data: Any,
        target: str | Sequence[str],
        *,
        task: str = "auto",
        drop: Sequence[str] = (),
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        dropout: float = 0.0,
        validation: float = 0.2,
        patience: int | None = 10,
        training: dict[str, Any] | None = None,
        progress: bool | None = False,
    ) -> TableModel:
        """Train on a table (see `data.table_of`); ``training``: options of `Training`.

        A share ``validation`` of the rows is held out (by seed; stratified by class); training
        stops when their loss has not improved for ``patience`` epochs, and the best weights are
        kept.
        """
        if not 0 < validation < 1:
            raise OptionError(
                f"validation is a share of the rows between 0 and 1, got {validation!r}"
            )
        options = Training(**(training or {}))
        table = table_of(data)
        learner = Preprocessor.fit(table, target, task, drop)
        known = learner.known_targets(table)
        notes = []
        if not known.all():
            notes.append(f"{int((~known).sum())} rows without a target are left out")
            table = table.take(known)
        if table.rows < 5:
            raise DataError(f"{table.source}: {table.rows} rows are too few; give at least 5")
        labels = learner.targets(table)
        classes = labels if learner.task != "regression" else None
        kept, held = split_rows(table.rows, validation, options.seed, classes)
        again = "regression" if learner.task == "regression" else "multiclass"
        p = Preprocessor.fit(table.take(kept), target, again, drop)
        p.classes, p.task = learner.classes, learner.task  # a class may be held out as a whole
        notes += p.notes
        x, y = p.features(table), p.targets(table)
        loss = "mse" if p.task == "regression" else "cross_entropy"
        spec = Spec(p.width, tuple(hidden), p.outputs, activation, dropout, loss)
        session = Session(spec, spec.new_weights(options.seed), options, weighted=False)
        history = session.fit(
            x[kept],
            y[kept],
            None,
            (x[held], y[held]),
            EarlyStopping("val_loss", patience) if patience else None,
            metrics=["accuracy"] if p.task != "regression" else ["mae"],
            progress=progress,
        )
        model = cls(
            p,
            spec,
            session.weights(),
            {**options.__dict__, "validation": validation, "patience": patience},
        )
        test = table.take(held)
        model.metrics, model.baseline = (
            model.measure(test),
            model._measure_baseline(table.take(kept), test),
        )
        model.history, model.notes = history, notes
        model.training |= {
            "rows": len(kept),
            "held_out_rows": len(held),
            "epochs_run": len(history),
        }
        return model

    # -- using -------------------------------------------------------------------------------------
    def _outputs(self, data: Any) -> Array:
        z = outputs(self.spec, self.weights, self.preprocessor.features(data))
        self.notes = list(self.preprocessor.notes)
        return z

    def predict(self, data: Any, proba: bool = False) -> dict[str, Array]:
        """Columns by name: the target's prediction and, with ``proba``, ``probability of
        CLASS``."""
        p, z = self.preprocessor, self._outputs(data)
        if p.task == "regression":
            if proba:
                raise OptionError("probabilities need classes; this model predicts numbers")
            return dict(zip(p.target_names, p.numbers(z).T, strict=True))
        found = {p.target_names[0]: np.array(p.classes, object)[z.argmax(axis=1)]}
        if proba:
            found |= {
                f"probability of {c}": v for c, v in zip(p.classes, softmax(z).T, strict=True)
            }
        return found

    def measure(self, data: Any) -> dict[str, float]:
        """Accuracy, log loss, F1 (and AUC of two classes); or RMSE, MAE and R², in the target's
        unit."""
        table = table_of(data)
        p = self.preprocessor
        y = p.targets(table)
        if p.task == "regression":
            return _regression(p.numbers(y), p.numbers(self._outputs(table)))
        return _classification(y, softmax(self._outputs(table)))

    def _measure_baseline(self, train: Table, test: Table) -> dict[str, float]:
        p = self.preprocessor
        known, asked = p.targets(train), p.targets(test)
        if p.task == "regression":
            raw = p.numbers(asked)
            return _regression(raw, np.broadcast_to(p.numbers(known).mean(0), raw.shape))
        share = np.bincount(known, minlength=len(p.classes)) / len(known)
        return _classification(asked, np.broadcast_to(share, (len(asked), len(share))))

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
        }

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file whose metadata describe the model; the file is whole or not
        there."""
        path = Path(path)
        text = json.dumps(self.describe(), default=lambda v: v.item())
        # One entry of metadata: safetensors writes several in any order, and equal models shall be
        # equal files.
        content = safetensors_bytes(
            {k: np.ascontiguousarray(v) for k, v in self.weights.items()}, {FORMAT: text}
        )
        folder = path.parent
        if not folder.is_dir():
            raise OptionError(f"{path}: the folder {str(folder)!r} does not exist")
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return path

    @classmethod
    def load(cls, path: str | Path) -> TableModel:
        """Read what `save` wrote. Raises CheckpointError with the reason for anything else."""
        path = Path(path)
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
        try:
            with safe_open(str(path), framework="numpy") as file:
                metadata = file.metadata() or {}
                if FORMAT not in metadata:
                    raise CheckpointError(
                        f"{path}: a safetensors file, but not a model written by `chainrule train`"
                    )
                weights = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{path}: damaged, or not a model file ({error})") from None
        try:
            held = json.loads(metadata[FORMAT])
            if held["version"] != VERSION:
                raise CheckpointError(
                    f"{path}: written in version {held['version']!r} of the format; this program "
                    f"reads {VERSION}"
                )
            model = cls(
                Preprocessor.from_json(held["preprocessor"]),
                Spec.from_json(held["network"]),
                weights,
                dict(held["training"]),
                dict(held["metrics"]),
                dict(held["baseline"]),
            )
        except CheckpointError:
            raise
        except (ChainruleError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{path}: the description of the model is damaged ({error!s})"
            ) from None
        model._check(path)
        return model

    def _check(self, path: Path) -> None:
        """Weights, network and preprocessing belong together."""
        expected, found = self.spec.shapes(), {k: v.shape for k, v in self.weights.items()}
        if expected != found:
            odd = sorted(
                k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)
            )
            k = odd[0]
            raise CheckpointError(
                f"{path}: the weights do not fit the network: {k} is {found.get(k, 'missing')}, "
                "expected"
                f" {expected.get(k, 'none')}"
            )
        p, s = self.preprocessor, self.spec
        if (p.width, p.outputs) != (s.inputs, s.outputs):
            raise CheckpointError(
                f"{path}: preprocessing makes {p.width} inputs and {p.outputs} outputs, the "
                f"network has {s.inputs}"
                f" and {s.outputs}"
            )
        for k, v in self.weights.items():
            if v.dtype.kind != "f" or not np.isfinite(v).all():
                raise CheckpointError(f"{path}: {k} has values that are not finite numbers")


def _classification(y: Array, probabilities: Array) -> dict[str, float]:
    chosen = probabilities.argmax(axis=1)
    own = np.clip(probabilities[np.arange(len(y)), y], 1e-15, 1)
    classes = probabilities.shape[1]
    right = np.bincount(y[chosen == y], minlength=classes)
    total = np.bincount(y, minlength=classes) + np.bincount(chosen, minlength=classes)
    f1 = np.divide(2 * right, total, out=np.zeros(classes), where=total > 0)
    found = {"accuracy": float((chosen == y).mean()), "log_loss": float(-np.log(own).mean())}
    if classes == 2:
        found |= {"f1": float(f1[1]), "auc": _auc(y, probabilities[:, 1])}
    else:
        found["macro_f1"] = float(f1[total > 0].mean())
    return found


def _auc(y: Array, score: Array) -> float:
    """P(score of a positive > score of a negative) + P(equal)/2; 0.5 where one class is absent."""
    _, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[index]
    positive = int(y.sum())
    negative = len(y) - positive
    if not positive or not negative:
        return 0.5
    return float((rank[y == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _regression(y: Array, prediction: Array) -> dict[str, float]:
    error = prediction - y
    total = float(((y - y.mean(0)) ** 2).sum())
    return {
        "rmse": math.sqrt(float((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": 1 - float((error**2).sum()) / total if total else 0.0,
    }
