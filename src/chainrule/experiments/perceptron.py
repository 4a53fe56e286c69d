"""The perceptron, and what it cannot do.

A threshold unit that corrects its weights after each mistake separates whatever can be separated by
a plane, after at most (R/γ)² corrections (the convergence theorem). It cannot learn exclusive or:
its weights go round in circles. Rosenblatt's first machine told cards marked on the left from cards
marked on the right.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import BLUE, ORANGE
from .base import Experiment, Lab, Report, bits
from .networks import random_numbers
from .photo_perceptron import photo
from .threshold import best_found, cycle, sweep, with_bias


def run(lab: Lab) -> Report:
    """The convergence theorem, the sixteen functions, what lies beyond, the photo-perceptron."""
    report = Report()
    theorem = convergence(report, lab.seeds(100))
    path = boolean(report)
    beyond(report)
    photo(report, lab.seeds(50))
    report.figures["perceptron"] = lambda figure: draw(figure, theorem, path)
    return report


# -- convergence (Novikoff 1962) -------------------------------------------------------------------
def separable(seeds: int, m: int, gamma: float, points: int = 200) -> tuple[Array, Array, Array]:
    """Points of the unit ball (R, P, m), their side of a random plane, the plane's unit normals.

    Points nearer than ``gamma`` to the plane are moved out along its normal.
    """
    u = random_numbers(seeds, (points + 1) * (m + 1), stream=m).reshape(seeds, points + 1, m + 1)
    # A normal vector has a uniform direction; a radius u^(1/m) makes the ball uniform.
    first, second = u[..., :m], np.roll(u[..., :m], 1, axis=1)
    normal = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
    direction = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    x = direction[:, 1:] * u[:, 1:, m:] ** (1 / m)
    plane = direction[:, 0]
    height = np.einsum("rpm,rm->rp", x, plane)
    side = np.where(height > 0, 1.0, -1.0)
    x += np.where(np.abs(height) < gamma, side * gamma - height, 0.0)[..., None] * plane[:, None]
    return x, (side + 1) / 2, plane


def convergence(report: Report, seeds: int) -> list[tuple[Array, Array]]:
    """Corrections against the bound (R/γ)² for every setting and seed."""
    found = []
    for m in (2, 5, 20, 100):
        for gamma in (0.02, 0.05, 0.1):
            x, d, plane = separable(seeds, m, gamma)
            margin = np.abs(np.einsum("rpm,rm->rp", x, plane)).min(1)
            bound = (np.linalg.norm(x, axis=-1).max(1) / margin) ** 2
            w, corrections = np.zeros((seeds, m)), np.zeros(seeds, int)
            while True:  # the theorem says that this ends
                made = sweep(w, x, d)
                corrections += made
                if not made.any() or (corrections > bound).any():
                    break
            found.append((corrections, bound))
    share = np.concatenate([c / b for c, b in found])
    report.add(
        f"convergence, {len(found)} settings x {seeds} seeds",
        f"corrections / bound: at most {share.max():.3f}, median {np.median(share):.3f}",
        bool(share.max() <= 1),
        reported="a finite number of corrections (a theorem)",
        criterion="corrections at most (R/γ)² on every seed, and no errors in the end",
        largest=float(share.max()),
        median=float(np.median(share)),
    )
    return found


# -- the sixteen Boolean functions -----------------------------------------------------------------
def boolean(report: Report) -> Array:
    """Which of the 16 truth tables are learned; returns the cycle of XOR's weights."""
    tables = bits(4)  # targets for the cases 00, 01, 10, 11
    x = np.broadcast_to(with_bias(bits(2)), (16, 4, 3))
    w = np.zeros((16, 3))
    corrections, needed = np.zeros(16, int), np.zeros(16, int)
    visited: list[set[tuple[float, ...]]] = [set() for _ in tables]
    for _ in range(1000):
        made = sweep(w, x, tables)
        corrections += made
        needed += made > 0
        for seen, row in zip(visited, w, strict=True):
            seen.add(tuple(row))
    failed = ["".join(str(int(b)) for b in t) for t, m in zip(tables, made, strict=True) if m]
    learned = made == 0
    report.add(
        "16 Boolean functions of two inputs",
        f"{learned.sum()} learned, in at most {needed[learned].max()} sweeps and"
        f" {corrections[learned].max()} corrections; not learned: {', '.join(failed)}",
        failed == ["0110", "1001"],
        reported="exclusive or and its negation are impossible",
        criterion="exactly 14 learned; exactly XOR (0110) and XNOR (1001) fail",
        failed=failed,
    )
    path = cycle(tables[6])
    sizes = [len(visited[i]) for i in (6, 9)]
    best = best_found(with_bias(bits(2)), tables[[6, 9]])
    report.add(
        "XOR and XNOR, 1,000 sweeps",
        f"weights cycle through {sizes[0]} and {sizes[1]} values at the ends of sweeps, with "
        f"{made[6]} and {made[9]} corrections a sweep; best unit met: {best[0]:.0f} and "
        f"{best[1]:.0f} of 4 right",
        bool(max(sizes) < 100 and min(made[6], made[9]) > 0 and max(best) == 3),
        reported="perceptron cycling theorem",
        criterion="a finite set of weights, corrections never end, the best single unit gets 3 of "
        "4",
        values=sizes,
    )
    return path


