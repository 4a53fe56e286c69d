"""Preprocessing: from columns of a table to the float32 matrix a network reads, and back to
classes.

Numbers: missing values become the median and set an indicator column, then (x - mean) / std.
Words: one-hot; a category that was not in the training table is all zeros. Everything that was
learned from the training table fits in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError, OptionError
from .tables import Table, table_of

TASKS = ("binary", "multiclass", "regression")
MAX_CATEGORIES = 256
"""Of a column of words, so many of the most frequent ones get a column of their own."""
MAX_WHOLE = 20
"""A target of whole numbers with at most so many different values is taken for classes."""


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers: (x or median where missing, - mean) / std, and an indicator if some were
    missing."""

    name: str
    median: float
    mean: float
    std: float
    indicator: bool

    @property
    def width(self) -> int:
        """How many inputs of the network it becomes."""
        return 1 + self.indicator


@dataclass(frozen=True)
class WordColumn:
    """A column of categories, one input each."""

    name: str
    categories: tuple[str, ...]

    @property
    def width(self) -> int:
        """How many inputs of the network it becomes."""
        return len(self.categories)


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

    columns: list[NumberColumn | WordColumn]
    target_names: list[str]
    task: str
    classes: list[str]
    target_mean: list[float]
    target_std: list[float]
    notes: list[str] = field(default_factory=list, compare=False)
    """What the last call left out or replaced, as sentences."""

    # -- learning ----------------------------------------------------------------------------------
    @classmethod
    def fit(
        cls, data: Any, target: str | Sequence[str], task: str = "auto", drop: Sequence[str] = ()
    ) -> Preprocessor:
        """Learn from a table; ``task``: "binary", "multiclass", "regression", or "auto" (by the
        target).

        Several targets are several numbers to predict. Raises DataError for a table that cannot be
        used.
        """
        table = table_of(data)
        targets = [target] if isinstance(target, str) else list(target)
        if task not in ("auto", *TASKS):
            raise OptionError(
                f'task is "auto", "binary", "multiclass" or "regression", got {task!r}'
            )
        for name in (*targets, *drop):
            if name not in table.columns:
                raise DataError(
                    f"{table.source}: no column {name!r}; there are {_listed(list(table.columns))}"
                )
        notes: list[str] = []
        found, classes, mean, std = _learn_target(table, targets, task)
        names = [n for n in table.columns if n not in targets and n not in drop]
        columns = [c for n in names if (c := _learn_column(table, n, notes)) is not None]
        if not columns:
            raise DataError(
                f"{table.source}: no column to predict {', '.join(map(repr, targets))} from"
            )
        return cls(columns, targets, found, classes, mean, std, notes)

    # -- using -------------------------------------------------------------------------------------
    @property
    def feature_names(self) -> list[str]:
        """The name of each input of the network."""
        names: list[str] = []
        for c in self.columns:
            if isinstance(c, WordColumn):
                names += [f"{c.name}={k}" for k in c.categories]
            else:
                names += [c.name, f"{c.name} is missing"][: c.width]
        return names

    @property
    def width(self) -> int:
        """The number of inputs of the network."""
        return sum(c.width for c in self.columns)

    @property
    def outputs(self) -> int:
        """The number of outputs of the network."""
        return len(self.classes) or len(self.target_names)

    def features(self, data: Any) -> Array:
        """float32 (rows, width): the inputs of the network. Sets `notes`; columns may be in any
        order.

        Raises DataError naming missing columns, and columns that hold words where numbers were.
        """
        table = table_of(data)
        absent = [c.name for c in self.columns if c.name not in table.columns]
        if absent:
            raise DataError(
                f"{table.source}: {'column' if len(absent) == 1 else 'columns'} {_listed(absent)}"
                f" {'is' if len(absent) == 1 else 'are'} missing; the model needs"
                f" {_listed([c.name for c in self.columns])}"
            )
        known = {c.name for c in self.columns} | set(self.target_names)
        unknown = [n for n in table.columns if n not in known]
        self.notes = [f"ignored {_listed(unknown)}: not used by the model"] if unknown else []
        out = np.zeros((table.rows, self.width), np.float32)
        at = 0
        for c in self.columns:
            part = out[:, at : at + c.width]
            if isinstance(c, NumberColumn):
                self._numbers(table, c, part)
            else:
                self._words(table, c, part)
            at += c.width
        return out

    def _numbers(self, table: Table, c: NumberColumn, out: Array) -> None:
        values = _as_numbers(table, c.name)
        missing = np.isnan(values)
        out[:, 0] = (np.where(missing, c.median, values) - c.mean) / c.std
        if c.indicator:
            out[:, 1] = missing
        elif missing.any():
            self.notes.append(
                f"{c.name!r}: {int(missing.sum())} missing values replaced by the median "
                f"{c.median:g}"
                " (none was missing in training)"
            )

    def _words(self, table: Table, c: WordColumn, out: Array) -> None:
        values = _as_words(table, c.name)
        index = {k: i for i, k in enumerate(c.categories)}
        codes = np.fromiter(
            (-2 if v is None else index.get(v, -1) for v in values), np.int64, len(values)
        )
        rows = np.flatnonzero(codes >= 0)
        out[rows, codes[rows]] = 1
        unseen = np.flatnonzero(codes == -1)
        if len(unseen):
            words = list(dict.fromkeys(values[unseen].tolist()))
            self.notes.append(
                f"{c.name!r}: {len(unseen)} rows with categories that have no input "
                f"({_listed(words)}): all zeros"
            )

    def targets(self, data: Any) -> Array:
        """int64 (rows,) class numbers, or float32 (rows, targets) standardised; no value may be
        missing."""
        table = table_of(data)
        for name in self.target_names:
            if name not in table.columns:
                raise DataError(f"{table.source}: the target {name!r} is missing")
            missing = int(table.missing(name).sum())
            if missing:
                raise DataError(
                    f"{table.source}: the target {name!r} is missing in {missing} rows; drop these "
                    "rows"
                )
        if self.task == "regression":
            raw = np.stack([_as_numbers(table, n) for n in self.target_names], 1)
            return np.asarray((raw - self.target_mean) / self.target_std, np.float32)
        words = _as_words(table, self.target_names[0])
        index = {k: i for i, k in enumerate(self.classes)}
        odd = list(dict.fromkeys(w for w in words if w not in index))
        if odd:
            raise DataError(
                f"{table.source}: {self.target_names[0]!r} has the classes {_listed(odd)}, unknown "
                "to the model;"
                f" it knows {_listed(self.classes)}"
            )
        return np.fromiter((index[w] for w in words), np.int64, len(words))

    def known_targets(self, data: Any) -> Array:
        """bool (rows,): where no target is missing."""
        table = table_of(data)
        return np.asarray(~np.any([table.missing(n) for n in self.target_names], axis=0))

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
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"this is no description of a preprocessor ({error!r})") from None
        if found.task not in TASKS or not columns or not names:
            raise DataError(
                f"this is no description of a preprocessor (task {found.task!r}, {len(columns)} "
                "columns)"
            )
        regression = found.task == "regression"
        if regression != (len(classes) == 0) or (
            regression and not len(names) == len(mean) == len(std)
        ):
            raise DataError(
                "this is no description of a preprocessor (task and classes do not fit)"
            )
        return found


