"""``chainrule bench``: training steps beside other libraries, in one run."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.status import Status

from ..bench.compare import Spread, compare
from ..bench.modes.drawn import drawn
from ..bench.processes import choose, versions
from ..bench.report import (
    against,
    markdown_head,
    markdown_modes,
    markdown_row,
    spread_text,
    summary,
    table,
)
from ..bench.results import Results, changes, check_comparable, gone_on, machine_now
from ..core.host.whole_file import check_writable, whole_file
from ..errors import OptionError
from ..runtime.explain import peak_flops_together
from ..runtime.threads import get_num_threads
from .options import net_options, workloads_of
from .output import data, json_text, print_json, progress

INTERRUPTED = 130
"""The exit code of shells for a process that SIGINT (2) ended: 128 + 2."""


@click.command()
@click.argument("workloads", nargs=-1)
@net_options
@click.option(
    "--random",
    "count",
    type=click.IntRange(1),
    metavar="N",
    help="N nets that are drawn: convolutional, recurrent, attention and dense ones in turn.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what --random draws."
)
@click.option(
    "--threads", type=click.IntRange(1, 256), help="Threads for every library (default: all cores)."
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=7,
    show_default=True,
    help="Turns; medians are shown.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01),
    default=0.3,
    show_default=True,
    help="Of one turn of a mode.",
)
@click.option(
    "--peers",
    default="all",
    show_default=True,
    help="all, none, or names: torch, torch-compile, jax, jax-scan, sklearn, numpy.",
)
@click.option(
    "--peers-python",
    envvar="CHAINRULE_PEERS_PYTHON",
    metavar="PATH",
    help="Interpreter that has the other libraries [env: CHAINRULE_PEERS_PYTHON].",
)
@click.option(
    "--against",
    "earlier",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What --json wrote before, on this machine: say what got slower (exit code 1 if it did).",
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what --json prints to FILE after each workload; go on with what FILE lacks.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document with every number.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Markdown tables.")
def command(
    workloads: tuple[str, ...],
    count: int | None,
    seed: int,
    threads: int | None,
    rounds: int,
    seconds: float,
    peers: str,
    peers_python: str | None,
    earlier: Path | None,
    save: Path | None,
    as_json: bool,
    as_markdown: bool,
    **net: Any,
) -> int:
    """Time a training step here and, where installed, in PyTorch, JAX, scikit-learn and NumPy.

    WORKLOADS: xor, digits, tabular, mnist, wide; lenet, cifar, residual-16, residual-64, separable,
    signal; lstm-text, lstm, gru; gpt, gpt-large; or all (default: digits, mnist, lenet, lstm, gpt);
    a net of your own by --sizes; nets that nobody chose by --random. Every mode is a process; they
    are timed in turns, with equal threads, weights and arithmetic. Ctrl-C shows what is measured.
    """
    chosen = drawn(count, seed) if count is not None else []
    if workloads or any(net.values()) or not chosen:
        chosen = [*workloads_of(workloads, net), *chosen]
    try:
        modes = ["chainrule", "chainrule-compile", *choose(peers)]
    except OptionError as error:
        raise click.BadParameter(str(error)) from None
    used = threads or get_num_threads()
    before = Results.read(earlier) if earlier else None
    if before is not None:
        check_comparable(before, used, [w.name for w in chosen], str(earlier))
    results = Results(machine_now(used), ", ".join(versions(peers_python)), rounds, [])
    if save is not None:
        check_writable(save)
        if save.exists():
            results = gone_on(Results.read(save), results, str(save))
    found = results.comparisons
    waiting = [w for w in chosen if w not in [c.workload for c in found]]
    console = progress()
    if len(waiting) < len(chosen):
        console.print(f"{save} has {len(chosen) - len(waiting)} of {len(chosen)} workloads")
    if as_markdown:
        click.echo("\n".join([markdown_head(), *map(markdown_row, found)]))
    interrupted = False
    begun = time.monotonic()
    try:
        with ended_by_sigterm(), console.status("starting") as status:
            for i, workload in enumerate(waiting):
                left = _left(time.monotonic() - begun, i, len(waiting))
                result = compare(
                    workload,
                    modes,
                    used,
                    functools.partial(peak_flops_together, used, workload.dtype),
                    rounds,
                    seconds,
                    peers_python,
                    _shown(status, left) if console.is_terminal else lambda text: None,
                )
                found.append(result)
                if save is not None:
                    with whole_file(save) as file:
                        file.write(f"{json_text(results.to_dict())}\n".encode())
                if as_markdown:
                    click.echo(markdown_row(result))
                elif not as_json:
                    data().print(table(result), "")
                if not console.is_terminal:
                    left = _left(time.monotonic() - begun, i + 1, len(waiting))
                    console.print(f"{workload.name} done, {left}")
    except KeyboardInterrupt:
        interrupted = True
        console.print(f"interrupted: {len(found)} of {len(chosen)} workloads are measured")
    changed = changes(before, results) if before is not None else []
    more = [c for c in changed if c.more]
    among = Spread.of(found)
    if as_json:
        document = results.to_dict() | {"spread": asdict(among) if among else None}
        if before is not None:
            document["against"] = [asdict(c) | {"ratio": c.ratio} for c in changed]
        print_json(document)
    elif as_markdown:
        click.echo(f"\n{markdown_modes(found)}")
    else:
        data().print(summary(found))
        if among is not None:
            data().print(spread_text(among), markup=False)
        data().print(results.about, markup=False)
    if before is not None and not as_json:
        words = f"{len(more)} of {len(changed)} are more than before" if more else "Nothing is more"
        data().print()
        data().print(f"Against {earlier} (chainrule {before.version}):", markup=False)
        data().print(against(changed))
        data().print(f"{words}.")
    return INTERRUPTED if interrupted else int(bool(more))


def _left(spent: float, done: int, count: int) -> str:
    """How far it is, and about how long it will take."""
    if not done:
        return f"0 of {count}"
    minutes = spent / done * (count - done) / 60
    return f"{done} of {count}, about {minutes:.0f} min left" if done < count else "all"


def _shown(status: Status, left: str) -> Callable[[str], None]:
    return lambda text: status.update(f"{text} ({left})")


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, which `timeout` sends, is answered as Ctrl-C is."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
