"""Fits of small tables against scikit-learn's MLPClassifier: milliseconds of `fit` alone.

    python benchmarks/short_fits.py [--rounds 9] [--first] [--batch-size 32]

iris, wine and breast cancer, hidden layers of 16, 32 and 64, at most 200 epochs, one thread, in
turns; the least of the rounds, of fits in a process that has made some. With --first the first fit
of a new process instead, whose programs are in the disk cache. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from typing import Any

from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale
from threadpoolctl import threadpool_limits

from chainrule.backends.cpu.threads.pool import set_num_threads
from chainrule.estimators import BackpropClassifier

TABLES = {
    "iris": (load_iris, 16),
    "wine": (load_wine, 32),
    "breast cancer": (load_breast_cancer, 64),
}
STOPPING: dict[str, dict[str, Any]] = {
    "no": {"n_iter_no_change": 1000},
    "never met": {"early_stopping": True, "n_iter_no_change": 1000},
    "patience 10": {"early_stopping": True},
}
KINDS = {"ours": BackpropClassifier, "scikit-learn": MLPClassifier}


def fit(kind: str, table: str, stopping: str, batch: str) -> tuple[float, int]:
    """Milliseconds and epochs of a fit."""
    load, width = TABLES[table]
    x, y = load(return_X_y=True)
    x = scale(x)
    options = {
        "batch_size": batch if batch == "auto" else int(batch),
        "max_iter": 200,
        "random_state": 0,
        **STOPPING[stopping],
    }
    net = KINDS[kind]((width,), **options)
    start = time.perf_counter()
    net.fit(x, y)
    return 1000 * (time.perf_counter() - start), net.n_iter_


def first(*which: str) -> tuple[float, int]:
    """The same of a new process."""
    command = [sys.executable, "-I", __file__, "--serve", *which]
    taken, epochs = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split()
    return float(taken), int(epochs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--batch-size", default="32", help="or auto: all rows, up to 200")
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    a = parser.parse_args()
    set_num_threads(1)
    warnings.simplefilter("ignore")  # of MLPClassifier, that 200 epochs are not all it could do
    with threadpool_limits(1):
        if a.serve:
            print(*fit(*a.serve))
            return
        measure = first if a.first else fit
        print("| table | early stopping | ours | scikit-learn | times faster |")
        print("|---|---|---:|---:|---:|")
        for table in TABLES:
            for stopping in STOPPING:
                rounds = [
                    [measure(k, table, stopping, a.batch_size) for k in KINDS]
                    for _ in range(a.rounds)
                ]
                (ours, n), (theirs, m) = (min(column) for column in zip(*rounds, strict=True))
                cells = f"{ours:.1f} ({n} epochs) | {theirs:.1f} ({m}) | {theirs / ours:.1f}"
                print(f"| {table} | {stopping} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