def _column_from_json(c: Mapping[str, Any]) -> NumberColumn | WordColumn:
    if c["kind"] == "number":
        return NumberColumn(
            str(c["name"]),
            float(c["median"]),
            float(c["mean"]),
            float(c["std"]),
            bool(c["indicator"]),
        )
    return WordColumn(str(c["name"]), tuple(str(k) for k in c["categories"]))


def _learn_column(table: Table, name: str, notes: list[str]) -> NumberColumn | WordColumn | None:
    missing = table.missing(name)
    if missing.all():
        raise DataError(f"{table.source}: column {name!r} has no values in any row; drop it")
    if table.is_number(name):
        values = table.columns[name]
        infinite = np.isinf(values)
        if infinite.any():
            row = int(infinite.argmax())
            raise DataError(
                f"{table.source}: column {name!r} is infinite in row {row}; drop or change it"
            )
        median = float(np.median(values[~missing]))
        filled = np.where(missing, median, values)
        std = float(filled.std())
        return NumberColumn(
            name, median, float(filled.mean()), std if std > 0 else 1.0, bool(missing.any())
        )
    words, counts = np.unique(table.columns[name][~missing].astype(str), return_counts=True)
    if len(words) > 20 and len(words) == table.rows - int(missing.sum()):
        notes.append(f"ignored {name!r}: a different word in every row")
        return None
    if len(words) > MAX_CATEGORIES:
        notes.append(
            f"{name!r}: {len(words)} categories, the {MAX_CATEGORIES} most frequent are used"
        )
        words = np.sort(words[np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]])
    return WordColumn(name, tuple(str(w) for w in words))


