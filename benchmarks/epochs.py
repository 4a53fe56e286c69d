"""What an epoch of `Trainer.fit` costs above its steps: microseconds, on one thread.

    python benchmarks/epochs.py [--repeats 7]

For each net: plain, with a metric and validation, and with early stopping as well; once as it is,
and once with a callback that asks for each epoch, so that Python is between any two. An epoch is
the slope of the processor's time over the number of epochs, the steps (and those of validation)
are native runs of the same compiled steps; both are the least of all repeats. Prints a Markdown
table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn, optim
from chainrule.train import Callback, EarlyStopping
from chainrule.train.rows.dataset import Dataset, Kind, training_data
from chainrule.train.step.given import checked

NETS = ((150, 4, 16, 3), (569, 30, 64, 2), (1797, 64, 100, 10))
MEASURED: dict[str, Any] = {"metrics": ["accuracy"], "validation_split": 0.2}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "metrics, validation": MEASURED,
    "and early stopping": MEASURED | {"early_stopping": EarlyStopping("loss")},
}


class Apart(Callback):
    """Asks for each epoch."""

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
        pass


def seconds(call: Callable[[], object]) -> float:
    start = time.thread_time()
    call()
    return time.thread_time() - start


def problem(rows: int, inputs: int, hidden: int, outputs: int) -> tuple[Any, Any, cr.Trainer]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, inputs)).astype("float32")
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    trainer = cr.Trainer(net, nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=1e-5))
    y = (x @ rng.standard_normal((inputs, outputs))).argmax(1)  # learned slowly: no fit is stopped
    return x, y, trainer


def of_steps(trainer: cr.Trainer, data: Dataset, validation: Dataset | None, repeats: int) -> float:
    """Seconds of the steps of an epoch alone."""
    steps, total = trainer._steps, 0.0
    for kind, count in data.turns():
        n = 500 if kind.rows == data.batch else 100

        def train(kind: Kind = kind, n: int = n) -> float:
            return steps.run_training(data, kind, n)

        with trainer._mode(True):
            total += count * min(seconds(train) for _ in range(3 * repeats)) / n
    for kind, count in [] if validation is None else validation.turns():

        def measure(kind: Kind = kind) -> None:
            steps.run_evaluation(validation, kind, 100)

        with trainer._mode(False):
            total += count * min(seconds(measure) for _ in range(3 * repeats)) / 100
    return total


def of_epochs(trainer: cr.Trainer, x: Any, y: Any, repeats: int, options: Any) -> float:
    """Seconds of an epoch, by the slope."""

    def fit(epochs: int) -> float:
        return seconds(lambda: trainer.fit(x, y, epochs, 32, progress=False, **options))

    fit(20)
    few = max(int(0.03 * 20 / fit(20)), 10)
    pairs = [(fit(few), fit(5 * few)) for _ in range(repeats)]
    return (min(p[1] for p in pairs) - min(p[0] for p in pairs)) / (4 * few)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    cr.set_num_threads(1)
    print("| rows × net | epoch with | steps | above | above, each epoch asked for |")
    print("|---|---|---:|---:|---:|")
    for net in NETS:
        for name, way in WAYS.items():
            x, y, trainer = problem(*net)
            epochs = [
                of_epochs(trainer, x, y, repeats, way | {"callbacks": callbacks}) * 1e6
                for callbacks in ([], [Apart()])
            ]
            split = way.get("validation_split", 0.0)
            parts = training_data(trainer._float_dtype(), x, y, 32, True, None, split)
            data, validation = (p and checked("fit", trainer._steps, p) for p in parts)
            steps = of_steps(trainer, data, validation, repeats) * 1e6
            cells = " | ".join(f"{epoch - steps:.1f} µs" for epoch in epochs)
            shape = "{} × {}-{}-{}".format(*net)
            print(f"| {shape} | {name} | {steps:.1f} µs | {cells} |", flush=True)


if __name__ == "__main__":
    main()
