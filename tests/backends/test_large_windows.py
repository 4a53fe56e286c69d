"""Convolutional nets of random shapes, compiled on one and on two threads: gradients are those
that are computed operation by operation in float64, and the bits are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)
NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
AVERAGE = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
LARGEST = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
LONGEST = (400, 96, 14)  # positions along an axis, by their number


class Net:
    """A net, an input for it, and what it is in words."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.rng, self.rank = rng, int(rng.choice([1, 2, 2, 2, 3]))
        most = LONGEST[self.rank - 1]
        self.size = [int(rng.integers(most // 4, most)) for _ in range(self.rank)]
        self.channels = int(rng.choice([1, 2, 3, 5, 8, 16, 17, 24]))
        self.rows = int(rng.integers(1, 9))
        self.shape = (self.rows, self.channels, *self.size)
        self.layers: list[nn.Module] = []
        for _ in range(int(rng.integers(1, 4))):
            self.add_layer()
        if rng.random() < 0.4:
            self.layers.append(
                (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[self.rank - 1](1)
            )
            self.size = [1] * self.rank
        self.layers.append(nn.Flatten())
        self.layers.append(nn.Linear(self.channels * int(np.prod(self.size)), 3))
        self.model = nn.Sequential(*self.layers)

    def pick(self, *choices: int) -> int:
        return int(self.rng.choice(choices))

    def add_layer(self) -> None:
        k, s, d, p = (
            self.pick(1, 2, 3, 3, 5, 7),
            self.pick(1, 1, 1, 2, 3),
            self.pick(1, 1, 1, 2),
            self.pick(0, 1, 2),
        )
        out, groups = self.pick(1, 3, 4, 6, 8, 16, 20, 32, 33), 1
        if self.rng.random() < 0.3:
            groups = self.pick(
                self.channels, *(q for q in range(1, self.channels + 1) if self.channels % q == 0)
            )
            out = groups * self.pick(1, 2, 3)
        if self.rng.random() < 0.15 and self.rank < 3 and max(self.size) < 48:
            p = min(p, k - 1)
            self.layers.append(
                TRANSPOSED[self.rank - 1](self.channels, out, k, stride=s, padding=p, groups=groups)
            )
            self.size = [(n - 1) * s - 2 * p + k for n in self.size]
        elif min(self.size) + 2 * p < d * (k - 1) + 1:
            return
        else:
            modes = (
                ["zeros", "zeros", "reflect", "circular", "replicate"]
                if 0 < p < min(self.size)
                else ["zeros"]
            )
            self.layers.append(
                CONV[self.rank - 1](
                    self.channels,
                    out,
                    k,
                    stride=s,
                    padding=p,
                    dilation=d,
                    groups=groups,
                    bias=self.rng.random() < 0.7,
                    padding_mode=str(self.rng.choice(modes)),
                )
            )
            self.size = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n in self.size]
        self.channels = out
        if self.rng.random() < 0.35 and self.rows * np.prod(self.size) > 1:
            self.layers.append(NORM[self.rank - 1](out))
        self.layers.append((nn.ReLU, nn.Tanh, nn.GELU, nn.Identity)[self.pick(0, 1, 2, 3)]())
        if min(self.size) >= 2 and (max(self.size) > 40 or self.rng.random() < 0.4):
            self.layers.append((AVERAGE, LARGEST)[self.pick(0, 1)][self.rank - 1](2))
            self.size = [n // 2 for n in self.size]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 60, 10))
def test_gradients_of_random_convolutional_nets(first: int) -> None:
    threads = cr.get_num_threads()
    try:
        for seed in range(first, first + 10):
            check(seed)
    finally:
        cr.set_num_threads(threads)


def check(seed: int) -> None:
    cr.manual_seed(seed)
    net = Net(seed)
    model, rng = net.model, np.random.default_rng(seed)
    x, y = rng.normal(size=net.shape), rng.normal(size=(net.rows, 3))
    state = {k: v.numpy().copy() for k, v in model.state_dict().items()}

    def loss(x: Any, y: Any) -> Any:
        return ((model(x) - y) ** 2).mean()

    def start(dtype: str) -> None:
        model.to(dtype)
        model.load_state_dict(
            {k: cr.tensor(v.astype(dtype) if v.dtype.kind == "f" else v) for k, v in state.items()}
        )
        for p in model.parameters():
            p.grad = None

    start("float64")
    given = cr.tensor(x, requires_grad=True)
    value = loss(given, cr.tensor(y))
    value.backward()
    wanted = [value, given.grad, *(p.grad for p in model.parameters())]
    wanted = [w.numpy().copy() for w in wanted]
    bits = []
    for count in (1, 2):
        cr.set_num_threads(count)
        start("float32")
        optimizer = optim.SGD(model.parameters(), lr=0.0)

        @cr.compile
        def step(x: Any, y: Any, optimizer: Any = optimizer) -> Any:
            by_x = cr.grad(loss)(x, y)
            value = loss(x, y)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            return value, by_x, [p.grad for p in model.parameters()]

        value, by_x, grads = step(cr.tensor(x.astype("f")), cr.tensor(y.astype("f")))
        found = [t.numpy() for t in (value, by_x, *grads)]
        largest = [np.abs(w).max(initial=0) for w in wanted]
        for a, w, size in zip(found, wanted, largest, strict=True):
            # A weight before a norm has a gradient of almost nothing: what is left of large ones.
            assert np.abs(a - w).max(initial=0) < 3e-3 * (size + 0.02 * max(largest[2:])), (
                f"seed {seed}: {net.shape} {model}"
            )
        bits.append([a.tobytes() for a in found])
    assert bits[0] == bits[1], f"seed {seed}: {net.shape} {model}"
