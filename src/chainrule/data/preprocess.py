"""Preprocessing: from a table to the float32 matrix a network reads, and back to classes.

Everything that was learned from the training table fits in JSON.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .columns import KIND_NAMES, Column, NumberColumn, NumberStatistics, WordColumn, WordStatistics
from .columns import column_from_json as _column_from_json
from .moments import DateStatistics
from .notes import Notes
from .reading import source_of
from .tables import Table, no_column
from .target import LINKS, TASKS, Answers, class_numbers, learn_answers, listed, missing_target
from .understood import Reading, Understood, column_names, reading_of
from .written import MISSING, Kind


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
    missing: tuple[str, ...] = ()
    """Words that mean that there is no value, besides the usual ones."""
    link: str = ""
    """What a number is of the standardised output z·std + mean: itself, or "log1p": exp - 1, or
    "log": exp."""
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
        reading: Reading | None = None,
        link: str = "",
    ) -> Preprocessor:
        """Learn from a table; ``task``: "binary", "multiclass", "regression", "auto" (by target).

        Several targets are several numbers to predict. Columns named in ``categorical`` are
        categories even where they are numbers; ``reading``: what else is known of how cells are to
        be read. ``answers``: of `read_answers`, if it was called;
        ``kept`` bool (rows,): learn from these rows only. Raises DataError for a table that cannot
        be used.
        """
        targets, drop = column_names(target), column_names(drop)
        more = reading_of(categorical=column_names(categorical))
        source = source_of(data).read_as(more if reading is None else more.over(reading))
        if answers is None:
            answers = read_answers(source, targets, task, drop)
        kept = answers.known if kept is None else kept
        left_out = {
            *targets,
            *drop,
            *(n for n in source.row_numbers if n not in source.reading.words),
        }
        names = [n for n in source.columns if n not in left_out]
        if not names:
            raise DataError(
                f"{source.name}: no column to predict {', '.join(map(repr, targets))} from"
            )
        notes = [*source.first_notes, *source.notes_of({*names, *targets}), *answers.notes]
        columns = _learn_columns(source, names, kept, notes)
        if not columns:
            raise DataError(
                f"{source.name}: no column to predict {', '.join(map(repr, targets))} from "
                f"({'; '.join(notes)})"
            )
        scale, missing = answers.scale(kept, link), source.reading.missing
        return cls(columns, targets, answers.task, answers.classes, *scale, missing, link, notes)

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

    def pieces(
        self, data: Any, targets: bool = False, keep: Sequence[str] = ()
    ) -> Iterator[tuple[Array, Table]]:
        """The network's inputs, float32 (some rows, width), piece by piece, each with its columns.

        ``targets``, ``keep``: these too. Columns may be in any order. Sets `notes` at the end.

        Raises DataError naming missing columns, and columns that hold words where numbers were.
        """
        source = self.read(data)
        names = [c.name for c in self.columns]
        there = set(source.columns)
        absent = [n for n in names if n not in there]
        if absent:
            one = len(absent) == 1
            raise DataError(
                f"{source.name}: {'column' if one else 'columns'} {listed(absent)} "
                f"{'is' if one else 'are'} missing; the model needs {listed(names)}"
                + near_names(absent, source.columns)
            )
        if targets:
            for name in self.target_names:
                if name not in source.columns:
                    raise DataError(f"{source.name}: the target {name!r} is missing")
            names += self.target_names
        words = [c.name for c in self.columns if isinstance(c, WordColumn)]
        known = {*names, *self.target_names}
        for n in keep:
            if n not in there:
                raise no_column(source, n)
        unknown = [n for n in source.columns if n not in {*known, *keep}]
        names += [n for n in dict.fromkeys(keep) if n not in names]
        notes = Notes()
        for table in source.batches(names, words, self._text(targets)):
            out = np.zeros((table.rows, self.width), np.float32)
            at = 0
            for c in self.columns:
                c.encode(table, out[:, at : at + c.width], notes)
                at += c.width
            yield out, table
        understood = source.notes_of(set(names))
        self.notes = [*source.first_notes, *self._sentences(unknown, notes), *understood]

    def read(self, data: Any) -> Understood:
        """A table whose cells are read as the training table's were."""
        source = source_of(data)
        numbers = self.target_names if self.task == "regression" else ()
        known: dict[str, Kind] = {n: Kind("number") for n in numbers}
        known |= {c.name: c.kind for c in self.columns if not isinstance(c, WordColumn)}
        there = set(source.columns)
        dates = {
            n: k.order or "number"
            for n, k in known.items()
            if k.name == "dates" and k.order == "number" and n in there
        }
        return source.read_as(Reading(missing=self.missing, known=known, dates=dates))

    def _text(self, targets: bool) -> list[str]:
        """Columns where words such as NA are categories or classes."""
        found = [
            c.name
            for c in self.columns
            if isinstance(c, WordColumn) and not set(MISSING).isdisjoint(c.categories)
        ]
        return found + (self.target_names if targets and self.classes else [])

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
        """int64 (rows,) classes, or float32 (rows, targets) standardised; none may be missing."""
        source, names = self.read(data), self.target_names
        for name in names:
            if name not in source.columns:
                raise DataError(f"{source.name}: the target {name!r} is missing")
        words = names if self.classes else []
        return np.concatenate([self.targets_of(t) for t in source.batches(names, words, words)])

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
        """float32 (rows, targets): in standard deviations from the target's mean.

        With the link "log1p", of log(1 + y); with "log", as they are.
        """
        if self.link == "log":
            return np.asarray(raw, np.float32)
        raw = np.log1p(raw) if self.link == "log1p" else raw
        return np.asarray((raw - self.target_mean) / self.target_std, np.float32)

    def numbers(self, outputs: Array) -> Array:
        """Standardised outputs (rows, targets) in the units of the targets."""
        found = np.asarray(np.asarray(outputs, np.float64) * self.target_std + self.target_mean)
        with np.errstate(over="ignore"):  # the caller looks
            if self.link == "log1p":
                return np.asarray(np.expm1(found))
            return np.asarray(np.exp(found)) if self.link == "log" else found

    def unscaled(self, targets: Array) -> Array:
        """What `standardised` made of numbers, as numbers again."""
        return np.asarray(targets, np.float64) if self.link == "log" else self.numbers(targets)

    # -- JSON --------------------------------------------------------------------------------------
    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "columns": [{"kind": KIND_NAMES[type(c)], **asdict(c)} for c in self.columns],
            "target": self.target_names,
            "task": self.task,
            "classes": self.classes,
            "target_mean": self.target_mean,
            "target_std": self.target_std,
            "missing": list(self.missing),
            "link": self.link,
        }

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Preprocessor:
        """What `to_json` gave. Raises DataError where it is something else."""
        try:
            columns = [_column_from_json(c) for c in held["columns"]]
            names, classes = [str(n) for n in held["target"]], [str(c) for c in held["classes"]]
            mean = [float(v) for v in held["target_mean"]]
            std = [float(v) for v in held["target_std"]]
            missing = held.get("missing", [])
            if not isinstance(missing, list) or not all(isinstance(w, str) for w in missing):
                raise TypeError(f"missing is {missing!r}")
            found = cls(columns, names, str(held["task"]), classes, mean, std, tuple(missing))
            found.link = held.get("link", "")
            if found.link not in LINKS:
                raise ValueError(f"link is {found.link!r}")
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
    source: Understood, targets: Sequence[str], task: str = "auto", drop: Sequence[str] = ()
) -> Answers:
    """The targets' values and task, after a check that all columns named are there."""
    there = set(source.columns)
    for name in (*targets, *drop):
        if name not in there:
            raise no_column(source, name)
    double = [n for n in targets if list(targets).count(n) > 1 or n in drop]
    if double:
        raise DataError(f"{source.name}: the target {double[0]!r} is named twice, or dropped")
    return learn_answers(source, targets, task)


def near_names(absent: Sequence[str], there: Sequence[str]) -> str:
    """Columns that are there and may be those that are missing."""
    folded = {n.casefold().strip(): n for n in there}
    near = [
        folded[close]
        for n in absent[:8]
        for close in difflib.get_close_matches(n.casefold(), list(folded), 1)
    ]
    return f"; did you mean {listed(near)}?" if near else ""


def _learn_columns(
    source: Understood, names: list[str], kept: Array, notes: list[str]
) -> list[Column]:
    """One pass over the ``kept`` rows."""
    rows, kinds = int(kept.sum()), source.kinds
    found: dict[str, NumberStatistics | WordStatistics | DateStatistics] = {}
    for n in names:
        if kinds[n].name == "number":
            found[n] = NumberStatistics(n, rows, kinds[n])
        else:
            dates = kinds[n].name == "dates"
            found[n] = DateStatistics(n, kinds[n]) if dates else WordStatistics(n)
    for table in source.batches(names):
        chosen = kept[table.first_row : table.first_row + table.rows]
        for statistics in found.values():
            statistics.add(table, chosen)
    learned = [s.column(source.name, notes) for s in found.values()]
    return [c for c in learned if c is not None]
