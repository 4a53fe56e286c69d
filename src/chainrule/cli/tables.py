"""Options of all commands that read a table: how its cells are to be read."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..data import open_table
from ..data.understood import Understood

READING = ("encoding", "decimal", "thousands", "missing", "categorical", "text", "dates")


def names(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    """A list of words, separated by commas; one with a comma stands in quotes, as in a table."""
    found = next(csv.reader([text], skipinitialspace=True)) if text else []
    return tuple(n.strip() for n in found if n.strip())


def table_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --header, --encoding and the options of how cells are read."""
    options = [
        click.option(
            "--header/--no-header", default=True, help="Whether the first line names the columns."
        ),
        click.option("--encoding", help="Of a text file; default: what it looks like."),
        click.option("--decimal", metavar="SIGN", help='In numbers: "." or ",".'),
        click.option("--thousands", metavar="SIGN", help='In numbers: ",", ".", " " or "\'".'),
        click.option("--missing", callback=names, help="More words that mean no value: A,B."),
        click.option(
            "--categorical", callback=names, help="Columns of categories, even if numbers: A,B."
        ),
        click.option("--text", callback=names, help="Columns to be taken as written: A,B."),
        click.option(
            "--dates",
            callback=names,
            help="Columns of dates: A,B:dmy (dmy, mdy, ymd, time; number: seconds since 1970).",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def opened(file: Path, options: dict[str, Any]) -> Understood:
    """The table that a command is to read; takes its options out of ``options``."""
    return open_table(file, options.pop("header"), **{k: options.pop(k) for k in READING})
