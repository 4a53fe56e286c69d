"""``chainrule models``: trained nets, their cards, and how to make those that are not there."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from ..models.trained import NETS, SHIPPED, built_folder, card, found
from .output import data, print_json, progress


@click.command(name="models")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--build", "build_them", is_flag=True, help="Train NAME (seconds to minutes).")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --build: the folder (default: where models.load looks).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="With --build.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(
    names: tuple[str, ...], build_them: bool, out: Path | None, seed: int, as_json: bool
) -> int:
    """List the trained nets; with NAME ("all": every one), show its card.

    A card says data, licence, seed and score.

    `chainrule.models.load(NAME)` loads one.
    """
    names = tuple(NETS) if "all" in names else names
    unknown = [n for n in names if n not in NETS]
    if unknown:
        raise click.UsageError(f"no trained net {unknown[0]!r}; there are {', '.join(NETS)}")
    if build_them:
        if not names:
            raise click.UsageError("build which? `chainrule models` lists the names")
        from ..experiments.trained import build

        for name in names:
            path = build(name, built_folder() if out is None else out, seed)
            progress().print(f"wrote {path}", soft_wrap=True, markup=False)
    folder = out if build_them else None
    if not names:
        _list(as_json)
        return 0
    cards = [card(name, folder) for name in names]
    if as_json:
        print_json([c.__dict__ for c in cards] if len(cards) > 1 else cards[0].__dict__)
    else:
        data().print("\n\n".join(map(str, cards)), soft_wrap=True, markup=False)
    return 0


def _list(as_json: bool) -> None:
    rows = []
    for name in NETS:
        path = found(name)
        known = None if path is None else card(name)
        where = "built" if path is not None else f"chainrule models {name} --build"
        if path is not None and path.parent == SHIPPED:
            where = "with the package"
        size = 0 if path is None else path.stat().st_size
        rows.append((name, known, where, size))
    if as_json:
        print_json(
            [
                {"name": n, "where": w, "bytes": s, "card": None if c is None else c.__dict__}
                for n, c, w, s in rows
            ]
        )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "net", "score", "size", "where"):
        table.add_column(column, no_wrap=column == "name")
    for name, known, where, size in rows:
        net, score = ("", "") if known is None else (known.net, known.score)
        table.add_row(
            name, net, score, f"{size / 1024:.0f} KiB" if size else "", Text(where, "dim")
        )
    data().print(table)
