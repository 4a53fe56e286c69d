"""SeedHistory: what the nets of many seeds measured, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ..measure.history import ByEpoch, History

INNER = (10.0, 90.0)
"""The percentiles between which the band of a figure lies."""


class SeedHistory(ByEpoch):
    """Measures by name, an array (epochs, R) each: a column for each seed.

    A seed that has stopped has NaN from then on; ``stopped[i]`` says why.

    >>> from chainrule.train import SeedHistory
    >>> h = SeedHistory([7, 8])
    >>> h.extend({"loss": [[3.0, 4.0], [1.0, 2.0]]})
    >>> h["loss"].shape, h.of(8)["loss"], h.best("loss")
    ((2, 2), [4.0, 2.0], (7, 1, 1.0))
    >>> print(h.table())
    epoch  loss (10 % .. 90 %)
        1     3.5 (3.1 .. 3.9)
        2     1.5 (1.1 .. 1.9)
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        """Empty."""
        self.seeds = list(seeds)
        self.stopped: list[str] = [""] * len(self.seeds)
        """Why each seed ended before the last epoch ("" if it did not)."""
        self._columns: dict[str, list[Array]] = {}
        self._length = 0

    def extend(self, logs: Mapping[str, Any]) -> None:
        """Add epochs: (n, R) of each measure; of one that is missing, or new, NaN."""
        found = {k: np.asarray(v, np.float64) for k, v in logs.items()}
        more = max((len(v) for v in found.values()), default=0)
        for name, values in found.items():
            if values.shape != (more, len(self.seeds)):
                raise OptionError(
                    f"SeedHistory.extend: {name} has shape {values.shape}, expected is "
                    f"({more}, {len(self.seeds)}): epochs and seeds"
                )
        for name in [*self._columns, *(k for k in found if k not in self._columns)]:
            if name not in self._columns:
                self._columns[name] = [self._nothing(self._length)] if self._length else []
            self._columns[name].append(found[name] if name in found else self._nothing(more))
        self._length += more

    def copy(self) -> SeedHistory:
        """The same numbers in a history of their own; ``stopped`` is empty."""
        found = SeedHistory(self.seeds)
        found._columns = {name: [self[name]] for name in self}
        found._length = self._length
        return found

    def _nothing(self, epochs: int) -> Array:
        return np.full((epochs, len(self.seeds)), np.nan)

    def __getitem__(self, name: str) -> Array:
        line: list[Array] = self._column(name)
        if len(line) > 1:
            line[:] = [np.concatenate(line)]
        return line[0]

    def __len__(self) -> int:
        return self._length

    def place(self, seed: int) -> int:
        """The column of a seed. Raises OptionError if there is none."""
        if seed not in self.seeds:
            shown = f"{self.seeds[0]} to {self.seeds[-1]}" if self.seeds else "none"
            raise OptionError(f"there is no seed {seed!r}; the seeds are {shown}")
        return self.seeds.index(seed)

    def of(self, seed: int) -> History:
        """The `History` of one seed: the epochs that it was trained."""
        i = self.place(seed)
        columns = {name: self[name][:, i] for name in self}
        ran = np.zeros(len(self), bool)
        for column in columns.values():
            ran |= ~np.isnan(column)
        found = History()
        found.extend({name: column[ran] for name, column in columns.items()})
        found.stopped = self.stopped[i]
        return found

    def best(self, name: str = "val_loss", mode: str = "min") -> tuple[int, int, float]:
        """The seed, its epoch (from 0) and the number where a measure is best."""
        values = self[name]
        if np.isnan(values).all():
            raise OptionError(f"no number of {name!r} is finite: there is no best seed")
        at = (np.nanargmin if mode == "min" else np.nanargmax)(values)
        epoch, place = divmod(int(at), len(self.seeds))
        return self.seeds[place], epoch, float(values[epoch, place])

    def last(self, name: str) -> Array:
        """The last number of each seed, (R,)."""
        values = self[name]
        there = ~np.isnan(values)
        at = len(values) - 1 - there[::-1].argmax(axis=0)
        found: Array = np.take_along_axis(values, at[None], axis=0)[0]
        return found

    def to_dict(self) -> dict[str, list[list[float]]]:
        """The numbers as lists: epochs of seeds."""
        return {name: self[name].tolist() for name in self}

    def bands(self, name: str) -> tuple[Array, Array, Array]:
        """Of each epoch the median of the seeds, and what 10 % and 90 % of them are below."""
        values = self[name]
        found = np.full((3, len(values)), np.nan)
        some = ~np.isnan(values).all(axis=1)
        found[:, some] = np.nanpercentile(values[some], [50, *INNER], axis=1)
        return found[0], found[1], found[2]

    def table(self, last: int | None = None) -> str:
        """All epochs (or the ``last`` few): the median of the seeds, and where most of them are."""
        cells = {}
        for name in self:
            rows = zip(*self.bands(name), strict=True)
            cells[name] = [f"{m:.4g} ({a:.4g} .. {b:.4g})" for m, a, b in rows]
        heads = {name: f"{name} (10 % .. 90 %)" for name in self}
        wide = {n: max([len(heads[n]), *map(len, c)]) for n, c in cells.items()}
        lines = ["epoch" + "".join(f"  {heads[n]:>{wide[n]}}" for n in self)]
        for i in range(0 if last is None else max(len(self) - last, 0), len(self)):
            lines.append(f"{i + 1:>5}" + "".join(f"  {cells[n][i]:>{wide[n]}}" for n in self))
        return "\n".join(lines)

    def to_csv(self, path: str | Path) -> Path:
        """Write the numbers as CSV, a line for each seed and epoch (from 1); returns the path."""
        columns = [self[name] for name in self]
        rows = (
            (f"{seed},{epoch + 1}", (float(c[epoch, i]) for c in columns))
            for i, seed in enumerate(self.seeds)
            for epoch in range(len(self))
        )
        return self._write(path, "seed,epoch", rows)

    def _draw(self, axes: Any, name: str, label: str) -> None:
        epochs = range(1, len(self) + 1)
        middle, low, high = self.bands(name)
        [line] = axes.plot(epochs, middle, label=f"{label}, median")
        band = {"alpha": 0.2, "color": line.get_color(), "linewidth": 0}
        axes.fill_between(epochs, low, high, label=f"{label}, 10 % to 90 %", **band)
        axes.set_title(f"{len(self.seeds)} seeds")

    def __repr__(self) -> str:
        if not len(self):
            return f"SeedHistory({len(self.seeds)} seeds, empty)"
        last = ", ".join(f"{name}={np.nanmedian(self.last(name)):.4g}" for name in self)
        return f"SeedHistory({len(self.seeds)} seeds, {len(self)} epochs, last medians: {last})"
