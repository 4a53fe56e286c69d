"""Layers of a workload's net: their weights, shapes and arithmetic, and how they are made.

``module(nn)`` makes a layer in the words that ``torch.nn`` and ``chainrule.nn`` have in common;
`jax_layers` says the same for JAX. Shapes are those of one row, in PyTorch's order: (channels,
*positions) of images and signals, (steps, features) of sequences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One that has no weights, changes no shape, and multiplies no matrices."""

    kind: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", type(self).__name__)

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """Initial weights, in the order in which the module names them."""
        return []

    def after(self, shape: Shape) -> Shape:
        """The shape of a row behind it."""
        return shape

    def flops(self, shape: Shape) -> float:
        """Of the forward contractions of one row."""
        return 0.0

    def input_flops(self, shape: Shape) -> float:
        """Of the gradient of what goes in, which the first layer of a net does not need."""
        return self.flops(shape)

    def module(self, nn: Any) -> Any:
        """The layer in a library's ``nn``."""
        raise NotImplementedError


def uniform(rng: np.random.Generator, fan: int, *shapes: Shape) -> list[Array]:
    """Arrays uniform in ±1/√fan."""
    bound = fan**-0.5
    return [rng.uniform(-bound, bound, s) for s in shapes]


@dataclass(frozen=True)
class Linear(Layer):
    """y = x Wᵀ + b on the last axis."""

    inputs: int
    outputs: int
    bias: bool = True

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """W (out, in), b (out,)."""
        shapes: list[Shape] = [(self.outputs, self.inputs), (self.outputs,)]
        return uniform(rng, self.inputs, *shapes[: 1 + self.bias])

    def after(self, shape: Shape) -> Shape:
        """(..., outputs)."""
        return (*shape[:-1], self.outputs)

    def flops(self, shape: Shape) -> float:
        """2 · in · out a place."""
        return 2.0 * math.prod(shape[:-1]) * self.inputs * self.outputs

    def module(self, nn: Any) -> Any:
        """nn.Linear."""
        return nn.Linear(self.inputs, self.outputs, bias=self.bias)


@dataclass(frozen=True)
class Activation(Layer):
    """ReLU, Tanh or GELU."""

    name: str

    def module(self, nn: Any) -> Any:
        """The class of this name."""
        return getattr(nn, self.name)()


