"""History: what a training run measured, epoch by epoch."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...core.host.whole_file import whole_file
from ...core.node import Array
from ...errors import OptionError
from ...plot import matplotlib_of, save_figure


class ByEpoch:
    """Measures by name, epoch by epoch: of one net, or of many."""

    _columns: dict[str, Any]
    hidden: ClassVar[tuple[str, ...]] = ("lr", "seconds")
    """What is no measure of learning, and not drawn."""

    def keys(self) -> list[str]:
        """The names of the measures."""
        return list(self._columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def _column(self, name: str) -> Any:
        if name not in self._columns:
            raise OptionError(
                f"no measure {name!r} in this history; it has {', '.join(self._columns) or 'none'}"
            )
        return self._columns[name]

    def _write(self, path: str | Path, first: str, rows: Iterable[tuple[Any, Any]]) -> Path:
        """A CSV file of ``rows``: what comes ``first``, and the numbers of one line."""
        lines = [",".join([first, *self])]
        for head, numbers in rows:
            cells = (repr(v) if v == v else "" for v in numbers)
            lines.append(",".join([str(head), *cells]))
        with whole_file(Path(path)) as file:
            file.write(("\n".join(lines) + "\n").encode())
        return Path(path)

    def _draw(self, axes: Any, name: str, label: str) -> None:
        """The curve of a measure."""
        raise NotImplementedError

    def plot(self, path: str | Path) -> Path:
        """Draw the learning curves into a file (PNG, SVG or PDF, by its ending).

        Of many seeds the median, and the band where eight of ten are. Needs matplotlib.
        """
        shown = [n for n in self if not n.startswith("val_") and n not in self.hidden]
        size = (5.0 * max(len(shown), 1), 3.6)
        mpl = matplotlib_of(f"{type(self).__name__}.plot needs")
        figure = mpl.figure.Figure(figsize=size, layout="constrained")
        for i, name in enumerate(shown):
            axes = figure.add_subplot(1, len(shown), i + 1)
            for part, label in ((name, "training"), (f"val_{name}", "validation")):
                if part in self:
                    self._draw(axes, part, label)
            if len(axes.get_legend_handles_labels()[0]) > 1:
                axes.legend(fontsize=8)
            axes.set(xlabel="epoch", ylabel=name)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
        return save_figure(figure, path, dpi=160)


class History(ByEpoch):
    """Measures by name, one number per epoch; what `Trainer.fit` returns.

    Eight bytes a number: ten million epochs of a small net are 80 MB. Lists are made where they are
    asked for; `numpy` gives an array.

    >>> from chainrule.train import History
    >>> h = History()
    >>> h.append({"loss": 0.5, "val_loss": 0.6})
    >>> h.append({"loss": 0.25, "val_loss": 0.4})
    >>> h.history["loss"], h.best("val_loss")
    ([0.5, 0.25], (1, 0.4))
    >>> print(h.table())
    epoch      loss  val_loss
        1       0.5       0.6
        2      0.25       0.4
    """

    def __init__(self, history: Mapping[str, list[float]] | None = None) -> None:
        """Empty, or with the measures of an earlier run."""
        self._columns = {k: array("d", v) for k, v in (history or {}).items()}
        self._lists: dict[str, list[float]] = {}  # of the columns, as far as they were asked for
        self.stopped: str = ""
        """Why training ended before the last epoch ("" if it did not)."""
        self.params: dict[str, int] = {}
        """Of the last call of `fit`: "epochs" asked for, "steps" in one."""

    def append(self, logs: Mapping[str, float]) -> None:
        """Add one epoch. A measure that is new (or missing) has NaN where it has no number."""
        if logs.keys() != self._columns.keys():
            self._begin(logs)
        for name, column in self._columns.items():
            column.append(logs.get(name, math.nan))

    def extend(self, logs: Mapping[str, Sequence[float] | Array]) -> None:
        """Add several epochs: as many numbers of each measure. Raises OptionError if these differ.

        >>> from chainrule.train import History
        >>> h = History({"loss": [3.0]})
        >>> h.extend({"loss": [2.0, 1.0]})
        >>> h["loss"]
        [3.0, 2.0, 1.0]
        """
        counts = {name: len(values) for name, values in logs.items()}
        if len(set(counts.values())) > 1:
            raise OptionError(
                f"History.extend: as many numbers of each measure are needed, got {counts}"
            )
        self._begin(logs)
        more = max(counts.values(), default=0)
        for name, column in self._columns.items():
            if name in logs:
                column.frombytes(np.asarray(logs[name], np.float64).tobytes())
            else:
                column.extend([math.nan] * more)

    def _begin(self, names: Iterable[str]) -> None:
        """Columns for measures that are new."""
        new = [name for name in names if name not in self._columns]
        done = len(self) if new else 0
        for name in new:
            self._columns[name] = array("d", [math.nan]) * done

    def copy(self) -> History:
        """The same numbers in a history of their own; ``stopped`` is empty."""
        found = History()
        found._columns = {k: v[:] for k, v in self._columns.items()}
        return found

    @property
    def history(self) -> dict[str, list[float]]:
        """The numbers of every measure, as lists."""
        return {name: self[name] for name in self._columns}

    @property
    def epoch(self) -> list[int]:
        """The numbers of the epochs, from 0."""
        return list(range(len(self)))

    def items(self) -> list[tuple[str, list[float]]]:
        """The names of the measures with their numbers."""
        return list(self.history.items())

    def __len__(self) -> int:
        return max(map(len, self._columns.values()), default=0)

    def __getitem__(self, name: str) -> list[float]:
        column = self._column(name)
        line = self._lists.setdefault(name, [])
        line.extend(column[len(line) :])
        return line

    def numpy(self, name: str) -> Array:
        """The numbers of one measure as a float64 array of shape (epochs,), a copy.

        >>> from chainrule.train import History
        >>> History({"loss": [3.0, 1.0]}).numpy("loss").mean()
        np.float64(2.0)
        """
        return np.array(self._column(name), np.float64)

    def best(self, name: str = "val_loss", mode: str = "min") -> tuple[int, float]:
        """The epoch (from 0) with the best number of a measure, and that number."""
        line = self._column(name)
        chosen = (min if mode == "min" else max)((v, i) for i, v in enumerate(line) if v == v)
        return chosen[1], chosen[0]

    def to_dict(self) -> dict[str, list[float]]:
        """A copy of the numbers, ready for JSON or a DataFrame."""
        return {k: list(v) for k, v in self._columns.items()}

    def table(self, last: int | None = None) -> str:
        """All epochs (or the ``last`` few) as a text table."""
        names = list(self)
        widths = [max(9, len(n) + 1) for n in names]
        lines = ["epoch" + "".join(f" {n:>{w}}" for n, w in zip(names, widths, strict=True))]
        first = 0 if last is None else max(len(self) - last, 0)
        for i in range(first, len(self)):
            cells = "".join(
                f" {self._columns[n][i]:>{w}.5g}" for n, w in zip(names, widths, strict=True)
            )
            lines.append(f"{i + 1:>5}" + cells)
        return "\n".join(lines)

    def to_csv(self, path: str | Path) -> Path:
        """Write the numbers as CSV, with the epochs (from 1) as the first column; returns the path.

        As a DataFrame: ``polars.DataFrame(history.to_dict())``, or of pandas.
        """
        lines = zip(*self._columns.values(), strict=True)
        return self._write(path, "epoch", enumerate(lines, 1))

    def _draw(self, axes: Any, name: str, label: str) -> None:
        axes.plot(range(1, len(self) + 1), self.numpy(name), label=label)

    def __repr__(self) -> str:
        if not len(self):
            return "History(empty)"
        last = ", ".join(f"{k}={v[-1]:.4g}" for k, v in self._columns.items())
        return f"History({len(self)} epochs, last: {last})"
