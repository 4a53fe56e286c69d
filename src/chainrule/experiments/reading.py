"""A text read character by character: the programs that train and measure a net, and counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import TextBatches, TextCorpus
from ..models import GPT, generate
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from ..tensor.ops.random import default_generator

LENGTH = 64
PROMPT = "\n"
PARTS = ("model", "optimizer", "schedule", "pieces")  # of a `Reader`, that training changes


def ngram_loss(train: Array, test: Array, n: int, size: int, smoothing: float = 0.05) -> float:
    """Nats a character of p(c | the n-1 before) = (count + s) / (count of those before + s V)."""

    def codes(tokens: Array, k: int) -> Array:  # each run of k tokens as one number
        runs = np.lib.stride_tricks.sliding_window_view(tokens.astype(np.int64), n)[:, :k]
        return np.asarray(runs @ size ** np.arange(k, dtype=np.int64))

    def count(k: int) -> Array:
        seen, often = np.unique(codes(train, k), return_counts=True)
        wanted = codes(test, k)
        at = np.minimum(np.searchsorted(seen, wanted), len(seen) - 1)
        return np.where(seen[at] == wanted, often[at], 0)

    p = (count(n) + smoothing) / (count(n - 1) + smoothing * size)
    return float(-np.log(p).mean())


class Reader:
    """A model and the programs that train it and measure it, on pieces of ``length`` characters."""

    def __init__(
        self,
        model: Any,
        train: TextCorpus,
        test: TextCorpus,
        batch: int,
        updates: int,
        seed: int,
        length: int = LENGTH,
    ) -> None:
        self.model, self.corpus, self.length = model, train, length
        matrices = [p for p in model.parameters() if p.ndim == 2]
        others = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        adam = optim.AdamW(groups, lr=self.rate, betas=(0.9, 0.99), weight_decay=0.1)
        warm = min(100, max(updates // 10, 1))
        schedule = optim.lr_scheduler.WarmupCosineLR(
            adam, warm, max(updates, warm + 1), self.rate / 10
        )
        pieces = TextBatches(train, length, batch, seed=seed)
        others_pieces = TextBatches(test, length, 12, seed=1)

        def losses(x: Any, y: Any) -> Any:
            scores = model(x).movedim(-1, 1)
            return nn.functional.cross_entropy(scores, y, reduction="none")  # (N, T)

        @compiled
        def step() -> Any:
            loss = losses(*pieces.next()).mean()
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            schedule.step()
            return loss

        @compiled
        def measure(total: Any) -> Any:
            return total + losses(*others_pieces.next()).mean(0)

        self.step, self._measure, self._pieces = step, measure, others_pieces
        self.pieces, self.optimizer, self.schedule = pieces, adam, schedule

    def state_dict(self) -> dict[str, Any]:
        """All that training changes, for `load_state_dict`."""
        parts = {k: getattr(self, k).state_dict() for k in PARTS}
        return {**parts, "random": default_generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called, with the same bits."""
        for k in PARTS:
            getattr(self, k).load_state_dict(state[k])
        default_generator.set_state(state["random"])

    @property
    def rate(self) -> float:
        """The largest learning rate: nanoGPT's, and a higher one for the LSTM."""
        return 1e-3 if isinstance(self.model, GPT) else 4e-3

    def loss(self, batches: int) -> Array:
        """The validation loss at each position (T,), over the same random pieces each time."""
        self._pieces.seek()
        self.model.eval()
        with no_grad():
            total = f.zeros(self.length)
            for _ in range(batches):
                total = self._measure(total)
        self.model.train()
        return np.asarray(total.numpy() / batches)

    def sample(self, count: int) -> str:
        """What it writes now, on one line."""
        prompt = self.corpus.encode(PROMPT).astype(np.int64)
        tokens = generate(self.model, prompt, count, 0.8, generator=f.Generator(1)).numpy()
        return str(self.corpus.decode(tokens[len(prompt) :])).replace("\n", " / ")
