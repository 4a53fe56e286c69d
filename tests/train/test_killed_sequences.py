"""SIGKILL while an LSTM and a GPT train with dropout on changed examples: the same bits
afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, models, nn, optim
from chainrule.train import Checkpoint

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(96, 12, 2)).astype(np.float32)
CLASSES = (SERIES[:, 0, 0] > 0).astype(np.int64)
TOKENS = RNG.integers(0, 11, (96, 17))


class Reader(nn.Module):
    """The class of a sequence by the last output of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(2, 8, num_layers=2, dropout=0.2, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return self.out(self.rnn(x)[0][:, -1])


class Writer(nn.Module):
    """A GPT whose classes stand on axis 1."""

    def __init__(self) -> None:
        super().__init__()
        self.gpt = models.GPT(11, 16, 16, heads=2, layers=1, dropout=0.2)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return self.gpt(x).movedim(-1, 1)


def lose_some(x: cr.Tensor) -> cr.Tensor:
    """A tenth of the tokens become token 0."""
    return cr.where(cr.rand(*x.shape) < 0.1, cr.zeros_like(x), x)


def fit(kind: str, folder: Path | None, epochs: int) -> bytes:
    """The weights after ``epochs`` epochs."""
    cr.manual_seed(0)
    if kind == "lstm":
        net: nn.Module = Reader()
        batches = data.Batches(SERIES, CLASSES, 16, augment=data.RandomNoise(0.3))
    else:
        net = Writer()
        batches = data.Batches(TOKENS[:, :-1], TOKENS[:, 1:], 16, augment=lose_some)
    trainer = cr.Trainer(net, nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=1e-2), seed=1)
    checkpoint = None if folder is None else Checkpoint(folder, every_steps=7)
    trainer.fit(batches, epochs=epochs, checkpoint=checkpoint, progress=False)
    return b"".join(p.numpy().tobytes() for p in net.parameters())


EPOCHS = 400


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "gpt"])
def test_a_net_that_was_killed_goes_on_to_the_same_bits(kind: str, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "weights"
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_killed_sequences import EPOCHS, fit
Path({str(out)!r}).write_bytes(fit({kind!r}, Path({str(run)!r}), EPOCHS))
"""
    kills = 0
    for wanted in (2, 3, 4):  # so many checkpoints of this process
        process = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
        seen: set[str] = set()
        before = {p.name for p in run.glob("*")}
        while process.poll() is None and len(seen) < wanted:
            seen |= {p.name for p in run.glob("*")} - before
            time.sleep(0.002)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills, "it was done before it could be killed"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert out.read_bytes() == fit(kind, None, EPOCHS)
