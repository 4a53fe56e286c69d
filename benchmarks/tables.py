"""Tables against scikit-learn: scores and times of the same nets, over several seeds, in one run.

    python benchmarks/tables.py [--seeds 5] [--only abalone] [--threads 2] [--json]

adult, california_housing and abalone are read from the folder CHAINRULE_DATA (default:
../shared/data). Both libraries get the same float32 matrices, layer sizes, batch size, learning
rate, penalty (alpha), number of epochs and number of threads; none stops early. Both begin with
Glorot's uniform weights and drop no partial batch. Times are of ``fit`` alone, compiling included;
the libraries take turns, and each is first in every other seed. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from chainrule.backends.cpu.threads.pool import available_cpus, set_num_threads
from chainrule.data import Preprocessor, Table, read_table
from chainrule.data.split import split_rows
from chainrule.estimators import BackpropClassifier, BackpropRegressor

DATA = Path(
    os.environ.get("CHAINRULE_DATA", Path(__file__).resolve().parents[1] / ".." / "shared" / "data")
)
HIDDEN = (64, 64)
BATCH = 128
ALPHA = 1e-4


def adult() -> tuple[Table, Table, str]:
    """Income above 50K: the data set's own test rows."""
    train = read_table(DATA / "adult" / "adult-train.csv.gz", header=False)
    test = read_table(DATA / "adult" / "adult-test.csv.gz", header=False)
    answers = test.columns["column_15"]
    test.columns["column_15"] = np.array([a.rstrip(".") for a in answers], object)
    return train, test, "column_15"


def california_housing() -> tuple[Table, Table, str]:
    """Median house value of a block."""
    return *_split(read_table(DATA / "california_housing" / "housing.csv.gz")), "median_house_value"


def abalone() -> tuple[Table, Table, str]:
    """Rings of a shell."""
    return *_split(read_table(DATA / "abalone" / "abalone.csv", header=False)), "column_9"


def _split(table: Table) -> tuple[Table, Table]:
    kept, held = split_rows(table.rows, 0.2, seed=0)
    return table.take(kept), table.take(held)


TASKS = {
    "abalone": (abalone, 40),
    "california_housing": (california_housing, 20),
    "adult": (adult, 10),
}


def compare(name: str, seeds: int) -> dict[str, Any]:
    """Scores (accuracy or R²) and seconds of both libraries for each seed."""
    load, epochs = TASKS[name]
    train, test, target = load()
    p = Preprocessor.fit(train, target)
    x, y, xt, yt = p.features(train), p.targets(train), p.features(test), p.targets(test)
    regression = p.task == "regression"
    if regression:
        y, yt = y[:, 0], yt[:, 0]
    same = {
        "hidden_layer_sizes": HIDDEN,
        "batch_size": BATCH,
        "max_iter": epochs,
        "tol": 0.0,
        "n_iter_no_change": epochs,
    }
    found: dict[str, list[list[float]]] = {"chainrule": [], "scikit-learn": []}
    for seed in range(seeds):
        ours = (BackpropRegressor if regression else BackpropClassifier)(
            **same, alpha=ALPHA, random_state=seed
        )
        theirs = (MLPRegressor if regression else MLPClassifier)(
            **same, alpha=ALPHA, random_state=seed
        )
        turns = [("chainrule", ours), ("scikit-learn", theirs)]
        for library, model in turns if seed % 2 == 0 else reversed(turns):
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # scikit-learn warns that it was not yet converged
                model.fit(x, y)
            seconds = time.perf_counter() - start
            assert model.n_iter_ == epochs, (library, model.n_iter_)
            found[library].append([model.score(xt, yt), seconds])
    result: dict[str, Any] = {
        "table": name,
        "rows": len(x),
        "inputs": x.shape[1],
        "epochs": epochs,
        "measure": "R2" if regression else "accuracy",
    }
    for library, pairs in found.items():
        scores, seconds = zip(*pairs, strict=True)
        result[library] = {
            "score": statistics.mean(scores),
            "score_std": statistics.pstdev(scores),
            "seconds": statistics.median(seconds),
            "first_seconds": seconds[0],
        }
    result["ratio"] = result["scikit-learn"]["seconds"] / result["chainrule"]["seconds"]
    return result


def main() -> None:
    """Print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=list(TASKS), action="append")
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = arguments.only or list(TASKS)
    set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        results = [compare(name, arguments.seeds) for name in names]
    print(json.dumps(results, indent=2) if arguments.json else report(results, arguments))


def report(results: list[dict[str, Any]], arguments: argparse.Namespace) -> str:
    """A Markdown table."""
    lines = [
        f"Layers {HIDDEN}, batch {BATCH}, Adam, alpha {ALPHA:g}; {arguments.seeds} seeds, "
        f"{arguments.threads} threads; mean test score ± standard deviation, median seconds.",
        "",
        "| table | rows | inputs | epochs | measure | chainrule | scikit-learn | chainrule s | "
        "scikit-learn s | times faster |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        a, b = r["chainrule"], r["scikit-learn"]
        scores = [f"{x['score']:.4f} ± {x['score_std']:.4f}" for x in (a, b)]
        cells = [
            *(r[k] for k in ("table", "rows", "inputs", "epochs", "measure")),
            *scores,
            f"{a['seconds']:.2f}",
            f"{b['seconds']:.2f}",
            f"{r['ratio']:.1f}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
