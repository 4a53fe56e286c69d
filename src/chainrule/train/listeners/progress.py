"""Progress: one live line on stderr while a training runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .callbacks import Callback, Logs, Pause


class Progress(Callback):
    """No display; the base of those that show something."""


def _measures(logs: Logs) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in logs.items())


def _duration(seconds: float) -> str:
    whole = int(seconds + 0.5)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class LiveProgress(Progress):
    """A bar, redrawn in place."""

    def __init__(self, bar: Any, epochs: int) -> None:
        self.bar, self.epochs = bar, epochs
        self.task = bar.add_task("", total=1.0, text="compiling", left="")
        self.began = self.shown_at = time.perf_counter()
        self.last: str = ""

    def _at_pause(self, trainer: Any, pause: Pause) -> None:
        """Redraw."""
        epoch, fraction, logs, per_step = pause.epoch, pause.done, pause.logs(), pause.per_step
        rate = f"{1 / per_step:,.0f} steps/s" if per_step else ""
        spent = time.perf_counter() - self.began
        left = _duration(spent / fraction * (1 - fraction)) + " left" if fraction else ""
        text = (
            f"epoch {min(epoch + 1, self.epochs)}/{self.epochs}  {_measures(logs)}{self.last}  "
            f"{rate}"
        )
        self.bar.update(self.task, completed=fraction, text=text, left=left)

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """Keep the validation's measures in sight."""
        shown = {k: v for k, v in logs.items() if k.startswith("val_")}
        self.last = f"  {_measures(shown)}" if shown else ""
        now = time.perf_counter()
        if now - self.shown_at < 0.05 and epoch + 1 < self.epochs:
            return  # of epochs that ran together
        self.shown_at = now
        self.bar.update(self.task, text=f"epoch {epoch + 1}/{self.epochs}  {_measures(logs)}")


class LineProgress(Progress):
    """One line per epoch, where stderr is not a terminal; at most about two a second."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.printed = epochs, 0.0

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """Print."""
        now = time.perf_counter()
        if now - self.printed > 0.5 or epoch + 1 == self.epochs:
            self.printed = now
            print(
                f"epoch {epoch + 1}/{self.epochs}  {_measures(logs)}", file=sys.stderr, flush=True
            )


@contextmanager
def progress_display(wanted: bool | None, epochs: int) -> Iterator[Progress]:
    """A display: live on a terminal; lines if ``wanted`` elsewhere; None: only on a terminal."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if wanted is False or (wanted is None and not terminal):
        yield Progress()
    elif not terminal:
        yield LineProgress(epochs)
    else:
        from rich.console import Console  # loaded only where something is shown
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TextColumn("{task.fields[left]}"),
        )
        with Bar(*columns, console=Console(stderr=True), refresh_per_second=8) as bar:
            yield LiveProgress(bar, epochs)


class TimeLimit(Callback):
    """Stops after so many seconds."""

    def __init__(self, seconds: float) -> None:
        """They run from here on."""
        self.seconds, self.started = seconds, time.perf_counter()

    def _at_pause(self, trainer: Any, pause: Pause) -> None:
        """Look at the clock."""
        if time.perf_counter() - self.started > self.seconds:
            trainer.stop(f"{self.seconds:g} seconds are over")
