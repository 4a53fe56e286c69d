"""XOR trained from many seeds at once: nanoseconds per network and step, beside JAX's vmap and
scan.

    python benchmarks/seeds.py [--seeds 10000] [--epochs 1000] [--repeats 5]

Each network is 2-2-1 with tanh, full batch of 4, mean squared error, SGD with momentum. JAX runs in
the interpreter named by CHAINRULE_PEERS_PYTHON, in turns with ours; both start from the same
weights, and the fractions of networks that learn XOR are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([[0], [1], [1], [0]], np.float32)
RATE, MOMENTUM, LEARNT = 0.1, 0.9, 0.01
Run = Callable[[], tuple[float, float]]  # seconds, fraction of the networks that learnt


def initial(seeds: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(seeds, *s)).astype(np.float32) for s in ((2, 2), (2,), (2, 1), (1,))]


def ours(seeds: int, epochs: int) -> Run:
    import chainrule as cr

    x, y = cr.tensor(X), cr.tensor(Y)

    def loss_of(w1, b1, w2, b2):
        h = cr.tanh(x @ w1 + b1)
        return ((cr.tanh(h @ w2 + b2) - y) ** 2).mean()

    slopes = cr.vmap(cr.value_and_grad(loss_of, argnums=(0, 1, 2, 3)))
    weights = [cr.tensor(w) for w in initial(seeds)]
    speeds = [cr.zeros(*w.shape) for w in weights]

    @cr.compile
    def step():
        loss, gradients = slopes(*weights)
        for w, v, g in zip(weights, speeds, gradients, strict=True):
            v.assign(MOMENTUM * v + g)
            w.assign(w - RATE * v)
        return loss

    def run() -> tuple[float, float]:
        for w, v, first in zip(weights, speeds, initial(seeds), strict=True):
            w.assign(cr.tensor(first))
            v.assign(cr.zeros(*v.shape))
        start = time.perf_counter()
        loss = step.repeat(epochs)
        return time.perf_counter() - start, float((loss.numpy() < LEARNT).mean())

    return run


def jax(seeds: int, epochs: int) -> Run:
    import jax
    import jax.numpy as jnp

    def loss_of(p):
        h = jnp.tanh(X @ p[0] + p[1])
        return jnp.mean((jnp.tanh(h @ p[2] + p[3]) - Y) ** 2)

    def train(p):
        def step(carry, _):
            p, v = carry
            loss, g = jax.value_and_grad(loss_of)(p)
            v = [MOMENTUM * a + b for a, b in zip(v, g, strict=True)]
            return ([a - RATE * b for a, b in zip(p, v, strict=True)], v), loss

        (p, _), losses = jax.lax.scan(
            step, (p, [jnp.zeros_like(a) for a in p]), None, length=epochs
        )
        return p, losses[-1]

    compiled = jax.jit(jax.vmap(train))
    weights = [jnp.asarray(w) for w in initial(seeds)]

    def run() -> tuple[float, float]:
        start = time.perf_counter()
        _, loss = jax.block_until_ready(compiled(weights))
        return time.perf_counter() - start, float((np.asarray(loss) < LEARNT).mean())

    return run


def serve(run: Run) -> None:
    """The peer's side: one run, and one line of JSON, for every line read."""
    for _ in sys.stdin:
        print(json.dumps(run()), flush=True)


def peer(python: str, arguments: list[str]) -> tuple[subprocess.Popen[str], Run]:
    process = subprocess.Popen(
        [python, "-I", __file__, "--serve", *arguments],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    put, get = process.stdin, process.stdout

    def run() -> tuple[float, float]:
        put.write("\n")
        put.flush()
        seconds, learnt = json.loads(get.readline())
        return seconds, learnt

    return process, run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.serve:
        serve(jax(a.seeds, a.epochs))
        return
    runs = {"chainrule": ours(a.seeds, a.epochs)}
    process = None
    python = os.environ.get("CHAINRULE_PEERS_PYTHON")
    if python:
        process, runs["jax"] = peer(python, [f"--seeds={a.seeds}", f"--epochs={a.epochs}"])
    else:
        print("CHAINRULE_PEERS_PYTHON names no interpreter with JAX: ours alone")
    best: dict[str, float] = {}
    for turn in range(a.repeats + 1):
        for name, run in runs.items():
            seconds, learnt = run()
            if turn == 0:  # compiles
                print(
                    f"{name:10} first run {seconds:.2f} s, {learnt:.1%} of the networks learn XOR"
                )
            else:
                best[name] = min(best.get(name, seconds), seconds)
    for name, seconds in best.items():
        each = seconds / (a.seeds * a.epochs) * 1e9
        print(f"{name:10} {seconds:8.3f} s  {each:8.2f} ns a network and step")
    if process is not None:
        print(f"ratio      {best['jax'] / best['chainrule']:8.1f}")
        process.terminate()


if __name__ == "__main__":
    main()
