"""Targets: what is to be predicted, as class numbers or numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.node import Array
from ..errors import DataError, OptionError
from .columns import MAX_CATEGORIES, MISSING_CODE, codes_of
from .tables import Table, refuse_merged, word_of
from .understood import Understood
from .written import MISSING

LINKS = ("", "log1p", "log")
"""How numbers follow from a net's outputs: see `Preprocessor.numbers`."""
TASKS = ("binary", "multiclass", "regression")
MAX_WHOLE = 20
"""A target of whole numbers with at most so many different values is taken for classes."""


@dataclass(frozen=True)
class Answers:
    """The target's values of all rows, and the task they make."""

    task: str
    classes: list[str]
    values: Array
    """int64 (rows,) class numbers, -1 where missing; or float64 (rows, targets), NaN."""
    notes: tuple[str, ...] = ()
    """What was assumed."""

    @property
    def known(self) -> Array:
        """bool (rows,): where no target is missing."""
        if self.task == "regression":
            return np.asarray(~np.isnan(self.values).any(axis=1))
        return np.asarray(self.values >= 0)

    def scale(self, kept: Array, link: str = "") -> tuple[list[float], list[float]]:
        """Mean and standard deviation of the ``kept`` numbers (or logarithms); not of classes."""
        if self.task != "regression":
            return [], []
        values = np.log1p(self.values[kept]) if link == "log1p" else self.values[kept]
        if link == "log":
            return [0.0] * values.shape[1], [1.0] * values.shape[1]
        std = np.where(np.ptp(values, 0) > 0, values.std(0), 1.0)
        return values.mean(0).tolist(), std.tolist()


def learn_answers(source: Understood, names: Sequence[str], task: str) -> Answers:
    """Read the target's columns once; ``task`` "auto": by their values.

    Raises DataError if nothing can be learned from them, OptionError for a task that does not fit.
    """
    if task not in ("auto", *TASKS):
        raise OptionError(f'task is "auto", "binary", "multiclass" or "regression", got {task!r}')
    if len(names) > 1 and task not in ("auto", "regression"):
        raise OptionError(f"several targets are predicted by regression, not task {task!r}")
    for name in names:
        if source.kinds[name].name == "dates":
            raise DataError(
                f"{source.name}: the target {name!r} holds dates; predict a number, such as the "
                "days until then, or its words (text)"
            )
    if len(names) > 1 or task == "regression":
        numbers = [np.stack([_finite(t, n) for n in names], 1) for t in source.batches(names)]
        return _regression(source, names, np.concatenate(numbers))
    values = _Values(names[0])
    words = names if source.kinds[names[0]].name == "words" else []
    for t in source.batches(names, text=words):  # a class may be called NA
        values.add(t, bool(words))
    return values.answers(source, task)


