"""A GPT of 10.7 million weights reads Shakespeare: nanoGPT's large configuration for characters.

Six layers of 384, pieces of 256 characters, 64 of them an update, 5,000 updates: hours on a few
cores, so its state is kept, and a run that was cut off goes on with the same bits. Its first
losses stand beside those of PyTorch from the same weights, on the same pieces
(``benchmarks/gpt_large.py`` made them).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..data import load_tiny_shakespeare
from ..models import GPT
from ..plot import COLOURS
from ..tensor import functions as f
from .base import Experiment, Lab, Report
from .long_course import Course, learn
from .reading import Reader

LENGTH, WIDTH, HEADS, LAYERS, BATCH, UPDATES = 256, 384, 6, 6, 64, 5000
NAME = f"GPT, {LAYERS} layers of {WIDTH}"
QUICK_UPDATES = 10
THEIRS = Path(__file__).with_name("gpt_large_pytorch.json")


def reader_of(dropout: float) -> Reader:
    """The net before training, and its programs, with the rates of 5,000 updates."""
    train, test = (corpus := load_tiny_shakespeare()).split(0.9)
    f.manual_seed(0)
    model = GPT(len(corpus.vocabulary), LENGTH, WIDTH, HEADS, LAYERS, dropout, tie=True)
    return Reader(model, train, test, BATCH, UPDATES, 0, LENGTH)


def run(lab: Lab) -> Report:
    """By default ten updates without dropout; in full, nanoGPT's training."""
    report, theirs = Report(), json.loads(THEIRS.read_text("utf-8"))
    updates = lab.epochs(UPDATES if lab.full else QUICK_UPDATES)
    reader = reader_of(0.2 if lab.full else 0.0)
    batches = 50 if lab.full else 5
    folder = lab.folder("gpt-large") if lab.full else None
    course = learn(lab, NAME, reader, updates, batches, folder)
    size = reader.model.head.weight.shape[0]
    start = course.validated[0][1]
    weights = sum(p.numel() for p in reader.model.parameters())
    report.add(
        f"{NAME} ({weights:,} weights): validation loss before training",
        f"{start:.3f} nats a character (ln {size} = {np.log(size):.3f})",
        abs(start - np.log(size)) < 0.1,
        criterion=f"within 0.1 of ln {size}",
        loss=start,
    )
    reference = np.array(theirs["losses with dropout" if lab.full else "losses without dropout"])
    beside(report, lab.full, np.array(course.losses), reference, theirs["torch"])
    if lab.full:
        reached(report, course, reader)
    parts = ["first", "whole"] if lab.full else ["first"]
    report.figures["gpt-large"] = lambda figure: draw(figure, parts, course, reference)
    return report


def beside(report: Report, dropout: bool, ours: Array, theirs: Array, version: str) -> None:
    """The first losses and PyTorch's."""
    n = min(len(ours), len(theirs))
    apart = np.abs(ours[:n] - theirs[:n])
    limit, measure = (0.05, apart.mean()) if dropout else (0.002, apart.max())
    masks = "each with masks of its own" if dropout else "without dropout"
    report.add(
        f"the first {n} updates beside PyTorch {version}, from the same weights, {masks}",
        f"losses from {ours[0]:.3f} to {ours[n - 1]:.3f}, PyTorch's from {theirs[0]:.3f} to "
        f"{theirs[n - 1]:.3f}; apart by {apart.mean():.4f} on average, at most {apart.max():.4f}",
        bool(measure <= limit),
        criterion=f"{'mean' if dropout else 'all'} at most {limit:g} apart",
        ours=ours[:n],
        theirs=theirs[:n],
    )


def reached(report: Report, course: Course, reader: Reader) -> None:
    """How far the training came: a criterion is met where it is, and missed only at the end."""
    at, best = course.best
    over = course.updates == UPDATES
    report.add(
        f"{NAME}: best validation loss in {course.updates:,} of {UPDATES:,} updates",
        f"{best:.3f} nats a character, after {at:,} updates"
        + ("" if over else f": {100 * course.updates / UPDATES:.0f} % of the training is done"),
        True if best <= 1.5 else False if over else None,
        reported="1.4697 (nanoGPT, this configuration)",
        criterion="at most 1.50, after 5,000 updates",
        validated=course.validated,
        losses=[float(np.mean(part)) for part in blocks(course)],
        seconds_an_update=round(course.seconds / max(course.updates, 1), 2),
    )
    report.add(f"{NAME} writes after {course.updates:,} updates", f"“{reader.sample(60)}”")


def blocks(course: Course) -> list[Array]:
    """The losses, ten updates at a time."""
    losses = np.array(course.losses)
    return np.split(losses, range(10, len(losses), 10))


def draw(figure: Any, parts: list[str], course: Course, theirs: Array) -> None:
    """The first losses and PyTorch's; the whole course."""
    figure.set_size_inches(5.5 * len(parts), 4.2)
    axes = dict(zip(parts, np.atleast_1d(figure.subplots(1, len(parts))), strict=True))
    n = min(len(theirs), course.updates)
    own, other = COLOURS[:2]
    axes["first"].plot(range(1, n + 1), theirs[:n], color=other, lw=3, alpha=0.6, label="PyTorch")
    axes["first"].plot(range(1, n + 1), course.losses[:n], ".-", color=own, lw=1, label="Chainrule")
    axes["first"].set(title="the first updates", ylabel="training loss, nats a character")
    if "whole" in axes:
        means = [part.mean() for part in blocks(course)]
        ends = np.minimum(10 * np.arange(1, len(means) + 1), course.updates)
        axes["whole"].plot(ends, means, color=own, lw=1, label="training, means of 10")
        axes["whole"].plot(
            *zip(*course.validated, strict=True), "o-", color=other, label="other text"
        )
        axes["whole"].axhline(1.4697, color="#8a8a8a", ls=":", label="nanoGPT's best, 1.4697")
        axes["whole"].set(title=f"{course.updates:,} of {UPDATES:,} updates", ylabel="loss")
    for one in axes.values():
        one.set_xlabel("updates")
        one.grid(alpha=0.3)
        one.legend(fontsize=8)


EXPERIMENT = Experiment(
    "gpt-large",
    "A GPT of ten million weights",
    "Radford, Narasimhan, Salimans & Sutskever 2018; Karpathy, nanoGPT",
    run,
)
