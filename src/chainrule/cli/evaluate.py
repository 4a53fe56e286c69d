"""``chainrule evaluate``: how good a trained net is where the answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import OptionError
from ..estimators.table_model import TableModel
from ..estimators.text_model import TextModel
from ..plot import check_matplotlib
from .model_kinds import loaded, refuse_options
from .output import data, print_json, progress
from .tables import opened, table_options


@click.command(name="evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@table_options
@click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw answers beside the truth there, and what matters (needs matplotlib).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(model: Path, file: Path, figure: Path | None, as_json: bool, **options: Any) -> int:
    """Measure MODEL on FILE, where the answers are known.

    FILE: a table with the target's column, images in folders of classes, sequences with labels (of
    IDX, CIFAR and NPZ files in two parts, those for tests), or a text.
    """
    if figure is not None:
        check_matplotlib("--figure needs")
    net = loaded(model)
    found: dict[str, Any]
    if isinstance(net, TableModel):
        table = opened(file, options)
        metrics = net.evaluate(table)
        found = {"rows": table.rows}
        if figure is not None:
            net.draw(figure, table)
    elif isinstance(net, TextModel):
        refuse_options(net, "encoding", "as_json", "figure")
        if figure is not None:
            raise OptionError("--figure: of a text model only `chainrule train` draws one")
        metrics, found = net.evaluate(file, encoding=options["encoding"]), {}
    else:
        refuse_options(net, "figure", "as_json")
        metrics, found = net.evaluate(file), {}
        if figure is not None:
            net.draw(figure)
    for note in net.notes:
        progress().print(f"note: {note}", markup=False, soft_wrap=True)
    if as_json:
        print_json({**found, "metrics": metrics})
        return 0
    width = max(10, *(len(name) + 1 for name in metrics))
    for name, value in {**found, **metrics}.items():
        text = f"{value:.5g}" if isinstance(value, float) else str(value)
        data().print(f"{name:{width}} {text}", markup=False)
    return 0
