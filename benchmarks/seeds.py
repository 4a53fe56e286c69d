"""Nets of many seeds at once, beside the same work done in another way, in turns.

    python benchmarks/seeds.py [vmap] [--seeds 10000] [--epochs 1000] [--repeats 5]
    python benchmarks/seeds.py xor | digits | lenet [--repeats 5]

vmap: XOR by `cr.vmap`, nanoseconds per network and step, beside JAX's vmap and scan. Each network
is 2-2-1 with tanh, full batch of 4, mean squared error, SGD with momentum. JAX runs in the
interpreter named by CHAINRULE_PEERS_PYTHON; both start from the same weights, and the fractions of
networks that learn XOR are compared. xor: ``Trainer(seeds=100)`` beside the replicas of
``chainrule reproduce xor``, 5,000 epochs. digits: ``Trainer(seeds=64)`` of a 64-100-10 net on 1,797
rows in batches of 32, beside 64 trainers one after another, all warm; lenet: 16 LeNet-5 on 512
images of 28 x 28 in batches of 64, likewise.
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


# -- the Trainer's seeds ---------------------------------------------------------------------------
def xor() -> dict[str, Callable[[], object]]:
    """The Trainer's seeds, and the replicas of the experiment."""
    import chainrule as cr
    from chainrule import nn, optim
    from chainrule.experiments.networks import layered
    from chainrule.experiments.replicas import Replicas

    def net():
        return nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid())

    def loss(y, d):
        return 0.5 * ((y - d) ** 2).sum()

    def sgd(parameters):
        return optim.SGD(parameters, lr=0.5, momentum=0.9)

    trainer = cr.Trainer(net, loss, sgd, seeds=100)
    nets = Replicas(layered(2, 2, 1), X, Y, seeds=100, init=0.5, freeze=False)

    def seeds() -> None:
        trainer.history = type(trainer.history)(trainer.seeds)
        trainer.fit(X, Y, epochs=5000, batch_size=4, progress=False)

    return {"seeds": seeds, "replicas": lambda: nets.train(5000, 0.5, 0.9)}


def fits(
    make: Callable[[], object], x: np.ndarray, y: np.ndarray, seeds: int, epochs: int, batch: int
) -> dict[str, Callable[[], object]]:
    """The Trainer's seeds, and as many trainers one after another."""
    import chainrule as cr
    from chainrule import optim

    how = {"epochs": epochs, "batch_size": batch, "progress": False, "diagnose": False}
    together = cr.Trainer(make, "cross_entropy", optim.Adam, seeds=seeds)
    alone = [cr.Trainer(make(), "cross_entropy", "adam", seed=s) for s in range(seeds)]
    return {
        "seeds": lambda: together.fit(x, y, **how),
        "one after another": lambda: [trainer.fit(x, y, **how) for trainer in alone],
    }


def digits() -> dict[str, Callable[[], object]]:
    from chainrule import data, nn

    x, y = data.load_digits()

    def net():
        return nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))

    return fits(net, (x / 16).astype(np.float32), y, 64, 5, 32)


def lenet() -> dict[str, Callable[[], object]]:
    from chainrule.models import LeNet5

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(512, 1, 28, 28)).astype(np.float32), rng.integers(10, size=512)
    return fits(LeNet5, x, y, 16, 2, 64)


TRAINERS = {"xor": xor, "digits": digits, "lenet": lenet}


def compare(runs: dict[str, Callable[[], object]], repeats: int) -> None:
    """Both in turns; the best of each, and the medians of the ratios of neighbours."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:  # the first one compiles
                times[name].append(time.perf_counter() - start)
    for name, taken in times.items():
        print(f"{name:18} {min(taken) * 1e3:9.2f} ms at best, median {np.median(taken) * 1e3:.2f}")
    first, second = times.values()
    ratios = np.array(second) / np.array(first)
    print(f"second / first     {min(second) / min(first):9.2f}    median {np.median(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="vmap", choices=("vmap", *TRAINERS))
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.serve:
        serve(jax(a.seeds, a.epochs))
        return
    if a.what in TRAINERS:
        compare(TRAINERS[a.what](), a.repeats)
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
