"""Where commands write: data to stdout, progress to stderr."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..errors import MissingExtraError
from ..plot import check_matplotlib
from .printable import printable


class _Console(Console):
    """Prints text as `printable`; what it adds itself (colours, the cursor) is as it was."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


def data() -> Console:
    """The console for results."""
    console = _Console(highlight=False)
    return console if console.is_terminal else _Console(highlight=False, width=120)


def progress() -> Console:
    """The console for what happens meanwhile."""
    return _Console(stderr=True, highlight=False)


def can_draw() -> bool:
    """Whether there can be figures; if not, one line says before any work how to get them."""
    try:
        check_matplotlib()
    except MissingExtraError as missing:
        progress().print(f"note: no figure: {missing}", markup=False, soft_wrap=True)
        return False
    return True


def json_text(value: Any) -> str:
    """A result for machines: one JSON document; what is no finite number is null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False, default=_plain)


def print_json(value: Any) -> None:
    """Write `json_text` to stdout."""
    click.echo(json_text(value))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    return str(value)
