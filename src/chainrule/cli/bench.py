"""``chainrule bench``: training steps beside other libraries, in one run."""

from __future__ import annotations

import functools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..bench.compare import Comparison, compare, spread
from ..bench.modes.drawn import drawn
from ..bench.processes import choose, versions
from ..bench.report import against, markdown, summary, table
from ..bench.results import Results, changes, check_comparable, machine_now
from ..errors import OptionError
from ..runtime.explain import peak_flops_together
from ..runtime.threads import get_num_threads
from .options import net_options, workloads_of
from .output import data, print_json, progress


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
    as_json: bool,
    as_markdown: bool,
    **net: Any,
) -> int:
    """Time a training step of this library and, where installed, of PyTorch, JAX, scikit-learn and
    NumPy.

    WORKLOADS: xor, digits, tabular, mnist, wide; lenet, cifar, residual-16, residual-64, separable,
    signal; lstm-text, lstm, gru; gpt, gpt-large (default: all); a net of your own by --sizes; nets
    that nobody chose by --random. Every mode is a process; they are timed in turns, with the same
    threads, weights and arithmetic.
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
    console = progress()
    found: list[Comparison] = []
    with console.status("starting") as status:
        for workload in chosen:
            result = compare(
                workload,
                modes,
                used,
                functools.partial(peak_flops_together, used, workload.dtype),
                rounds,
                seconds,
                peers_python,
                status.update if console.is_terminal else lambda text: None,
            )
            found.append(result)
            if not (as_json or as_markdown):
                data().print(table(result), "")
            elif not console.is_terminal:
                console.print(f"{workload.name} done")
    results = Results(machine_now(used), ", ".join(versions(peers_python)), rounds, found)
    changed = changes(before, results) if before is not None else []
    more = [c for c in changed if c.more]
    if as_json:
        document = results.to_dict()
        if before is not None:
            document["against"] = [asdict(c) | {"ratio": c.ratio} for c in changed]
        print_json(document)
    elif as_markdown:
        click.echo(markdown(found))
    else:
        data().print(summary(found))
        if (ratios := spread(found)) is not None:
            median, least, name = ratios
            data().print(f"best peer / ours: median {median:.2f}, least {least:.2f} ({name})")
        data().print(results.about, markup=False)
    if before is not None and not as_json:
        words = f"{len(more)} of {len(changed)} are more than before" if more else "Nothing is more"
        data().print()
        data().print(f"Against {earlier} (chainrule {before.version}):", markup=False)
        data().print(against(changed))
        data().print(f"{words}.")
    return int(bool(more))
