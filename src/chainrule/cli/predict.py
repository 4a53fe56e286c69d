"""``chainrule predict``: a trained net's answers for rows, images or sequences."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..core.host.whole_file import whole_file
from ..core.node import Array
from ..errors import OptionError
from ..estimators.image_model import ImageModel
from ..estimators.net_model import NetModel
from ..estimators.sequence_model import SequenceModel
from ..estimators.table_model import TableModel
from .model_kinds import loaded, one_file, refuse_options
from .output import progress
from .printable import write_text
from .tables import names, opened, table_options


@click.command(name="predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write CSV there (default: stdout).",
)
@click.option("--proba", is_flag=True, help="Also the probability of each class.")
@click.option("--keep", callback=names, help="Columns of a table to write before the answer: A,B.")
@table_options
def command(
    model: Path,
    files: tuple[Path, ...],
    out: Path | None,
    proba: bool,
    keep: tuple[str, ...],
    **options: Any,
) -> int:
    """Predict the target of each row, the class of each image, or a sequence's answer.

    Prints CSV with one line for each.

    FILE is a table, a file of sequences, or pictures and folders of pictures (several). Columns of
    a table may be in any order. A missing column is an error; an unknown column and unseen
    categories are named on stderr. Options of how cells are read are for tables.
    """
    net = loaded(model)
    if out is not None and out.resolve() in {p.resolve() for p in (model, *files)}:
        raise OptionError(f"--out {out}: this file is read")
    if out is not None and not out.parent.is_dir():
        raise OptionError(f"--out {out}: the folder {str(out.parent)!r} does not exist")
    if isinstance(net, TableModel):
        pieces = net.predictions(opened(one_file(files, net), options), proba, keep)
    else:
        refuse_options(net, "out", "proba")
        pieces = iter([_answers(net, files, proba)])
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


def _answers(net: NetModel, files: tuple[Path, ...], proba: bool) -> dict[str, Array]:
    """Columns of what a net says of images or sequences."""
    if isinstance(net, ImageModel):
        x, seen = net.read(list(files))
        shares = net.predict_proba(x)
        found = {"file": np.array(seen, object)}
    elif isinstance(net, SequenceModel):
        path = one_file(files, net)
        if not net.classes:
            if proba:
                raise OptionError("--proba needs classes; this model predicts values")
            return {"value": net.predict(path)}
        shares, found = net.predict_proba(path), {}
    else:
        raise OptionError("a TextModel predicts no rows; chainrule sample MODEL writes on with it")
    found["class"] = np.array(net.classes, object)[shares.argmax(1)]
    if proba:
        found |= {f"probability of {c}": v for c, v in zip(net.classes, shares.T, strict=True)}
    return found


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
