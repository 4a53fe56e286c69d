"""``chainrule inspect``: what is in a model file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from ..data.columns import NumberColumn, WordColumn
from ..estimators.net_model import NetModel
from ..estimators.table_model import TableModel
from .model_kinds import loaded
from .output import data, print_json


@click.command(name="inspect")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON document: all that is in the file but the weights.",
)
def command(model: Path, as_json: bool) -> int:
    """Tell what MODEL predicts, from what, by which network, and how good it was."""
    net = loaded(model)
    if as_json:
        print_json(net.describe())
        return 0
    lines = _of_table(net) if isinstance(net, TableModel) else _of_net(net)
    for name, text in lines:
        data().print(
            f"{name:{max(10, len(name) + 1)}}{text}" if name else text, markup=False, soft_wrap=True
        )
    return 0


def _of_net(net: NetModel) -> Iterator[tuple[str, str]]:
    held = net.describe()
    yield "kind", type(net).__name__
    for name, value in held.items():
        if name in ("version", "training", "metrics", "baseline"):
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items() if v not in (None, []))
        elif name == "shape":
            value = " x ".join(map(str, value)) + " (channels, height, width)"
        elif isinstance(value, list):
            shown = [w if w.isprintable() and w.strip() else repr(w) for w in value]
            value = f"{len(value)}: {_some(shown, 24)}" if value else "none"
        yield name, str(value)
    weights = sum(v.size for v in net.weights.values())
    training = {k: v for k, v in net.training.items() if v not in (None, [])}
    yield "weights", f"{weights:,}"
    yield "training", ", ".join(f"{k} {v}" for k, v in training.items())
    yield "validated", ", ".join(_scores(net.metrics, net.baseline))


def _of_table(net: TableModel) -> Iterator[tuple[str, str]]:
    p, s = net.preprocessor, net.spec
    weights = sum(v.size for v in net.weights.values())
    classes = f": {_some(p.classes, 12)}" if p.classes else ""
    scores = _scores(net.metrics, net.baseline)
    training = {k: v for k, v in net.training.items() if v is not None}
    yield from [
        ("target", ", ".join(p.target_names)),
        ("task", p.task + classes),
        (
            "network",
            f"{' - '.join(map(str, s.sizes))}, {_each(s.activation)}, dropout "
            f"{_each(s.dropout)}; {weights:,} weights",
        ),
        ("training", ", ".join(f"{k} {v}" for k, v in training.items())),
        ("validated", ", ".join(scores)),
        *(
            [("tested", ", ".join(_scores(net.test_metrics, net.test_baseline)))]
            if net.test_metrics
            else []
        ),
    ]
    yield "", "columns"
    for c in p.columns:
        if isinstance(c, NumberColumn):
            what = f"number, mean {c.mean:.5g}, std {c.std:.5g}" + (
                f", missing: {c.median:g}" if c.indicator else ""
            )
        elif isinstance(c, WordColumn):
            what = f"{len(c.categories)} categories: {_some(c.categories, 8)}"
        else:
            parts = [*(["year"] if c.year_std else []), *c.parts]
            what = ", ".join([f"dates from {np.datetime64(int(c.first), 'D')}", *parts])
        yield "", f"  {c.name}: {what}"


def _scores(metrics: dict[str, float], baseline: dict[str, float]) -> list[str]:
    return [
        f"{k} {v:.5g} (baseline {baseline.get(k, float('nan')):.5g})" for k, v in metrics.items()
    ]


def _some(words: Sequence[str], most: int) -> str:
    return ", ".join(words[:most]) + (" ..." if len(words) > most else "")


def _each(value: object) -> str:
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
