"""The figure of a model of texts: how it learned, what it writes, and where a GPT looks."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..data import TextCorpus
from ..models import GPT
from ..plot import matplotlib_of, save_figure
from ..train import History
from .drawing import loss_curve

SHOWN = 32  # tokens of a map


def draw(
    path: str | Path, net: Any, history: History, corpus: TextCorpus, sample: str, counted: float
) -> Path:
    """Panels in one file; ``counted``: the loss of telling each token by how frequent it is."""
    panels: list[Any] = [
        lambda axes: _curve(axes, history, counted),
        lambda axes: _sample(axes, sample),
    ]
    if isinstance(net, GPT):
        panels.append(lambda axes: _map(axes, net, corpus, sample))
    figure = matplotlib_of().figure.Figure(figsize=(5 * len(panels), 4.6), layout="constrained")
    for i, panel in enumerate(panels):
        panel(figure.add_subplot(1, len(panels), i + 1))
    return save_figure(figure, path, dpi=130)


def _curve(axes: Any, history: History, counted: float) -> None:
    loss_curve(axes, history, "loss, nats a token")
    axes.axhline(counted, color="0.6", linewidth=0.9, linestyle=":")
    axes.text(1, counted, "how frequent each token is", fontsize=7, va="bottom", color="0.4")


def _sample(axes: Any, sample: str) -> None:
    lines = [part for line in sample.split("\n") for part in textwrap.wrap(line, 52) or [""]]
    text = "\n".join(lines[:24]).replace("$", r"\$")
    axes.text(0, 1, text, fontsize=7.5, family="monospace", va="top", transform=axes.transAxes)
    axes.set_axis_off()
    axes.set_title("what it writes")


def _map(axes: Any, net: GPT, corpus: TextCorpus, sample: str) -> None:
    """The head that looks at most places, on the first tokens that it wrote."""
    tokens = corpus.encode(sample)[: min(SHOWN, net.length)].astype(np.int64)
    heads = np.concatenate([np.asarray(m.numpy()[0]) for m in net.attention(tokens[None])])
    spread = [-(h * np.log(h + 1e-9)).sum(-1).mean() for h in heads]
    k = int(np.argmax(spread))
    axes.imshow(heads[k], cmap="Blues", vmin=0)
    words = [_shown(corpus, tokens[i : i + 1]) for i in range(len(tokens))]
    axes.set_xticks(
        range(len(words)), words, fontsize=6, rotation=90 * any(len(w) > 1 for w in words)
    )
    axes.set_yticks(range(len(words)), words, fontsize=6)
    layer, head = divmod(k, len(heads) // len(net.blocks))
    axes.set(xlabel="read", ylabel="after")
    axes.set_title(f"where head {head + 1} of layer {layer + 1} looks")


def _shown(corpus: TextCorpus, token: Array) -> str:
    text = corpus.decode(token)
    text = text if isinstance(text, str) else text.decode("latin-1")
    text = text.replace("\n", "⏎").replace(" ", "·").replace("$", r"\$")
    return text if text.isprintable() else "?"
