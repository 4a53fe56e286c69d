"""``chainrule predict``: a trained net's answers for the rows of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..core.node import Array
from ..core.whole_file import whole_file
from ..data import open_table
from ..errors import OptionError
from ..estimators.table_model import TableModel
from .output import progress
from .printable import write_text


@click.command(name="predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write CSV there (default: stdout).",
)
@click.option("--proba", is_flag=True, help="Also the probability of each class.")
@click.option(
    "--header/--no-header", default=True, help="Whether the first line names the columns."
)
def command(model: Path, file: Path, out: Path | None, proba: bool, header: bool) -> int:
    """Predict the target of each row of FILE with MODEL; prints CSV with one line per row.

    Columns may be in any order. A missing column is an error; an unknown column and unseen
    categories are named on stderr.
    """
    net = TableModel.load(model)
    if out is not None and out.resolve() in (model.resolve(), file.resolve()):
        raise OptionError(f"--out {out}: this file is read")
    if out is not None and not out.parent.is_dir():
        raise OptionError(f"--out {out}: the folder {str(out.parent)!r} does not exist")
    pieces = net.predictions(open_table(file, header), proba)
    if out is None:
        for text in _lines(pieces):
            write_text(text)
    else:
        with whole_file(out) as held:
            for text in _lines(pieces):
                held.write(text.encode())
    for note in net.notes:
        progress().print(f"note: {note}", markup=False, soft_wrap=True)
    if out is not None:
        progress().print(f"wrote {out}", markup=False, soft_wrap=True)
    return 0


def _lines(pieces: Iterator[dict[str, Array]]) -> Iterator[str]:
    """CSV, some thousand lines at a time."""
    for i, columns in enumerate(pieces):
        held = io.StringIO()
        writer = csv.writer(held, lineterminator="\n")
        if i == 0:
            writer.writerow(columns)
        writer.writerows(zip(*(_plain(v) for v in columns.values()), strict=True))
        yield held.getvalue()


def _plain(values: Array) -> list[Any]:
    return [f"{v:.7g}" for v in values] if values.dtype.kind == "f" else values.tolist()
