"""Preprocessing: from a table to the float32 matrix a network reads, and back to classes.

Everything that was learned from the training table fits in JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .columns import Column, Notes, NumberColumn, NumberStatistics, WordColumn, WordStatistics
from .columns import column_from_json as _column_from_json
from .reading import column_names, source_of
from .source import Source
from .tables import Table
from .target import TASKS, Answers, class_numbers, learn_answers, listed, missing_target


@dataclass
class Preprocessor:
    """What was learned about a table's columns; made by `Preprocessor.fit`.

    >>> from chainrule.data import Preprocessor
    >>> table = {"size": [1.0, 2.0, None, 3.0], "colour": ["red", "blue", "red", "red"]}
    >>> table["y"] = ["a", "b", "a", "b"]
    >>> p = Preprocessor.fit(table, "y")
    >>> p.task, p.classes, p.feature_names
    ('binary', ['a', 'b'], ['size', 'size is missing', 'colour=blue', 'colour=red'])
    >>> p.features(table).shape, p.targets(table)
    ((4, 4), array([0, 1, 0, 1]))
    >>> Preprocessor.from_json(p.to_json()) == p
    True
    """

    columns: list[Column]
    target_names: list[str]
    task: str
    classes: list[str]
    target_mean: list[float]
    target_std: list[float]
    notes: list[str] = field(default_factory=list, compare=False)
    """What `fit` or the last reading left out or replaced, as sentences."""

    # -- learning ----------------------------------------------------------------------------------
    @classmethod
    def fit(
        cls,
        data: Any,
        target: str | int | Sequence[str | int],
        task: str = "auto",
        drop: Sequence[str] = (),
        categorical: Sequence[str] = (),
        answers: Answers | None = None,
        kept: Array | None = None,
    ) -> Preprocessor:
        """Learn from a table; ``task``: "binary", "multiclass", "regression", or "auto" (by the
        target).

        Several targets are several numbers to predict. Columns named in ``categorical`` are
        categories even where they are numbers. ``answers``: of `read_answers`, if it was called;
        ``kept`` bool (rows,): learn from these rows only. Raises DataError for a table that cannot
        be used.
        """
        source = source_of(data)
        targets = column_names(target)
        drop, categorical = column_names(drop), column_names(categorical)
        if answers is None:
            answers = read_answers(source, targets, task, drop, categorical)
        kept = answers.known if kept is None else kept
        left_out = {*targets, *drop}
        names = [n for n in source.columns if n not in left_out]
        if not names:
            raise DataError(
                f"{source.name}: no column to predict {', '.join(map(repr, targets))} from"
            )
        notes: list[str] = []
        columns = _learn_columns(source, names, categorical, kept, notes)
        if not columns:
            raise DataError(
                f"{source.name}: no column to predict {', '.join(map(repr, targets))} from "
                f"({'; '.join(notes)})"
            )
        return cls(columns, targets, answers.task, answers.classes, *answers.scale(kept), notes)

    # -- using -------------------------------------------------------------------------------------
    @property
    def feature_names(self) -> list[str]:
        """The name of each input of the network."""
        return [name for c in self.columns for name in c.inputs]

    @property
    def width(self) -> int:
        """The number of inputs of the network."""
        return sum(c.width for c in self.columns)

    @property
    def outputs(self) -> int:
        """The number of outputs of the network."""
        return len(self.classes) or len(self.target_names)

    def pieces(self, data: Any, targets: bool = False) -> Iterator[tuple[Array, Table]]:
        """The network's inputs, float32 (some rows, width), piece by piece, each with the columns
        it was made of; ``targets``: these too. Columns may be in any order. Sets `notes` at the
        end.

        Raises DataError naming missing columns, and columns that hold words where numbers were.
        """
        source = source_of(data)
        names = [c.name for c in self.columns]
        there = set(source.columns)
        absent = [n for n in names if n not in there]
        if absent:
            one = len(absent) == 1
            raise DataError(
                f"{source.name}: {'column' if one else 'columns'} {listed(absent)} "
                f"{'is' if one else 'are'} missing; the model needs {listed(names)}"
            )
        if targets:
            for name in self.target_names:
                if name not in source.columns:
                    raise DataError(f"{source.name}: the target {name!r} is missing")
            names += self.target_names
        words = [c.name for c in self.columns if isinstance(c, WordColumn)]
        known = {*names, *self.target_names}
        unknown = [n for n in source.columns if n not in known]
        notes = Notes()
        for table in source.batches(names, words):
            out = np.zeros((table.rows, self.width), np.float32)
            at = 0
            for c in self.columns:
                c.encode(table, out[:, at : at + c.width], notes)
                at += c.width
            yield out, table
        self.notes = self._sentences(unknown, notes)

    def _sentences(self, unknown: list[str], notes: Notes) -> list[str]:
        found = [f"ignored {listed(unknown)}: not used by the model"] if unknown else []
        for c in self.columns:
            count = notes.replaced[c.name]
            if count:
                by = f" replaced by the median {c.median:g}" if isinstance(c, NumberColumn) else ""
                found.append(
                    f"{c.name!r}: {count} missing values{by or ': all zeros'} (none was missing in "
                    "training)"
                )
            unseen = notes.unseen.get(c.name)
            if unseen:
                found.append(
                    f"{c.name!r}: {unseen.total()} rows with categories that have no input "
                    f"({listed(list(unseen))}): all zeros"
                )
        return found

    def features(self, data: Any) -> Array:
        """float32 (rows, width): the inputs of the network, of the whole table; see `pieces`."""
        parts = [x for x, _ in self.pieces(data)]
        return np.concatenate(parts) if parts else np.zeros((0, self.width), np.float32)

    def targets(self, data: Any) -> Array:
        """int64 (rows,) class numbers, or float32 (rows, targets) standardised; no value may be
        missing."""
        source = source_of(data)
        for name in self.target_names:
            if name not in source.columns:
                raise DataError(f"{source.name}: the target {name!r} is missing")
        return np.concatenate([self.targets_of(t) for t in source.batches(self.target_names)])

    def targets_of(self, table: Table) -> Array:
        """The same of one piece."""
        if self.task != "regression":
            return class_numbers(table, self.target_names[0], self.classes)
        raw = np.stack([table.numbers(n) for n in self.target_names], 1)
        for name, missing in zip(self.target_names, np.isnan(raw).sum(0), strict=True):
            if missing:
                raise missing_target(table, name, int(missing))
        return self.standardised(raw)

    def standardised(self, raw: Array) -> Array:
        """float32 (rows, targets): numbers in standard deviations from the target's mean."""
        return np.asarray((raw - self.target_mean) / self.target_std, np.float32)

    def numbers(self, outputs: Array) -> Array:
        """Standardised outputs (rows, targets) in the units of the targets."""
        return np.asarray(np.asarray(outputs, np.float64) * self.target_std + self.target_mean)

    # -- JSON --------------------------------------------------------------------------------------
    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "columns": [
                {"kind": "number" if isinstance(c, NumberColumn) else "words", **asdict(c)}
                for c in self.columns
            ],
            "target": self.target_names,
            "task": self.task,
            "classes": self.classes,
            "target_mean": self.target_mean,
            "target_std": self.target_std,
        }

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Preprocessor:
        """What `to_json` gave. Raises DataError where it is something else."""
        try:
            columns = [_column_from_json(c) for c in held["columns"]]
            names, classes = [str(n) for n in held["target"]], [str(c) for c in held["classes"]]
            mean = [float(v) for v in held["target_mean"]]
            std = [float(v) for v in held["target_std"]]
            found = cls(columns, names, str(held["task"]), classes, mean, std)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"this is no description of a preprocessor ({error!r})") from None
        regression = found.task == "regression"
        inputs = [c.name for c in columns]
        for kind, words in (
            ("column", [*inputs, *names]),
            ("class", classes),
            *(
                (f"category of {c.name!r}", c.categories)
                for c in columns
                if isinstance(c, WordColumn)
            ),
        ):
            double = [w for w, count in Counter(words).items() if count > 1]
            if double:
                raise DataError(f"this preprocessor has the {kind} {double[0]!r} twice")
        scaled = len(names) == len(mean) == len(std) and np.isfinite(mean + std).all()
        if (
            found.task not in TASKS
            or not columns
            or not names
            or regression != (len(classes) == 0)
            or (regression and not (scaled and min(std) > 0))
            or (not regression and (len(classes) < 2 or len(names) != 1))
        ):
            raise DataError(
                f"this is no description of a preprocessor (task {found.task!r}, "
                f"{len(classes)} classes, {len(names)} targets, {len(columns)} columns)"
            )
        return found


