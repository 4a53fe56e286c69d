"""``chainrule train sequences.ts``: sequences in, a net out that tells their classes or values."""

from __future__ import annotations

from typing import Any

import click

from ..estimators.sequence_model import SequenceModel, SequenceOptions
from ..estimators.sequence_nets import NETS
from .training import epochs_options, file_options, learning_options, train_net

DEFAULTS = SequenceOptions()


@click.command(name="train")
@file_options()
@click.option(
    "--model",
    type=click.Choice(list(NETS)),
    default=DEFAULTS.model,
    show_default=True,
    help="Convolutions over time, or a recurrent net.",
)
@click.option("--width", type=click.IntRange(1), default=DEFAULTS.width, show_default=True)
@click.option("--layers", type=click.IntRange(1), help="Default: 1; of convolutions 3.")
@click.option(
    "--dropout",
    type=click.FloatRange(0, 1, max_open=True),
    default=DEFAULTS.dropout,
    show_default=True,
)
@epochs_options(DEFAULTS)
@learning_options(DEFAULTS)
def command(**options: Any) -> int:
    """Train a net to tell the class, or the value, of each sequence in FILE (.ts, also .gz; .npz
    with x, y and perhaps lengths).

    Writes the model file and a figure: learning curve, answers beside the truth, the least certain
    sequences. Ctrl-C ends the training and keeps what was learned.
    """
    return train_net(SequenceModel.fit, **options)
