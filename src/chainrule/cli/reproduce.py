"""``chainrule reproduce``: experiments of the literature, many seeds, reported beside measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from ..core.host.whole_file import check_writable
from ..errors import DataError, OptionError
from ..experiments import EXPERIMENTS, Result
from ..experiments import reproduce as run_experiment
from ..experiments.page import duration, update_page
from .output import data, print_json, progress

Watch = Callable[[str, int, int, int, int], None]
EVERY = 60.0  # seconds between two lines, where there is no live display
VERDICT = {True: ("pass", "green"), False: ("missed", "bold red"), None: ("", "")}


@click.command(name="reproduce")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--list", "as_list", is_flag=True, help="List the experiments.")
@click.option(
    "--seeds", type=click.IntRange(min=1), help="How many seeds (default: as the criteria ask)."
)
@click.option(
    "--full",
    is_flag=True,
    help="The paper's sizes: all of the data, more seeds (minutes to hours).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Draw the figures there (PNG)."
)
@click.option(
    "--checkpoint",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where trainings of many minutes keep their state: run again, they go on.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="With --checkpoint: each such training ends after so many, and is measured as it is then.",
)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    hidden=True,
    help="Write the tables and figures into this Markdown page.",
)
def command(
    names: tuple[str, ...],
    as_list: bool,
    seeds: int | None,
    full: bool,
    as_json: bool,
    out: Path | None,
    checkpoint: Path | None,
    minutes: float | None,
    page: Path | None,
) -> int:
    """Repeat the experiment NAME ("all": every one) over many seeds, which train all at once.

    Prints what was reported, the criterion, and what was measured. Exit code 1 if a criterion is
    missed. "all" leaves out those whose data are not there, and says so.
    """
    if as_list:
        _print_list(as_json)
        return 0
    if not names:
        raise click.UsageError(
            "which experiment? `chainrule reproduce --list` names them; `all` runs all"
        )
    unknown = [n for n in names if n != "all" and n not in EXPERIMENTS]
    if unknown:
        raise click.UsageError(f"no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}")
    if out is not None and out.exists() and not out.is_dir():
        raise OptionError(f"--out {out}: not a folder")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        check_writable(out / "figure.png")
    if page is not None:
        check_writable(page)
    chosen = list(EXPERIMENTS) if "all" in names else list(dict.fromkeys(names))
    results = []
    for name in chosen:
        try:
            with _watching() as watch:
                result = run_experiment(name, seeds, watch, full, checkpoint, minutes)
        except DataError as error:
            if "all" not in names:
                raise
            missing = str(error).split(":")[0]
            text = f"{name} is left out: no {missing}; `chainrule reproduce {name}` says more"
            progress().print(text, soft_wrap=True, markup=False)
            continue
        results.append(result)
        if not as_json:
            _print(result)
        for path in result.save_figures(out) if out is not None else ():
            progress().print(f"wrote {path}", soft_wrap=True, markup=False)
    if page is not None:
        update_page(page, results)
        progress().print(f"wrote {page}", soft_wrap=True, markup=False)
    if as_json:
        found: Any = [r.to_dict() for r in results]
        print_json(found if len(chosen) > 1 or "all" in names else found[0])
    return 0 if all(r.passed for r in results) else 1


def _print_list(as_json: bool) -> None:
    if as_json:
        print_json(
            [{"name": e.name, "title": e.title, "source": e.source} for e in EXPERIMENTS.values()]
        )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "what", "source"):
        table.add_column(column, no_wrap=column == "name")
    for e in EXPERIMENTS.values():
        table.add_row(e.name, e.title, Text(e.source, "dim"))
    data().print(table)


def _print(result: Result) -> None:
    out = data()
    out.print(f"[bold]{escape(result.title)}[/]  [dim]{escape(result.source)}[/]", soft_wrap=True)
    for m in result.measurements:
        word, style = VERDICT[m.passed]
        out.print(
            Text.assemble((f"{word:6}", style), f" {m.system}: ", (m.measured, "bold")),
            soft_wrap=True,
        )
        for label, text in (("criterion", m.criterion), ("reported", m.reported)):
            if text:
                out.print(Text(f"{'':7}{label}: {text}", "dim"), soft_wrap=True)
    out.print(Text(f"{result.seconds:.1f} s", "dim"))


@contextmanager
def _watching() -> Iterator[Watch]:
    """A live display on stderr or, where that is no terminal, a line now and then."""
    console = progress()
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, state="")
        shown = ""

        def watch(what: str, done: int, total: int, solved: int, seeds: int) -> None:
            nonlocal shown
            if what != shown:
                bar.reset(task)
                shown = what
            state = _state(done, total, solved, seeds)
            bar.update(task, description=escape(what), completed=done, total=total, state=state)

        yield watch


def _state(done: int, total: int, solved: int, seeds: int) -> str:
    state = f"{done:,} of {total:,}"
    return f"{state} sweeps, {solved} of {seeds} seeds solved" if seeds else state


class _Lines:
    """Watches by a line a minute, with the time that is left of this training."""

    def __init__(self, console: Console) -> None:
        self.console, self.printed = console, time.perf_counter()
        self.what, self.first, self.since = "", 0, self.printed

    def __call__(self, what: str, done: int, total: int, solved: int, seeds: int) -> None:
        now = time.perf_counter()
        if what != self.what:
            self.what, self.first, self.since = what, done, now
        if now - self.printed < EVERY:
            return
        self.printed = now
        left = (total - done) * (now - self.since) / max(done - self.first, 1)
        line = f"{what}: {_state(done, total, solved, seeds)}"
        line += f", {duration(left)} left" if done > self.first else ""
        self.console.print(line, soft_wrap=True, markup=False)
