"""``chainrule train images/``: images in, a net out that tells their classes."""

from __future__ import annotations

from typing import Any

import click

from ..estimators.image_model import AUGMENTATIONS, ImageModel, ImageOptions
from ..estimators.image_nets import NETS
from .tables import names
from .training import (
    dropout_option,
    epochs_options,
    file_options,
    learning_options,
    model_option,
    train_net,
)

DEFAULTS = ImageOptions()


def _size(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().replace("x", ",").split(",")
    if not all(p.strip().isdecimal() and int(p) > 0 for p in parts) or len(parts) > 2:
        raise click.BadParameter(f"{text!r} is neither a number of pixels nor HEIGHTxWIDTH")
    return int(parts[0]), int(parts[-1])


@click.command(name="train")
@file_options()
@model_option(
    NETS,
    DEFAULTS.model,
    "conv: convolutions as many as the images ask for; lenet: of 1998, for grey images.",
)
@click.option(
    "--size", callback=_size, metavar="N|HxW", help="Scale pictures to it (default: at most 64)."
)
@click.option("--mode", type=click.Choice(["L", "RGB"]), help="Grey or colours (default: as are).")
@click.option(
    "--augment",
    callback=names,
    metavar="NAME[:AMOUNT],...",
    help=f"Change images at random: {', '.join(AUGMENTATIONS)}; as in shift:3,rotate:15,flip.",
)
@dropout_option(DEFAULTS.dropout)
@epochs_options(DEFAULTS)
@learning_options(DEFAULTS)
def command(**options: Any) -> int:
    """Train a net to tell the classes of the images in FILE.

    FILE: a folder (or .zip) of one folder a class, or IDX, CIFAR or NPZ files.

    Writes the model file and a figure: learning curve, confusion matrix, filters, wrong answers.
    Ctrl-C ends the training and keeps what was learned.
    """
    return train_net(ImageModel.fit, **options)
