"""Indices among the Trainer's data and those that the model computes: refused with row, value and
layer."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OutOfRangeError

GOOD = np.arange(60) % 4
Y = np.arange(60) % 2


class Net(nn.Module):
    """Looks words up, after a change of their numbers."""

    def __init__(self, change: Any = None) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(4, 3), nn.Linear(3, 2)
        self.change = change

    def forward(self, t: Any) -> Any:
        t = t if self.change is None else self.change(t)
        return self.out(self.table(t))


def trainer_of(model: nn.Module, loss: Any = None) -> cr.Trainer:
    return cr.Trainer(model, loss or nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


def tokens(*wrong: tuple[int, int]) -> np.ndarray:
    found = GOOD.copy()
    for row, value in wrong:
        found[row] = value
    return found


def refused(run: Any) -> str:
    with pytest.raises(OutOfRangeError) as caught:
        run()
    return re.sub(r"\w+\.py:\d+", "file:line", str(caught.value))


LAYER = "\n    in Embedding(4, 3) `model.table` (file:line)"
LINE = "\n    at file:line: `return self.out(self.table(t))`"
WHAT = "embedding: index {} is outside the table of 4 rows (0 … 3)"


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int16", "uint32", ">i4"])
def test_what_is_among_the_data_is_refused_before_the_first_step(dtype: str) -> None:
    trainer = trainer_of(Net())
    before = trainer.model.table.weight.numpy().copy()
    text = refused(lambda: trainer.fit(tokens((7, 99), (8, 5)).astype(dtype), Y, progress=False))
    assert text == "fit: x is 99 at row 7: " + WHAT.format(99) + LAYER + LINE
    assert np.array_equal(before, trainer.model.table.weight.numpy()) and trainer.step == 0


def test_evaluate_predict_and_validation_data_are_looked_at_too() -> None:
    trainer, bad = trainer_of(Net()), tokens((59, -1))
    trainer.fit(GOOD, Y, epochs=1, progress=False)
    assert refused(lambda: trainer.evaluate(bad, Y)).startswith("evaluate: x is -1 at row 59: ")
    assert refused(lambda: trainer.predict(bad)).startswith("predict: x is -1 at row 59: ")
    text = refused(lambda: trainer.fit(GOOD, Y, validation_data=(bad, Y), progress=False))
    assert text.startswith("fit: validation_data: x is -1 at row 59: ")
    assert trainer.epoch == 1, "before the first step"
    assert trainer.predict(GOOD).shape == (60, 2)


def test_only_the_columns_that_are_looked_up_count() -> None:
    class Columns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.out = nn.Embedding(4, 2), nn.Embedding(9, 2), nn.Linear(5, 2)

        def forward(self, x: Any) -> Any:
            parts = [self.a(x[:, 1].long()), self.b(x[:, 2].long()), x[:, :1]]
            return self.out(cr.cat(parts, dim=1))

    trainer = trainer_of(Columns())
    x = np.stack([np.linspace(-50, 50, 60), GOOD, GOOD * 2], 1)
    trainer.fit(x, Y, epochs=1, progress=False)
    x[33, 2] = 9
    text = refused(lambda: trainer.fit(x, Y, epochs=1, progress=False))
    assert text.startswith(
        "fit: x is 9 at row 33, column 2: embedding: index 9 is outside the table"
    )


def test_data_that_are_checked_before_cost_nothing_in_the_program() -> None:
    trainer = trainer_of(Net())
    trainer.fit(GOOD, Y, epochs=1, batch_size=16, progress=False)
    traces = [t for listed in trainer._steps.train.traces.values() for t in listed]
    assert traces and not any(t.extremes.checks for t in traces)


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"batch_size": 60}, {"shuffle": False}])
def test_what_the_model_computes_is_found_with_step_and_row(options: dict[str, Any]) -> None:
    cr.manual_seed(3)
    model = Net(lambda t: 2 * t + 1)
    trainer = trainer_of(model)
    words = (np.arange(60) == 41) * 2
    before = model.table.weight.numpy().copy()
    text = refused(lambda: trainer.fit(words, Y, epochs=2, progress=False, **options))
    steps = -(-60 // options.get("batch_size", 32))
    assert text.startswith(WHAT.format(5)) and text.endswith(
        f"\n    in step {trainer.step + 1} (epoch 1, batch {trainer.step + 1} of {steps}), "
        "for row 41 of the data\n    The model is as it was before this step."
    )
    if trainer.step == 0:
        assert np.array_equal(before, model.table.weight.numpy())


def test_a_last_batch_that_is_filled_up_and_ignored_labels_are_no_errors() -> None:
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 5))
    words, labels = np.stack([GOOD, GOOD], 1), np.stack([GOOD, GOOD], 1)
    labels[::3, 1] = -100

    def loss(prediction: Any, target: Any) -> Any:
        return nn.functional.cross_entropy(prediction.permute(0, 2, 1), target)

    trainer = trainer_of(model, loss)
    trainer.fit(words, labels, epochs=1, batch_size=7, progress=False)
    assert trainer.predict(words[:5], batch_size=8).shape == (5, 2, 5)
    labels[5, 0] = 7
    text = refused(lambda: trainer.fit(words, labels, epochs=1, batch_size=7, progress=False))
    assert text.startswith("fit: y is 7 at row 5, column 0: cross_entropy: label 7, but the input")
