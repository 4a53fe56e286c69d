"""A small GPT beside PyTorch and JAX: milliseconds a training step.

    python benchmarks/gpt.py [--layers 4] [--heads 4] [--width 128] [--length 64] [--batch 12]
                             [--vocabulary 65] [--rounds 7]

Causal self-attention and a GELU layer in each block, norms first, cross-entropy, AdamW. All start
from the same weights; the losses of the first steps are compared. Peers run in the interpreter
named by CHAINRULE_PEERS_PYTHON, in turns with ours, on two threads each.
"""

from __future__ import annotations

import argparse
import os
import statistics
from typing import Any

import numpy as np
from peers import Run, in_turns, peer, ratio, serve, timed

THREADS = 2
RATE, DECAY, EPSILON = 1e-3, 0.01, 1e-8
STEPS = 10  # in a round
MODES = ("torch", "torch-compile", "jax", "jax-scan")
Arrays = dict[str, np.ndarray]


def initial(a: argparse.Namespace) -> Arrays:
    """Weights by name."""
    rng, d = np.random.default_rng(0), a.width
    shapes: dict[str, tuple[int, ...]] = {"token": (a.vocabulary, d), "place": (a.length, d)}
    for i in range(a.layers):
        shapes |= {f"{i}.qkv": (3 * d, d), f"{i}.out": (d, d)}
        shapes |= {f"{i}.up": (4 * d, d), f"{i}.down": (d, 4 * d)}
    shapes["scores"] = (a.vocabulary, d)
    found = {n: rng.normal(size=s).astype(np.float32) * 0.02 for n, s in shapes.items()}
    for name in [f"{i}.norm{j}" for i in range(a.layers) for j in (1, 2)] + ["norm"]:
        found[name] = np.ones(d, np.float32)
        found[f"{name}.bias"] = np.zeros(d, np.float32)
    return found


