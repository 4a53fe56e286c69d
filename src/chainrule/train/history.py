"""History: what a training run measured, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError, OptionError


class History:
    """Measures by name, one number per epoch; what `Trainer.fit` returns.

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
        self.history: dict[str, list[float]] = {k: list(v) for k, v in (history or {}).items()}
        self.stopped: str = ""
        """Why training ended before the last epoch ("" if it did not)."""

    def append(self, logs: Mapping[str, float]) -> None:
        """Add one epoch. A measure that is new (or missing) in this epoch has NaN where it has no
        number."""
        done = len(self)
        for name in logs:
            if name not in self.history:
                self.history[name] = [float("nan")] * done
        for name, line in self.history.items():
            line.append(float(logs.get(name, float("nan"))))

    def __len__(self) -> int:
        return max((len(v) for v in self.history.values()), default=0)

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.history:
            raise OptionError(
                f"no measure {name!r} in this history; it has {', '.join(self.history) or 'none'}"
            )
        return self.history[name]

    def __contains__(self, name: object) -> bool:
        return name in self.history

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def best(self, name: str = "val_loss", mode: str = "min") -> tuple[int, float]:
        """The epoch (from 0) with the best number of a measure, and that number."""
        line = self[name]
        chosen = (min if mode == "min" else max)((v, i) for i, v in enumerate(line) if v == v)
        return chosen[1], chosen[0]

    def to_dict(self) -> dict[str, list[float]]:
        """A copy of the numbers, ready for JSON or a DataFrame."""
        return {k: list(v) for k, v in self.history.items()}

    def table(self, last: int | None = None) -> str:
        """All epochs (or the ``last`` few) as a text table."""
        names = list(self.history)
        widths = [max(9, len(n) + 1) for n in names]
        lines = ["epoch" + "".join(f" {n:>{w}}" for n, w in zip(names, widths, strict=True))]
        first = 0 if last is None else max(len(self) - last, 0)
        for i in range(first, len(self)):
            cells = "".join(
                f" {self.history[n][i]:>{w}.5g}" for n, w in zip(names, widths, strict=True)
            )
            lines.append(f"{i + 1:>5}" + cells)
        return "\n".join(lines)

    def to_csv(self, path: str | Path) -> Path:
        """Write the numbers as CSV, with the epochs (from 1) as the first column; returns the path.

        As a DataFrame: ``polars.DataFrame(history.to_dict())``, or of pandas.
        """
        target = Path(path)
        lines = [",".join(["epoch", *self.history])]
        for i in range(len(self)):
            cells = (repr(line[i]) if line[i] == line[i] else "" for line in self.history.values())
            lines.append(",".join([str(i + 1), *cells]))
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return target

    def plot(self, path: str | Path) -> Path:
        """Draw the learning curves into a file (PNG, SVG or PDF, by its ending). Needs
        matplotlib."""
        try:
            from matplotlib.figure import Figure  # optional: imported where it is needed
        except ImportError:
            raise MissingExtraError(
                "History.plot needs matplotlib: pip install 'chainrule[figures]'"
            ) from None
        shown = [
            n for n in self.history if not n.startswith("val_") and n != "seconds" and n != "lr"
        ]
        figure = Figure(figsize=(5.0 * max(len(shown), 1), 3.6), layout="constrained")
        epochs = range(1, len(self) + 1)
        for i, name in enumerate(shown):
            axes: Any = figure.add_subplot(1, len(shown), i + 1)
            axes.plot(epochs, self.history[name], label="training")
            if f"val_{name}" in self.history:
                axes.plot(epochs, self.history[f"val_{name}"], label="validation")
                axes.legend()
            axes.set_xlabel("epoch")
            axes.set_ylabel(name)
            axes.grid(alpha=0.3)
        target = Path(path)
        figure.savefig(target)
        return target

    def __repr__(self) -> str:
        if not len(self):
            return "History(empty)"
        last = ", ".join(f"{k}={v[-1]:.4g}" for k, v in self.history.items())
        return f"History({len(self)} epochs, last: {last})"
