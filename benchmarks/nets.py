"""Nets that are no layers in a row, beside PyTorch: milliseconds of a training step.

    python benchmarks/nets.py [NET ...] [--threads 2] [--rounds 5] [--cpu] [--markdown]

The nets are the same lines for both libraries, start from the same weights, and train with Adam
(PyTorch's fused) on one minibatch; the losses of the first steps are compared. PyTorch runs in the
interpreter named by CHAINRULE_PEERS_PYTHON, in turns with ours: eager, eager with channels last,
and compiled (its first step takes a while: --modes torch leaves the others out).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from peers import Run, Timed, in_turns, peer, ratio, serve, timed

MODES = ("torch", "torch-last", "torch-compile")
RATE = 1e-3
SECONDS = 0.3  # of one turn
RNG = np.random.default_rng(1)


@dataclass(frozen=True)
class Net:
    """A net of either library's ``nn``, and a minibatch with labels."""

    make: Callable[[Any], Any]
    x: np.ndarray
    y: np.ndarray


def resnet20(nn: Any) -> Any:
    pad = nn.functional.pad

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.stride, self.new = outputs // inputs, (outputs - inputs) // 2
            self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=False)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

        def forward(self, x: Any) -> Any:
            h = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
            if self.new:
                x = x[:, :, :: self.stride, :: self.stride]
                x = pad(x, (0, 0, 0, 0, self.new, self.new))
            return (x + h).relu()

    first = (nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    widths = (16, 16, 16, 16, 32, 32, 32, 64, 64, 64)
    blocks = [Block(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return nn.Sequential(*first, *blocks, *last)


def transformer(nn: Any) -> Any:
    """Ten symbols to be copied: x has the source, then the target behind its start."""
    width, symbols, length = 64, 13, 10

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.place = nn.Embedding(symbols, width), nn.Embedding(length, width)
            sizes = {"num_encoder_layers": 2, "num_decoder_layers": 2, "dim_feedforward": 128}
            self.transformer = nn.Transformer(width, 4, **sizes, dropout=0.0, batch_first=True)
            self.out = nn.Linear(width, symbols)
            self.mask = nn.Transformer.generate_square_subsequent_mask(length)

        def forward(self, x: Any) -> Any:
            source, target = (
                self.table(part) + self.place.weight for part in (x[:, :length], x[:, length:])
            )
            h = self.transformer(source, target, tgt_mask=self.mask, tgt_is_causal=True)
            return self.out(h).reshape(-1, symbols)

    return Net()


def copied(rows: int) -> tuple[np.ndarray, np.ndarray]:
    symbols = RNG.integers(3, 13, (rows, 10))
    start = np.ones((rows, 1), int)
    return np.concatenate([symbols, start, symbols[:, :-1]], 1), symbols.ravel()


def images(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    return RNG.normal(size=shape).astype("f"), RNG.integers(0, 6, shape[0])


NETS = {
    "resnet-20": Net(resnet20, *images(64, 3, 32, 32)),
    "transformer": Net(transformer, *copied(64)),
}


def weights(net: Any) -> dict[str, np.ndarray]:
    """The same for both libraries, whose parameters have the same names."""
    rng, found = np.random.default_rng(0), {}
    for name, value in sorted(net.named_parameters()):
        fan = max(int(np.prod(value.shape[1:])), 1)
        drawn = rng.normal(size=tuple(value.shape)) * (fan**-0.5 if value.ndim > 1 else 0.1)
        found[name] = (drawn + (value.ndim == 1 and "norm" in name)).astype("f")
    return found


def ours(net: Net) -> Run:
    import chainrule as cr
    from chainrule import nn, optim

    F, module = nn.functional, net.make(nn)
    module.load_state_dict({k: cr.tensor(v) for k, v in weights(module).items()}, strict=False)
    optimizer = optim.Adam(module.parameters(), lr=RATE)
    x, y = cr.tensor(net.x), cr.tensor(net.y)

    @cr.compile
    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(module(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return lambda steps: float(step.repeat(steps, x, y))


def torch(net: Net, way: str, threads: int) -> Run:
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    F, module = nn.functional, net.make(nn)
    module.load_state_dict({k: torch.tensor(v) for k, v in weights(module).items()}, strict=False)
    x, y = torch.tensor(net.x), torch.tensor(net.y)
    if way == "last":
        x, module = (part.to(memory_format=torch.channels_last) for part in (x, module))
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=True)
    call = torch.compile(module) if way == "compile" else module

    def run(steps: int) -> float:
        for _ in range(steps):
            loss = F.cross_entropy(call(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss)

    return run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--modes", nargs="*", choices=MODES, default=MODES)
    parser.add_argument("--markdown", action="store_true", help="a table for docs/performance.md")
    parser.add_argument(
        "--cpu",
        action="store_true",
        help="the processor's seconds, the least of the rounds: for one thread on a shared machine",
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if unknown := set(a.nets) - set(NETS):
        parser.error(f"no net is called {', '.join(sorted(unknown))}; there are {', '.join(NETS)}")
    return a


def clock(a: argparse.Namespace) -> Callable[[], float]:
    """What seconds are."""
    return time.process_time if a.cpu else time.perf_counter


def measured(name: str, a: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds a step, of each mode in each round."""
    python, net = os.environ.get("CHAINRULE_PEERS_PYTHON"), NETS[name]
    modes = [m for m in a.modes if m != "torch-last" or net.x.ndim == 4] if python else []
    runs: dict[str, Timed] = {"chainrule": timed(ours(net), clock(a))}
    steps, processes, losses = {}, [], {}
    for mode in ("chainrule", *modes):
        if mode not in runs:  # started one after the other: first steps are alone on the machine
            process, runs[mode] = peer(str(python), f"{mode} {name}", a.threads)
            processes.append(process)
        first = runs[mode](1)[0]
        losses[mode] = runs[mode](1)[1]
        steps[mode] = max(2, int(SECONDS / max(runs[mode](1)[0], 1e-6)))
        if not a.markdown:
            print(f"{name:11} {mode:14} first step {first:6.2f} s, loss {losses[mode]:.5f}")
    for mode, loss in losses.items():
        if abs(loss - losses["chainrule"]) > 1e-3 * max(1.0, abs(loss)):
            raise SystemExit(f"{name}: {mode} has loss {loss}, not {losses['chainrule']}")
    times = in_turns(runs, steps, a.rounds)
    for process in processes:
        process.terminate()
    return times


def main() -> None:
    a = arguments()
    if a.serve:
        mode, _, name = a.serve.partition(" ")
        serve(torch(NETS[name], mode.partition("-")[2], a.threads), clock(a))
        return
    os.environ["CHAINRULE_NUM_THREADS"] = str(a.threads)
    if a.markdown:
        print("| net | Chainrule ms |" + "".join(f" {m} |" for m in a.modes) + " best / ours |")
        print("| --- |" + " ---: |" * (len(a.modes) + 2))
    for name in a.nets or NETS:
        times = measured(name, a)
        if a.cpu:
            times = {m: [min(t)] for m, t in times.items()}
        ratios = {m: ratio(t, times["chainrule"]) for m, t in times.items()}
        best = min((r for m, r in ratios.items() if m != "chainrule"), default=float("nan"))
        cells = {m: f"{statistics.median(t):.3g}" for m, t in times.items()}
        if a.markdown:
            row = [name, cells["chainrule"], *(cells.get(m, "") for m in a.modes), f"{best:.2f}"]
            print("|", " | ".join(row), "|", flush=True)
            continue
        for mode, cell in cells.items():
            print(f"{name:11} {mode:14} {cell:>8} ms a step  {ratios[mode]:6.2f}", flush=True)


if __name__ == "__main__":
    main()
