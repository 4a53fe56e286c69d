"""The first losses of nanoGPT's large configuration in PyTorch, beside which ours stand.

    python benchmarks/gpt_large.py [--updates 10] [--dropout 0.2] [--threads 1]

PyTorch, in the interpreter named by CHAINRULE_PEERS_PYTHON, begins with Chainrule's weights and
reads the same pieces in the same order; what it leaves out by chance is its own. The losses go to
src/chainrule/experiments/gpt_large_pytorch.json, for `chainrule reproduce gpt-large`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).parents[1] / "src/chainrule/experiments/gpt_large_pytorch.json"


def given(updates: int) -> dict[str, np.ndarray]:
    """The first weights, and the pieces that are read."""
    from chainrule.experiments.gpt_large import reader_of

    reader = reader_of(0.0)
    held = {f"w:{k}": v.numpy() for k, v in reader.model.state_dict().items()}
    pairs = [reader.pieces.next() for _ in range(updates)]
    return held | {k: np.stack([pair[i].numpy() for pair in pairs]) for i, k in enumerate("xy")}


def train(file: str, dropout: float, threads: int) -> None:
    """PyTorch's side: a line with the loss for each update."""
    sys.path.insert(0, str(Path(__file__).parent))  # -I leaves it out
    import torch
    from torch_gpt import GPT, adam_of

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    held = dict(np.load(file))
    net = GPT(65, 256, 384, heads=6, layers=6, dropout=dropout)
    net.load_state_dict({k[2:]: torch.tensor(v) for k, v in held.items() if k.startswith("w:")})
    adam = adam_of(net)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, factor)
    for x, y in zip(torch.tensor(held["x"]), torch.tensor(held["y"]), strict=True):
        loss = torch.nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten())
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        schedule.step()
        print(json.dumps([loss.item(), torch.__version__]), flush=True)


def factor(t: int) -> float:
    """100 updates of warm-up, then a cosine to a tenth at update 5,000."""
    if t < 100:
        return (t + 1) / 100
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (t - 100) / 4900))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.serve:
        train(a.serve, a.dropout, a.threads)
        return
    python = os.environ.get("CHAINRULE_PEERS_PYTHON")
    if not python:
        parser.error("say in CHAINRULE_PEERS_PYTHON which interpreter has PyTorch")
    losses: list[float] = []
    version = ""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "given.npz"
        np.savez(file, **given(a.updates))
        options = ["--dropout", str(a.dropout), "--threads", str(a.threads)]
        command = [python, "-I", __file__, *options, "--serve", str(file)]
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
            for line in process.stdout or ():
                loss, version = json.loads(line)
                losses.append(loss)
                print(f"{len(losses)} of {a.updates}: {loss:.4f}", file=sys.stderr, flush=True)
    known: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    name = "losses with dropout" if a.dropout else "losses without dropout"
    known |= {"torch": version, name: [round(loss, 5) for loss in losses]}
    OUT.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
