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
from .base import Experiment, Lab, Report, bits, spread
from .networks import random_numbers, random_orders


# -- the rule: after each case  w += (d - o) x, o = 1 if w·x > 0 -----------------------------------
def present(w: Array, x: Array, d: Array) -> Array:
    """Present a case to each of R perceptrons; returns which of them were wrong and have been
    corrected.

    Weights (R, m), changed in place; inputs (R, m), a bias being a weight whose input is 1; targets
    (R,).
    """
    change = d - (np.einsum("rm,rm->r", w, x) > 0)
    w += change[:, None] * x
    return np.asarray(change != 0)


def sweep(w: Array, x: Array, d: Array) -> Array:
    """Present all cases (R, P, m) with targets (R, P), once; returns how often each was
    corrected."""
    return np.asarray(np.sum([present(w, x[:, k], d[:, k]) for k in range(x.shape[1])], axis=0))


def with_bias(x: Array) -> Array:
    """The cases with one more input, always 1."""
    return np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)


def run(lab: Lab) -> Report:
    """The convergence theorem, the sixteen functions, what lies beyond, and the
    photo-perceptron."""
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
        f"weights cycle through {sizes[0]} and {sizes[1]} values at the ends"
        f" of sweeps, with {made[6]} and {made[9]} corrections a sweep; best unit met: "
        f"{best[0]:.0f} and"
        f" {best[1]:.0f} of 4 right",
        bool(max(sizes) < 100 and min(made[6], made[9]) > 0 and max(best) == 3),
        reported="perceptron cycling theorem",
        criterion="a finite set of weights, corrections never end, the best single unit gets 3 of "
        "4",
        values=sizes,
    )
    return path


def cycle(targets: Array) -> Array:
    """The weights after each of the last 40 presentations of 1,000 sweeps."""
    x, w = with_bias(bits(2)), np.zeros((1, 3))
    path = []
    for _ in range(1000):
        for k in range(4):
            present(w, x[k : k + 1], targets[k : k + 1])
            path.append(w[0].copy())
    return np.array(path[-40:])


# -- beyond XOR ------------------------------------------------------------------------------------
def best_found(x: Array, targets: Array, sweeps: int = 100, orders: int = 10) -> Array:
    """The most cases any unit met during learning got right, for each row of ``targets`` (T, P).

    Every target is learned in ``orders`` orders of the cases; the weights after each case are tried
    on all.
    """
    count, target = len(x), np.repeat(targets, orders, axis=0)
    best = np.zeros(len(targets))
    order = random_orders(orders, count, stream=99)
    shuffled = np.concatenate([x[order]] * len(targets))
    wanted = np.concatenate([t[order] for t in targets])
    w = np.zeros((len(shuffled), x.shape[1]))
    for k in range(sweeps * count):
        present(w, shuffled[:, k % count], wanted[:, k % count])
        right = ((w @ x.T > 0) == target).sum(1)
        best = np.maximum(best, right.reshape(len(targets), orders).max(1))
    return best


def beyond(report: Report) -> None:
    """Parity of more inputs, parity of products (its order), and mirror symmetry without hidden
    units."""
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


# -- Rosenblatt's photo-perceptron -----------------------------------------------------------------
SIDE, UNITS, EXCITING = 20, 256, 10


def cards() -> tuple[Array, Array]:
    """All cards with a 4 x 4 square: retinas (C, 400), and 1 where the square is on the right."""
    pictures, right = [], []
    for column in (*range(7), *range(10, 17)):
        for row in range(17):
            retina = np.zeros((SIDE, SIDE))
            retina[row : row + 4, column : column + 4] = 1
            pictures.append(retina.ravel())
            right.append(column >= 10)
    return np.array(pictures), np.array(right, float)


def association(seeds: int) -> Array:
    """The fixed connections (R, 400, A): each unit has 10 points with +1 and 10 with -1."""
    numbers = random_numbers(seeds, UNITS * SIDE * SIDE, stream=7).reshape(
        seeds, UNITS, SIDE * SIDE
    )
    order = np.argsort(numbers, axis=2)
    weights = np.zeros((seeds, UNITS, SIDE * SIDE))
    np.put_along_axis(weights, order[..., :EXCITING], 1.0, axis=2)
    np.put_along_axis(weights, order[..., EXCITING : 2 * EXCITING], -1.0, axis=2)
    return weights.swapaxes(1, 2)


def photo(report: Report, seeds: int) -> None:
    """Accuracy on 500 new cards after 50, 200 and 1,000 trials, through the units and straight
    on."""
    pictures, right = cards()
    units = (pictures @ association(seeds) > 0).astype(float)  # (R, C, A)
    straight = np.broadcast_to(pictures, (seeds, *pictures.shape))
    drawn = (random_numbers(seeds, 1500, stream=8) * len(right)).astype(int)
    wanted = {50: 0.80, 200: 0.95, 1000: 0.985}
    for name, features in (
        ("photo-perceptron", units),
        ("a perceptron on the 400 points", straight),
    ):
        x = with_bias(features)
        w = np.zeros((seeds, x.shape[2]))
        rows = np.arange(seeds)[:, None]
        test = x[rows, drawn[:, 1000:]]
        done = 0
        for trials, least in wanted.items():
            now = drawn[:, done:trials]
            sweep(w, x[rows, now], right[now])
            done = trials
            accuracy = ((np.einsum("rpm,rm->rp", test, w) > 0) == right[drawn[:, 1000:]]).mean(1)
            main = name == "photo-perceptron"
            report.add(
                f"{name}, {trials:,} trials",
                f"accuracy {spread(accuracy, 3)} over {seeds} seeds",
                bool(accuracy.mean() >= least) if main else None,
                reported="left and right told apart after 50 trials"
                if main and trials == 50
                else "",
                criterion=f"mean at least {least}" if main else "",
                accuracy=float(accuracy.mean()),
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