# -- beyond XOR ------------------------------------------------------------------------------------


def beyond(report: Report) -> None:
    """Parity of more inputs, of products (its order), and mirror symmetry without hidden units."""
    shares, limits = [], []
    for n in range(3, 9):
        x = bits(n)
        [best] = best_found(with_bias(x), (x.sum(1) % 2)[None])
        shares.append(best / 2**n)
        limits.append(0.5 + math.comb(n - 1, (n - 1) // 2) / 2**n)
    report.add(
        "parity of 3 to 8 inputs, one unit",
        "best met: "
        + ", ".join(f"{s:.3f}" for s in shares)
        + "; best that counts the ones: "
        + ", ".join(f"{s:.3f}" for s in limits),
        best=shares,
        counting=limits,
    )
    x = bits(4)
    learned = []
    for k in range(1, 5):
        masks = [m for m in bits(4) if 0 < m.sum() <= k]
        products = np.stack([np.all(x >= m, axis=1) for m in masks], axis=1).astype(float)
        learned.append(bool(best_found(with_bias(products), (x.sum(1) % 2)[None])[0] == 16))
    report.add(
        "parity of 4 inputs, one unit over all products of at most k inputs",
        "learned for k = " + ", ".join(str(k + 1) for k, ok in enumerate(learned) if ok),
        learned == [False, False, False, True],
        reported="the order of parity is n",
        criterion="learned exactly when k = 4",
    )
    x = bits(6)
    symmetric = np.all(x == x[:, ::-1], axis=1).astype(float)
    [best] = best_found(with_bias(x), symmetric[None], sweeps=300)
    report.add(
        "mirror symmetry of 6 inputs, one unit",
        f"best met: {best:.0f} of 64 (always 0: 56)",
        best=float(best),
    )


def draw(figure: Any, theorem: list[tuple[Array, Array]], path: Array) -> None:
    """Corrections against the bound, and the cycle of XOR's weights."""
    figure.set_size_inches(9, 3.4)
    left, right = figure.subplots(1, 2)
    for corrections, bound in theorem:
        left.scatter(bound, np.maximum(corrections, 0.5), s=6, color=BLUE, alpha=0.3, lw=0)
    ends = np.array([1e2, 3e3])
    left.plot(ends, ends, color=ORANGE, label="the bound")
    left.set(xscale="log", yscale="log", xlabel="(R/γ)²", ylabel="corrections made")
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    for k, name in enumerate(("w1", "w2", "bias")):
        right.step(np.arange(len(path)), path[:, k] + 4 * (2 - k), where="post", color=BLUE)
        right.axhline(4 * (2 - k), color="#cccccc", lw=0.8, zorder=0)
        right.text(-1, 4 * (2 - k), name, ha="right", va="center", fontsize=9)
    right.set_yticks([])
    right.set_xlabel("the last 40 of 4,000 presentations")
    right.set_title("exclusive or: the weights go round and round", fontsize=9)


EXPERIMENT = Experiment(
    "perceptron",
    "The perceptron, and what it cannot do",
    "Rosenblatt 1958; Novikoff 1962; Minsky & Papert 1969",
    run,
)
