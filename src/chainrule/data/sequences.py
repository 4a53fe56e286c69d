"""Sequences of unequal length, and the ``.ts`` files of the UCR and UEA archives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .corpus import text_of
from .unpacking import unpacked

LIMIT = 1 << 31
"""Bytes that a file may be unpacked to."""


@dataclass(frozen=True)
class Sequences:
    """Sequences (T, channels) float32, their labels, and the name of the problem.

    Labels are numbers into ``classes``, or values to be predicted where there are none; a list if
    each step has one.
    """

    x: list[Array]
    y: Any
    classes: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        """The number of sequences."""
        return len(self.x)

    @property
    def lengths(self) -> Array:
        """The length of each, int64."""
        return np.array([len(s) for s in self.x], np.int64)

    def padded(self, value: float = 0.0, length: int | None = None) -> tuple[Array, Array]:
        """``(x, lengths)``; see `pad_sequences`."""
        return pad_sequences(self.x, value, length)


def pad_sequences(
    sequences: Sequence[Any], value: Any = None, length: int | None = None
) -> tuple[Array, Array]:
    """Sequences (T, ...) of unequal length as one array (N, T, ...), and their lengths, int64 (N,).

    What is beyond the end of each is ``value``: 0 for floats; for integers -100, which losses and
    metrics leave out (``ignore_index``), since 0 is a class. Raises DataError for no sequences, one
    without elements or longer than ``length``, and shapes that differ in more than the length.

    >>> from chainrule.data import pad_sequences
    >>> pad_sequences([[1, 2, 3], [4]])
    (array([[   1,    2,    3],
           [   4, -100, -100]]), array([3, 1]))
    """
    arrays = [np.asarray(s) for s in sequences]
    if not arrays:
        raise DataError("pad_sequences: there are no sequences")
    for i, a in enumerate(arrays):
        if a.ndim == 0 or a.dtype.kind not in "biuf":
            raise DataError(f"pad_sequences: sequence {i} is no array of numbers (T, ...)")
        if len(a) == 0:
            raise DataError(f"pad_sequences: sequence {i} is empty; leave it out")
        if a.shape[1:] != arrays[0].shape[1:]:
            raise DataError(
                f"pad_sequences: elements of sequence 0 have shape {arrays[0].shape[1:]}, of "
                f"sequence {i} {a.shape[1:]}"
            )
    lengths = np.array([len(a) for a in arrays], np.int64)
    if length is not None and lengths.max() > length:
        i = int(lengths.argmax())
        raise DataError(f"pad_sequences: sequence {i} has {lengths[i]} steps, more than {length}")
    dtype = np.result_type(*arrays)
    if value is None:
        value = 0.0 if dtype.kind == "f" else -100
        if dtype.kind == "u":  # which has no room for it
            dtype = np.dtype(np.int64)
    found = np.full((len(arrays), length or lengths.max(), *arrays[0].shape[1:]), value, dtype)
    for row, a in zip(found, arrays, strict=True):
        row[: len(a)] = a
    return found, lengths


def read_ts(path: str | Path, classes: Sequence[str] | None = None) -> Sequences:
    """The sequences in a ``.ts`` file (also with gzip).

    A header (``@problemName``, ``@classLabel true a b``, ...), then after ``@data`` one sequence a
    line: channels divided by ``:``, values by ``,``, last the class; ``?`` is NaN. Classes are
    numbered as the header lists them, or as ``classes`` does. Raises DataError with the line for
    what is anything else; time stamps are not read.

    >>> import tempfile
    >>> from chainrule.data import read_ts
    >>> with tempfile.NamedTemporaryFile("w", suffix=".ts") as file:
    ...     _ = file.write("@classLabel true up down\\n@data\\n1,2,3:4,5,6:up\\n3,2:6,5:down\\n")
    ...     file.flush()
    ...     found = read_ts(file.name)
    >>> [s.shape for s in found.x], found.y, found.classes
    ([(3, 2), (2, 2)], array([0, 1]), ('up', 'down'))
    """
    path = Path(path)
    lines = text_of(unpacked(path, LIMIT), str(path)).split("\n")
    header: dict[str, list[str]] = {}
    start = None
    for number, line in enumerate(lines):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if not line.startswith("@"):
            raise DataError(f"{path}, line {number + 1}: a line of the header begins with @ or #")
        if words[0].lower() == "@data":
            start = number + 1
            break
        header[words[0].lower()] = words[1:]
    if start is None:
        raise DataError(f"{path}: no line @data; it is no .ts file")
    if header.get("@timestamps", ["false"])[0].lower() == "true":
        raise DataError(f"{path}: sequences with time stamps are not read; save the values alone")
    labels = header.get("@classlabel", ["false"])
    targets = header.get("@targetlabel", ["false"])
    named = tuple(classes) if classes is not None else tuple(labels[1:])
    kind = "class" if labels[0].lower() == "true" else "value" if _true(targets) else ""
    x: list[Array] = []
    y: list[float] = []
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip():
            channels, label = _sequence(line, f"{path}, line {number}", kind)
            if x and channels.shape[1] != x[0].shape[1]:
                raise DataError(
                    f"{path}, line {number}: {channels.shape[1]} channels, the lines before have "
                    f"{x[0].shape[1]}"
                )
            x.append(channels)
            if kind == "class":
                if label not in named:
                    raise DataError(
                        f"{path}, line {number}: class {label!r} is none of {', '.join(named)}"
                    )
                y.append(named.index(label))
            elif kind == "value":
                y.append(_number(label, f"{path}, line {number}"))
    if not x:
        raise DataError(f"{path}: no sequences after @data")
    title = " ".join(header.get("@problemname", [path.name]))
    return Sequences(x, np.array(y, np.int64 if kind == "class" else np.float32), named, title)


def _true(words: list[str]) -> bool:
    return bool(words) and words[0].lower() == "true"


def _sequence(line: str, where: str, kind: str) -> tuple[Array, str]:
    parts = line.strip().split(":")
    label = parts.pop().strip() if kind else ""
    channels = [[_number(v, where) for v in part.split(",")] for part in parts if part.strip()]
    if not channels:
        raise DataError(f"{where}: no values")
    if len({len(c) for c in channels}) > 1:
        raise DataError(f"{where}: channels of {[len(c) for c in channels]} values")
    return np.array(channels, np.float32).T.copy(), label


def _number(text: str, where: str) -> float:
    text = text.strip()
    if text == "?":
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where}: {text[:40]!r} is no number") from None
