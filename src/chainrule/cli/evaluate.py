"""``chainrule evaluate``: how good a trained net is on a table with the answers."""

from __future__ import annotations

from pathlib import Path

import click

from ..data import open_table
from ..estimators.table_model import TableModel
from .output import data, print_json, progress


@click.command(name="evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--header/--no-header", default=True, help="Whether the first line names the columns."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(model: Path, file: Path, header: bool, as_json: bool) -> int:
    """Measure MODEL on FILE, which has the target's column."""
    net = TableModel.load(model)
    table = open_table(file, header)
    metrics = net.measure(table)
    for note in net.notes:
        progress().print(f"note: {note}", markup=False, soft_wrap=True)
    if as_json:
        print_json({"rows": table.rows, "metrics": metrics})
        return 0
    for name, value in {"rows": table.rows, **metrics}.items():
        data().print(
            f"{name:10} {value:.5g}" if isinstance(value, float) else f"{name:10} {value}",
            markup=False,
        )
    return 0
