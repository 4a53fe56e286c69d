"""``chainrule train corpus.txt``: a text in, a net out that writes on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console

from ..estimators.text_model import RATES, UNITS, TextModel, TextOptions
from ..train import Callback
from .training import dropout_option, file_options, learning_options, model_option, train_net

DEFAULTS = TextOptions()
MOMENTS, SECONDS, SHOWN = 10, 20.0, 72
"""Samples a training, seconds between two of them, characters of each."""


class Samples(Callback):
    """What the net writes as training goes: after each tenth of the epochs, or some seconds."""

    def __init__(self, console: Console) -> None:
        self._console, self._last, self._epochs = console, time.perf_counter(), 1

    def on_fit_begin(self, trainer: Any) -> None:
        """How many epochs there will be."""
        self._epochs = trainer.history.params["epochs"]

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """A line of it, with the loss in bits a token."""
        now = time.perf_counter()
        often = (epoch + 1) % max(self._epochs // MOMENTS, 1) == 0
        if not often and now - self._last < SECONDS:
            return
        self._last = now
        text = trainer.text_model.sample(length=SHOWN).replace("\n", "⏎")[:SHOWN]
        bits = logs["val_loss"] / math.log(2)
        line = f"after epoch {epoch + 1} ({bits:.2f} bits a token): “{text}”"
        self._console.print(line, markup=False, soft_wrap=True)


@click.command(name="train")
@file_options()
@model_option(RATES, DEFAULTS.model, "A decoder-only transformer, or a recurrent net.")
@click.option(
    "--tokens",
    type=click.Choice(list(UNITS)),
    default=DEFAULTS.tokens,
    show_default=True,
    help="What is read and written one after the other.",
)
@click.option(
    "--vocabulary",
    type=click.IntRange(2),
    help="How many words (default 10000) or byte pairs (1024) there are.",
)
@click.option("--encoding", default=DEFAULTS.encoding, show_default=True, help="Of the file.")
@click.option(
    "--length",
    type=click.IntRange(2),
    default=DEFAULTS.length,
    show_default=True,
    help="Tokens that are read at once.",
)
@click.option("--width", type=click.IntRange(1), default=DEFAULTS.width, show_default=True)
@click.option("--layers", type=click.IntRange(1), help="Default: 4 of a GPT, 1 of an LSTM.")
@click.option("--heads", type=click.IntRange(1), default=DEFAULTS.heads, show_default=True)
@dropout_option(DEFAULTS.dropout)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Passes over the text (default: as many as make 2,000 updates).",
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="The largest learning rate (default: 1e-3 of a GPT, 4e-3 of an LSTM).",
)
@learning_options(DEFAULTS)
def command(**options: Any) -> int:
    """Train a net to tell each token of the text in FILE (also .gz) from those before it.

    Then `chainrule sample MODEL` writes.

    Samples are shown as training goes. Losses are in nats a token; the table at the end has bits a
    character as well. Writes the model file and a figure: learning curve, a sample, of a GPT an
    attention map. Ctrl-C ends the training and keeps what was learned.
    """
    return train_net(TextModel.fit, callbacks=lambda console: [Samples(console)], **options)
