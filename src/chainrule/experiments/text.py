"""Nets that learn to write: an LSTM and a small GPT read Shakespeare, character by character.

Each is asked for the next character only. Words, spelling and the form of a play are nowhere in
the net before; what it writes as training goes shows in which order they come. Beside the losses
stand counts of characters (n-grams), smoothed: what needs no net.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.node import Array
from ..data import TextCorpus, load_tiny_shakespeare
from ..models import GPT, CharLSTM
from ..plot import COLOURS
from ..tensor import functions as f
from .base import Experiment, Lab, Report
from .reading import LENGTH, Reader, ngram_loss

SHOWN = 60  # characters of a sample
GRAMS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Plan:
    """Updates and seeds of a tier, and what the validation loss must be."""

    gpt: int
    lstm: int
    width: int
    seeds: int
    loss: float
    validated: int  # batches of 12
    layers: int = 4
    units: int = 128  # of the GPT


QUICK = Plan(1000, 600, 128, 1, 2.45, 100)
FULL = Plan(2000, 2000, 256, 3, 1.92, 400)


@dataclass
class Course:
    """What was measured as training went."""

    updates: list[int]
    losses: list[float]
    samples: dict[int, str]
    by_position: Array
    reader: Reader


def course(
    lab: Lab, name: str, model: Any, parts: tuple[TextCorpus, TextCorpus], updates: int, seed: int
) -> Course:
    """Train, and look at ten moments."""
    plan = FULL if lab.full else QUICK
    updates, batch = lab.epochs(updates), 12 if isinstance(model, GPT) else 32
    reader = Reader(model, *parts, batch, updates, seed)
    found = Course([], [], {}, np.zeros(0), reader)
    moments = np.unique(np.linspace(0, updates, 11).astype(int))
    written = {int(moments[i]) for i in (0, 1, len(moments) // 2, -1)}
    few = max(plan.validated // 5, 1) if lab.epochs(2) > 1 else 1
    for before, now in zip([0, *moments], moments, strict=False):
        if now > before:
            reader.step.repeat(int(now - before))
        last = now == updates and lab.epochs(2) > 1
        found.by_position = reader.loss(plan.validated if last else few)
        found.updates.append(int(now))
        found.losses.append(float(found.by_position.mean()))
        if int(now) in written and seed == 0:
            found.samples[int(now)] = reader.sample(SHOWN)
        lab.tell(name, int(now), updates)
    return found


def run(lab: Lab) -> Report:
    """Train both, and count n-grams."""
    plan, report = FULL if lab.full else QUICK, Report()
    corpus = load_tiny_shakespeare()
    train, test = corpus.split(0.9)
    size = len(corpus.vocabulary)
    counted = {n: ngram_loss(train.tokens, test.tokens, n, size) for n in GRAMS}
    courses: dict[str, list[Course]] = {}
    gpt = f"GPT, {plan.layers} layers of {plan.units}"
    for name, updates in ((f"LSTM of {plan.width}", plan.lstm), (gpt, plan.gpt)):
        for seed in range(lab.seeds(plan.seeds)):
            f.manual_seed(seed)
            model = (
                CharLSTM(size, plan.width)
                if name.startswith("LSTM")
                else GPT(size, LENGTH, plan.units, heads=4, layers=plan.layers, tie=True)
            )
            found = course(lab, name, model, (train, test), updates, seed)
            courses.setdefault(name, []).append(found)
    report.add(
        "counts of characters, no net",
        ", ".join(f"{n}-gram {loss:.3f}" for n, loss in counted.items()) + " nats",
        reported="",
        losses=[float(loss) for loss in counted.values()],
    )
    for name, seeds in courses.items():
        compare(report, plan, name, seeds, size)
    report.figures["text"] = lambda figure: draw(figure, courses, counted, test)
    return report


def compare(report: Report, plan: Plan, name: str, found: list[Course], size: int) -> None:
    """Losses beside what was reported, and what was written."""
    gpt, first = name.startswith("GPT"), found[0]
    starts, ends = np.array([[c.losses[0], c.losses[-1]] for c in found]).T
    updates = first.updates[-1]
    off = np.abs(starts - np.log(size)).max()
    report.add(
        f"{name}: validation loss before training",
        f"{starts.mean():.3f} nats a character (ln {size} = {np.log(size):.3f})",
        bool(off < 0.1),
        criterion=f"within 0.1 of ln {size}",
        losses=starts.tolist(),
    )
    good = (ends <= plan.loss).sum()
    report.add(
        f"{name}: validation loss after {updates:,} updates",
        ", ".join(f"{e:.3f}" for e in ends) + f" nats (seeds: {len(ends)})",
        bool(good >= np.ceil(2 / 3 * len(ends))) if gpt else None,
        criterion=f"at most {plan.loss:g}" + (", 2 of 3 seeds" if plan.seeds > 1 else "") * gpt
        if gpt
        else "",
        reported="1.88 after 2,000 (nanoGPT, this configuration)" if gpt else "",
        losses=ends.tolist(),
    )
    early, late = first.by_position[:4].mean(), first.by_position[LENGTH // 2 :].mean()
    report.add(
        f"{name}: what a longer context is worth",
        f"{early:.2f} nats at the first four places of a piece, {late:.2f} in its second half",
        bool(late < early),
        criterion="falls with the place",
        by_position=[float(v) for v in first.by_position],
    )
    for moment, text in first.samples.items():
        report.add(f"{name} writes after {moment:,} updates", f"“{text}”")


def draw(
    figure: Any, courses: dict[str, list[Course]], counted: dict[int, float], test: TextCorpus
) -> None:
    """Validation losses as training goes; where two heads of the GPT look."""
    figure.set_size_inches(14, 5)
    left, *maps = figure.subplots(1, 3)
    for (name, found), colour in zip(courses.items(), COLOURS, strict=False):
        for k, c in enumerate(found):
            left.plot(c.updates, c.losses, color=colour, label=None if k else name, marker=".")
    right = max(c.updates[-1] for found in courses.values() for c in found)
    for n, loss in counted.items():
        left.axhline(loss, color="#8a8a8a", lw=0.8, ls=":")
        left.text(right, loss, f"{n}-gram", fontsize=7, ha="right", va="bottom")
    left.set_xlabel("updates")
    left.set_ylabel("validation loss, nats a character")
    left.grid(alpha=0.3)
    left.legend(fontsize=8)
    model = next(c[0].reader.model for name, c in courses.items() if name.startswith("GPT"))
    tokens = test.tokens[:32].astype(np.int64)
    letters = [c.replace("\n", "⏎").replace(" ", "·") for c in str(test.decode(tokens))]
    looks = [m.numpy()[0] for m in model.eval().attention(tokens[None])]
    model.train()
    heads = np.concatenate(looks)  # layer by layer
    backwards = np.array([np.diagonal(h, -1).mean() for h in heads])
    spread = np.array([-(h * np.log(h + 1e-9)).sum(-1).mean() for h in heads])
    spread[np.argmax(backwards)] = -1.0  # another head
    chosen = {
        "looks one back most": int(np.argmax(backwards)),
        "looks at most places": int(np.argmax(spread)),
    }
    for axes, (what, k) in zip(maps, chosen.items(), strict=True):
        axes.imshow(heads[k], cmap="Blues", vmin=0)
        axes.set_xticks(range(len(letters)), letters, fontsize=6)
        axes.set_yticks(range(len(letters)), letters, fontsize=6)
        layer, head = divmod(k, len(looks[0]))
        axes.set_title(f"layer {layer + 1}, head {head + 1}: {what}", fontsize=9)
        axes.set_xlabel("read")
        axes.set_ylabel("after")


EXPERIMENT = Experiment(
    "text",
    "An LSTM and a small GPT that write",
    "Hochreiter & Schmidhuber 1997; Radford, Narasimhan, Salimans & Sutskever 2018; "
    "Karpathy, char-rnn 2015 and nanoGPT",
    run,
)
