"""The results page: measured tables and figures, put into a Markdown page between the words around
them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import DataError
from .base import Measurement, Result

VERDICT = {True: "yes", False: "**no**", None: ""}


def update_page(path: Path, results: Sequence[Result]) -> None:
    """Replace the text between ``<!-- NAME -->`` and ``<!-- end -->`` for every result, and draw
    its figures.

    ``<!-- summary -->`` and ``<!-- machine -->`` are filled in too. Figures go to the folder
    figures beside it.
    """
    text = path.read_text(encoding="utf-8")
    for result in results:
        figures = result.save_figures(path.parent / "figures")
        images = [f"![{result.title}](figures/{f.name})" for f in figures]
        took = f"{result.seconds:.1f} s in all."
        text = _fill(
            text, result.name, "\n\n".join([table(result.measurements), *images, took]), path
        )
    text = _fill(text, "summary", summary(text), path)
    text = _fill(text, "machine", machine(), path)
    path.write_text(text, encoding="utf-8")


def _fill(text: str, name: str, new: str, path: Path) -> str:
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise DataError(
            f"{path}: no place for {name!r}; write the lines <!-- {name} --> and <!-- end -->"
        )
    return pattern.sub(lambda m: f"{m[1]}\n{new}\n\n{m[2]}", text, count=1)


def table(measurements: Sequence[Measurement]) -> str:
    """Reported, criterion and measured, one row a measurement."""
    rows = ["| system | reported | criterion | measured | met |", "|---|---|---|---|---|"]
    for m in measurements:
        cells = (m.system, m.reported, m.criterion, m.measured, VERDICT[m.passed])
        rows.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(rows)


_SECTION = re.compile(
    r'<a id="(?P<name>[\w-]+)"></a>\n## (?P<title>.+)\n(?:.*\n)*?<!-- (?P=name) -->\n'
    r"(?P<measured>(?:.*\n)*?)<!-- end -->"
)
_TOOK = re.compile(r"^([\d.,]+) s (?:of one processor )?in all", re.MULTILINE)


def summary(page: str) -> str:
    """One row an experiment of the page: how many criteria there are, how many are met."""
    rows = ["| experiment | criteria met | seconds |", "|---|---|---|"]
    met = judged = 0
    for section in _SECTION.finditer(page):
        measured = section["measured"]
        yes, no = (measured.count(f"| {VERDICT[passed]} |\n") for passed in (True, False))
        took = _TOOK.search(measured)
        rows.append(
            f"| [{section['title']}](#{section['name']}) | {yes} of {yes + no} | "
            f"{took[1] if took else ''} |"
        )
        met, judged = met + yes, judged + yes + no
    rows.append(f"| all | {met} of {judged} | |")
    return "\n".join(rows)


def machine() -> str:
    """With what these numbers were made."""
    return (
        f"Measured with chainrule {__version__}, Python {platform.python_version()}, NumPy "
        f"{np.__version__},"
        f" {platform.machine()}, {os.cpu_count()} cores; seconds include compiling."
    )
