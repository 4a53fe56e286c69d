"""The workloads that have a name."""

from __future__ import annotations

from .layers import (
    Activation,
    Attention,
    BatchNorm,
    Conv,
    Embedding,
    Flatten,
    Layer,
    LayerNorm,
    Linear,
    Mean,
    Places,
    Pool,
    Recurrent,
    Residual,
)
from .workload import Net, Workload, layered

RELU, TANH, GELU = Activation("ReLU"), Activation("Tanh"), Activation("GELU")
WORDS = 65
"""Different characters of Tiny Shakespeare."""


def lenet() -> Net:
    """LeNet-5 on 28 × 28, with tanh and average pooling."""
    pool = Pool(2, "Avg", 2)
    convs = (Conv(2, 1, 6, 5, padding=2), TANH, pool, Conv(2, 6, 16, 5), TANH, pool, Flatten())
    dense = (Linear(400, 120), TANH, Linear(120, 84), TANH, Linear(84, 10))
    return Net((1, 28, 28), (*convs, *dense))


def cifar() -> Net:
    """3 × 32 × 32, two pairs of convolutions of 32 and 64 channels, each pooled."""

    def pair(inputs: int, outputs: int) -> tuple[Layer, ...]:
        first, second = Conv(2, inputs, outputs, 3, padding=1), Conv(2, outputs, outputs, 3, 1, 1)
        return first, RELU, second, RELU, Pool(2, "Max", 2)

    return Net((3, 32, 32), (*pair(3, 32), *pair(32, 64), Flatten(), Linear(4096, 10)))


def residual(channels: int, side: int) -> Net:
    """A convolution and two residual blocks with batch normalization, as in ResNet-20."""

    def block() -> tuple[Layer, ...]:
        conv, norm = Conv(2, channels, channels, 3, 1, 1, bias=False), BatchNorm(2, channels)
        return Residual((conv, norm, RELU, conv, norm)), RELU

    first = Conv(2, 3, channels, 3, padding=1)
    return Net((3, side, side), (first, *block(), *block(), Mean(2), Linear(channels, 10)))


def separable(channels: int, side: int) -> Net:
    """A convolution and two depthwise-separable blocks with batch normalization."""
    deep = Conv(2, channels, channels, 3, 1, 1, groups=channels, bias=False)
    flat, norm = Conv(2, channels, channels, 1, bias=False), BatchNorm(2, channels)
    block = (deep, norm, RELU, flat, norm, RELU)
    first = Conv(2, 3, channels, 3, padding=1)
    return Net((3, side, side), (first, *block, *block, Mean(2), Linear(channels, 10)))


def signal() -> Net:
    """Windows of nine sensors, 128 places long: two convolutions, a pool, two dense layers."""
    convs = (Conv(1, 9, 64, 3), RELU, Conv(1, 64, 64, 3), RELU, Pool(1, "Max", 2), Flatten())
    return Net((9, 128), (*convs, Linear(62 * 64, 100), RELU, Linear(100, 6)))


def text(kind: str, width: int, hidden: int, steps: int) -> Net:
    """The next word at each step, from a recurrent layer."""
    layers = (Embedding(WORDS, width), Recurrent(kind, width, hidden), Linear(hidden, WORDS))
    return Net((steps,), layers, WORDS)


def series(kind: str, inputs: int, hidden: int, steps: int) -> Net:
    """One number, from the last state of a recurrent layer."""
    return Net((steps, inputs), (Recurrent(kind, inputs, hidden, True), Linear(hidden, 1)))


def gpt(blocks: int, heads: int, width: int, steps: int, words: int = WORDS) -> Net:
    """Blocks of causal attention and a GELU layer, norms first."""

    def block() -> tuple[Layer, ...]:
        norm, up, down = LayerNorm(width), Linear(width, 4 * width), Linear(4 * width, width)
        return Residual((norm, Attention(width, heads))), Residual((norm, up, GELU, down))

    first = (Embedding(words, width), Places(steps, width))
    last = (LayerNorm(width), Linear(width, words, bias=False))
    middle = [layer for _ in range(blocks) for layer in block()]
    return Net((steps,), (*first, *middle, *last), words)


def _named() -> dict[str, Workload]:
    found = [
        Workload("xor", (2, 2, 1), 4, "tanh", "sgd", "mse", lr=0.01, momentum=0.9, rows=4),
        Workload("digits", (64, 100, 10), 32),
        Workload("tabular", (14, 256, 128, 64, 2), 256),
        Workload("mnist", (784, 300, 100, 10), 128),
        Workload("wide", (1024, 2048, 2048, 1024), 512, optimizer="sgd", loss="mse", lr=0.01),
        layered("lenet", 64, lenet()),
        layered("cifar", 64, cifar()),
        layered("residual-16", 64, residual(16, 32)),
        layered("residual-64", 64, residual(64, 8)),
        layered("separable", 64, separable(64, 16)),
        layered("signal", 32, signal()),
        layered("lstm-text", 32, text("LSTM", 256, 256, 64)),
        layered("lstm", 16, series("LSTM", 64, 64, 100), "mse"),
        layered("gru", 32, series("GRU", 128, 128, 100), "mse"),
        layered("gpt", 12, gpt(4, 4, 128, 64)),
        layered("gpt-large", 8, gpt(6, 6, 384, 256)),
    ]
    return {w.name: w for w in found}


WORKLOADS = _named()

USUAL = ("digits", "mnist", "lenet", "lstm", "gpt")
"""What is measured where nothing is named: one of each kind, some minutes with all peers."""
