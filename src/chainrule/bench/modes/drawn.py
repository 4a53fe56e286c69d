"""Workloads that nobody chose: nets drawn from a seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .layers import (
    Activation,
    BatchNorm,
    Conv,
    Flatten,
    Layer,
    Linear,
    Mean,
    Pool,
    Recurrent,
    after,
)
from .named import gpt, text
from .workload import Net, Workload, custom, layered

FLOPS = 2e7, 2e9
"""How much arithmetic a step has, from and to."""


def drawn(count: int, seed: int) -> list[Workload]:
    """``count`` workloads: convolutional, recurrent, attention and dense nets in turn."""
    kinds = (convolutional, recurrent, attention, dense)
    found = []
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        while True:
            workload = kinds[i % len(kinds)](rng, "float64" if rng.random() < 0.25 else "float32")
            if FLOPS[0] <= workload.flops <= FLOPS[1]:
                break
        found.append(replace(workload, name=f"{i + 1}: {workload.name}"))
    return found


def _between(rng: Any, low: int, high: int) -> int:
    """An integer, small ones as often as large ones."""
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _batch(rng: Any, high: int) -> int:
    return 1 if rng.random() < 0.15 else _between(rng, 2, high)


def _name(text: str, batch: int, dtype: str) -> str:
    return f"{text}, batch {batch}" + ("" if dtype == "float32" else f", {dtype}")


def convolutional(rng: Any, dtype: str) -> Workload:
    """One to four convolutions of 1 to 3 axes, some with stride, dilation, groups, BatchNorm."""
    rank = int(rng.choice([1, 2, 2, 2, 3]))
    side = _between(rng, *[(16, 400), (8, 64), (6, 20)][rank - 1])
    channels, batch = int(rng.choice([1, 3, _between(rng, 2, 40)])), _batch(rng, 128)
    row = (channels, *[side] * rank)
    found: list[Layer] = []
    words = []
    for _ in range(int(rng.integers(1, 5))):
        shape = after(tuple(found), row)
        wide, groups = _between(rng, 3, 100), 1
        if found and rng.random() < 0.25:
            groups = channels if rng.random() < 0.5 else int(rng.choice([2, 3, 4]))
            if channels % groups:
                groups = 1
            wide = groups * max(1, wide // groups)
        size, stride = int(rng.choice([1, 2, 3, 3, 3, 4, 5, 7])), int(rng.choice([1, 1, 1, 2, 3]))
        dilation, padding = int(rng.choice([1, 1, 1, 2])), int(rng.integers(0, size // 2 + 1))
        conv = Conv(rank, channels, wide, size, stride, padding, dilation, groups)
        if min(conv.after(shape)[1:]) < 1:
            break
        words.append(
            f"{wide}@{size}"
            + "".join(
                f"{letter}{n}"
                for letter, n in (("s", stride), ("d", dilation), ("g", groups))
                if n > 1
            )
        )
        found.append(conv)
        channels = wide
        if rng.random() < 0.3 and (batch > 1 or min(conv.after(shape)[1:]) > 1):
            found.append(BatchNorm(rank, channels))
        found.append(Activation(str(rng.choice(["ReLU", "Tanh", "GELU"]))))
        if rng.random() < 0.4 and min(after(tuple(found), row)[1:]) >= 2:
            found.append(Pool(rank, str(rng.choice(["Max", "Avg"])), 2))
    if not found:
        return convolutional(rng, dtype)
    found.append(Flatten() if rng.random() < 0.5 else Mean(rank))
    found.append(Linear(after(tuple(found), row)[0], 10))
    shown = f"conv {'×'.join(map(str, row))} {'-'.join(words)}"
    return layered(_name(shown, batch, dtype), batch, Net(row, tuple(found)), dtype=dtype)


def recurrent(rng: Any, dtype: str) -> Workload:
    """One or two layers on 1 to 1000 steps of words or of numbers."""
    kind = str(rng.choice(["RNN", "LSTM", "LSTM", "GRU"]))
    steps, batch, hidden = _between(rng, 1, 1000), _batch(rng, 64), _between(rng, 8, 300)
    inputs = _between(rng, 1, 200)
    if rng.random() < 0.3:
        shown = f"{kind} {hidden} of words, {steps} steps"
        net = text(kind, inputs, hidden, steps)
        return layered(_name(shown, batch, dtype), batch, net, dtype=dtype)
    twice = rng.random() < 0.3
    below: tuple[Layer, ...] = (Recurrent(kind, inputs, hidden),) if twice else ()
    last = Recurrent(kind, hidden if twice else inputs, hidden, True)
    net = Net((steps, inputs), (*below, last, Linear(hidden, 1)))
    shown = f"{kind} {inputs}-{hidden}{f'-{hidden}' if twice else ''}, {steps} steps"
    return layered(_name(shown, batch, dtype), batch, net, "mse", dtype)


def attention(rng: Any, dtype: str) -> Workload:
    """One to four blocks of a small GPT."""
    heads, blocks = int(rng.choice([1, 2, 3, 4, 8])), int(rng.integers(1, 5))
    width, steps = heads * _between(rng, 5, 48), _between(rng, 1, 500)
    batch, words = _batch(rng, 32), _between(rng, 20, 500)
    shown = f"GPT {blocks}×{width}, {heads} heads, {words} words, {steps} steps"
    net = gpt(blocks, heads, width, steps, words)
    return layered(_name(shown, batch, dtype), batch, net, dtype=dtype)


def dense(rng: Any, dtype: str) -> Workload:
    """One to four layers."""
    sizes = tuple(_between(rng, 5, 1000) for _ in range(int(rng.integers(3, 6))))
    return custom(sizes, _batch(rng, 500), str(rng.choice(["relu", "tanh"])), dtype=dtype)
