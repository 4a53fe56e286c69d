"""TableModel: a net for a table, with the table's preprocessing, in one file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_bytes

from ..core.node import Array
from ..core.whole_file import whole_file
from ..data import Preprocessor, Source, source_of
from ..data.preprocess import read_answers
from ..data.reading import column_names
from ..data.split import split_rows
from ..data.tables import Table
from ..data.target import Answers
from ..errors import ChainruleError, CheckpointError, DataError, OptionError
from ..train import EarlyStopping, History
from ..train.interrupt import interrupts
from .measure import ClassScores, NumberScores, Scores
from .network import Spec, Training, outputs, softmax
from .schedule import schedules_of
from .session import INTERRUPTION, Session

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
    interrupted: bool = False
    """Whether Ctrl-C ended the training."""

    # -- making ------------------------------------------------------------------------------------
    @classmethod
    def fit(
        cls,
        data: Any,
        target: str | int | Sequence[str | int],
        *,
        task: str = "auto",
        drop: Sequence[str] = (),
        categorical: Sequence[str] = (),
        hidden: Sequence[int] = (64, 64),
        activation: str | Sequence[str] = "relu",
        dropout: float | Sequence[float] = 0.0,
        schedule: str = "constant",
        validation: float = 0.2,
        patience: int | None = 10,
        training: dict[str, Any] | None = None,
        progress: bool | None = False,
        callbacks: Any = None,
        checkpoint: Any = None,
    ) -> TableModel:
        """Train on a table: a Source, a DataFrame, a dict of columns (see `data.source_of`).

        ``categorical``: columns of numbers that are categories; ``schedule``: see `schedule`;
        ``training``: options of `Training`. A share ``validation`` of the rows is held out (by
        seed; stratified by class); training stops when their loss has not improved for
        ``patience`` epochs, and the best weights are kept. The table is read three times, in
        pieces; what is held in memory is its encoded rows.

        ``checkpoint``: a folder (or a `Checkpoint`) that the state of the training is written into;
        a run found there is continued, to the same bits. Ctrl-C ends the training, with a warning:
        the model is what was learned until then (``interrupted`` says so), the best epoch's where
        there is a ``patience``. A second Ctrl-C raises KeyboardInterrupt at once.
        """
        if not 0 < validation < 1:
            raise OptionError(
                f"validation is a share of the rows between 0 and 1, got {validation!r}"
            )
        options = Training(**(training or {}))
        source = source_of(data)
        names = column_names(target)
        drop, categorical = column_names(drop), column_names(categorical)
        answers = read_answers(source, names, task, drop, categorical)
        known = np.flatnonzero(answers.known)
        notes = []
        if len(known) < source.rows:
            notes.append(f"{source.rows - len(known)} rows without a target are left out")
        if len(known) < 5:
            raise DataError(f"{source.name}: {len(known)} rows are too few; give at least 5")
        classes = answers.values[known] if answers.classes else None
        kept, held = (known[i] for i in split_rows(len(known), validation, options.seed, classes))
        learned = np.zeros(source.rows, bool)
        learned[kept] = True
        p = Preprocessor.fit(source, names, task, drop, categorical, answers, learned)
        notes += p.notes
        one = p.outputs if answers.classes else len(names)
        loss = "cross_entropy" if answers.classes else "mse"
        spec = Spec(p.width, tuple(hidden), one, _plain(activation), _plain(dropout), loss)
        session = Session(spec, spec.new_weights(options.seed), options)
        trainer = session.trainer
        trainer.schedulers = schedules_of(schedule, trainer.optimizer, options.epochs)
        x, xv = _encode(p, source, [kept, held])
        y, yv = (
            answers.values[i] if answers.classes else p.standardised(answers.values[i])
            for i in (kept, held)
        )
        with interrupts() as presses:
            interrupted = session.fit_until_interrupted(
                presses,
                x,
                y,
                None,
                (xv, yv),
                EarlyStopping("val_loss", patience) if patience else None,
                metrics=["accuracy"] if answers.classes else ["mae"],
                progress=progress,
                callbacks=callbacks,
                checkpoint=checkpoint,
            )
            history = trainer.history
            own: dict[str, Any] = {"schedule": schedule, "validation": validation}
            own |= {"patience": patience, "rows": len(kept), "held_out_rows": len(held)}
            own |= {"epochs_run": len(history)}
            model = cls(p, spec, session.weights(), options.__dict__ | own)
            z = outputs(spec, model.weights, xv)
            model.metrics = model._scores_of(answers.values[held], z)
            model.baseline = _baseline(answers, kept, held)
            model.history, model.notes = history, notes
            model.interrupted = interrupted or presses.waiting
            presses.answered = presses.answered or model.interrupted
        if model.interrupted:
            warnings.warn(
                f"{INTERRUPTION}, after {len(history)} of {options.epochs} epochs: the model is "
                + ("that of the best of them" if patience and len(history) else "as it was then"),
                UserWarning,
                stacklevel=2,
            )
        return model

    # -- using -------------------------------------------------------------------------------------
    def predictions(self, data: Any, proba: bool = False) -> Iterator[dict[str, Array]]:
        """`predict`, piece by piece, for tables larger than memory. Sets `notes` at the end."""
        p = self.preprocessor
        if proba and p.task == "regression":
            raise OptionError("probabilities need classes; this model predicts numbers")
        for x, table in p.pieces(data):
            z = self._outputs(x, table)
            if p.task == "regression":
                yield dict(zip(p.target_names, p.numbers(z).T, strict=True))
                continue
            found = {p.target_names[0]: np.array(p.classes, object)[z.argmax(axis=1)]}
            if proba:
                shares = zip(p.classes, softmax(z).T, strict=True)
                found |= {f"probability of {c}": v for c, v in shares}
            yield found
        self.notes = list(p.notes)

    def predict(self, data: Any, proba: bool = False) -> dict[str, Array]:
        """Columns by name: the target's prediction and, with ``proba``, ``probability of
        CLASS``."""
        source = source_of(data)
        if not source.rows:
            raise DataError(f"{source.name}: the table has no rows")
        parts = list(self.predictions(source, proba))
        return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}

    def measure(self, data: Any) -> dict[str, float]:
        """Accuracy, log loss, F1 (and AUC of two classes); or RMSE, MAE and R², in the target's
        unit. Rows without a target are left out."""
        p = self.preprocessor
        scores: Scores = ClassScores(len(p.classes)) if p.classes else NumberScores()
        left_out = 0
        for x, table in p.pieces(data, targets=True):
            known = ~np.any([table.missing(n) for n in p.target_names], axis=0)
            left_out += int((~known).sum())
            if known.any():
                z = self._outputs(x, table)[known]
                y = p.targets_of(table.take(known))
                if p.classes:
                    scores.add(y, softmax(z))
                else:
                    scores.add(p.numbers(y), p.numbers(z))
        if not scores.rows:
            raise DataError(
                f"{source_of(data).name}: the target {p.target_names[0]!r} has no values in any row"
            )
        self.notes = list(p.notes)
        if left_out:
            self.notes.append(f"{left_out} rows without a target are left out")
        return scores.result()

    def _outputs(self, x: Array, table: Table) -> Array:
        """float64 (rows, outputs), all finite, also in the units of the targets."""
        z = outputs(self.spec, self.weights, x)
        with np.errstate(over="ignore", invalid="ignore"):
            shown = z if self.preprocessor.classes else self.preprocessor.numbers(z)
        bad = ~np.isfinite(shown).all(axis=1)
        if bad.any():
            raise DataError(
                f"{table.source}: the model's output for row {table.first_row + int(bad.argmax())} "
                "is not a finite number: its weights are too large for this row"
            )
        return z

    def _scores_of(self, y: Array, z: Array) -> dict[str, float]:
        """Measures of the net's outputs ``z``."""
        p = self.preprocessor
        scores: Scores = ClassScores(len(p.classes)) if p.classes else NumberScores()
        scores.add(y, softmax(z) if p.classes else p.numbers(z))
        return scores.result()

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
        with whole_file(path) as file:
            file.write(content)
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
                names = file.keys()
                for k in names:
                    kind = file.get_slice(k).get_dtype()
                    if kind not in ("F16", "F32", "F64"):
                        raise CheckpointError(
                            f"{path}: {k} has dtype {kind}; weights are F16, F32 or F64"
                        )
                weights = {k: file.get_tensor(k) for k in names}
        except CheckpointError:
            raise
        except (SafetensorError, OSError, ValueError, MemoryError) as error:
            raise CheckpointError(f"{path}: damaged, or not a model file ({error})") from None
        try:
            held = json.loads(metadata[FORMAT])
            json.dumps(held, ensure_ascii=False).encode()  # no halves of characters in names
            if held["version"] != VERSION:
                raise CheckpointError(
                    f"{path}: written in version {held['version']!r} of the format; this program "
                    f"reads {VERSION}"
                )
            model = cls(
                Preprocessor.from_json(held["preprocessor"]),
                Spec.from_json(held["network"]),
                weights,
                _options(held["training"]),
                _numbers("metrics", held["metrics"]),
                _numbers("baseline", held["baseline"]),
            )
        except CheckpointError:
            raise
        except (
            ChainruleError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
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


def _options(held: Any) -> dict[str, Any]:
    """Options of the training, as `save` wrote them."""
    kinds = (str, int, float, type(None))
    found = {str(k): v for k, v in dict(held).items()}
    for k, v in found.items():
        listed = v if isinstance(v, list) else [v]
        if not all(isinstance(x, kinds) for x in listed):
            raise DataError(f"the option {k!r} of the training is {v!r}")
    return found


def _numbers(name: str, held: Any) -> dict[str, float]:
    """Measures by name; NaN where one was not defined."""
    found = dict(held)
    for k, v in found.items():
        if isinstance(v, bool) or not isinstance(v, int | float):
            raise DataError(f"{k!r} of the {name} is {v!r}; a number is expected")
    return {str(k): float(v) for k, v in found.items()}


def _plain(value: Any) -> Any:
    """One value, or a tuple of one for each layer."""
    return value if isinstance(value, str | int | float) else tuple(value)


def _encode(p: Preprocessor, source: Source, parts: list[Array]) -> list[Array]:
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


def _baseline(answers: Answers, kept: Array, held: Array) -> dict[str, float]:
    """The measures of always answering the most frequent class and the shares, or the mean."""
    known, asked = answers.values[kept], answers.values[held]
    if answers.classes:
        share = np.bincount(known, minlength=len(answers.classes)) / len(known)
        scores: Scores = ClassScores(len(share))
        scores.add(asked, np.broadcast_to(share, (len(asked), len(share))))
    else:
        scores = NumberScores()
        scores.add(asked, np.broadcast_to(known.mean(0), asked.shape))
    return scores.result()
