"""What records a training: its history, and files of the best weights and of measures."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from ...core.host.whole_file import check_writable, naming
from ...errors import OptionError
from ...habits import CHECKPOINT, knows
from ...utils.files import save
from .callbacks import Callback, Logs
from .early_stopping import EarlyStopping


class Recorder(Callback):
    """Writes what each epoch measures into the trainer's `History`."""

    def __init__(self, epochs: int, steps: int) -> None:
        """The ``epochs`` asked for, and the ``steps`` of one."""
        self.params = {"epochs": epochs, "steps": steps}

    def on_fit_begin(self, trainer: Any) -> None:
        """Go on with a history of this fit's own."""
        trainer.history = trainer.history.copy()
        trainer.history.params = self.params

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """Add the epoch."""
        trainer.history.append(logs)


class ModelCheckpoint(Callback):
    """Writes the model's weights into a file (safetensors) after an epoch.

    After each one in which ``monitor`` is better than ever before, or with ``save_best_only=False``
    after each.

    ``path`` may have places for the epoch (from 1) and measures: ``"net-{epoch:03d}.safetensors"``.
    Read it with ``model.load_state_dict(cr.load(path))``. To resume a training that was
    interrupted, give `fit` a ``checkpoint`` folder instead.

    >>> from chainrule.train import ModelCheckpoint
    >>> ModelCheckpoint("best.safetensors", "val_accuracy").mode
    'max'
    """

    @knows(CHECKPOINT)
    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str | None = None,
        mode: str = "auto",
        save_best_only: bool = True,
    ) -> None:
        """``monitor`` and ``mode`` as in `EarlyStopping`."""
        self.path, self.save_best_only = os.fspath(path), save_best_only
        self._best = EarlyStopping(monitor, mode=mode, restore_best=False)

    @property
    def monitor(self) -> str | None:
        """The measure that is watched."""
        return self._best.monitor

    @property
    def mode(self) -> str:
        """ "min" or "max": which way is better."""
        return self._best.mode

    @property
    def best(self) -> float | None:
        """The best number so far."""
        return self._best.best

    def on_fit_begin(self, trainer: Any) -> None:
        """Look whether the file can be written, and what to watch."""
        check_writable(self._file(dict.fromkeys(trainer.measures, 0.0), 0))
        if self.save_best_only:
            best = self._best.best  # of all fits
            self._best.on_fit_begin(trainer)
            self._best.best = best

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """Write the weights, if this epoch is the best."""
        if self.save_best_only:
            value = float(logs[str(self.monitor)])
            if not self._best.improved(value):
                return
            self._best.best = value
        save(trainer.model.state_dict(), self._file(logs, trainer.epoch))

    def _file(self, logs: Logs, epoch: int) -> Path:
        try:
            return Path(self.path.format(**{**logs, "epoch": epoch}))
        except (KeyError, IndexError, ValueError) as error:
            raise OptionError(
                f"ModelCheckpoint: the path {self.path!r} asks for what is not measured ({error});"
                f" there are epoch, {', '.join(logs)}"
            ) from None

    def state_dict(self) -> dict[str, Any]:
        """The best number."""
        return self._best.state_dict()

    def load_state_dict(self, state: Any) -> None:
        """Go on with the best number of before."""
        self._best.load_state_dict(state)


class CSVLogger(Callback):
    """Writes a line of measures into a CSV file after each epoch.

    Anew, or with ``append`` below what is there, in its columns. All at once: `History.to_csv`.

    Raises OptionError where measures have no column in the file that is there.

    >>> from chainrule.train import CSVLogger
    >>> CSVLogger("log.csv", append=True).append
    True
    """

    def __init__(
        self, path: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        """Nothing is written before the first epoch ends."""
        self.path, self.separator, self.append = Path(path), separator, append
        self._names: list[str] | None = None

    def on_fit_begin(self, trainer: Any) -> None:
        """Look whether the file can be written; begin it."""
        check_writable(self.path)
        self._names = self._there() if self.append else None
        missing = [n for n in trainer.measures if self._names and n not in self._names]
        if missing:
            raise OptionError(
                f"CSVLogger: {self.path} has no column {missing[0]!r}; its columns are "
                f"{', '.join(self._names or [])}: write into another file, or append=False"
            )

    def _there(self) -> list[str] | None:
        """The columns of the file, where there is one."""
        if not (self.path.exists() and self.path.stat().st_size):
            return None
        with open(self.path, encoding="utf-8") as file:
            return file.readline().rstrip("\n").split(self.separator)[1:]

    def may_wait(self, epoch: int) -> float:
        """Lines may come late."""
        return math.inf

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """Write the line."""
        if self._names is None:
            self._names = list(logs)
            self._write("w", ["epoch", *self._names])
        cells = [repr(float(logs[n])) if n in logs else "" for n in self._names]
        self._write("a", [str(trainer.epoch), *cells])

    def _write(self, mode: str, cells: list[str]) -> None:
        with naming(Path(self.path)), open(self.path, mode, encoding="utf-8") as file:
            file.write(self.separator.join(cells) + "\n")