class _Values:
    """One column: numbers as they are, words as the places of their first appearance."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._places: dict[str, int] = {}
        self._parts: list[Array] = []
        self._numbers = True

    def add(self, table: Table, as_words: bool) -> None:
        """The next piece."""
        values = table.words(self.name) if as_words else table.columns[self.name]
        self._numbers = table.is_number(self.name) and not as_words
        if self._numbers:
            self._parts.append(_finite(table, self.name))
            return
        places = self._places
        codes = (np.nan if v is None else places.setdefault(v, len(places)) for v in values)
        self._parts.append(np.fromiter(codes, np.float64, len(values)))

    def answers(self, source: Understood, task: str) -> Answers:
        """Class numbers, or the numbers themselves."""
        values = np.concatenate(self._parts)
        different = np.unique(values[~np.isnan(values)])
        if not len(different):
            raise DataError(f"{source.name}: the target {self.name!r} has no values in any row")
        if self._numbers:
            whole = len(different) <= MAX_WHOLE and (different == np.floor(different)).all()
            if task == "auto" and not whole:
                return _regression(source, [self.name], values[:, None])
            refuse_merged(source.name, self.name, different)
            classes = [word_of(v) for v in different]
        else:
            words = list(self._places)
            classes = sorted(words)
            rank = np.empty(len(words))
            rank[np.argsort(np.array(words, object), kind="stable")] = np.arange(len(words))
            there = ~np.isnan(values)
            values[there] = rank[values[there].astype(np.int64)]
            different = np.arange(len(words), dtype=np.float64)
        codes = np.where(np.isnan(values), -1, np.searchsorted(different, values))
        _check_classes(source, self.name, classes, int((codes >= 0).sum()), task)
        found = "binary" if len(classes) == 2 else "multiclass"
        notes = []
        if self._numbers and task == "auto" and len(classes) > 2:
            notes.append(
                f"{self.name!r} has {len(classes)} different whole numbers and is taken for "
                "classes; if they are amounts, choose task regression"
            )
        if not self._numbers:
            for c in classes:
                count = int((codes == classes.index(c)).sum())
                if c in MISSING:
                    notes.append(
                        f"{self.name!r} has the class {c!r} in {count}"
                        f" rows; if it means that there is none, add it to missing ({c})"
                    )
        return Answers(found, classes, codes.astype(np.int64), tuple(notes))


def _finite(table: Table, name: str) -> Array:
    values = table.numbers(name)
    infinite = np.isinf(values)
    if infinite.any():
        where = table.where(int(infinite.argmax()))
        raise DataError(f"{table.source}: the target {name!r} is infinite in {where}; drop it")
    return values


def _regression(source: Understood, names: Sequence[str], values: Array) -> Answers:
    known = ~np.isnan(values).any(axis=1)
    if not known.any():
        raise DataError(f"{source.name}: the target {names[0]!r} has no values in any row")
    kept = values[known]
    for name, least, most in zip(names, kept.min(0), kept.max(0), strict=True):
        if least == most and len(kept) > 1:
            raise DataError(
                f"{source.name}: the target {name!r} has the same value in all rows; nothing can "
                "be learned"
            )
        if max(abs(least), abs(most)) > math.sqrt(np.finfo(np.float64).max) / len(values):
            raise DataError(
                f"{source.name}: the target {name!r} has numbers too large to square; scale it"
            )
    return Answers("regression", [], values)


def _check_classes(source: Understood, name: str, classes: list[str], rows: int, task: str) -> None:
    if len(classes) < 2:
        raise DataError(
            f"{source.name}: the target {name!r} has one class only ({classes[0]!r}); at least 2 "
            "are needed"
        )
    if task == "binary" and len(classes) != 2:
        raise DataError(
            f'{source.name}: task "binary" needs 2 classes, the target {name!r} has {len(classes)}'
        )
    if len(classes) > MAX_CATEGORIES and len(classes) > rows // 2:
        raise DataError(
            f"{source.name}: the target {name!r} has {len(classes)} classes in {rows} rows; use "
            "task regression, or another target"
        )


def class_numbers(table: Table, name: str, classes: Sequence[str]) -> Array:
    """int64 (rows,): the class of each row; DataError for classes that are not ``classes``."""
    words = table.words(name)
    codes = codes_of(words, classes)
    missing = int((codes == MISSING_CODE).sum())
    if missing:
        raise missing_target(table, name, missing)
    odd = list(dict.fromkeys(words[codes < 0].tolist()))
    if odd:
        raise DataError(
            f"{table.source}: {name!r} has the classes {listed(odd)}, unknown to the model; it "
            f"knows {listed(classes)}"
        )
    return codes


def missing_target(table: Table, name: str, rows: int) -> DataError:
    """The error of rows without a target where all are needed."""
    return DataError(
        f"{table.source}: the target {name!r} is missing in {rows} rows (the first in "
        f"{table.where(int(table.missing(name).argmax()))}); drop these rows"
    )


def listed(names: Sequence[object], most: int = 8) -> str:
    """Some names in quotes, and how many more."""
    shown = ", ".join(repr(n) for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
