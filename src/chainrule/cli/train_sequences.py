"""``chainrule train sequences.ts``: sequences in, a net out that tells their classes or values."""

from __future__ import annotations

from typing import Any

import click

from ..estimators.sequence_model import SequenceModel, SequenceOptions
from ..estimators.sequence_nets import NETS
from .training import (
    dropout_option,
    epochs_options,
    file_options,
    learning_options,
    model_option,
    train_net,
)

DEFAULTS = SequenceOptions()


@click.command(name="train")
@file_options()
@model_option(NETS, DEFAULTS.model, "Convolutions over time, or a recurrent net.")
@click.option("--width", type=click.IntRange(1), default=DEFAULTS.width, show_default=True)
@click.option("--layers", type=click.IntRange(1), help="Default: 1; of convolutions 3.")
@dropout_option(DEFAULTS.dropout)
@epochs_options(DEFAULTS)
@learning_options(DEFAULTS)
def command(**options: Any) -> int:
    """Train a net to tell the class, or the value, of each sequence in FILE.

    FILE: .ts, also .gz; .npz with x, y and perhaps lengths.

    Writes the model file and a figure: learning curve, answers beside the truth, the least certain
    sequences. Ctrl-C ends the training and keeps what was learned.
    """
    return train_net(SequenceModel.fit, **options)
