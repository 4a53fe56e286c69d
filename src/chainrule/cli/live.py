"""A live view of a training in the terminal: the loss so far as a curve, and the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..train import Callback

HEIGHT, WIDTH = 8, 60
"""Of the curve, in characters: it fits a terminal of 80 columns."""
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of a braille character, by row and column."""


class LiveCurve(Callback):
    """Redraws a few times a second; ends with the last picture."""

    def __init__(self, console: Console) -> None:
        self._epochs, self._steps, self._epoch = 0, 1, 0
        self._done = 0.0  # epochs
        self._first: tuple[float, float] | None = None  # when it was looked at first, and done then
        self._lines: dict[str, list[float]] = {"loss": [], "val_loss": []}
        self._logs: Mapping[str, float] = {}
        self._live = Live(Text("compiling"), console=console, auto_refresh=False)
        self._drawn = 0.0

    def on_fit_begin(self, trainer: Any) -> None:
        """Start the clock: what was compiled before is not repeated."""
        self._live.start()
        self.every = 16
        self._epochs, self._steps = (
            trainer.history.params["epochs"],
            trainer.history.params["steps"],
        )
        self._first = None

    def on_steps(self, trainer: Any, step: int, logs: Mapping[str, float]) -> None:
        """Within an epoch."""
        self._at(step / self._steps)
        if not self._epoch:
            self._logs = logs
        self._draw(0.25)

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """A new point of the curves."""
        self._at(epoch + 1)
        self._epoch, self._logs = epoch + 1, logs
        for name, line in self._lines.items():
            if name in logs:
                line.append(logs[name])
        self._draw(0.1)

    def on_fit_end(self, trainer: Any) -> None:
        """The last picture stays."""
        self._draw(0.0)
        self.close()

    def close(self) -> None:
        """Give the terminal back (also after an error)."""
        self._live.stop()

    def _at(self, done: float) -> None:
        self._done = done
        self._first = self._first or (time.perf_counter(), done)

    def _draw(self, seconds: float) -> None:
        now = time.perf_counter()
        if now - self._drawn < seconds:
            return
        self._drawn = now
        self._live.update(self.picture(now), refresh=True)

    def picture(self, now: float) -> Text:
        """The curves and a line of numbers, at this time."""
        head = "  ".join(f"{k} {v:.4g}" for k, v in self._logs.items())
        began, before = self._first or (now, self._done)
        left = ""
        if before < self._done < self._epochs:
            pace = (now - began) / (self._done - before)
            left = f"  at most {_clock(pace * (self._epochs - self._done))} left"
        found = Text(f"epoch {self._epoch}/{self._epochs}  {head}{left}\n")
        return found.append_text(plot(self._lines)) if self._epoch > 1 else found


COLOURS = {"loss": "blue", "val_loss": "dark_orange"}


def plot(lines: Mapping[str, Sequence[float]]) -> Text:
    """Curves of equal length in braille dots, with the range of values at the left.

    >>> from chainrule.cli.live import plot
    >>> first = plot({"loss": [1.0, 0.5, 0.25], "val_loss": []}).plain.splitlines()[0]
    >>> first.split()[0]
    '1'
    """
    values = [v for line in lines.values() for v in line if v == v]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    cells: dict[tuple[int, int], int] = {}
    colours: dict[tuple[int, int], str] = {}
    for name, line in lines.items():
        for x, value in enumerate(_resampled(line, 2 * WIDTH)):
            y = round((high - value) / span * (4 * HEIGHT - 1))
            at = (y // 4, x // 2)
            cells[at] = cells.get(at, 0) | _DOTS[y % 4][x % 2]
            colours[at] = COLOURS.get(name, "")
    found = Text()
    for row in range(HEIGHT):
        label = {0: f"{high:.4g}", HEIGHT - 1: f"{low:.4g}"}.get(row, "")
        found.append(f"{label:>9} ")
        for column in range(WIDTH):
            at = (row, column)
            found.append(chr(0x2800 + cells.get(at, 0)), colours.get(at, ""))
        found.append("\n")
    found.append(" " * 10)
    for name, line in lines.items():
        if line:
            found.append(f"{name}  ", COLOURS.get(name, ""))
    return found


def _resampled(line: Sequence[float], width: int) -> list[float]:
    """``width`` points of a line by linear interpolation."""
    if len(line) < 2:
        return list(line)
    found = []
    for i in range(width):
        at = i * (len(line) - 1) / (width - 1)
        k = min(int(at), len(line) - 2)
        found.append(line[k] + (line[k + 1] - line[k]) * (at - k))
    return [v for v in found if v == v]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
        if minutes >= 60
        else (f"{minutes}:{rest:02d}")
    )
