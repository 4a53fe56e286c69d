"""Restricted Boltzmann machines by contrastive divergence beside PyTorch: seconds an epoch.

    python benchmarks/pretraining.py [784-500 ...] [--rows 10000] [--threads 2] [--rounds 3] [--cpu]

Ours is ``train.fit_rbm``, as a user calls it, compiling aside. PyTorch's is the same rule (CD-1,
batches of 100, momentum 0.5, weight decay) written with its operations and no gradients to record,
in the interpreter named by CHAINRULE_PEERS_PYTHON, in turns with ours. Both print the mean squared
error of a reconstruction, which must agree but for the samples drawn. The rows are random bits of a
few patterns. ``--cpu``: seconds of processor, for a machine that is shared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np
from peers import Run, Timed, in_turns, peer, ratio, serve, timed

BATCH, RATE, MOMENTUM, DECAY = 100, 0.1, 0.5, 0.0002
SIZES = ["784-500", "500-500", "510-2000"]


def rows_of(features: int, rows: int) -> np.ndarray:
    """Ten patterns, one bit in twenty turned over."""
    rng = np.random.default_rng(0)
    seen = rng.random((10, features))[rng.integers(10, size=rows)] < 0.3
    return (seen ^ (rng.random((rows, features)) < 0.05)).astype(np.float32)


def ours(visible: int, hidden: int, rows: int, threads: int) -> Run:
    import chainrule as cr
    from chainrule import nn, train

    cr.set_num_threads(threads)
    x = rows_of(visible, rows)
    machine = nn.RBM(visible, hidden)
    errors: list[float] = []

    def run(epochs: int) -> float:
        train.fit_rbm(
            machine,
            x,
            epochs=epochs,
            batch_size=BATCH,
            lr=RATE,
            momentum=MOMENTUM,
            weight_decay=DECAY,
            watch=lambda _, error: errors.append(error),
        )
        return errors[-1] / visible

    return run


def torch(visible: int, hidden: int, rows: int, threads: int) -> Run:
    import torch as t

    t.set_num_threads(threads)
    x = t.from_numpy(rows_of(visible, rows))
    w = 0.1 * t.randn(hidden, visible)  # as ours begins
    b, c = t.zeros(visible), t.zeros(hidden)
    speeds = [t.zeros_like(p) for p in (w, b, c)]

    def step(v: t.Tensor) -> None:
        h = t.sigmoid(t.addmm(c, v, w.T))
        seen = t.sigmoid(t.addmm(b, t.bernoulli(h), w))
        again = t.sigmoid(t.addmm(c, seen, w.T))
        slopes = (
            (again.T @ seen - h.T @ v) / len(v) + DECAY * w,
            (seen - v).mean(0),
            (again - h).mean(0),
        )
        for p, speed, slope in zip((w, b, c), speeds, slopes, strict=True):
            speed.mul_(MOMENTUM).add_(slope)
            p.add_(speed, alpha=-RATE)

    @t.no_grad()
    def run(epochs: int) -> float:
        for _ in range(epochs):
            order = t.randperm(len(x))
            for begin in range(0, len(x) - BATCH + 1, BATCH):
                step(x[order[begin : begin + BATCH]])
        part = x[:1000]
        h = t.sigmoid(t.addmm(c, part, w.T))
        return float(((part - t.sigmoid(t.addmm(b, h, w))) ** 2).mean())

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sizes", nargs="*", default=SIZES)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    a = parser.parse_args()
    clock = time.process_time if a.cpu else time.perf_counter
    if a.serve:
        visible, hidden = map(int, a.serve.split("-"))
        serve(torch(visible, hidden, a.rows, a.threads), clock)
        return
    python = os.environ.get("CHAINRULE_PEERS_PYTHON")
    print("| machine | Chainrule s | PyTorch s | PyTorch / ours | errors of both |")
    print("|---|---:|---:|---:|---|")
    for size in a.sizes:
        visible, hidden = map(int, size.split("-"))
        runs: dict[str, Timed] = {"ours": timed(ours(visible, hidden, a.rows, a.threads), clock)}
        process = None
        if python:
            process, runs["torch"] = peer(python, size, a.threads)
        times = in_turns(runs, dict.fromkeys(runs, 2), a.rounds)
        errors = " / ".join(f"{run(1)[1]:.4f}" for run in runs.values())
        seconds = {name: f"{statistics.median(t) / 1e3:.3f}" for name, t in times.items()}
        times_as_long = f"{ratio(times['torch'], times['ours']):.2f}" if python else "–"
        print(
            f"| {size} | {seconds['ours']} | {seconds.get('torch', '–')} | {times_as_long} | "
            f"{errors} |"
        )
        if process is not None:
            process.terminate()


if __name__ == "__main__":
    main()