@dataclass(frozen=True)
class Conv(Layer):
    """A convolution over ``rank`` axes, alike in all of them."""

    rank: int
    inputs: int
    outputs: int
    size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = True

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """W (out, in / groups, *size), b (out,)."""
        w = (self.outputs, self.inputs // self.groups, *[self.size] * self.rank)
        return uniform(rng, math.prod(w[1:]), *[w, (self.outputs,)][: 1 + self.bias])

    def after(self, shape: Shape) -> Shape:
        """(outputs, *positions)."""
        reach = (self.size - 1) * self.dilation + 1
        where = ((s + 2 * self.padding - reach) // self.stride + 1 for s in shape[1:])
        return (self.outputs, *where)

    def flops(self, shape: Shape) -> float:
        """2 · in / groups · out · size a position; those in the padding count."""
        taps: int = self.size**self.rank * self.inputs // self.groups
        return 2.0 * math.prod(self.after(shape)) * taps

    def module(self, nn: Any) -> Any:
        """nn.Conv1d, nn.Conv2d, nn.Conv3d."""
        make = getattr(nn, f"Conv{self.rank}d")
        options = {f.name: getattr(self, f.name) for f in fields(self)[5:]}
        return make(self.inputs, self.outputs, self.size, **options)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Over batch and positions, with a weight and a bias a channel."""

    rank: int
    channels: int

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """Ones, zeros."""
        return [np.ones(self.channels), np.zeros(self.channels)]

    def module(self, nn: Any) -> Any:
        """nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d."""
        return getattr(nn, f"BatchNorm{self.rank}d")(self.channels)


@dataclass(frozen=True)
class Pool(Layer):
    """The Max or Avg of windows that do not overlap."""

    rank: int
    name: str
    size: int

    def after(self, shape: Shape) -> Shape:
        """Positions divided by ``size``."""
        return (shape[0], *(s // self.size for s in shape[1:]))

    def module(self, nn: Any) -> Any:
        """nn.MaxPool2d and its kin."""
        return getattr(nn, f"{self.name}Pool{self.rank}d")(self.size)


@dataclass(frozen=True)
class Mean(Layer):
    """The mean over all positions."""

    rank: int

    def after(self, shape: Shape) -> Shape:
        """(channels,)."""
        return shape[:1]

    def module(self, nn: Any) -> Any:
        """An adaptive average pool, flattened."""
        return nn.Sequential(getattr(nn, f"AdaptiveAvgPool{self.rank}d")(1), nn.Flatten())


@dataclass(frozen=True)
class Flatten(Layer):
    """A row as one axis, channels outermost."""

    def after(self, shape: Shape) -> Shape:
        """(all of them,)."""
        return (math.prod(shape),)

    def module(self, nn: Any) -> Any:
        """nn.Flatten."""
        return nn.Flatten()


@dataclass(frozen=True)
class Embedding(Layer):
    """A vector for each word."""

    words: int
    width: int

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """(words, width)."""
        return uniform(rng, self.width, (self.words, self.width))

    def after(self, shape: Shape) -> Shape:
        """(steps, width)."""
        return (*shape, self.width)

    def module(self, nn: Any) -> Any:
        """nn.Embedding."""
        return nn.Embedding(self.words, self.width)


@dataclass(frozen=True)
class Places(Layer):
    """A learned vector for each step, added."""

    steps: int
    width: int

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """(steps, width)."""
        return uniform(rng, self.width, (self.steps, self.width))

    def module(self, nn: Any) -> Any:
        """x + embedding.weight."""

        class Places(nn.Module):  # type: ignore[misc]
            def __init__(self, steps: int, width: int) -> None:
                super().__init__()
                self.embedding = nn.Embedding(steps, width)

            def forward(self, x: Any) -> Any:
                return x + self.embedding.weight

        return Places(self.steps, self.width)


GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


@dataclass(frozen=True)
class Recurrent(Layer):
    """An RNN, LSTM or GRU: its state after each step, or only ``last``."""

    name: str
    inputs: int
    hidden: int
    last: bool = False

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """Weights of inputs and of the state, their biases."""
        rows = GATES[self.name] * self.hidden
        shapes = (rows, self.inputs), (rows, self.hidden), (rows,), (rows,)
        return uniform(rng, self.hidden, *shapes)

    def after(self, shape: Shape) -> Shape:
        """(steps, hidden), or (hidden,)."""
        return (self.hidden,) if self.last else (shape[0], self.hidden)

    def flops(self, shape: Shape) -> float:
        """2 · gates · hidden · (inputs + hidden) a step."""
        rows = GATES[self.name] * self.hidden
        return 2.0 * shape[0] * rows * (self.inputs + self.hidden)

    def input_flops(self, shape: Shape) -> float:
        """2 · gates · hidden · inputs a step."""
        return 2.0 * shape[0] * GATES[self.name] * self.hidden * self.inputs

    def module(self, nn: Any) -> Any:
        """nn.RNN, nn.LSTM, nn.GRU with the batch first."""
        layer = self

        class Recurrent(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                kind = getattr(nn, layer.name)
                self.inner = kind(layer.inputs, layer.hidden, batch_first=True)

            def forward(self, x: Any) -> Any:
                h = self.inner(x)[0]
                return h[:, -1] if layer.last else h

        return Recurrent()


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Of the last axis."""

    width: int

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """Ones, zeros."""
        return [np.ones(self.width), np.zeros(self.width)]

    def module(self, nn: Any) -> Any:
        """nn.LayerNorm."""
        return nn.LayerNorm(self.width)


@dataclass(frozen=True)
class Attention(Layer):
    """Self-attention of several heads, where a step sees none that follow."""

    width: int
    heads: int

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """Weights and biases of queries, keys and values together, and of what comes out."""
        d = self.width
        return uniform(rng, d, (3 * d, d), (3 * d,), (d, d), (d,))

    def flops(self, shape: Shape) -> float:
        """Four linear maps, and two products of all steps with all."""
        steps, width = shape
        return 8.0 * steps * width * width + 4.0 * steps * steps * width

    def module(self, nn: Any) -> Any:
        """Two nn.Linear and nn.functional.scaled_dot_product_attention."""

        class Attention(nn.Module):  # type: ignore[misc]
            def __init__(self, width: int, heads: int) -> None:
                super().__init__()
                self.width, self.heads = width, heads
                self.parts, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

            def forward(self, x: Any) -> Any:
                rows, steps, width = x.shape
                shape = (rows, steps, self.heads, width // self.heads)
                parts = self.parts(x).split(width, -1)
                q, k, v = (t.reshape(*shape).permute(0, 2, 1, 3) for t in parts)
                h = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
                return self.out(h.permute(0, 2, 1, 3).reshape(rows, steps, width))

        return Attention(self.width, self.heads)


@dataclass(frozen=True)
class Residual(Layer):
    """x + layers(x)."""

    layers: tuple[Layer, ...]

    def parameters(self, rng: np.random.Generator) -> list[Array]:
        """Those of the layers, one after the other."""
        return [p for layer in self.layers for p in layer.parameters(rng)]

    def flops(self, shape: Shape) -> float:
        """Those of the layers together."""
        return flops(self.layers, shape)

    def module(self, nn: Any) -> Any:
        """A module around a Sequential."""

        class Residual(nn.Module):  # type: ignore[misc]
            def __init__(self, inner: Any) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, x: Any) -> Any:
                return x + self.inner(x)

        return Residual(sequential(nn, self.layers))


def sequential(nn: Any, layers: tuple[Layer, ...]) -> Any:
    """All of them, one after the other."""
    return nn.Sequential(*(layer.module(nn) for layer in layers))


def after(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    """The shape of a row behind all of them."""
    for layer in layers:
        shape = layer.after(shape)
    return shape


def flops(layers: tuple[Layer, ...], shape: Shape) -> float:
    """Of the forward contractions of one row in all of them."""
    found = 0.0
    for layer in layers:
        found += layer.flops(shape)
        shape = layer.after(shape)
    return found


def from_dicts(held: Any) -> tuple[Layer, ...]:
    """Layers from JSON."""
    found = []
    for layer in held:
        options = dict(layer)
        kind = options.pop("kind")
        if "layers" in options:
            options["layers"] = from_dicts(options["layers"])
        found.append(_KINDS[kind](**options))
    return tuple(found)


_KINDS: dict[str, Any] = {k.__name__: k for k in Layer.__subclasses__()}
