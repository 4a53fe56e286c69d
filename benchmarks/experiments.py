"""Experiments beside PyTorch running the same: milliseconds of a training step, data included.

    python benchmarks/experiments.py [lenet gpt adding] [--threads 1] [--rounds 5] [--save FILE]

What `chainrule reproduce` runs: LeNet-5 with the paper's connections on MNIST (batches of 50,
momentum 0.9), the small GPT of nanoGPT on Shakespeare (12 pieces of 64 characters, AdamW, a
schedule, gradients clipped), an LSTM of 16 on the adding problem (50 sequences of 100 to 110 steps,
Adam, gradients clipped). PyTorch starts from the same weights in the interpreter named by
CHAINRULE_PEERS_PYTHON, eager, with its fused optimizers, and draws minibatches of its own; the
losses before training are compared. Both take turns in one run; seconds are the processor's, and
of each the least of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from peers import Run, in_turns, peer, serve, timed

SECONDS = 1.0  # of one turn
LENGTH, ROWS = 64, 12
WANTED = {"lenet": 3.0, "gpt": 2.0, "adding": 2.0}
Arrays = dict[str, np.ndarray]


# -- Chainrule: the experiments themselves ---------------------------------------------------------
def our_lenet() -> tuple[Any, Arrays, Any, Any]:
    from chainrule import models
    from chainrule.experiments import lenet
    from chainrule.experiments.images import grey, mnist

    data = mnist()
    x, y, net = grey(data.x), data.y, models.LeNet5("softmax")
    system = lenet.SYSTEMS[lenet.SOFTMAX]
    step, _ = lenet.program(net, x, y, system.full, system, 0)
    return net, {"x": x, "y": y}, step, lambda: lenet.cross_entropy(net(x[:50]), y[:50])


def our_gpt() -> tuple[Any, Arrays, Any, Any]:
    from chainrule import nn
    from chainrule.data import load_tiny_shakespeare
    from chainrule.experiments.reading import Reader
    from chainrule.models import GPT

    train, test = load_tiny_shakespeare().split(0.9)
    net = GPT(65, LENGTH, 128, heads=4, layers=4, tie=True)
    tokens = train.tokens.astype(np.int64)
    first = tokens[: LENGTH + 1]
    step = Reader(net, train, test, ROWS, 2000, 0).step
    return (
        net,
        {"x": tokens},
        step,
        lambda: nn.functional.cross_entropy(net(first[None, :-1])[0], first[1:]),
    )


def our_adding() -> tuple[Any, Arrays, Any, Any]:
    from chainrule.data import Batches, make_adding
    from chainrule.experiments.recurrent import Reader, set_gates, trained
    from chainrule.nn.functional import mse_loss

    net = Reader("LSTM", 2, 16, 1, each=False)
    set_gates(net, 6.0, shut=True)
    made = make_adding(5000, 100, random_state=2)
    x, lengths = made.padded()

    def loss_of(out: Any, y: Any) -> Any:
        return mse_loss(out[:, 0], y)

    batches = Batches((x, lengths), made.y, 50, seed=0)
    step = trained(net, batches, loss_of, 1e-2, 0.1, 6000)
    held = {"x": x, "lengths": lengths, "y": made.y}
    return net, held, step, lambda: loss_of(net(x[:50], lengths[:50]), made.y[:50])


OURS = {"lenet": our_lenet, "gpt": our_gpt, "adding": our_adding}


# -- PyTorch ---------------------------------------------------------------------------------------
def their_lenet(torch: Any, held: Arrays) -> tuple[Any, Any, Any]:
    nn, F = torch.nn, torch.nn.functional
    table = json.loads(str(held["table"]))

    class Squash(nn.Module):
        def forward(self, x: Any) -> Any:
            return 1.7159 * torch.tanh(x * (2 / 3))

    class Subsampling(nn.Module):
        def __init__(self, maps: int) -> None:
            super().__init__()
            self.coefficient = nn.Parameter(torch.zeros(maps))
            self.bias = nn.Parameter(torch.zeros(maps))

        def forward(self, x: Any) -> Any:
            scale = 4 * self.coefficient.view(-1, 1, 1)
            return F.avg_pool2d(x, 2) * scale + self.bias.view(-1, 1, 1)

    class Partial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = (
                nn.Parameter(torch.zeros(60, 5, 5)),
                nn.Parameter(torch.zeros(16)),
            )
            self.row = torch.tensor([o for o, row in enumerate(table) for _ in row])
            self.column = torch.tensor([c for row in table for c in row])

        def forward(self, x: Any) -> Any:
            kernels = x.new_zeros(16, 6, 5, 5).index_put((self.row, self.column), self.weight)
            return F.conv2d(x, kernels, self.bias)

    parts = {"c1": nn.Conv2d(1, 6, 5), "squash1": Squash(), "s2": Subsampling(6)}
    parts |= {"squash2": Squash(), "c3": Partial(), "squash3": Squash(), "s4": Subsampling(16)}
    parts |= {"squash4": Squash(), "c5": nn.Conv2d(16, 120, 5), "squash5": Squash()}
    parts |= {"flat": nn.Flatten(), "f6": nn.Linear(120, 84), "squash6": Squash()}
    net = nn.Sequential()
    for name, part in (parts | {"output": nn.Linear(84, 10)}).items():
        net.add_module(name, part)
    x = F.pad(torch.tensor(held["x"]), (2, 2, 2, 2), value=-0.1)
    y = torch.tensor(held["y"])
    sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, fused=True)

    def loss_of(rows: Any) -> Any:
        return F.cross_entropy(net(x[rows]), y[rows])

    def step(loss: Any) -> None:
        sgd.zero_grad()
        loss.backward()
        sgd.step()

    return net, loss_of, in_epochs(torch, len(x), 50, loss_of, step)


def their_gpt(torch: Any, held: Arrays) -> tuple[Any, Any, Any]:
    from torch_gpt import GPT, adam_of

    nn, F = torch.nn, torch.nn.functional
    net, tokens = GPT(65, LENGTH, 128, heads=4, layers=4), torch.tensor(held["x"])
    adam = adam_of(net)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 2000, 1e-4)
    places = torch.arange(LENGTH)

    def loss_of(first: Any) -> Any:
        at = first[:, None] + places
        return F.cross_entropy(net(tokens[at]).view(-1, 65), tokens[at + 1].view(-1))

    def run(steps: int) -> float:
        for _ in range(steps):
            loss = loss_of(torch.randint(len(tokens) - LENGTH, (ROWS,)))
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            adam.step()
            falling.step()
        return float(loss)

    return net, lambda rows: loss_of(torch.zeros(1, dtype=torch.long)), run


def their_adding(torch: Any, held: Arrays) -> tuple[Any, Any, Any]:
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(2, 16, batch_first=True), nn.Linear(16, 1)

        def forward(self, x: Any, lengths: Any) -> Any:
            out = self.rnn(x)[0]  # quicker than packed sequences, with what is behind the ends
            return self.head(out[torch.arange(len(x)), lengths - 1])[:, 0]

    net = Net()
    x, lengths, y = (torch.tensor(held[k]) for k in ("x", "lengths", "y"))
    adam = torch.optim.Adam(net.parameters(), lr=1e-2, fused=True)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.1, 6000)

    def loss_of(rows: Any) -> Any:
        return F.mse_loss(net(x[rows], lengths[rows]), y[rows])

    def step(loss: Any) -> None:
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        falling.step()

    return net, loss_of, in_epochs(torch, len(x), 50, loss_of, step)


def in_epochs(torch: Any, count: int, size: int, loss_of: Any, step: Any) -> Run:
    """Steps over shuffled rows, in another order each epoch."""
    order: list[Any] = []

    def run(steps: int) -> float:
        for _ in range(steps):
            if not order:
                order.extend(torch.randperm(count).split(size))
            loss = loss_of(order.pop())
            step(loss)
        return float(loss)

    return run


THEIRS = {"lenet": their_lenet, "gpt": their_gpt, "adding": their_adding}


def torch_side(name: str, file: str, threads: int) -> Run:
    """PyTorch's steps; of 0 steps the loss of the first rows."""
    import torch

    torch.set_num_threads(threads)
    held = dict(np.load(file))
    net, loss_of, run = THEIRS[name](torch, held)
    weights = {k[2:]: torch.tensor(v) for k, v in held.items() if k.startswith("w:")}
    net.load_state_dict(weights)
    return lambda steps: run(steps) if steps else float(loss_of(torch.arange(50)))


