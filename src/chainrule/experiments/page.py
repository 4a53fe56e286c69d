"""The results page: what was stored of every run, as Markdown between the words around it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..core.host.whole_file import whole_file
from ..errors import DataError
from ..plot import draw_to
from .base import Result

VERDICT = {True: "yes", False: "**no**", None: ""}
TIERS = {"": "", "-full": "With `--full`:\n\n"}

Stored = dict[str, Any]  # what `Result.to_dict` makes


def update_page(path: Path, results: Sequence[Result]) -> None:
    """Store these results beside the page, draw their figures, and write the page anew.

    Results go into the folder results, figures into the folder figures.
    """
    text = path.read_text(encoding="utf-8")
    for result in results:
        _place(text, result.name, path)
    for result in results:
        tier = "-full" if result.full else ""
        for name, draw in result.drawings.items():
            draw_to(draw, _made(path.parent / "figures") / f"{name}{tier}.png")
        with whole_file(_made(path.parent / "results") / f"{result.name}{tier}.json") as file:
            file.write(json.dumps(result.to_dict(), indent=1, ensure_ascii=False).encode() + b"\n")
    path.write_text(page(path), encoding="utf-8")


def page(path: Path) -> str:
    """The text of the page with all that is stored beside it.

    The stored results of NAME, and of NAME with ``--full``, stand between ``<!-- NAME -->`` and
    ``<!-- end -->``; ``<!-- summary -->`` and ``<!-- machine -->`` are filled in too.
    """
    text = path.read_text(encoding="utf-8")
    kept = stored(path.parent / "results")
    for name in {result["name"] for result in kept.values()}:
        tiers = [(tier, kept[name + tier]) for tier in TIERS if name + tier in kept]
        text = _fill(text, name, "\n\n".join(section(*tier) for tier in tiers), path)
    text = _fill(text, "summary", summary(text, kept), path)
    return _fill(text, "machine", machines(kept.values()), path)


def stored(folder: Path) -> dict[str, Stored]:
    """The results that are kept there, by the names of their files."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _place(text: str, name: str, path: Path) -> re.Match[str]:
    found = re.search(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", text, re.DOTALL)
    if not found:
        raise DataError(
            f"{path}: no place for {name!r}; write the lines <!-- {name} --> and <!-- end -->"
        )
    return found


def _fill(text: str, name: str, new: str, path: Path) -> str:
    place = _place(text, name, path)
    return f"{text[: place.end(1)]}\n{new}\n\n{text[place.start(2) :]}"


def section(tier: str, result: Stored) -> str:
    """The table, the figures and the time of one run."""
    images = [f"![{result['title']}](figures/{name}{tier}.png)" for name in result["figures"]]
    worked, took = duration(result["processor_seconds"]), duration(result["seconds"])
    took = f"{worked} of processor time, {took} by the clock."
    return TIERS[tier] + "\n\n".join([table(result["measurements"]), *images, took])


def duration(seconds: float) -> str:
    """In the unit that people would use."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 3600:.1f} h"


def table(measurements: Sequence[Stored]) -> str:
    """Reported, criterion and measured, one row a measurement."""
    rows = ["| system | reported | criterion | measured | met |", "|---|---|---|---|---|"]
    for m in measurements:
        cells = (
            *(m[column] for column in ("system", "reported", "criterion", "measured")),
            VERDICT[m["passed"]],
        )
        rows.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(rows)


_SECTION = re.compile(r'<a id="(?P<name>[\w-]+)"></a>\n## (?P<title>.+)\n')


def summary(text: str, kept: dict[str, Stored]) -> str:
    """One row a section of the page: how many criteria there are and how many are met.

    Of the quick run and of the full one.
    """
    rows = [
        "| experiment | criteria met | processor time | with `--full` | processor time |",
        "|---|---|---|---|---|",
    ]
    all_of = {tier: [0, 0] for tier in TIERS}
    for title in _SECTION.finditer(text):
        cells = [f"[{title['title']}](#{title['name']})"]
        for tier, counts in all_of.items():
            result = kept.get(title["name"] + tier)
            if result is None:
                cells += ["", ""]
                continue
            judged = [m["passed"] for m in result["measurements"] if m["passed"] is not None]
            counts[0] += sum(judged)
            counts[1] += len(judged)
            cells += [f"{sum(judged)} of {len(judged)}", duration(result["processor_seconds"])]
        rows.append(f"| {' | '.join(cells)} |")
    quick, full = (f"{met} of {judged}" for met, judged in all_of.values())
    return "\n".join([*rows, f"| all | {quick} | | {full} | |"])


def machines(results: Iterable[Stored]) -> str:
    """With what these numbers were made."""
    made = {
        "chainrule {chainrule}, Python {python}, NumPy {numpy}, {processor}, {threads} of its "
        "threads".format(**r["made_with"])
        for r in results
    }
    return (
        f"Measured with {'; '.join(sorted(made))}. Times include compiling; the processor's are of "
        "all threads."
    )
