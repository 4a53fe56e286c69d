"""Pairs of sequences, and how a Transformer is taught them: what the experiments on them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import TextCorpus, pad_sequences
from ..models import END, PAD, START, Seq2SeqTransformer
from ..nn.functional import cross_entropy
from ..train import Callback, Metric, Trainer
from .base import Lab


class Tokens:
    """Characters, or byte pairs, as numbers from 3 on.

    With ``unit`` "pairs" the ``size`` most frequent pairs of ``texts``; an unknown character is
    left out.
    """

    def __init__(self, texts: Sequence[str], unit: str = "characters", size: Any = None) -> None:
        self._corpus = TextCorpus("\n".join(texts), unit, size=size)
        self._known = None if unit == "pairs" else set(self._corpus.vocabulary)

    def __len__(self) -> int:
        return END + 1 + len(self._corpus.vocabulary)

    def encode(self, text: str) -> Array:
        """The numbers of a text (T,)."""
        if self._known is not None:
            text = "".join(c for c in text if c in self._known)
        return self._corpus.encode(text).astype(np.int64) + END + 1

    def decode(self, tokens: Any) -> str:
        """The text of numbers; special ones say nothing."""
        numbers = np.asarray(tokens, np.int64) - END - 1
        return str(self._corpus.decode(numbers[numbers >= 0]))


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
    def y(self) -> Array:
        """What it is asked for."""
        return self.target[:, 1:]

    @property
    def shuffled(self) -> tuple[Array, Array]:
        """What it reads where each target has the source of another."""
        return np.roll(self.source, len(self.source) // 2, 0), self.target[:, :-1]


def pairs_of(sources: Sequence[Any], targets: Sequence[Any], limit: int) -> Pairs:
    """Pairs of tokens, padded to at most ``limit`` on each side."""
    source, _ = pad_sequences(sources, PAD, limit)
    target, _ = pad_sequences([np.r_[START, t, END] for t in targets], PAD, limit + 2)
    return Pairs(source, target)


def exact(written: Array, pairs: Pairs) -> float:
    """The share of rows that are the targets from the first token to the end, in per cent."""
    width = max(written.shape[1], pairs.y.shape[1])
    rows = [np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in (written, pairs.y)]
    return float(100 * (rows[0] == rows[1]).all(1).mean())


class Nats(Metric):
    """Cross-entropy a token, without smoothing."""

    name = "nats"

    def update(self, state: Any, prediction: Any, target: Any) -> dict[str, Any]:
        """Add sum and number."""
        lost = cross_entropy(prediction, target, ignore_index=PAD, reduction="sum")
        there = (target != PAD).sum()
        return {"sum": state["sum"] + lost.double(), "count": state["count"] + there.double()}


class Told(Callback):
    """Tells who watches a lab how many updates are done."""

    every = 20

    def __init__(self, lab: Lab, what: str, updates: int) -> None:
        self.lab, self.what, self.updates = lab, what, updates

    def on_steps(self, trainer: Any, step: int, logs: Any) -> None:
        """Tell."""
        self.lab.tell(self.what, step, self.updates)

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
        """Tell."""
        self.lab.tell(self.what, trainer.step, self.updates)


class Teacher(Trainer):
    """Trains by teacher forcing: each token is asked for behind the true ones before it.

    Adam with the paper's numbers; its rate is ``factor`` times Noam's, or ``lr`` at all times.
    """

    def __init__(
        self,
        model: Seq2SeqTransformer,
        warmup: int,
        *,
        factor: float = 1.0,
        smoothing: float = 0.0,
        lr: float | None = None,
        seed: int = 0,
    ) -> None:
        rate = factor if lr is None else lr
        adam = optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.98), eps=1e-9)
        width = model.transformer.d_model
        noam = optim.lr_scheduler.NoamLR(adam, width, warmup) if lr is None else None
        loss = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=smoothing)
        measures = [Nats(), "accuracy"]
        super().__init__(model, loss, adam, noam, measures, seed, scheduler_interval="step")

    def forward(self, x: Any) -> Any:
        """Scores (N, vocabulary, T), as the loss wants them."""
        return self.model(*x).movedim(-1, 1)

    def learn(
        self, lab: Lab, what: str, train: Pairs, val: Pairs, epochs: int, checkpoint: Any = None
    ) -> float:
        """Batches of 64; returns how many epochs it came.

        ``checkpoint``: a folder; a run that was cut off there goes on with the same bits.
        """
        epochs, batch = lab.epochs(epochs), min(64, len(train.source))
        steps = -(-len(train.source) // batch)
        self.fit(
            train.x,
            train.y,
            epochs,
            batch,
            validation_data=(val.x, val.y),
            checkpoint=checkpoint,
            progress=False,
            diagnose=False,
            max_seconds=lab.seconds,
            callbacks=Told(lab, what, epochs * steps),
        )
        return self.step / steps