def _learn_target(
    table: Table, names: list[str], task: str
) -> tuple[str, list[str], list[float], list[float]]:
    """Task, classes, mean and standard deviation."""
    kept = table.take(~np.any([table.missing(n) for n in names], axis=0))
    if not kept.rows:
        raise DataError(f"{table.source}: the target {names[0]!r} has no values in any row")
    if len(names) > 1 and task not in ("auto", "regression"):
        raise OptionError(f"several targets are predicted by regression, not task {task!r}")
    if task == "auto":
        task = "regression" if len(names) > 1 else _infer(kept, names[0])
    if task == "regression":
        raw = np.stack([_as_numbers(kept, n) for n in names], 1)
        for name, std in zip(names, raw.std(0), strict=True):
            if not np.isfinite(std):
                raise DataError(f"{table.source}: the target {name!r} has infinite values")
            if std == 0:
                raise DataError(
                    f"{table.source}: the target {name!r} has the same value in all rows; nothing "
                    "can be learned"
                )
        return task, [], raw.mean(0).tolist(), raw.std(0).tolist()
    words = _as_words(kept, names[0])
    numbers = kept.is_number(names[0])
    classes = sorted(set(words.tolist()), key=lambda w: (float(w), w) if numbers else (0.0, w))
    if len(classes) < 2:
        raise DataError(
            f"{table.source}: the target {names[0]!r} has one class only ({classes[0]!r}); at "
            "least 2 are needed"
        )
    if task == "binary" and len(classes) != 2:
        raise DataError(
            f'{table.source}: task "binary" needs 2 classes, the target {names[0]!r} has '
            f"{len(classes)}"
        )
    if len(classes) > max(MAX_CATEGORIES, 2) and len(classes) > kept.rows // 2:
        raise DataError(
            f"{table.source}: the target {names[0]!r} has {len(classes)} classes in {kept.rows} "
            "rows; use task"
            " regression, or another target"
        )
    return "binary" if len(classes) == 2 else "multiclass", classes, [], []


def _infer(table: Table, name: str) -> str:
    if not table.is_number(name):
        return "multiclass"
    values = np.unique(table.columns[name])
    whole = bool((values == np.floor(values)).all())
    return "multiclass" if whole and len(values) <= MAX_WHOLE else "regression"


def _as_numbers(table: Table, name: str) -> Array:
    values = table.columns[name]
    if table.is_number(name):
        return values
    for row, v in enumerate(values):
        if v is not None and not _is_number(v):
            raise DataError(
                f"{table.source}: column {name!r} is {v!r} in row {row}; a number is expected"
            )
    return np.array([np.nan if v is None else float(v) for v in values], np.float64)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _as_words(table: Table, name: str) -> Array:
    """Numbers as words without a needless ``.0``."""
    values = table.columns[name]
    if not table.is_number(name):
        return values
    different, index = np.unique(values, return_inverse=True)
    words = np.empty(len(different), object)
    words[:] = [
        None if v != v else str(int(v)) if v == int(v) and abs(v) < 1e15 else repr(float(v))
        for v in different
    ]
    return words[index]


def _listed(names: Sequence[object], most: int = 8) -> str:
    shown = ", ".join(repr(n) for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
