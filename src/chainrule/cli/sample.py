"""``chainrule sample``: a net that has read a text writes on."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..estimators.text_model import TextModel
from .printable import write_text


@click.command(name="sample")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--prompt", default="", help="What it goes on from (default: the start of a line).")
@click.option(
    "--length", type=click.IntRange(1), default=500, show_default=True, help="Tokens to write."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    default=0.8,
    show_default=True,
    help="Less is more certain; 0: always the best token.",
)
@click.option("--top-k", type=click.IntRange(1), help="Only among the K best tokens.")
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    help="Only among the fewest best tokens that have this probability together.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="The same text again (default: another)."
)
def command(
    model: Path,
    prompt: str,
    length: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
) -> int:
    """Write on with MODEL, trained on a text by `chainrule train`; each token is shown at once."""
    net = TextModel.load(model)
    pieces = net.stream(
        prompt, length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
    )
    write_text(prompt)
    for text in pieces:
        write_text(text)
        sys.stdout.flush()
    write_text("\n")
    return 0
