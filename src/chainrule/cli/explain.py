"""``chainrule explain``: the program of a training step, kernel by kernel."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..bench.modes.named import WORKLOADS
from ..bench.modes.workload import Workload
from .options import net_options, workloads_of
from .output import print_json, progress

Step = tuple[str, Callable[[], tuple[Any, Any, Any, int]]]
"""A name, and what gives the Trainer, x, y and the rows of a batch."""


def _of_workload(workload: Workload) -> Step:
    def made() -> tuple[Any, Any, Any, int]:
        mode = importlib.import_module("chainrule.bench.modes.chainrule_mode").Trainer
        held = mode(workload, 0)
        return held.trainer, held.x, held.y, workload.batch

    return workload.name, made


def _of_file(path: str) -> Step:
    def made() -> tuple[Any, Any, Any, int]:
        model = importlib.import_module("chainrule.cli.model_kinds").loaded(Path(path))
        trainer, x, y = model.example_step()
        return trainer, x, y, len(y)

    return path, made


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@net_options
@click.option(
    "--loops/--no-loops", default=True, show_default=True, help="The loops of each kernel."
)
@click.option("--graph", is_flag=True, help="The graph before and after each pass.")
@click.option("--ir", is_flag=True, help="The LLVM IR after LLVM's passes.")
@click.option("--asm", is_flag=True, help="The machine code, as assembly.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(
    names: tuple[str, ...],
    loops: bool,
    graph: bool,
    ir: bool,
    asm: bool,
    as_json: bool,
    **net: Any,
) -> None:
    """Show a training step's program: kernels with loops, time, GFLOP/s, GB/s, share of peak.

    NAME: a model file of `chainrule train`, whose training it is (of made-up rows, by which the
    program is the same), or a workload of `chainrule bench`; or a net of your own by --sizes.
    """
    files = [n for n in names if n not in WORKLOADS and Path(n).is_file()]
    workloads = tuple(n for n in names if n not in files)
    for name in workloads:
        if name not in WORKLOADS and name != "all":
            raise click.BadParameter(f"{name}: no such file, and no workload of this name")
    if files and not workloads and net["sizes"] is None:
        given = [k for k, v in net.items() if v is not None]
        if given:
            raise click.UsageError(f"--{given[0]} means nothing for a model file")
        chosen = []
    else:
        of_sizes = net["sizes"] is not None
        chosen = workloads_of(workloads, net)
        if not names and not of_sizes:
            raise click.UsageError(
                f"name a model file or a workload ({', '.join(WORKLOADS)}), or give --sizes"
            )
    explain = importlib.import_module("chainrule.train.explain").explain
    documents = []
    for name, step in (*map(_of_file, files), *map(_of_workload, chosen)):
        progress().print(f"compiling and timing {name}")
        trainer, x, y, rows = step()
        found = explain(trainer, x, y, batch_size=rows)
        found.name = name
        if as_json:
            extra = ({"ir": found.ir()} if ir else {}) | (
                {"assembly": found.assembly()} if asm else {}
            )
            documents.append(found.to_dict() | extra)
            continue
        click.echo(str(found) if loops else found.table())
        for wanted, text in ((graph, found.graph), (ir, found.ir), (asm, found.assembly)):
            if wanted:
                click.echo("\n" + text())
    if as_json:
        print_json(documents)
