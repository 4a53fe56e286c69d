"""``chainrule explain``: the program of a training step, kernel by kernel."""

from __future__ import annotations

import importlib
from typing import Any

import click

from ..bench.modes.named import WORKLOADS
from .options import net_options, workloads_of
from .output import print_json, progress


@click.command()
@click.argument("workloads", nargs=-1)
@net_options
@click.option(
    "--loops/--no-loops", default=True, show_default=True, help="The loops of each kernel."
)
@click.option("--graph", is_flag=True, help="The graph before and after each pass.")
@click.option("--ir", is_flag=True, help="The LLVM IR after LLVM's passes.")
@click.option("--asm", is_flag=True, help="The machine code, as assembly.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(
    workloads: tuple[str, ...],
    loops: bool,
    graph: bool,
    ir: bool,
    asm: bool,
    as_json: bool,
    **net: Any,
) -> None:
    """Show a training step's program: kernels with loops, time, GFLOP/s, GB/s, share of peak.

    WORKLOADS: those of `chainrule bench`, or a net of your own by --sizes.
    """
    named = workloads or net["sizes"] is not None
    chosen = workloads_of(workloads, net)
    if not named:
        raise click.UsageError(f"name a workload ({', '.join(WORKLOADS)}), or give --sizes")
    explain = importlib.import_module("chainrule.train.explain").explain
    mode = importlib.import_module("chainrule.bench.modes.chainrule_mode").Trainer
    documents = []
    for workload in chosen:
        progress().print(f"compiling and timing {workload.name}")
        held = mode(workload, 0)
        found = explain(held.trainer, held.x, held.y, batch_size=workload.batch)
        found.name = workload.name
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
