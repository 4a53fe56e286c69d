"""Tables much larger than a batch: memory stays near that of the encoded rows, or constant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROWS, NUMBERS, WORDS, CATEGORIES = 1_000_000, 20, 3, 10
ENCODED = ROWS * (NUMBERS + WORDS * CATEGORIES) * 4  # bytes of the float32 inputs
LIMIT = {"csv": 48 << 20, "parquet": 128 << 20}
"""What a pass over a table may hold, in bytes: a few blocks of text, or a few row groups."""

# The peak of resident memory in two runs of one process: of a small table of the same columns (it
# loads the libraries and compiles the net), and of the large one.
MEASURE = """
import json, sys, re
from chainrule.cli import main

def peak():
    found = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
    return int(found.group(1)) * 1024

small, large = json.loads(sys.argv[1])
assert main(small) == 0
before = peak()
assert main(large) == 0
print(json.dumps([before, peak()]), file=sys.stderr)
"""


def write(path: Path, rows: int) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, NUMBERS)).astype(np.float32).round(4)
    words = np.array([f"k{i}" for i in range(CATEGORIES)])[
        rng.integers(0, CATEGORIES, (WORDS, rows))
    ]
    noise = 0.5 * rng.normal(size=rows)
    y = np.where(x[:, 0] + x[:, 1] * x[:, 2] + noise > 0, "yes", "no")
    frame = pl.DataFrame(
        {f"n{i}": x[:, i] for i in range(NUMBERS)}
        | {f"c{i}": w for i, w in enumerate(words)}
        | {"y": y}
    )
    if path.suffix == ".parquet":
        frame.write_parquet(path, row_group_size=1 << 16)
    else:
        frame.write_csv(path)
    return path


def peaks(small: list[str], large: list[str]) -> int:
    """By how many bytes the large run's peak is above the small one's."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps([small, large])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stderr.splitlines()[-1])
    return after - before


def train(path: Path) -> list[str]:
    return ["train", str(path), "--target", "y", "--epochs", "1", "--no-figure"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_million_rows_in_less_than_twice_their_memory(tmp_path, kind):
    small = write(tmp_path / f"small.{kind}", 20_000)
    large = write(tmp_path / f"large.{kind}", ROWS)
    used = peaks(train(small), train(large))
    print(f"{kind}: {used / 2**20:.0f} MiB for {ENCODED / 2**20:.0f} MiB of encoded rows")
    assert used <= 2 * ENCODED


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_predicting_a_million_rows_in_constant_memory(tmp_path, kind):
    small = write(tmp_path / f"small.{kind}", 20_000)
    large = write(tmp_path / f"large.{kind}", ROWS)
    code = "import sys; from chainrule.cli import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, *train(small)], check=True, capture_output=True)
    model, out = tmp_path / "small.safetensors", tmp_path / "out.csv"

    def predict(path: Path) -> list[str]:
        return ["predict", str(model), str(path), "--out", str(out)]

    used = peaks(predict(small), predict(large))
    print(f"{kind}: {used / 2**20:.0f} MiB for {ROWS} rows")
    with out.open("rb") as file:
        assert sum(1 for _ in file) == ROWS + 1
    assert used <= LIMIT[kind]
