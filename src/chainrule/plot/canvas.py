"""The one place that imports matplotlib. No window opens, no global state changes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.host.whole_file import whole_file
from ..errors import MissingExtraError
from .colours import NEGATIVE, POSITIVE

Draw = Callable[[Any], None]  # draws on a matplotlib Figure


def matplotlib_of(who: str = "figures need") -> Any:
    """matplotlib, or MissingExtraError that says ``who`` needs it."""
    try:
        import matplotlib.collections
        import matplotlib.colors
        import matplotlib.figure
        import matplotlib.patches
    except ImportError:
        raise _missing(who) from None
    return matplotlib


def _missing(who: str) -> MissingExtraError:
    return MissingExtraError(f"{who} matplotlib: pip install 'chainrule[figures]'")


def check_matplotlib(who: str = "figures need") -> None:
    """Raises the MissingExtraError of `matplotlib_of`, before any work, without importing it."""
    name = "matplotlib"
    there = sys.modules[name] if name in sys.modules else importlib.util.find_spec(name)
    if there is None:
        raise _missing(who)


def save_figure(figure: Any, path: str | Path, **options: Any) -> Path:
    """Write a figure of matplotlib, whole or not at all, as the ending says (else PNG).

    Raises WriteError, with the path, where that is not possible.
    """
    target = Path(path)
    with whole_file(target) as file:
        figure.savefig(file, format=target.suffix[1:] or "png", **options)
    return target


def draw_to(draw: Draw, path: str | Path) -> Path:
    """Let ``draw`` draw on a figure of its own, and write it."""
    figure = matplotlib_of().figure.Figure(layout="constrained")
    draw(figure)
    return save_figure(figure, path, dpi=110, metadata={"Software": None})


def signs() -> Any:
    """A colour map from orange over white to blue."""
    made = matplotlib_of().colors.LinearSegmentedColormap.from_list
    return made("signs", [NEGATIVE, "#ffffff", POSITIVE])
