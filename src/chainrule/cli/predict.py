"""``chainrule predict``: a trained net's answers for the rows of a table."""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from ..core.node import Array
from ..data import read_table
from ..errors import OptionError
from ..estimators.table_model import TableModel
from .output import progress


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
    columns = net.predict(read_table(file, header), proba)
    for note in net.notes:
        progress().print(f"note: {note}", markup=False, soft_wrap=True)
    if out is None:
        _write(sys.stdout, columns)
        return 0
    if not out.parent.is_dir():
        raise OptionError(f"--out {out}: the folder {str(out.parent)!r} does not exist")
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=out.parent, prefix=f".{out.name}.", delete=False
    ) as held:
        try:
            _write(held, columns)
            held.close()
            os.replace(held.name, out)
        except BaseException:
            Path(held.name).unlink(missing_ok=True)
            raise
    progress().print(f"wrote {out}", markup=False, soft_wrap=True)
    return 0


def _write(file: Any, columns: dict[str, Array]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_plain(v) for v in columns.values()), strict=True))


def _plain(values: Array) -> list[Any]:
    return [f"{v:.7g}" for v in values] if values.dtype.kind == "f" else values.tolist()
