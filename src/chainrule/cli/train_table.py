"""``chainrule train``: a table in, a trained net out."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ..estimators.network import ACTIVATIONS
from ..estimators.table_model import TableModel
from ..estimators.table_options import DEFAULTS, TABLE_LOSSES
from ..train import Checkpoint
from .output import data, print_json
from .tables import names as _names
from .tables import opened, table_options
from .training import (
    epochs_options,
    file_options,
    fitted,
    learning_options,
    prepared,
    print_metrics,
)


def _items(value: object) -> list[str]:
    return [w.strip() for w in str("" if value is None else value).split(",") if w.strip()]


def _sizes(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(w) for w in _items(value))
    except ValueError:
        sizes = (0,)
    if any(n < 1 for n in sizes):
        raise click.BadParameter(f"{value!r} is not a list of layer sizes such as 64,64")
    return sizes


def _activations(
    context: click.Context, parameter: click.Parameter, value: str
) -> str | tuple[str, ...]:
    names = _items(value)
    unknown = [n for n in names if n not in ACTIVATIONS]
    if unknown or not names:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(ACTIVATIONS)}")
    return names[0] if len(names) == 1 else tuple(names)


def _shares(
    context: click.Context, parameter: click.Parameter, value: str
) -> float | tuple[float, ...]:
    try:
        shares = [float(w) for w in _items(value)]
    except ValueError:
        shares = []
    if not shares or not all(0 <= p < 1 for p in shares):
        raise click.BadParameter(f"{value!r} is not a probability from 0 to below 1, or a list")
    return shares[0] if len(shares) == 1 else tuple(shares)


def _class_weight(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | dict[str, float] | None:
    if value is None or value == "balanced":
        return value
    parts = [w.rpartition(":") for w in _items(value)]
    try:
        return {name: float(weight) for name, _, weight in parts if name or 1 / 0}
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(
            f"{value!r} is neither balanced nor a list of weights such as yes:5,no:1"
        ) from None


@click.command(name="train")
@file_options("--model")
@click.option(
    "--target", required=True, callback=_names, help="The column to predict (several: A,B)."
)
@click.option(
    "--task", type=click.Choice(["auto", "binary", "multiclass", "regression"]), default="auto"
)
@click.option("--drop", callback=_names, help="Columns not to use: A,B.")
@table_options
@click.option(
    "--hidden",
    default=",".join(map(str, DEFAULTS.hidden)),
    callback=_sizes,
    show_default=True,
    help="Sizes of the hidden layers.",
)
@click.option(
    "--activation",
    default=DEFAULTS.activation,
    callback=_activations,
    show_default=True,
    help=f"Of all hidden layers, or one for each: {', '.join(ACTIVATIONS)}.",
)
@click.option(
    "--dropout",
    default="0",
    callback=_shares,
    show_default=True,
    help="Share of hidden units dropped; one for all layers, or one for each.",
)
@epochs_options(DEFAULTS)
@click.option(
    "--test",
    metavar="FILE|SHARE|last:N",
    help="Rows that choose nothing, to measure with: another table, a share, or the last N rows.",
)
@click.option(
    "--split",
    default=DEFAULTS.split,
    show_default=True,
    metavar="random|time:COLUMN",
    help="Which rows are held out: random ones, or the latest.",
)
@click.option(
    "--loss",
    type=click.Choice(TABLE_LOSSES),
    default=DEFAULTS.loss,
    show_default=True,
    help="auto: cross entropy, or squared error; poisson: for counts.",
)
@click.option("--log-target", is_flag=True, help="Learn log(1 + y); for amounts of all sizes.")
@click.option(
    "--class-weight",
    callback=_class_weight,
    metavar="balanced|A:1,B:5",
    help="How much rows of each class count.",
)
@click.option(
    "--seeds",
    type=click.IntRange(2),
    metavar="N",
    help="Train with N seeds and report the spread; the first one's model is written.",
)
@learning_options(DEFAULTS)
def command(
    file: Path,
    target: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    figure: bool,
    checkpoint: Path | None,
    resume: bool,
    **options: Any,
) -> int:
    """Train a net to predict the column TARGET of FILE.

    FILE: .csv, .tsv, also .gz; .parquet; .npz; .xlsx; - is standard input.

    The model file holds the weights and all that `chainrule predict` needs to read such a table.
    Metrics are of the validation rows, by which the epoch was chosen (and with --test of rows that
    chose nothing), beside always answering the most frequent class or the mean. Ctrl-C ends the
    training and keeps what was learned: the model file is written, and the exit code is 130.
    """
    if not target:
        raise click.UsageError("--target: name a column")
    source = opened(file, options)
    threads, seeds = options.pop("threads"), options.pop("seeds") or 1
    training = prepared(file, out, figure, threads, checkpoint, resume, table=True)

    def fit(checkpoint: Checkpoint | None, **changed: Any) -> TableModel:
        given = {**options, **changed, "checkpoint": checkpoint}
        return fitted(TableModel.fit, source, target, **given)

    def others(first: TableModel) -> list[dict[str, float]]:
        """The measures of the same with other seeds, one after the other."""
        found = [first.test_metrics or first.metrics]
        for i in range(1, 1 if first.interrupted else seeds):
            model = fit(None, seed=options["seed"] + i)
            found.append(model.test_metrics or model.metrics)
        return found

    model, runs = training.run(lambda: fit(training.checkpoint), others)
    if as_json:
        found = training.described(model, task=model.preprocessor.task)
        print_json(found | _report(model) | ({"seeds": runs} if len(runs) > 1 else {}))
        return training.code
    print_metrics(model.metrics, model.baseline)
    if model.test_metrics:
        data().print()
        print_metrics(model.test_metrics, model.test_baseline, "test rows")
    if len(runs) > 1:
        _print_spread(runs)
    training.print_files()
    return training.code


def _report(model: TableModel) -> dict[str, Any]:
    keys = ("rows", "validation_rows", "epochs_run")
    test = {"test": {"metrics": model.test_metrics, "baseline": model.test_baseline}}
    return {
        "metrics": model.metrics,
        "baseline": model.baseline,
        **(test if model.test_metrics else {}),
        **{k: model.training[k] for k in keys},
    }


def _print_spread(runs: list[dict[str, float]]) -> None:
    """Mean and standard deviation over the seeds, and the range."""
    table = Table(box=None, pad_edge=False)
    for name in (f"{len(runs)} seeds", "mean", "std", "least", "most"):
        table.add_column(name, justify="left" if "seeds" in name else "right")
    for name in runs[0]:
        values = [r[name] for r in runs]
        figures = (statistics.fmean(values), statistics.stdev(values), min(values), max(values))
        table.add_row(name, *(f"{v:.5g}" for v in figures))
    data().print()
    data().print(table)
