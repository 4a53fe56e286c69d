"""Small nets of logistic units, written for one seed: shapes of weights, and the forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..core.counter_random import philox, swap_or_not
from ..core.node import Array
from ..tensor import functions as f
from ..tensor.tensor import Tensor

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Net:
    """``forward(weights, inputs)`` gives outputs (P, m) for P cases; ``shapes``: of the weights."""

    shapes: Mapping[str, tuple[int, ...]]
    forward: Callable[[Weights, Tensor], Tensor]

    @property
    def parameters(self) -> int:
        """How many weights and biases there are."""
        return sum(math.prod(s) for s in self.shapes.values())


def layered(*sizes: int, shortcuts: bool = False, cascade: bool = False) -> Net:
    """Layers of ``sizes``, joined in a row: y = σ(x W + b), σ(x) = 1/(1+e⁻ˣ), weights W1 b1 W2 b2 …

    ``shortcuts``: the inputs are also joined to the outputs (weights S). ``cascade``: each unit of
    the hidden layer is also joined to the later ones of it (weights C, above the diagonal).
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for k, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        shapes |= {f"W{k}": (n, m), f"b{k}": (m,)}
    if shortcuts:
        shapes["S"] = (sizes[0], sizes[-1])
    hidden = sizes[1]
    if cascade:
        shapes["C"] = (hidden * (hidden - 1) // 2,)
    last = len(sizes) - 1

    def forward(weights: Weights, inputs: Tensor) -> Tensor:
        y = inputs
        for k in range(1, last + 1):
            x = y @ weights[f"W{k}"] + weights[f"b{k}"]
            if k == last and shortcuts:
                x = x + inputs @ weights["S"]
            y = cascaded(x, weights["C"]) if k == 1 and cascade else f.sigmoid(x)
        return y

    def cascaded(x: Tensor, between: Tensor) -> Tensor:
        units: list[Tensor] = []
        at = 0
        for j in range(hidden):
            total = x[:, j]
            for unit in units:
                total = total + between[at] * unit
                at += 1
            units.append(f.sigmoid(total))
        return f.stack(units, 1)

    return Net(shapes, forward)


def hidden_activities(weights: Mapping[str, Array], inputs: Array) -> Array:
    """First hidden activities (R, P, H) of R nets made by `layered`, without cascade."""
    return logistic(inputs @ weights["W1"] + weights["b1"][:, None, :])


def logistic(x: Array) -> Array:
    """1/(1+e⁻ˣ) for arrays, in a form that does not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


# -- what a seed decides ---------------------------------------------------------------------------
def initial_weights(net: Net, seeds: int, init: float, dtype: str = "float32") -> dict[str, Array]:
    """Weights and biases uniform in (-init, init): arrays (R, *shape), row s of seed s alone."""
    numbers = random_numbers(seeds, net.parameters, stream=0).astype(dtype)
    found, at = {}, 0
    for name, shape in net.shapes.items():
        count = math.prod(shape)
        part = numbers[:, at : at + count].reshape(seeds, *shape)
        found[name] = np.ascontiguousarray(init * (2 * part - 1), dtype)
        at += count
    return found


def random_numbers(seeds: int, count: int, stream: int) -> Array:
    """Uniform on (0, 1), shape (seeds, count); every ``stream`` is another sequence."""
    position, seed = np.arange(count)[None, :], np.arange(seeds)[:, None]
    bits = philox(position, seed, stream)[0]
    return ((bits >> np.uint32(8)).astype(np.float64) + 0.5) * 2.0**-24


def random_orders(seeds: int, count: int, stream: int) -> Array:
    """A random permutation of range(count) for every seed, shape (seeds, count)."""
    position = np.arange(count, dtype=np.uint32)[None, :]
    seed = np.arange(seeds, dtype=np.uint32)[:, None]
    return swap_or_not(position, seed, np.full((1, 1), stream, np.uint32), count).astype(np.int64)
