"""Where commands write: data to stdout, progress to stderr."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console


def data() -> Console:
    """The console for results."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def progress() -> Console:
    """The console for what happens meanwhile."""
    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """A result for machines: one JSON document."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, default=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # a NumPy number
        return value.item()
    return str(value)
