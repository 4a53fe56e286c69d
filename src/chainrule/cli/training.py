"""What the commands that train have in common: where files go, options, what is said at the end."""

from __future__ import annotations

import difflib
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import click
from rich.table import Table

from ..core.host.whole_file import check_place, check_writable
from ..errors import OptionError, WriteError
from ..estimators.learning import LearningOptions
from ..estimators.net_model import NetModel
from ..estimators.network import OPTIMIZERS
from ..estimators.schedule import SCHEDULES
from ..estimators.session import INTERRUPTION
from ..estimators.table_model import TableModel
from ..estimators.table_options import TableOptions
from ..runtime.threads import MOST_THREADS, set_num_threads
from ..train import Callback, Checkpoint
from ..train.interrupt import interrupts
from .live import LiveCurve
from .output import can_draw, data, print_json, progress

Model = TypeVar("Model", TableModel, NetModel)


def configure(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Options from a TOML file; those on the command line win."""
    if path is None:
        return
    try:
        held = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: not TOML: {error}") from None
    known = {
        p.opts[0].removeprefix("--").replace("-", "_"): str(p.name)
        for p in context.command.params
        if isinstance(p, click.Option) and p.name != "config"
    }
    given = {k.replace("-", "_"): v for k, v in held.items()}
    unknown = sorted(set(given) - set(known))
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, 1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        raise click.UsageError(
            f"{path}: unknown option {unknown[0]!r}; {guess}known are {', '.join(sorted(known))}"
        )
    options = {known[k]: v for k, v in given.items()}
    for name, value in options.items():
        if isinstance(value, dict):
            options[name] = ",".join(f"{k}:{v}" for k, v in value.items())
        if isinstance(value, list):
            options[name] = ",".join(f'"{v}"' if "," in str(v) else str(v) for v in value)
    context.default_map = options


def places(
    file: Path, out: Path | None, figure: bool, table: bool = False
) -> tuple[Path, Path | None]:
    """Where the model and its figure go. Raises OptionError or WriteError before any work."""
    if out is None:
        name = file.resolve().name.split(".")[0]
        out = Path("model.safetensors")
        if str(file) != "-":
            out = (file if file.name else file.resolve()).with_name(f"{name}.safetensors")
    if out.resolve() == file.resolve():
        what = "folder" if file.is_dir() else "table" if table else "file"
        raise OptionError(f"--out {out}: this is the {what} itself")
    if not out.parent.is_dir():
        raise OptionError(f"--out {out}: the folder {str(out.parent)!r} does not exist")
    check_writable(out)
    picture = out.with_suffix(".png") if figure and can_draw() else None
    if picture:
        check_place(picture)
    return out, picture


def checkpoint_of(folder: Path | None, resume: bool) -> Checkpoint | None:
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


def drawn(model: TableModel | NetModel, path: Path) -> Path | None:
    """What people look at as a figure; None, and a note, where that is not possible."""
    if not len(model.history):
        return None
    try:
        return model.draw(path)
    except WriteError as error:
        progress().print(f"note: no figure: {error}", markup=False, soft_wrap=True)
        return None


def print_metrics(
    metrics: dict[str, float], baseline: dict[str, float], rows: str = "validation rows"
) -> None:
    """A table on stdout."""
    table = Table(box=None, pad_edge=False)
    for name in (rows, "model", "baseline"):
        table.add_column(name, justify="left" if name == rows else "right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.5g}", f"{baseline[name]:.5g}" if name in baseline else "")
    data().print(table)


def added(*options: Callable[..., Any]) -> Callable[[Any], Any]:
    """A decorator that adds options to a command, in their order."""

    def decorated(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorated


def file_options(*also: str) -> Callable[[Any], Any]:
    """FILE, --config and --out; ``also``: other names of --out."""
    return added(
        click.argument("file", type=click.Path(path_type=Path)),
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=configure,
            help="Options from a TOML file, such as epochs = 50.",
        ),
        click.option(
            "--out",
            *also,
            "out",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The model file (default: beside FILE, with its name and .safetensors).",
        ),
    )


def model_option(nets: Iterable[str], default: str, text: str) -> Callable[[Any], Any]:
    """--model, the name of a net."""
    kind = click.Choice(list(nets))
    return click.option("--model", type=kind, default=default, show_default=True, help=text)


def dropout_option(default: float) -> Callable[[Any], Any]:
    """--dropout."""
    share = click.FloatRange(0, 1, max_open=True)
    return click.option("--dropout", type=share, default=default, show_default=True)


def epochs_options(defaults: LearningOptions | TableOptions) -> Callable[[Any], Any]:
    """--epochs, --optimizer and --schedule."""
    return added(
        click.option(
            "--epochs", type=click.IntRange(1), default=defaults.epochs, show_default=True
        ),
        click.option(
            "--optimizer",
            type=click.Choice(list(OPTIMIZERS)),
            default=defaults.optimizer,
            show_default=True,
        ),
        click.option(
            "--schedule",
            type=click.Choice(list(SCHEDULES)),
            default=defaults.schedule,
            show_default=True,
            help="How the learning rate changes over the epochs.",
        ),
        click.option(
            "--lr",
            type=click.FloatRange(0, min_open=True),
            default=defaults.lr,
            show_default=True,
            help="The learning rate.",
        ),
    )


def learning_options(defaults: LearningOptions | TableOptions) -> Callable[[Any], Any]:
    """The options that every command has which trains a net."""
    return added(
        click.option(
            "--weight-decay",
            type=click.FloatRange(0),
            default=defaults.weight_decay,
            show_default=True,
        ),
        click.option(
            "--batch-size", type=click.IntRange(1), default=defaults.batch_size, show_default=True
        ),
        click.option(
            "--patience",
            type=click.IntRange(0),
            default=defaults.patience or 0,
            show_default=True,
            help="Epochs without progress before it stops; 0: never.",
        ),
        click.option(
            "--validation",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            default=defaults.validation,
            show_default=True,
            help="Share by which the epoch is chosen.",
        ),
        click.option(
            "--seed", type=click.IntRange(0, 2**63 - 1), default=defaults.seed, show_default=True
        ),
        click.option("--threads", type=click.IntRange(1, MOST_THREADS), help="Default: all cores."),
        click.option(
            "--figure/--no-figure", default=True, help="Draw beside the model (needs matplotlib)."
        ),
        click.option(
            "--checkpoint",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="Write the state of the training there now and then, so that no crash loses it.",
        ),
        click.option(
            "--resume",
            is_flag=True,
            help="Go on with the run in the checkpoint folder, to the same bits.",
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON document."),
    )


def fitted(
    fit: Callable[..., Model], *given: Any, callbacks: Iterable[Callback] = (), **options: Any
) -> Model:
    """The model that ``fit`` trains, with what a terminal shows meanwhile."""
    console = progress()
    live = LiveCurve(console) if console.is_terminal else Callback()
    options["patience"] = options["patience"] or None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", INTERRUPTION, UserWarning)  # said in a line instead
            shown = {"progress": not console.is_terminal, "callbacks": [live, *callbacks]}
            return fit(*given, **shown, **options)
    finally:
        if isinstance(live, LiveCurve):
            live.close()


@dataclass
class Training(Generic[Model]):
    """A command that trains: where its files go, and what came of it.

    ``run`` gives the model, with its other runs, and writes it; ``code`` is then the exit code.
    """

    out: Path
    picture: Path | None
    checkpoint: Checkpoint | None
    code: int = 0

    def run(self, fit: Callable[[], Model], more: Callable[[Model], Any]) -> tuple[Model, Any]:
        """The model of ``fit``, written and drawn, and what ``more`` makes of it."""
        with interrupts() as presses:
            model = fit()
            model.save(self.out)
            found = more(model)
            self.picture = self.picture and drawn(model, self.picture)
            presses.answered = True
        for line in remarks(model, self.checkpoint):
            progress().print(line, markup=False, soft_wrap=True)
        self.code = 130 if model.interrupted or presses.count else 0
        return model, found

    def described(self, model: Model, **kind: Any) -> dict[str, Any]:
        """What every JSON document says; ``kind``: of what the model is."""
        files = {"model": str(self.out), "figure": self.picture and str(self.picture)}
        return {**files, **kind, "notes": model.notes, "stopped": model.history.stopped}

    def print_files(self) -> None:
        """The last lines on stdout."""
        data().print(f"model {self.out}", markup=False, soft_wrap=True)
        if self.picture:
            data().print(f"figure {self.picture}", markup=False, soft_wrap=True)


def prepared(
    file: Path, out: Path | None, figure: bool, threads: int | None, checkpoint: Path | None,
    resume: bool, table: bool = False,
) -> Training[Any]:  # fmt: skip
    """All that can be refused before any work."""
    out, picture = places(file, out, figure, table)
    if threads:
        set_num_threads(threads)
    return Training(out, picture, checkpoint_of(checkpoint, resume))


def train_net(
    fit: Callable[..., NetModel],
    file: Path,
    out: Path | None,
    figure: bool,
    checkpoint: Path | None,
    resume: bool,
    as_json: bool,
    threads: int | None,
    callbacks: Callable[[Any], list[Callback]] = lambda console: [],
    **options: Any,
) -> int:
    """Train by ``fit(file, ...)``, write model and figure, and say what came of it.

    ``callbacks``: more of them, from the console for what happens meanwhile.
    """
    training = prepared(file, out, figure, threads, checkpoint, resume)
    options |= {"callbacks": callbacks(progress()), "checkpoint": training.checkpoint}
    model, _ = training.run(lambda: fitted(fit, file, **options), lambda model: None)
    if as_json:
        print_json(training.described(model) | model.describe())
        return training.code
    print_metrics(model.metrics, model.baseline, "validation")
    training.print_files()
    return training.code


def remarks(model: TableModel | NetModel, checkpoint: Checkpoint | None) -> Iterator[str]:
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
