"""``chainrule evaluate``: how good a trained net is on a table with the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..estimators.table_model import TableModel
from .output import data, print_json, progress
from .tables import opened, table_options


@click.command(name="evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@table_options
@click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw true against predicted and the columns' importance there (needs matplotlib).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(model: Path, file: Path, figure: Path | None, as_json: bool, **options: Any) -> int:
    """Measure MODEL on FILE, which has the target's column."""
    net = TableModel.load(model)
    table = opened(file, options)
    metrics = net.measure(table)
    if figure is not None:
        net.draw(figure, table)
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
