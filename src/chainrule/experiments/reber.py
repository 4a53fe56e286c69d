"""Reber's grammar as numbers, and when a net has learned it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..core.node import Array
from ..data import Batches
from ..data.generators import REBER_SYMBOLS, make_reber, reber_next
from ..data.sequences import pad_sequences
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from .base import Lab
from .recurrent import Reader, set_gates, trained


def strings_of(seed: int, n: int = 256) -> tuple[list[str], list[str]]:
    """``n`` strings of the embedded grammar to learn, and as many that are not among them."""
    strings = make_reber(n, embedded=True, random_state=2 * seed)
    known = set(strings)
    others = [s for s in make_reber(8 * n, True, 2 * seed + 1) if s not in known]
    return strings, others[:n]


def coded(strings: list[str], longest: int) -> tuple[Array, Array, Array, Array]:
    """One-hot symbols (N, T, 7) without the last of each string, and how many there are (N,).

    And the symbols that follow (N, T), and which may follow (N, T, 7).
    """
    numbers = [np.array([REBER_SYMBOLS.index(s) for s in text]) for text in strings]
    allowed = np.zeros((len(strings), longest, 7), bool)
    for row, text in zip(allowed, strings, strict=True):
        for t, symbols in enumerate(reber_next(text, embedded=True)):
            row[t, [REBER_SYMBOLS.index(s) for s in symbols]] = True
    x = pad_sequences([np.eye(7, dtype=np.float32)[n[:-1]] for n in numbers], length=longest)[0]
    y = pad_sequences([n[1:] for n in numbers], length=longest)[0]
    return x, np.array([len(n) - 1 for n in numbers]), y, allowed


def legal(scores: Array, lengths: Array, allowed: Array) -> Array:
    """Of each string (N,): is every symbol that may follow above every one that may not, always?"""
    least = np.where(allowed, scores, np.inf).min(-1)
    most = np.where(allowed, -np.inf, scores).max(-1)
    behind = np.arange(scores.shape[1]) >= lengths[:, None]
    return np.asarray(((least > most) | behind).all(1))


def reber(lab: Lab, limit: int, kind: str, seed: int) -> tuple[int | None, float]:
    """After how many strings all 256 and 256 others are right (None: never).

    And the share of those others that is right at the end.
    """
    f.manual_seed(seed)
    strings, others = strings_of(seed)
    longest = max(map(len, strings + others)) - 1
    net = Reader(kind, 7, 12, 7, each=True)
    set_gates(net, 1.0)
    x, lengths, y, allowed = (
        np.concatenate(parts)
        for parts in zip(coded(strings, longest), coded(others, longest), strict=True)
    )
    half = len(strings)
    batches = Batches((x[:half], lengths[:half]), y[:half], 16, seed=seed)

    def loss_of(out: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(out.movedim(-1, 1), y)

    share, sweeps = 0.0, lab.epochs(limit // half)
    step, answer = trained(net, batches, loss_of, 1e-2, 1.0, 1), compiled(net)
    for sweep in range(1, sweeps + 1):
        step.repeat(half // 16)
        with no_grad():
            right = legal(answer(x, lengths).numpy(), lengths, allowed)
        share = 100 * float(right[half:].mean())
        lab.tell(f"Reber's grammar, {kind}", sweep, sweeps)
        if right.all():
            return sweep * half, share
    return None, share
