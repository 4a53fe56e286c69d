"""English into German by a small Transformer: characters first, then byte pairs.

Nothing but 29,000 pairs of captions says what a language is. Does the net read at all? It is asked
for the same translations with the sources of others, and beside it stand copies of the source and
counts of characters (n-grams), which never see the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import BytePairTokenizer, TextCorpus, load_multi30k, pad_sequences
from ..errors import MissingExtraError
from ..models import END, PAD, START, Seq2SeqTransformer, beam_search
from ..nn.functional import cross_entropy
from ..tensor import functions as f
from ..tensor.value import no_grad
from ..train import Metric, Trainer
from .base import Experiment, Lab, Report
from .figures import COLOURS
from .text import ngram_loss

SHOWN = 3  # translations in the report


@dataclass(frozen=True)
class Plan:
    """The size of a system, how long it is trained, and what is asked of it."""

    width: int
    layers: int
    feedforward: int
    epochs: int
    limit: int  # tokens of a sentence in training
    warmup: int
    beams: int
    bleu: float | None  # at least
    size: int = 0  # of the vocabulary of byte pairs
    pairs: int | None = None
    dropout: float = 0.1
    tested: int = 1000


CHARACTERS, BYTE_PAIRS = "characters", "byte pairs"
QUICK = {
    CHARACTERS: Plan(64, 2, 128, 2, 40, 200, 1, None, tested=200),
    BYTE_PAIRS: Plan(64, 2, 128, 4, 16, 200, 4, 2.0, size=1000, tested=200),
}
FULL = {
    CHARACTERS: Plan(128, 3, 512, 14, 60, 1000, 1, None),
    BYTE_PAIRS: Plan(128, 3, 512, 14, 30, 1000, 4, 25.0, size=4000),
}
Code = tuple[Callable[[str], Array], Callable[[Any], str], int]  # encode, decode, vocabulary


def scorer() -> Any:
    """sacreBLEU, which makes scores comparable (Post, 2018)."""
    try:
        import sacrebleu
    except ImportError:
        raise MissingExtraError(
            "translations are scored by sacreBLEU: pip install 'chainrule[translation]'"
        ) from None
    return sacrebleu


def code(texts: list[str], plan: Plan) -> Code:
    """Characters of the training part, or byte pairs learned there. An unknown character is left
    out."""
    if plan.size:
        pairs = BytePairTokenizer.learn(texts, plan.size)
        return pairs.encode, pairs.decode, len(pairs)
    corpus = TextCorpus("".join(texts))
    known, first = set(corpus.vocabulary), END + 1

    def encode(text: str) -> Array:
        return corpus.encode("".join(c for c in text if c in known)).astype(np.int64) + first

    def decode(tokens: Any) -> str:
        tokens = np.asarray(tokens)
        return str(corpus.decode(tokens[tokens >= first] - first))

    return encode, decode, len(corpus.vocabulary) + first


@dataclass(frozen=True)
class Pairs:
    """Padded sources (N, S), and targets (N, T) that begin with the start and end with the end."""

    source: Array
    target: Array

    @property
    def x(self) -> tuple[Array, Array]:
        """What the net reads."""
        return self.source, self.target[:, :-1]

    @property
    def shuffled(self) -> tuple[Array, Array]:
        """The same targets, each with the source of another."""
        return np.roll(self.source, len(self.source) // 2, 0), self.target[:, :-1]


def pairs_of(texts: tuple[list[str], list[str]], encode: Any, limit: int, many: Any = None) -> Pairs:
    """The first ``many`` pairs with at most ``limit`` tokens on each side."""
    coded = [(encode(a), encode(b)) for a, b in zip(*texts, strict=True)]
    short = [pair for pair in coded if max(map(len, pair)) <= limit][:many]
    source, _ = pad_sequences([a for a, _ in short], PAD, limit)
    target, _ = pad_sequences([np.r_[START, b, END] for _, b in short], PAD, limit + 2)
    return Pairs(source, target)


class Nats(Metric):
    """Cross-entropy a token, without smoothing."""

    name = "nats"

    def update(self, state: Any, prediction: Any, target: Any) -> dict[str, Any]:
        """Add sum and number."""
        lost = cross_entropy(prediction, target, ignore_index=PAD, reduction="sum")
        there = (target != PAD).sum()
        return {"sum": state["sum"] + lost.double(), "count": state["count"] + there.double()}


class Teacher(Trainer):
    """Trains by teacher forcing: each token is asked for behind the true ones before it."""

    def __init__(self, model: Seq2SeqTransformer, warmup: int, seed: int) -> None:
        adam = optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
        width = model.transformer.d_model
        noam = optim.lr_scheduler.NoamLR(adam, width, warmup)
        smoothed = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1)
        measures = [Nats(), "accuracy"]
        super().__init__(model, smoothed, adam, noam, measures, seed, schedule="step")

    def forward(self, x: Any) -> Any:
        """Scores (N, vocabulary, T), as the loss wants them."""
        return self.model(*x).movedim(-1, 1)


def taught(
    lab: Lab, what: str, plan: Plan, size: int, train: Pairs, val: Pairs, checkpoint: Any = None
) -> Teacher:
    """A net, trained. ``checkpoint``: a folder; a run that was cut off there is continued, with the
    same bits."""
    f.manual_seed(0)
    model = Seq2SeqTransformer(size, plan.width, 4, plan.layers, plan.feedforward, plan.dropout)
    teacher = Teacher(model, plan.warmup, seed=0)
    epochs = lab.epochs(plan.epochs)
    teacher.fit(
        train.x,
        train.target[:, 1:],
        epochs,
        min(64, len(train.source)),
        validation_data=(val.x, val.target[:, 1:]),
        checkpoint=checkpoint,
        progress=False,
        diagnose=False,
        callbacks=lambda t, epoch, logs: lab.tell(what, epoch + 1, epochs),
    )
    return teacher
