"""``chainrule train``: which net is to be trained follows from what there is to learn from."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..data.arrays_npz import read_npz
from ..errors import DataError
from .model_kinds import TABLES

KINDS = {
    "table": "a table: .csv, .tsv, .parquet, .xlsx, .npz; with --target COLUMN",
    "images": "a folder (or .zip) of one folder a class; IDX, CIFAR or NPZ files",
    "text": "a text file; the net writes on: chainrule sample MODEL",
    "sequences": ".ts or .npz: a class or a value of each sequence",
}
ARRAYS = (".bin", ".idx", ".idx3", ".idx3-ubyte")


class Train(click.Command):
    """The command for the kind of data that the arguments name."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> click.Context:
        """Of ``chainrule train`` itself only for its help."""
        kind, rest, file = _asked(args)
        if kind is None and file is None:
            helped = any(a in ("-h", "--help") for a in args)
            if helped or not args:
                return super().make_context(info_name, ["--help"], parent, **extra)
            kind = "table"
        command = _command(kind or _kind(file or "", rest))
        return command.make_context(info_name, rest, parent, **extra)


@click.command(name="train", cls=Train, epilog="chainrule train --as KIND --help lists options.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(list(KINDS)),
    help="What FILE is, if its name does not tell.",
)
@click.argument("file", metavar="FILE|FOLDER")
def command(**_: Any) -> None:
    """Train a net on whatever FILE is, and write it with all it needs into one model file.

    \b
    a table     .csv, .tsv, .parquet, .xlsx, .npz; with --target COLUMN
    images      a folder (or .zip) of one folder a class; IDX, CIFAR, NPZ files
    a text      any text file; the net writes on: chainrule sample MODEL
    sequences   .ts or .npz: a class or a value for each sequence

    Each has options of its own. Common are --out, --epochs, --lr, --batch-size, --seed,
    --validation, --patience, --checkpoint DIR, --resume, --threads, --json, --no-figure.
    """


def _command(kind: str) -> click.Command:
    found: click.Command = importlib.import_module(f".train_{kind}", __package__).command
    return found


def _asked(args: list[str]) -> tuple[str | None, list[str], str | None]:
    """The value of --as, the other arguments, and FILE: the first that is no option's value."""
    kind, rest, file = None, [], None
    waiting = list(args)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if name == "--as":
            kind = value if equals else waiting.pop(0) if waiting else ""
            if kind not in KINDS:
                raise click.UsageError(f"--as {kind}: there are {', '.join(KINDS)}")
            continue
        rest.append(word)
        if word.startswith("--") and not equals and word in _taking_values() and waiting:
            rest.append(waiting.pop(0))
        elif (not word.startswith("-") or word == "-") and file is None:
            file = word
    return kind, rest, file


def _taking_values() -> set[str]:
    options = [p for k in KINDS for p in _command(k).params if isinstance(p, click.Option)]
    return {name for p in options if not p.is_flag for name in p.opts}


def _kind(file: str, args: list[str]) -> str:
    """What a file is: by the options, its name, and of an NPZ file what is in it."""
    if any(a == "--target" or a.startswith("--target=") for a in args):
        return "table"
    path, name = Path(file), file.lower().removesuffix(".gz")
    if path.is_dir() or file.endswith("/") or name.endswith((".zip", *ARRAYS)) or "-idx3" in name:
        return "images"
    if name.endswith(".ts"):
        return "sequences"
    if name.endswith(".npz"):
        return _of_arrays(path)
    return "table" if file == "-" or name.endswith(TABLES) else "text"


def _of_arrays(path: Path) -> str:
    try:
        held = read_npz(path)
    except DataError:
        return "table"  # which says what is wrong with it
    x = next((held[k] for k in ("x", "x_train", "train_x", "images") if k in held), np.zeros(0))
    if x.ndim == 4 or (x.ndim == 3 and x.dtype == np.uint8):
        return "images"
    return "sequences" if x.ndim == 3 or "lengths" in held else "table"
