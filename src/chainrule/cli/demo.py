"""``chainrule demo``: XOR and handwritten digits, from data in the package; what nets learn."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from .. import manual_seed, nn, optim
from ..core.host.whole_file import check_writable, whole_file
from ..core.node import Array
from ..data.digits import load_digits
from ..plot import curves, hinton_figure
from ..train.measure.history import History
from ..train.trainer import Trainer
from .output import can_draw, data, print_json, progress

HIDDEN = 30
"""Hidden units of the digits' net."""
TRIES = 10
"""Seeds for exclusive or, which some first weights do not solve."""


@dataclass
class Trained:
    """One of the demo's two nets."""

    name: str
    net: str
    model: Any
    history: History
    accuracy: float  # XOR: of its four patterns; digits: held out
    of: str
    seconds: float


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for figures and nets.",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=40, show_default=True, help="Of the digits."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(out: Path, epochs: int, seed: int, as_json: bool) -> int:
    """Train XOR and handwritten digits; draw what the nets learned.

    Data come with the package; figures need matplotlib. Exit code 1 if a net did not learn.
    """
    out.mkdir(parents=True, exist_ok=True)
    check_writable(out / "weights")
    console = progress()
    draws = can_draw()
    console.print("XOR: 2 inputs, 2 hidden units, 1 output")
    xor = train_xor(seed)
    console.print(f"handwritten digits: 64 pixels, {HIDDEN} hidden units, 10 classes")
    digits = train_digits(seed, epochs)
    files = [_save_net(out / f"{t.name}.safetensors", t.model) for t in (xor, digits)]
    if draws:
        files += draw(out, xor, digits)
    learned = xor.accuracy == 1.0 and digits.accuracy > 0.9
    if as_json:
        print_json(
            {
                "nets": {
                    t.name: {
                        "net": t.net,
                        "accuracy": t.accuracy,
                        "of": t.of,
                        "seconds": t.seconds,
                        "loss": t.history["loss"][-1],
                    }
                    for t in (xor, digits)
                },
                "folder": str(out),
                "files": [f.name for f in files],
                "learned": learned,
            }
        )
    else:
        _report(out, files, [xor, digits])
    return 0 if learned else 1


def train_xor(seed: int) -> Trained:
    """The net of Rumelhart, Hinton & Williams: two hidden units. After a local minimum, again."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    start = time.perf_counter()
    for attempt in range(TRIES):
        manual_seed(seed + attempt)
        model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
        trainer = Trainer(
            model, loss=nn.BCEWithLogitsLoss(), optimizer=optim.Adam(model.parameters(), lr=0.1)
        )
        history = trainer.fit(x, y, epochs=200, batch_size=4, shuffle=False)
        right = float(((np.asarray(trainer.predict(x)) > 0) == (y > 0)).mean())
        if right == 1.0:
            break
    return Trained(
        "xor", "2-2-1 tanh", model, history, right, "4 patterns", time.perf_counter() - start
    )


def train_digits(seed: int, epochs: int) -> Trained:
    """Four fifths of the digits for training, the rest held out."""
    x, y = load_digits()
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order] / 16, y[order]
    held = len(x) // 5
    manual_seed(seed)
    start = time.perf_counter()
    model = nn.Sequential(nn.Linear(64, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 10))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    trainer = Trainer(
        model, loss=nn.CrossEntropyLoss(), optimizer=optimizer, metrics=["accuracy"], seed=seed
    )
    history = trainer.fit(
        x[held:],
        y[held:],
        epochs=epochs,
        batch_size=32,
        validation_data=(x[:held], y[:held]),
        progress=True,
    )
    accuracy = float(trainer.evaluate(x[:held], y[:held])["accuracy"])
    seconds = time.perf_counter() - start
    return Trained(
        "digits",
        f"64-{HIDDEN}-10 tanh",
        model,
        history,
        accuracy,
        f"{held} held-out digits",
        seconds,
    )


def draw(folder: Path, xor: Trained, digits: Trained) -> list[Path]:
    """Draw learning curves and Hinton diagrams; returns the files.

    Raises MissingExtraError without matplotlib.
    """
    lines = {"training": digits.history["loss"], "held out": digits.history["val_loss"]}
    return [
        curves(lines, folder / "digits-loss.png"),
        curves({"training": xor.history["loss"]}, folder / "xor-loss.png"),
        hinton_figure(xor_panels(xor.model), folder / "xor-weights.png"),
        hinton_figure(
            digit_panels(digits.model),
            folder / "digits-hidden-units.png",
            columns=10,
            title="Each hidden unit: its weights from the 8 × 8 pixels, and below them to the "
            "digits 0 … 9"
            " (blue +, orange −)",
        ),
    ]


def digit_panels(model: Any) -> list[Array]:
    """For each hidden unit, (10, 10): its weights from the pixels, and to the classes.

    8 × 8 pixels, an empty row, 10 classes.

    The outgoing ones are scaled so that both kinds fill their cells alike.
    """
    incoming, outgoing = model[0].weight.numpy(), model[2].weight.numpy()
    scale = np.abs(incoming).max() / np.abs(outgoing).max()
    panels = []
    for unit in range(len(incoming)):
        panel = np.zeros((10, 10), np.float32)
        panel[:8, 1:9] = incoming[unit].reshape(8, 8)
        panel[9] = outgoing[:, unit] * scale
        panels.append(panel)
    return panels


def xor_panels(model: Any) -> dict[str, Array]:
    """Weights and bias into each unit, in a row."""
    hidden, output = model[0], model[2]
    rows = {
        f"hidden {i + 1}: x₁ x₂ bias": np.append(hidden.weight.numpy()[i], hidden.bias.numpy()[i])
        for i in (0, 1)
    }
    return rows | {
        "output: h₁ h₂ bias": np.append(output.weight.numpy()[0], output.bias.numpy()[0])
    }


def _save_net(path: Path, model: Any) -> Path:
    from safetensors.numpy import save as to_bytes  # slow to import, and only needed here

    weights = {k: np.ascontiguousarray(v.numpy()) for k, v in model.state_dict().items()}
    with whole_file(path) as file:
        file.write(to_bytes(weights))
    return path


def _report(out: Path, files: list[Path], nets: list[Trained]) -> None:
    table = Table(box=None, pad_edge=False)
    for head in ("", "net", "accuracy", "final loss", "time"):
        table.add_column(head)
    for t in nets:
        table.add_row(
            t.name,
            t.net,
            f"{t.accuracy:.1%} of {t.of}",
            f"{t.history['loss'][-1]:.2g}",
            f"{t.seconds:.2f} s",
        )
    console = data()
    console.print(table)
    console.print(f"\nIn {out.resolve()}:", markup=False, soft_wrap=True)
    described = {
        "digits-loss.png": "loss, epoch by epoch, on training and held-out digits",
        "digits-hidden-units.png": "Hinton diagram: what each hidden unit looks for, and what it "
        "votes for",
        "xor-loss.png, xor-weights.png": "the same for XOR",
        "digits.safetensors, xor.safetensors": "the trained nets",
    }
    written = {file.name for file in files}
    for names, what in described.items():
        if written.issuperset(names.split(", ")):
            console.print(f"  {names:36s} {what}")
    if sys.stderr.isatty():
        progress().print("\nNext: chainrule bench, chainrule explain digits")
