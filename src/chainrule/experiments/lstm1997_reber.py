"""Experiment 1 of Hochreiter & Schmidhuber (1997): the embedded Reber grammar, 3 blocks of 2 cells.

Whether all of 256 strings that are learned and 256 others are right, after each 256 strings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import models, nn
from ..core.node import Array
from ..tensor import functions as f
from .base import Lab, Report
from .lstm1997_nets import FULL_GRADIENT, RULE
from .lstm1997_rule import at_every_step
from .online import Given, Learn, Online
from .reber import coded, legal, strings_of

RATE, NEAR = 0.5, 0.3
BY_STRING, TOLERANT = "by string", "tolerant"
KINDS = {
    RULE: "rule of 1997",
    BY_STRING: "rule of 1997, but weights change after a string",
    TOLERANT: f"rule of 1997, but what is within {NEAR} of its target is no error",
    FULL_GRADIENT: "full gradient after a string",
}


@dataclass(frozen=True)
class Grammar:
    """Strings of each seed (seeds, 512, ...), the first 256 to learn.

    One-hot symbols, lengths, targets, which steps count, and which symbols may follow.
    """

    x: Array
    lengths: Array
    d: Array
    counts: Array
    allowed: Array

    def drawn(self, n: int, seed: int, chunk: int) -> Given:
        """Strings picked from those to learn."""
        rows = np.random.default_rng((seed, chunk)).integers(0, 256, n)
        return Given(self.x[seed, rows], self.d[seed, rows], self.counts[seed, rows])

    def right(self, nets: Online) -> Array:
        """Which strings are: every symbol that may follow is above every one that may not."""
        scores = nets.outputs(self.x)
        return np.array(
            [legal(*a) for a in zip(scores, self.lengths, self.allowed, strict=True)], bool
        )

    def remembered(self, nets: Online) -> Array:
        """Which strings have the right one of T and P before their last symbol."""
        scores, rows = nets.outputs(self.x), np.arange(self.x.shape[1])
        found = []
        for own, lengths, x in zip(scores, self.lengths, self.x, strict=True):
            last = own[rows, lengths - 2]
            found.append((last[:, 1] > last[:, 2]) == (x[:, 1, 1] > 0))
        return np.array(found)


def grammar_of(seeds: int) -> Grammar:
    """The strings of ``seeds`` seeds, padded to one length."""
    strings = [[*strings_of(s)[0], *strings_of(s)[1]] for s in range(seeds)]
    longest = max(len(t) for own in strings for t in own) - 1
    x, lengths, y, allowed = (
        np.stack(a) for a in zip(*map(coded, strings, [longest] * seeds), strict=True)
    )
    counts = (np.arange(longest) < lengths[..., None]).astype(np.float32)
    return Grammar(x, lengths, np.eye(7, dtype=np.float32)[np.maximum(y, 0)], counts, allowed)


def reber_net(kind: str, seed: int) -> models.LSTM1997:
    """3 blocks of 2 cells, with the published biases."""
    f.manual_seed(seed)
    gates, truncated = (-1.0, -2.0, -3.0), kind != FULL_GRADIENT
    return models.LSTM1997(7, 3, 2, 7, "gates", truncated, init=0.2, output_gates=gates)


def learner(kind: str, net: models.LSTM1997) -> Learn | None:
    """How a string is learned; None: by the gradient of the net, after the string."""
    if kind in (RULE, TOLERANT):
        return at_every_step(net, RATE, NEAR if kind == TOLERANT else 0.0)
    return None


def study(lab: Lab, report: Report, limit: int) -> nn.Module:
    """Every kind of learning. Returns the net that had most strings right by the rule of 1997."""
    seeds, sweeps = lab.seeds(10), lab.epochs(limit // 256)
    grammar, best, most = grammar_of(seeds), nn.Module(), -1
    for kind, name in KINDS.items():
        cells = [reber_net(kind, s) for s in range(seeds)]
        nets = Online(cells, grammar.drawn, RATE, 256, learner(kind, cells[0]))
        took, right = np.zeros(seeds, int), np.zeros((seeds, 512), bool)
        for sweep in range(sweeps):
            nets.learn()
            right = grammar.right(nets)
            took[right.all(1) & (took == 0)] = nets.seen
            if kind == RULE and right.sum(1).max() > most:
                most, best = right.sum(1).max(), nets.net(int(right.sum(1).argmax()))
            lab.tell(f"Reber's grammar, {name}", sweep + 1, sweeps)
        needed, judged = math.ceil(0.2 * seeds - 1e-9), kind == RULE and lab.full
        solved = int((took > 0).sum())
        when = ", ".join(f"{n:,}" for n in np.sort(took[took > 0]))
        report.add(
            f"embedded Reber grammar, 3 blocks of 2 (1), {name}",
            f"{solved} of {seeds} seeds{f', after {when} strings' if solved else ''}; after "
            f"{nets.seen:,}: {100 * right[:, 256:].mean():.1f} % of the other strings right, "
            f"T or P at their end in {100 * grammar.remembered(nets)[:, 256:].mean():.1f} %",
            bool(solved >= needed) if judged else None,
            criterion=f"{needed} of {seeds} within {limit:,} strings" if judged else "",
            reported="100 % of trials, 8,440 strings" if kind == RULE else "",
            took=took.tolist(),
        )
    return best
