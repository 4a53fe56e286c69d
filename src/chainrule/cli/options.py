"""Options that several commands share: workloads by name, or a net of one's own by its sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from ..bench.modes.named import USUAL, WORKLOADS
from ..bench.modes.workload import Workload, custom


def net_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --sizes and what goes with it."""
    options = [
        click.option(
            "--sizes", metavar="N,N,…", help="Another net: units of each layer, inputs first."
        ),
        click.option(
            "--batch",
            type=click.IntRange(1),
            help="Rows in a minibatch (with --sizes; default 32).",
        ),
        click.option(
            "--activation", type=click.Choice(["relu", "tanh"]), help="With --sizes; default relu."
        ),
        click.option(
            "--optimizer",
            type=click.Choice(["adam", "sgd", "momentum"]),
            help="With --sizes; default adam.",
        ),
        click.option(
            "--loss",
            type=click.Choice(["ce", "mse"]),
            help="With --sizes; default ce (mse for one output).",
        ),
        click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Default float32."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def workloads_of(names: tuple[str, ...], given: dict[str, Any]) -> list[Workload]:
    """The workloads that a command's arguments mean; none named and no sizes: the usual ones."""
    sizes = given.pop("sizes")
    options = {k: v for k, v in given.items() if v is not None}
    dtype = options.get("dtype", "float32")
    for name in names:
        if name not in WORKLOADS and name != "all":
            raise click.BadParameter(
                f"no workload {name!r}; there are {', '.join(WORKLOADS)}, all, and --sizes"
            )
    found = [WORKLOADS[n] for n in (WORKLOADS if "all" in names else names)]
    if sizes is not None:
        found.append(custom(_sizes(sizes), **{"batch": 32, "loss": _loss(sizes), **options}))
    elif set(options) - {"dtype"}:
        raise click.UsageError(f"--{next(iter(set(options) - {'dtype'}))} goes with --sizes")
    elif not names:
        found = [WORKLOADS[n] for n in USUAL]
    if dtype != "float32" and any(w.dtype != dtype for w in found):
        found = [
            w if w.dtype == dtype else replace(w, dtype=dtype, name=f"{w.name} {dtype}")
            for w in found
        ]
    return found


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.replace("-", ",").split(",")
    if len(parts) < 2 or not all(p.strip().isdecimal() and int(p) > 0 for p in parts):
        raise click.BadParameter(
            f"--sizes {text!r}: expected at least two positive numbers like 61,203,17"
        )
    return tuple(int(p) for p in parts)


def _loss(sizes: str) -> str:
    return "mse" if _sizes(sizes)[-1] == 1 else "ce"
