"""Movements, speech and power: convolutions over time and a GRU beside the nearest neighbour.

Four small sets of sequences, some of unequal length. The baseline learns nothing: it says the class
of the training sequence that is nearest, step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import Sequences, load_ucr, pad_sequences
from ..plot import COLOURS, GREY
from ..tensor import functions as f
from ..train import Trainer
from .base import Experiment, Lab, Report, spread

SETS = {
    "BasicMotions": "a smart watch: standing, running, walking, badminton",
    "JapaneseVowels": "speech: nine speakers say /ae/",
    "ItalyPowerDemand": "power used in a day: summer or winter",
    "GunPoint": "a hand that draws a gun, or points",
}


@dataclass(frozen=True)
class Plan:
    """Updates a net (about), and seeds."""

    updates: int
    seeds: int
    sets: tuple[str, ...]


QUICK = Plan(400, 1, ("BasicMotions", "JapaneseVowels"))
FULL = Plan(1500, 5, tuple(SETS))
BATCH = 16


class Convolutions(nn.Module):
    """Three convolutions over time, the mean over the steps that are there, linear scores.

    x (N, T, channels) -> (N, classes). Source: Wang, Yan & Oates, 2017, smaller.
    """

    def __init__(self, channels: int, classes: int, width: int = 32) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for before, kernel in zip((channels, width, width), (7, 5, 3), strict=True):
            convolution = nn.Conv1d(before, width, kernel, padding=kernel // 2)
            parts += [convolution, nn.BatchNorm1d(width), nn.ReLU()]
        self.layers, self.head = nn.Sequential(*parts), nn.Linear(width, classes)

    def forward(self, x: Any, lengths: Any) -> Any:
        """Scores (N, classes)."""
        there = (f.arange(x.shape[1]) < lengths.unsqueeze(1)).to(x.dtype).unsqueeze(1)
        maps = self.layers(x.movedim(1, 2)) * there
        return self.head(maps.sum(-1) / there.sum(-1))


class Recurrent(nn.Module):
    """A GRU both ways, its mean output, linear scores: x (N, T, channels) -> (N, classes)."""

    def __init__(self, channels: int, classes: int, width: int = 32) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Any, lengths: Any) -> Any:
        """Scores (N, classes)."""
        out, _ = self.gru(x, lengths=lengths)
        return self.head(out.sum(1) / lengths.to(out.dtype).unsqueeze(1))


NETS: dict[str, Callable[[int, int], nn.Module]] = {"convolutions": Convolutions, "GRU": Recurrent}


def scaled(train: Sequences, test: Sequences) -> tuple[list[Array], list[Array]]:
    """Each channel less its mean, in units of its deviation, both of the training sequences."""
    steps = np.concatenate(train.x)
    mean, deviation = steps.mean(0), steps.std(0)
    first, second = ([(s - mean) / deviation for s in part.x] for part in (train, test))
    return first, second


def nearest(x: list[Array], y: Array, x_test: list[Array]) -> Array:
    """The class of the training sequence at the least squared distance a step, of common steps."""

    def distance(a: Array, b: Array) -> float:
        n = min(len(a), len(b))
        return float(((a[:n] - b[:n]) ** 2).mean())

    return np.array([y[int(np.argmin([distance(s, t) for s in x]))] for t in x_test])


def curve(
    lab: Lab, what: str, kind: str, sets: Any, classes: int, updates: int, seed: int
) -> Array:
    """The share of test sequences that are told rightly after each pass, in per cent."""
    (x, y), test = sets
    f.manual_seed(seed)
    net = NETS[kind](x["x"].shape[-1], classes)
    epochs = lab.epochs(max(1, updates * BATCH // len(y)))
    adam = optim.Adam(net.parameters(), lr=3e-3)
    falling = optim.lr_scheduler.CosineAnnealingLR(adam, epochs)
    trainer = Trainer(net, nn.CrossEntropyLoss(), adam, falling, metrics=["accuracy"], seed=seed)
    history = trainer.fit(
        x,
        y,
        epochs,
        BATCH,
        validation_data=test,
        progress=False,
        diagnose=False,
        callbacks=lambda t, epoch, logs: lab.tell(what, epoch + 1, epochs),
    )
    return 100 * np.asarray(history["val_accuracy"])


def run(lab: Lab) -> Report:
    """Each net on each set."""
    plan, report = FULL if lab.full else QUICK, Report()
    found: dict[str, dict[str, list[Array]]] = {}
    neighbours: dict[str, float] = {}
    for name in plan.sets:
        train, test = load_ucr(name)
        x, x_test = scaled(train, test)
        said = nearest(x, train.y, x_test)
        neighbours[name] = float(100 * (said == test.y).mean())
        most = float(100 * (test.y == np.bincount(train.y).argmax()).mean())
        report.add(
            f"{name} ({SETS[name]}): no net",
            f"nearest neighbour {neighbours[name]:.1f} % right; the most frequent class {most:.1f}",
            nearest=neighbours[name],
        )
        longest = max(map(len, x + x_test))
        padded = [
            dict(zip(("x", "lengths"), pad_sequences(s, length=longest), strict=True))
            for s in (x, x_test)
        ]
        sets = ((padded[0], train.y), (padded[1], test.y))
        found[name] = {}
        for kind in NETS:
            curves = [
                curve(lab, f"{name}, {kind}", kind, sets, len(train.classes), plan.updates, seed)
                for seed in range(lab.seeds(plan.seeds))
            ]
            found[name][kind] = curves
            right = [float(c[-1]) for c in curves]
            judged = kind == "convolutions"
            report.add(
                f"{name}, {kind}",
                f"{spread(right, 1)} % right after {len(curves[0])} passes",
                bool(np.mean(right) >= neighbours[name]) if judged else None,
                criterion="not worse than the nearest neighbour" if judged else "",
                right=right,
            )
    report.figures["signals"] = lambda figure: draw(figure, found, neighbours)
    return report


def draw(
    figure: Any, found: dict[str, dict[str, list[Array]]], neighbours: dict[str, float]
) -> None:
    """Right answers by passes, beside the nearest neighbour."""
    figure.set_size_inches(4.5 * len(found), 3.8)
    for axes, (name, kinds) in zip(
        np.atleast_1d(figure.subplots(1, len(found))), found.items(), strict=True
    ):
        for (kind, curves), colour in zip(kinds.items(), COLOURS, strict=False):
            for k, c in enumerate(curves):
                axes.plot(range(1, len(c) + 1), c, color=colour, lw=1, label=None if k else kind)
        axes.axhline(neighbours[name], color=GREY, ls="--", label="nearest neighbour")
        axes.set(title=name, xlabel="passes", ylabel="test sequences right, %")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower right")


EXPERIMENT = Experiment(
    "signals",
    "Movements, speech and power told apart",
    "Wang, Yan & Oates 2017; Cho et al. 2014 (GRU); the UCR and UEA archives",
    run,
)
