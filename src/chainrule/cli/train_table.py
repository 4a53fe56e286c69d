"""``chainrule train``: a table in, a trained net out."""

from __future__ import annotations

import statistics
import warnings
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ..estimators.network import ACTIVATIONS, OPTIMIZERS
from ..estimators.schedule import SCHEDULES
from ..estimators.session import INTERRUPTION
from ..estimators.table_model import TableModel
from ..estimators.table_options import DEFAULTS, TABLE_LOSSES
from ..runtime.threads import MOST_THREADS, set_num_threads
from ..train import Callback, Checkpoint
from ..train.interrupt import interrupts
from .live import LiveCurve
from .output import data, print_json, progress
from .tables import names as _names
from .tables import opened, table_options
from .training import checkpoint_of, configure, drawn, places, print_metrics, remarks


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
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=configure,
    help="Options from a TOML file, such as epochs = 50.",
)
@click.option(
    "--target", required=True, callback=_names, help="The column to predict (several: A,B)."
)
@click.option(
    "--out",
    "--model",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The model file (default: FILE.safetensors).",
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
@click.option(
    "--optimizer",
    type=click.Choice(list(OPTIMIZERS)),
    default=DEFAULTS.optimizer,
    show_default=True,
)
@click.option(
    "--lr", type=click.FloatRange(0, min_open=True), default=DEFAULTS.lr, show_default=True
)
@click.option(
    "--schedule",
    type=click.Choice(list(SCHEDULES)),
    default=DEFAULTS.schedule,
    show_default=True,
    help="How the learning rate changes over the epochs.",
)
@click.option(
    "--weight-decay", type=click.FloatRange(0), default=DEFAULTS.weight_decay, show_default=True
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=DEFAULTS.batch_size, show_default=True
)
@click.option("--epochs", type=click.IntRange(1), default=DEFAULTS.epochs, show_default=True)
@click.option(
    "--patience",
    type=click.IntRange(0),
    default=DEFAULTS.patience,
    show_default=True,
    help="Epochs without progress before it stops; 0: never.",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=DEFAULTS.validation,
    show_default=True,
    help="Share of rows by which the epoch is chosen.",
)
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
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=DEFAULTS.seed, show_default=True)
@click.option("--threads", type=click.IntRange(1, MOST_THREADS), help="Default: all cores.")
@click.option(
    "--figure/--no-figure",
    default=True,
    help="Draw the learning curve, true against predicted and the columns' importance beside the "
    "model (needs matplotlib).",
)
@click.option(
    "--checkpoint",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the state of the training there now and then, so that no crash loses it.",
)
@click.option(
    "--resume", is_flag=True, help="Go on with the run in the checkpoint folder, to the same bits."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
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
    out, picture = places(file, out, figure, table=True)
    if options["threads"]:
        set_num_threads(options["threads"])
    console = progress()
    held = checkpoint_of(checkpoint, resume)
    with interrupts() as presses:
        model = _train(source, target, held, options)
        model.save(out)
        runs = _seeds(source, target, options, model)
        picture = picture and drawn(model, picture)
        presses.answered = True
    for line in remarks(model, held):
        console.print(line, markup=False, soft_wrap=True)
    code = 130 if model.interrupted or presses.count else 0
    if as_json:
        print_json(
            {
                "model": str(out),
                "figure": picture and str(picture),
                "task": model.preprocessor.task,
                "notes": model.notes,
                "stopped": model.history.stopped,
                **_report(model),
                **({"seeds": runs} if len(runs) > 1 else {}),
            }
        )
        return code
    print_metrics(model.metrics, model.baseline)
    if model.test_metrics:
        data().print()
        print_metrics(model.test_metrics, model.test_baseline, "test rows")
    if len(runs) > 1:
        _print_spread(runs)
    data().print(f"model {out}", markup=False, soft_wrap=True)
    if picture:
        data().print(f"figure {picture}", markup=False, soft_wrap=True)
    return code


def _train(
    source: Any, target: tuple[str, ...], checkpoint: Checkpoint | None, options: dict[str, Any]
) -> TableModel:
    console = progress()
    skipped = ("threads", "seeds")
    given = {k: v for k, v in options.items() if k not in skipped}
    given["patience"] = options["patience"] or None
    live = LiveCurve(console) if console.is_terminal else Callback()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", INTERRUPTION, UserWarning)  # said in a line instead
            return TableModel.fit(
                source,
                target,
                progress=not console.is_terminal,
                callbacks=live,
                checkpoint=checkpoint,
                **given,
            )
    finally:
        if isinstance(live, LiveCurve):
            live.close()


def _seeds(
    source: Any, target: tuple[str, ...], options: dict[str, Any], first: TableModel
) -> list[dict[str, float]]:
    """The measures of the same with other seeds, one after the other."""
    found = [first.test_metrics or first.metrics]
    for i in range(1, options["seeds"] or 1):
        if first.interrupted:
            break
        model = _train(source, target, None, options | {"seed": options["seed"] + i})
        found.append(model.test_metrics or model.metrics)
    return found


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
