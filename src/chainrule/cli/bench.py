"""``chainrule bench``: training steps beside other libraries, in one run."""

from __future__ import annotations

import functools
import platform
from typing import Any

import click

from ..bench.compare import Comparison, compare
from ..bench.machine import processor_name
from ..bench.processes import choose, versions
from ..bench.report import markdown, summary, table
from ..errors import OptionError
from ..runtime.explain import peak_flops_together
from ..runtime.threads import get_num_threads
from .options import net_options, workloads_of
from .output import data, print_json, progress


@click.command()
@click.argument("workloads", nargs=-1)
@net_options
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
@click.option("--json", "as_json", is_flag=True, help="One JSON document with every number.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Markdown tables.")
def command(
    workloads: tuple[str, ...],
    threads: int | None,
    rounds: int,
    seconds: float,
    peers: str,
    peers_python: str | None,
    as_json: bool,
    as_markdown: bool,
    **net: Any,
) -> None:
    """Time a training step of this library and, where installed, of PyTorch, JAX, scikit-learn and
    NumPy.

    WORKLOADS: xor, digits, tabular, mnist, wide (default: all), or a net of your own by --sizes.
    Every mode is a process; they are timed in turns, with the same threads, weights and arithmetic.
    """
    chosen = workloads_of(workloads, net)
    try:
        modes = ["chainrule", "chainrule-compile", *choose(peers)]
    except OptionError as error:
        raise click.BadParameter(str(error)) from None
    count = threads or get_num_threads()
    console = progress()
    found: list[Comparison] = []
    with console.status("starting") as status:
        for workload in chosen:
            result = compare(
                workload,
                modes,
                count,
                functools.partial(peak_flops_together, count, workload.dtype),
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
    if as_json:
        machine = {"processor": processor_name(), "platform": platform.platform()}
        print_json(
            {
                "machine": machine,
                "rounds": rounds,
                "versions": ", ".join(versions(peers_python)),
                "comparisons": [c.to_dict() for c in found],
            }
        )
    elif as_markdown:
        click.echo(markdown(found))
    else:
        data().print(summary(found))
