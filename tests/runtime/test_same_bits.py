"""One seed, the same bits: at 1 and 2 threads, from a cold and from a warm cache."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import hashlib, sys
import numpy as np
import chainrule as cr
from chainrule import nn, optim

cr.manual_seed(3)
rng = np.random.default_rng(0)
model = nn.Sequential(nn.Linear(61, 203), nn.GELU(), nn.Dropout(0.2), nn.Linear(203, 17))
optimizer = optim.Adam(model.parameters(), lr=1e-3)
x = rng.normal(size=(37, 61)).astype(np.float32)
y = rng.integers(0, 17, 37)

@cr.compile
def step(x, y):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss

step.repeat(200, x, y)
digest = hashlib.sha256(b"".join(p.numpy().tobytes() for p in model.parameters()))
from chainrule.runtime.program import disk_cache
stats = disk_cache().stats()
print(digest.hexdigest(), stats.hits)
"""


def run(folder, threads):
    environment = os.environ | {
        "CHAINRULE_CACHE": str(folder),
        "CHAINRULE_NUM_THREADS": str(threads),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    digest, hits = done.stdout.split()
    return digest, int(hits)


def test_same_bits(tmp_path):
    cold, hits = run(tmp_path / "a", 1)
    assert hits == 0
    warm, hits = run(tmp_path / "a", 1)
    assert hits > 0
    two_threads, _ = run(tmp_path / "b", 2)
    assert cold == warm == two_threads
