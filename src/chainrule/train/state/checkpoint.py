"""Checkpoints: the whole state of a training in one safetensors file, written whole or not at all.

A file is written beside its place, synced and renamed; the file before it is removed only after
that. So there is a whole checkpoint at any moment, whenever the process dies. A checksum over all
numbers tells a damaged file from a whole one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...core.host.whole_file import TEMPORARY, check_writable, whole_file
from ...core.node import Array
from ...errors import CheckpointError, OptionError, WriteError
from ...habits import RESUME, knows
from .lock import locked

FORMAT = 2
"""1, of version 0.1.0, had the history in the header, and is read as well."""
_KEY = "chainrule_checkpoint"
_NAME = re.compile(r"checkpoint-(\d{12})\.safetensors")
COST = 0.012
"""The share of the time that writing may take at the default interval, so that all of it, with
collecting the state and the pause in the loop, takes at most 2 %."""


@dataclass
class State:
    """Arrays by name, and everything else as JSON values."""

    arrays: dict[str, Array]
    meta: dict[str, Any]


def to_bytes(state: State) -> bytes:
    """The file of a state."""
    arrays = {k: np.array(v, order="C") for k, v in state.arrays.items()}
    meta = json.dumps({"format": FORMAT, **state.meta})
    whole: bytes = save(arrays, {_KEY: meta, "checksum": _checksum(arrays, meta)})
    return whole


def save_state(path: str | Path, state: State) -> Path:
    """Write a state into a file, whole or not at all."""
    with whole_file(Path(path)) as file:
        file.write(to_bytes(state))
    return Path(path)


def _checksum(arrays: Mapping[str, Array], meta: str) -> str:
    digest = hashlib.blake2b(meta.encode(), digest_size=16)
    for name in sorted(arrays):
        a = arrays[name]
        digest.update(f"{name} {a.dtype.name} {a.shape}".encode())
        digest.update(a.tobytes())
    return digest.hexdigest()


def read_file(path: Path) -> State:
    """The state in a file. Raises CheckpointError with what is wrong with it."""
    try:
        with safe_open(path, framework="np") as f:
            info = f.metadata() or {}
            if _KEY not in info:
                raise CheckpointError(
                    f"{path} is a safetensors file, but not a checkpoint of Chainrule's Trainer"
                )
            arrays = {k: np.array(f.get_tensor(k)) for k in f.keys()}
        meta = json.loads(info[_KEY])
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist") from None
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        size = path.stat().st_size if path.is_file() else 0
        raise CheckpointError(
            f"{path} ({size} bytes) is damaged or not a checkpoint: "
            f"{str(error).splitlines()[0] if str(error) else error!r}"
        ) from error
    if _checksum(arrays, info[_KEY]) != info.get("checksum"):
        raise CheckpointError(f"{path} is damaged: its checksum does not match its contents")
    found = meta.get("format") if isinstance(meta, dict) else None
    if found not in range(1, FORMAT + 1):
        raise CheckpointError(
            f"{path} has format {found}, this version of Chainrule reads formats up to {FORMAT}; "
            "update it"
        )
    return State(arrays, meta)


class Checkpoint:
    """A folder of checkpoints: when to write, and which to read.

    ``every_steps``: write after that many steps; otherwise as often as writing costs at most 2 % of
    the time (``every_seconds`` sets a shortest pause). The two newest files are kept.

    >>> from chainrule.train import Checkpoint
    >>> Checkpoint("run/", every_steps=1000).every_steps
    1000
    """

    @knows(RESUME)
    def __init__(
        self, folder: str | Path, every_steps: int | None = None, every_seconds: float = 1.0
    ) -> None:
        """Nothing is written yet."""
        if every_steps is not None and (
            isinstance(every_steps, bool) or not isinstance(every_steps, int) or every_steps < 1
        ):
            raise OptionError(f"Checkpoint: every_steps is at least 1, got {every_steps!r}")
        self.folder = Path(folder)
        self.every_steps, self.every_seconds = every_steps, every_seconds
        self._last = time.perf_counter()
        self._cost = 0.0

    def prepare(self) -> None:
        """Make the folder. Raises CheckpointError if that, or a file in it, is not possible."""
        if self.folder.exists() and not self.folder.is_dir():
            raise CheckpointError(f"checkpoint: {self.folder} is a file; a folder is needed")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"checkpoint: cannot make the folder {self.folder}: {error.strerror}"
            ) from error
        try:
            check_writable(self.folder / "checkpoint")
        except WriteError as error:
            raise CheckpointError(
                f"checkpoint: no file can be made in the folder {self.folder}: "
                f"{str(error).rpartition(': ')[2]}"
            ) from error
        self._last = time.perf_counter()

    @contextmanager
    def held(self) -> Iterator[None]:
        """The folder for one fit alone; what processes that died have half written is removed.

        Raises CheckpointError where `prepare` does, or if another process has it.
        """
        self.prepare()
        with locked(self.folder):
            for path in self.folder.glob(f"{TEMPORARY}*"):
                with contextlib.suppress(OSError):
                    path.unlink()
            yield

    def files(self) -> list[Path]:
        """The checkpoints in the folder, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((p for p in self.folder.iterdir() if _NAME.fullmatch(p.name)), reverse=True)

    def due(self, step: int) -> bool:
        """Whether it is time to write."""
        if self.every_steps is not None:
            return step % self.every_steps == 0
        return time.perf_counter() - self._last > max(self.every_seconds, self._cost / COST)

    def write(self, step: int, state: State) -> Path:
        """Write a checkpoint and remove those before the last one.

        Raises WriteError, with the path, if the system cannot.
        """
        start = time.perf_counter()
        path = self.folder / f"checkpoint-{step:012d}.safetensors"
        try:
            save_state(path, state)
        finally:
            self._last = time.perf_counter()
            self._cost = self._last - start
        for old in self.files()[2:]:
            with contextlib.suppress(OSError):
                old.unlink()
        return path

    def read(self) -> State | None:
        """The newest whole checkpoint; None if there is none. Damaged ones are named in a warning.

        Raises CheckpointError if there are files and all are damaged.
        """
        reasons = []
        for path in self.files():
            try:
                state = read_file(path)
            except CheckpointError as error:
                reasons.append(str(error))
                continue
            if reasons:
                warnings.warn(
                    "checkpoint: "
                    + "; ".join(reasons)
                    + f". The one before it is used: {path.name}",
                    RuntimeWarning,
                    stacklevel=6,
                )
            return state
        if reasons:
            raise CheckpointError(
                f"no checkpoint in {self.folder} can be read; remove the folder to start anew:\n   "
                " " + "\n    ".join(reasons)
            )
        return None


def as_checkpoint(given: Any) -> Checkpoint | None:
    """A Checkpoint from a folder's name, or as given."""
    if given is None or given is False:
        return None
    if isinstance(given, Checkpoint):
        return given
    if isinstance(given, str | os.PathLike):
        return Checkpoint(os.fspath(given))
    raise OptionError(f"fit: checkpoint is a folder or a Checkpoint, got {type(given).__name__}")