# -- both ------------------------------------------------------------------------------------------
def measured(name: str, a: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds a step of both."""
    import chainrule as cr
    from chainrule.models.lenet import LENET5_C3

    cr.manual_seed(0)
    net, held, step, loss_of = OURS[name]()
    held = held | {f"w:{k}": v.numpy() for k, v in net.state_dict().items()}
    held["table"] = np.array(json.dumps(LENET5_C3))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "given.npz"
        np.savez(file, **held)
        process, theirs = peer(a.python, f"{name} {file} {a.threads}", a.threads)
        ours, first = timed(lambda n: float(step.repeat(n)), time.process_time), float(loss_of())
        other = theirs(0)[1]
    if abs(first - other) > 1e-3 * max(1.0, abs(other)):
        raise SystemExit(f"{name}: PyTorch's loss at first is {other}, not {first}")
    runs, steps = {"chainrule": ours, "torch": theirs}, {}
    for who, run in runs.items():
        run(3)
        steps[who] = max(5, int(SECONDS / max(run(10)[0] / 10, 1e-6)))
    times = in_turns(runs, steps, a.rounds)
    process.terminate()
    least = {who: min(t) for who, t in times.items()}
    found = {"experiment": name, "loss at first": first, "ms": least, "rounds": times}
    return found | {"ratio": least["torch"] / least["chainrule"], "wanted": WANTED[name]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="EXPERIMENT", help=", ".join(OURS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path, help="a JSON file of what was measured")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.serve:
        name, file, threads = a.serve.split(" ")
        serve(torch_side(name, file, int(threads)), time.process_time)
        return
    a.python = os.environ.get("CHAINRULE_PEERS_PYTHON")
    if not a.python:
        parser.error("say in CHAINRULE_PEERS_PYTHON which interpreter has PyTorch")
    if unknown := set(a.names) - set(OURS):
        parser.error(f"no experiment is called {', '.join(sorted(unknown))}")
    os.environ["CHAINRULE_NUM_THREADS"] = str(a.threads)
    print("| experiment | Chainrule ms | PyTorch ms | ratio | wanted |\n|---|---|---|---|---|")
    found = []
    for name in a.names or OURS:
        found.append(measured(name, a))
        ms, last = found[-1]["ms"], found[-1]
        print(
            f"| {name} | {ms['chainrule']:.3f} | {ms['torch']:.3f} | {last['ratio']:.2f} | "
            f"{last['wanted']:g} |",
            flush=True,
        )
    if a.save:
        from chainrule import __version__
        from chainrule.backends.cpu.machine.name import processor_name

        made = {"chainrule": __version__, "processor": processor_name(), "threads": a.threads}
        a.save.write_text(json.dumps({"made_with": made, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
