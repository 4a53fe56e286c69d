"""Errors layer by layer at the first weights of deep nets, measured and as wide ones should be.

Weights start at gain / √fan-in times a normal number, biases at 0. Back through a layer the error
δ = ∂E/∂a of the sums a changes by χ = gain² E[φ'(a)²] in mean square: below 1 it vanishes, above
it explodes. The edge χ = 1 is at gain 1 for tanh (of small sums) and √2 for ReLU; for larger sums
it follows from the recursion E[a²] = gain² E[φ(a)²] (mean field).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..core.node import Array
from ..data import load_digits
from ..nn import functional as F
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compile_function
from ..tensor.tensor import Tensor
from ..tensor.transform import grad, vmap
from .networks import Weights

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": f.tanh,
    "ReLU": F.relu,
    "logistic": f.sigmoid,
}
CLASSES, INPUT_SIZE, WIDE = 5, 16, 64


# -- the nets --------------------------------------------------------------------------------------
def digits() -> tuple[Array, Array]:
    """Six images each of the digits 0 to 4, 4 × 4 pixels, standardised: (30, 16), labels (30,)."""
    x, y = load_digits()
    rows = np.concatenate([np.flatnonzero(y == k)[:6] for k in range(CLASSES)])
    small = x[rows].reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, INPUT_SIZE)
    return (small - small.mean()) / small.std(), y[rows]


def first_weights(
    gains: Array, seeds: range, depth: int, width: int, dtype: str
) -> dict[str, Tensor]:
    """Of all gains and seeds, (gains · seeds, fan-in, fan-out); the last layer has gain 1 always.
    The same normal numbers for every gain, which a seed alone decides."""
    found = {}
    sizes = [INPUT_SIZE] + [width] * depth + [CLASSES]
    rngs = [np.random.default_rng(seed) for seed in seeds]
    for k, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        unit = np.stack([rng.normal(size=(n, m)) for rng in rngs]) / n**0.5
        gain = gains if k <= depth else np.ones_like(gains)
        w = (gain[:, None, None, None] * unit).reshape(-1, n, m).astype(dtype)
        found[f"W{k}"], found[f"b{k}"] = f.tensor(w), f.zeros((len(w), m), dtype=dtype)
    return found


def forward(
    w: Weights, x: Tensor, activation: str, norm: bool, added: list[Tensor] | None = None
) -> Tensor:
    """The scores of the classes (P, 5); ``added``: to the sums of each hidden layer."""
    depth = len(w) // 2 - 1
    for k in range(1, depth + 1):
        x = x @ w[f"W{k}"] + w[f"b{k}"]
        if norm:
            x = F.layer_norm(x, x.shape[-1:])
        x = ACTIVATIONS[activation](x if added is None else x + added[k - 1])
    return x @ w[f"W{depth + 1}"] + w[f"b{depth + 1}"]


# -- errors, layer by layer ------------------------------------------------------------------------
def measured_errors(
    gains: Array, seeds: int, activation: str, norm: bool, size: float, layers: int
) -> Array:
    """log₁₀ of |δ| of the first layer over |δ| of layer 1, 2, ...: (gains, layers).

    The median of the seeds; inputs of mean square ``size``².
    """
    images, labels = digits()
    x, y = f.tensor(size * images), f.tensor(labels)
    zeros = [f.zeros((len(images), WIDE), dtype="float64") for _ in range(layers)]

    def one(w: Weights) -> Tensor:
        def loss(added: list[Tensor]) -> Tensor:
            return F.cross_entropy(forward(w, x, activation, norm, added), y)

        return f.stack([f.sqrt((g * g).sum()) for g in grad(loss)(zeros)])

    together = compile_function(lambda w: vmap(one)(w))
    found = [
        together(first_weights(gains, range(s, s + 1), layers, WIDE, "float64")).numpy()
        for s in range(seeds)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):  # ReLU: every unit may be off
        ratio = np.log10(np.stack(found)[:, :, :1] / np.stack(found))
    return np.asarray(np.nanmedian(ratio, axis=0))


def expected_errors(gains: Array, activation: str, norm: bool, size: float, layers: int) -> Array:
    """The same in nets of infinite width: (gains, layers).

    Source: Poole et al. 2016; Schoenholz et al. 2017, equations 2 to 5.
    """
    z = np.linspace(-8, 8, 4000)  # fine, as φ' of large sums is a narrow peak; without 0
    p = np.exp(-(z**2) / 2)
    p = p / p.sum()

    def curve(a: Array) -> tuple[Array, Array]:  # φ, φ'
        if activation == "ReLU":
            return np.maximum(a, 0), (a > 0).astype(float)
        if activation == "tanh":
            return np.tanh(a), 1 - np.tanh(a) ** 2
        s = 0.5 * (1 + np.tanh(a / 2))
        return s, s * (1 - s)

    q, log = (gains * size) ** 2, np.zeros_like(gains)
    columns = []
    for _ in range(layers):
        columns.append(log)
        value, slope = curve(np.sqrt(np.ones_like(q) if norm else q)[:, None] * z)
        q = gains**2 * (value**2 @ p)
        log = log + 0.5 * np.log10(gains**2 * (slope**2 @ p) / (q if norm else 1))
    return np.stack(columns, axis=1)


def edge(gains: Array, log_ratio: Array) -> float:
    """The gain at which the log of the ratio crosses 0 upwards, interpolated; NaN: nowhere."""
    for i in np.flatnonzero((log_ratio[:-1] < 0) & (log_ratio[1:] >= 0)):
        share = log_ratio[i] / (log_ratio[i] - log_ratio[i + 1])
        return float(gains[i] * (gains[i + 1] / gains[i]) ** share)
    return float("nan")