def read_answers(
    source: Source,
    targets: Sequence[str],
    task: str = "auto",
    drop: Sequence[str] = (),
    categorical: Sequence[str] = (),
) -> Answers:
    """The targets' values and task, after a check that all columns named are there."""
    there = set(source.columns)
    for name in (*targets, *drop, *categorical):
        if name not in there:
            raise DataError(
                f"{source.name}: no column {name!r}; there are {listed(source.columns)}"
                + source.doubt
            )
    double = [n for n in targets if list(targets).count(n) > 1 or n in drop]
    if double:
        raise DataError(f"{source.name}: the target {double[0]!r} is named twice, or dropped")
    return learn_answers(source, targets, task)


def _learn_columns(
    source: Source, names: list[str], categorical: Sequence[str], kept: Array, notes: list[str]
) -> list[Column]:
    """One pass over the ``kept`` rows."""
    rows, categories = int(kept.sum()), set(categorical)
    found: dict[str, NumberStatistics | WordStatistics] = {}
    for table in source.batches(names, categorical):
        if not found:
            found = {
                n: NumberStatistics(n, rows)
                if table.is_number(n) and n not in categories
                else WordStatistics(n)
                for n in names
            }
        chosen = kept[table.first_row : table.first_row + table.rows]
        for statistics in found.values():
            statistics.add(table, chosen)
    learned = [s.column(source.name, notes) for s in found.values()]
    return [c for c in learned if c is not None]
