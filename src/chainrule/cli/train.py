"""``chainrule train``: a table in, a trained net out."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ..core.whole_file import check_place, check_writable
from ..data import open_table
from ..errors import MissingExtraError, OptionError, WriteError
from ..estimators.network import ACTIVATIONS, OPTIMIZERS
from ..estimators.schedule import SCHEDULES
from ..estimators.session import INTERRUPTION
from ..estimators.table_model import TableModel
from ..runtime.threads import MOST_THREADS, set_num_threads
from ..train import Callback, Checkpoint
from ..train.interrupt import interrupts
from .live import LiveCurve
from .output import data, print_json, progress


def _configure(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Options from a TOML file; those on the command line win."""
    if path is None:
        return
    try:
        held = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: not TOML: {error}") from None
    known = {p.name for p in context.command.params if isinstance(p, click.Option)} - {"config"}
    options = {k.replace("-", "_"): v for k, v in held.items()}
    unknown = sorted(set(options) - known)
    if unknown:
        raise click.UsageError(
            f"{path}: unknown option {unknown[0]!r}; known are {', '.join(sorted(map(str, known)))}"
        )
    for name, value in options.items():
        if isinstance(value, list):
            options[name] = ",".join(str(v) for v in value)
    context.default_map = options


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


def _names(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    return tuple(_items(value))


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


@click.command(name="train")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_configure,
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
@click.option("--categorical", callback=_names, help="Columns of numbers that are categories: A,B.")
@click.option(
    "--header/--no-header", default=True, help="Whether the first line names the columns."
)
@click.option(
    "--hidden",
    default="64,64",
    callback=_sizes,
    show_default=True,
    help="Sizes of the hidden layers.",
)
@click.option(
    "--activation",
    default="relu",
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
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), default="adam", show_default=True)
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True)
@click.option(
    "--schedule",
    type=click.Choice(list(SCHEDULES)),
    default="constant",
    show_default=True,
    help="How the learning rate changes over the epochs.",
)
@click.option("--weight-decay", type=click.FloatRange(0), default=1e-5, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True)
@click.option(
    "--patience",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Epochs without progress before it stops; 0: never.",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of rows held out.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1, MOST_THREADS), help="Default: all cores.")
@click.option(
    "--figure/--no-figure",
    default=True,
    help="Draw the learning curve beside the model (needs matplotlib).",
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
    """Train a net to predict the column TARGET of FILE (.csv, .tsv, also .gz; .parquet; .npz).

    The model file holds the weights and all that `chainrule predict` needs to read such a table.
    Metrics are of rows held out of the training, beside always answering the most frequent class or
    the mean. Ctrl-C ends the training and keeps what was learned: the model file is written, and
    the exit code is 130.
    """
    if not target:
        raise click.UsageError("--target: name a column")
    source = open_table(file, options["header"])
    out = out or file.with_name(file.name.split(".")[0] + ".safetensors")
    if out.resolve() == file.resolve():
        raise OptionError(f"--out {out}: this is the table itself")
    if not out.parent.is_dir():
        raise OptionError(f"--out {out}: the folder {str(out.parent)!r} does not exist")
    check_writable(out)
    picture = out.with_suffix(".png") if figure else None
    if picture:
        check_place(picture)
    if options["threads"]:
        set_num_threads(options["threads"])
    console = progress()
    held = _checkpoint(checkpoint, resume)
    with interrupts() as presses:
        model = _train(source, target, held, options)
        model.save(out)
        picture = picture and _draw(model, picture)
        presses.answered = True
    for line in _remarks(model, held):
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
            }
        )
        return code
    print_metrics(model.metrics, model.baseline)
    data().print(f"model {out}", markup=False, soft_wrap=True)
    if picture:
        data().print(f"figure {picture}", markup=False, soft_wrap=True)
    return code


def _checkpoint(folder: Path | None, resume: bool) -> Checkpoint | None:
    """The folder, ready to be written into; a run that is there is not gone on with unasked."""
    if folder is None:
        if resume:
            raise click.UsageError("--resume: name the folder too: --checkpoint DIR")
        return None
    found = Checkpoint(folder)
    found.prepare()
    there = bool(found.files())
    if there and not resume:
        raise OptionError(
            f"--checkpoint {folder}: there is a run in it; go on with it by --resume, or name "
            "another folder"
        )
    if resume and not there:
        progress().print(f"note: no run in {folder} yet: this is a new one", soft_wrap=True)
    return found


def _train(
    source: Any, target: tuple[str, ...], checkpoint: Checkpoint | None, options: dict[str, Any]
) -> TableModel:
    console = progress()
    names = ("optimizer", "lr", "weight_decay", "batch_size", "epochs", "seed")
    same = ("task", "drop", "categorical", "hidden", "activation", "dropout", "schedule")
    live = LiveCurve(console, options["epochs"]) if console.is_terminal else Callback()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", INTERRUPTION, UserWarning)  # said in a line instead
            return TableModel.fit(
                source,
                target,
                validation=options["validation"],
                patience=options["patience"] or None,
                training={k: options[k] for k in names},
                progress=not console.is_terminal,
                callbacks=live,
                checkpoint=checkpoint,
                **{k: options[k] for k in same},
            )
    finally:
        if isinstance(live, LiveCurve):
            live.close()


def _remarks(model: TableModel, checkpoint: Checkpoint | None) -> Iterator[str]:
    """What to say of a training beside its numbers."""
    for note in model.notes:
        yield f"note: {note}"
    if not model.interrupted:
        if model.history.stopped:
            yield f"stopped: {model.history.stopped}"
        return
    run, wanted = len(model.history), model.training["epochs"]
    kept = "what was learned is kept"
    if model.training["patience"] and run:
        kept = f"the best, epoch {model.history.best('val_loss')[0] + 1}, is kept"
    more = "; --resume goes on" if checkpoint else ""
    yield f"interrupted after {run} of {wanted} epochs: {kept}{more}"


def _draw(model: TableModel, path: Path) -> Path | None:
    """The learning curve as a figure; None, and a note, where that is not possible."""
    if not len(model.history):
        return None
    try:
        return model.history.plot(path)
    except (MissingExtraError, WriteError) as error:
        progress().print(f"note: no learning curve: {error}", markup=False, soft_wrap=True)
        return None


def _report(model: TableModel) -> dict[str, Any]:
    keys = ("rows", "held_out_rows", "epochs_run")
    return {
        "metrics": model.metrics,
        "baseline": model.baseline,
        **{k: model.training[k] for k in keys},
    }


def print_metrics(metrics: dict[str, float], baseline: dict[str, float]) -> None:
    """A table on stdout."""
    table = Table(box=None, pad_edge=False)
    for name in ("held-out rows", "model", "baseline"):
        table.add_column(name, justify="left" if name == "held-out rows" else "right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.5g}", f"{baseline[name]:.5g}" if name in baseline else "")
    data().print(table)