def tokens(a: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """A batch, and the tokens that follow."""
    rows = np.random.default_rng(1).integers(0, a.vocabulary, size=(a.batch, a.length + 1))
    return rows[:, :-1].copy(), rows[:, 1:].copy()


def loss_of(F: Any, p: Any, x: Any, y: Any, a: argparse.Namespace) -> Any:  # noqa: N803 - F is PyTorch's name
    """The loss, in words that PyTorch and Chainrule have in common."""
    d, shape = a.width, (a.batch, a.length, a.heads, a.width // a.heads)

    def norm(name: str, x: Any) -> Any:
        return F.layer_norm(x, (d,), p[name], p[f"{name}.bias"])

    h = F.embedding(x, p["token"]) + p["place"]
    for i in range(a.layers):
        parts = F.linear(norm(f"{i}.norm1", h), p[f"{i}.qkv"]).split(d, -1)
        q, k, v = (t.reshape(*shape).permute(0, 2, 1, 3) for t in parts)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + F.linear(heads.permute(0, 2, 1, 3).reshape(*h.shape), p[f"{i}.out"])
        up = F.gelu(F.linear(norm(f"{i}.norm2", h), p[f"{i}.up"]))
        h = h + F.linear(up, p[f"{i}.down"])
    scores = F.linear(norm("norm", h), p["scores"])
    return F.cross_entropy(scores.reshape(-1, a.vocabulary), y.reshape(-1))


def ours(a: argparse.Namespace) -> Run:
    import chainrule as cr
    from chainrule import nn, optim

    p = {n: nn.Parameter(w) for n, w in initial(a).items()}
    optimizer = optim.AdamW(p.values(), lr=RATE, weight_decay=DECAY)
    x, y = map(cr.tensor, tokens(a))

    @cr.compile
    def step(x: Any, y: Any) -> Any:
        loss = loss_of(nn.functional, p, x, y, a)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return lambda steps: float(step.repeat(steps, x, y))


def torch(a: argparse.Namespace, compiled: bool) -> Run:
    import torch

    p = {n: torch.nn.Parameter(torch.tensor(w)) for n, w in initial(a).items()}
    optimizer = torch.optim.AdamW(p.values(), lr=RATE, weight_decay=DECAY, fused=True)
    x, y = map(torch.tensor, tokens(a))

    def loss() -> Any:
        return loss_of(torch.nn.functional, p, x, y, a)

    if compiled:
        loss = torch.compile(loss)

    def run(steps: int) -> float:
        for _ in range(steps):
            found = loss()
            optimizer.zero_grad()
            found.backward()
            optimizer.step()
        return float(found)

    return run


def jax(a: argparse.Namespace, scan: bool) -> Run:
    import jax
    import jax.numpy as jnp

    d, shape = a.width, (a.batch, a.length, a.heads, a.width // a.heads)
    x, y = map(jnp.asarray, tokens(a))
    seen = jnp.tril(jnp.ones((a.length, a.length), bool))

    def norm(p: Any, name: str, x: Any) -> Any:
        x = x - x.mean(-1, keepdims=True)
        return (
            x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * p[name] + p[f"{name}.bias"]
        )

    def loss(p: Any) -> Any:
        h = p["token"][x] + p["place"]
        for i in range(a.layers):
            parts = jnp.split(norm(p, f"{i}.norm1", h) @ p[f"{i}.qkv"].T, 3, -1)
            q, k, v = (t.reshape(shape).transpose(0, 2, 1, 3) for t in parts)
            scores = q @ k.transpose(0, 1, 3, 2) / (d // a.heads) ** 0.5
            heads = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), -1) @ v
            h = h + heads.transpose(0, 2, 1, 3).reshape(h.shape) @ p[f"{i}.out"].T
            up = jax.nn.gelu(norm(p, f"{i}.norm2", h) @ p[f"{i}.up"].T, approximate=False)
            h = h + up @ p[f"{i}.down"].T
        logs = jax.nn.log_softmax(norm(p, "norm", h) @ p["scores"].T)
        return -jnp.take_along_axis(logs, y[..., None], -1).mean()

    def step(state: Any, _: Any = None) -> Any:
        p, m, v, t = state
        value, g = jax.value_and_grad(loss)(p)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)

        def updated(p: Any, m: Any, v: Any) -> Any:
            root = jnp.sqrt(v / (1 - 0.999**t)) + EPSILON
            return p * (1 - RATE * DECAY) - RATE * (m / (1 - 0.9**t)) / root

        return (jax.tree.map(updated, p, m, v), m, v, t), value

    p = {n: jnp.asarray(w) for n, w in initial(a).items()}
    state = (p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.float32(0))
    one = jax.jit(step, donate_argnums=0)
    many = jax.jit(lambda s: jax.lax.scan(step, s, None, length=STEPS), donate_argnums=0)

    def run(steps: int) -> float:
        nonlocal state
        if scan and steps == STEPS:
            state, values = many(state)
            return float(values[-1])
        for _ in range(steps):
            state, value = one(state)
        return float(value)

    return run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    sizes = {"layers": 4, "heads": 4, "width": 128, "length": 64, "batch": 12, "vocabulary": 65}
    for name, default in {**sizes, "rounds": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--serve", choices=MODES, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    a = arguments()
    if a.serve:
        kind, _, way = a.serve.partition("-")
        serve(torch(a, bool(way)) if kind == "torch" else jax(a, bool(way)))
        return
    os.environ["CHAINRULE_NUM_THREADS"] = str(THREADS)
    runs = {"chainrule": timed(ours(a))}
    processes = []
    python = os.environ.get("CHAINRULE_PEERS_PYTHON")
    for name in ("chainrule", *MODES) if python else ("chainrule",):
        if name not in runs:  # started one after the other: first steps are alone on the machine
            process, runs[name] = peer(str(python), name, THREADS)
            processes.append(process)
        seconds, loss = runs[name](1)
        print(f"{name:14} first step {seconds:6.2f} s, losses {loss:.5f}", end=", ")
        print(*(f"{runs[name](1)[1]:.5f}" for _ in range(3)), sep=", ")
    times = in_turns(runs, dict.fromkeys(runs, STEPS), a.rounds)
    for name, found in times.items():
        relative = ratio(found, times["chainrule"])
        print(f"{name:14} {statistics.median(found):8.2f} ms a step  {relative:6.2f}")
    for process in processes:
        process.terminate()


if __name__ == "__main__":
    main()
