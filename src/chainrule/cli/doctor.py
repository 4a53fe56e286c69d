"""``chainrule doctor``: what the machine offers, what is missing, whether the essential works."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table
from rich.text import Text

from ..bench.machine import Machine, describe
from .output import data, print_json

_UNITS = {"bytes": "", "bits": " bits", "ns": " ns"}


@click.command()
@click.option("--measure/--no-measure", default=True, help="Time the processor (about a second).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(measure: bool, as_json: bool) -> int:
    """Tell what this machine offers, and what is missing.

    Exit code 1 if something essential is broken.
    """
    machine = describe(measure)
    if as_json:
        print_json(machine.to_dict())
    else:
        _print(machine)
    return 0 if machine.ok else 1


def _print(machine: Machine) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")

    def group(title: str, rows: list[tuple[str, str | Text]]) -> None:
        table.add_row(Text(title, style="bold not dim"), "")
        for name, value in rows:
            table.add_row("  " + name, value)

    group("versions", list(machine.versions.items()))
    group("processor", [(_label(k), _value(k, v)) for k, v in machine.processor.items()])
    if machine.speed:
        group("measured", [(_label(k), _value(k, v)) for k, v in machine.speed.items()])
    group("compiled programs", [(_label(k), _value(k, v)) for k, v in machine.cache.items()])
    group(
        "extras",
        [
            (
                e.name,
                Text("installed", "green")
                if not e.missing
                else Text(f"missing {', '.join(e.missing)}: {e.install}", "yellow"),
            )
            for e in machine.extras
        ],
    )
    group(
        "checks",
        [
            (
                c.name,
                Text(("ok: " if c.ok else "BROKEN: ") + c.detail, "green" if c.ok else "bold red"),
            )
            for c in machine.checks
        ],
    )
    data().print(table)


def _label(key: str) -> str:
    for unit in _UNITS:
        key = key.removesuffix("_" + unit)
    return key.replace("_", " ").replace("gflops", "GFLOP/s a core,")


def _value(key: str, value: Any) -> str:
    unit = key.rpartition("_")[2]
    if value is None:
        return "none"
    if unit == "bytes" or key == "bytes":
        return f"{value / 2**20:.1f} MiB" if value >= 2**20 else f"{value / 1024:.0f} KiB"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (f"{value:.1f}" if isinstance(value, float) else str(value)) + _UNITS.get(unit, "")
