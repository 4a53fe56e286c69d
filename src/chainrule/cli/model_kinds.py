"""Models of any kind, for the commands that use what `chainrule train` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import CheckpointError
from ..estimators.image_model import ImageModel
from ..estimators.model_file import kind_of
from ..estimators.net_model import NetModel
from ..estimators.sequence_model import SequenceModel
from ..estimators.table_model import TableModel
from ..estimators.text_model import TextModel

TABLES = (".csv", ".tsv", ".parquet", ".xlsx", ".xls", ".pq")
"""The suffixes of tables."""
LOADERS: dict[str, type[TableModel] | type[NetModel]] = {
    "table": TableModel,
    "image": ImageModel,
    "sequence": SequenceModel,
    "text": TextModel,
}


def loaded(path: Path) -> TableModel | NetModel:
    """The model in a file. Raises CheckpointError for what is no model file, or is damaged."""
    if path.name.lower().removesuffix(".gz").endswith(TABLES) and path.is_file():
        raise CheckpointError(
            f"{path}: a table, and this reads models; tables are read by chainrule train {path} "
            "--target COLUMN, which writes a model, and by chainrule.data.open_table in Python"
        )
    return LOADERS[kind_of(path)].load(path)


def refuse_options(model: Any, *allowed: str) -> None:
    """Raise UsageError for an option that was given and means nothing for such a model."""
    context = click.get_current_context()
    for option in context.command.params:
        name = str(option.name)
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if isinstance(option, click.Option) and given and name not in allowed:
            raise click.UsageError(f"{option.opts[0]} means nothing for a {type(model).__name__}")


def one_file(files: tuple[Path, ...], model: Any) -> Path:
    """The file of a command that reads only one."""
    if len(files) > 1:
        raise click.UsageError(f"a {type(model).__name__} reads one file at a time")
    return files[0]
