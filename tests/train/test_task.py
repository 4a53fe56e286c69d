"""What is trained: batches, losses that say what they are, and copies that are put back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import DataError, OptionError, ShapeError
from chainrule.nn import functional as F  # noqa: N812 - PyTorch's name
from chainrule.nn.loss import module_of
from chainrule.train import Batch, Callback
from chainrule.train.kept import Kept, write_array
from chainrule.train.listeners.callbacks import told

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 4)).astype("float32")
LABELS = RNG.integers(0, 3, 20)
MANY = (RNG.random((20, 3)) < 0.5).astype("float32")


def trainer_of(loss: Any, kind: type[cr.Trainer] = cr.Trainer, **options: Any) -> cr.Trainer:
    cr.manual_seed(0)
    net = nn.Linear(4, 3)
    return kind(net, loss, optim.SGD(net.parameters(), lr=0.1), **options)


# -- a step of ones own ----------------------------------------------------------------------------
class Doubled(cr.Trainer):
    """Trains on rows twice as large, with the weights of the rows that there are."""

    def training_step(self, batch: Batch) -> Any:
        assert batch.rows == batch.x.shape[0]
        return super().training_step(batch.replace(x=batch.x * 2))


@pytest.mark.parametrize("weight", [None, np.linspace(0.5, 2, 20)])
def test_a_batch_of_other_rows_counts_as_the_one_it_was(weight: Any) -> None:
    own, plain = trainer_of(nn.CrossEntropyLoss(), Doubled), trainer_of(nn.CrossEntropyLoss())
    labels = np.where(np.arange(20) % 5 == 0, -100, LABELS)  # so the batches count differently
    for trainer, x in ((own, X), (plain, X * 2)):
        trainer.fit(x, labels, 3, 8, sample_weight=weight, metrics=["accuracy"], progress=False)
    for name in ("loss", "accuracy"):
        assert own.history[name] == pytest.approx(plain.history[name], rel=1e-6)


def test_a_batch_is_a_pair() -> None:
    x, y = Batch(1, 2, rows=3)
    assert (x, y) == (1, 2)


def test_a_step_of_x_and_y_is_refused_where_it_is_written() -> None:
    with pytest.raises(OptionError) as error:

        class Old(cr.Trainer):
            def training_step(self, x, y):  # type: ignore[no-untyped-def, override]
                return self.compute_loss(self.forward(x), y)

    assert str(error.value) == (
        "Old.training_step(self, x, y) is called with one batch; write def training_step(self, "
        "batch), where batch.x and batch.y are the rows, self.forward(batch.x) and "
        "self.compute_loss(prediction, batch)"
    )


def test_the_loss_is_of_a_batch() -> None:
    class Own(cr.Trainer):
        def training_step(self, batch: Batch) -> Any:
            return self.compute_loss(self.forward(batch.x), batch.y)  # type: ignore[arg-type]

    with pytest.raises(OptionError) as error:
        trainer_of(nn.CrossEntropyLoss(), Own).fit(X, LABELS, 1, progress=False)
    assert str(error.value).startswith(
        "compute_loss(prediction, batch) takes the batch, got Tensor; for another target write "
        "batch.replace(y=target)"
    )


# -- what a loss is, its class says ----------------------------------------------------------------
class Focal(nn.Module):
    """A loss of ones own for several yes-or-no targets."""

    target = "probabilities"

    def forward(self, prediction: Any, target: Any) -> Any:
        p = cr.sigmoid(prediction)
        return ((target - p) ** 2 * F.binary_cross_entropy(p, target, reduction="none")).mean()


def test_a_loss_of_ones_own_is_checked_and_measured_by_its_target() -> None:
    trainer = trainer_of(Focal())
    history = trainer.fit(X, MANY, 1, 20, metrics=["accuracy"], progress=False)
    right = (trainer.predict(X) > 0) == (MANY > 0.5)  # each answer counts
    assert trainer.evaluate(X, MANY)["accuracy"] == pytest.approx(right.mean())
    assert 0 < history["accuracy"][0] < 1
    with pytest.raises(DataError, match="fit: y is . at row 0; Focal needs targets between 0 and"):
        trainer.fit(X, MANY + 2, 1, progress=False)


@pytest.mark.parametrize("loss", [F.mse_loss, partial(F.mse_loss, reduction="sum")])
def test_functions_are_known_as_their_modules(loss: Any) -> None:
    assert module_of(loss).target == "values"
    with pytest.raises(ShapeError, match=r"fit: y has rows of shape \(2,\), the model's"):
        trainer_of(loss).fit(X, MANY[:, :2], 1, progress=False)


def test_a_sum_by_a_function_is_a_sum_over_batches() -> None:
    options = {"epochs": 3, "batch_size": 8, "progress": False}
    ways = [nn.MSELoss(reduction="sum"), partial(F.mse_loss, reduction="sum")]
    first, second = (trainer_of(w, accumulate=2).fit(X, MANY, **options)["loss"] for w in ways)
    assert first == second


def test_what_activations_do_at_their_ends() -> None:
    assert nn.ReLU().dies and nn.ReLU().saturates is None
    assert nn.Tanh().saturates == (-1, 1) and not nn.Tanh().dies


# -- copies and listeners --------------------------------------------------------------------------
def test_copies_are_put_back_after_an_error() -> None:
    tensor = cr.tensor([1.0, 2.0])
    with pytest.raises(ZeroDivisionError), Kept([tensor, tensor]) as kept:
        assert kept.tensors == [tensor]
        write_array(tensor, np.zeros(2))
        raise ZeroDivisionError
    assert tensor.tolist() == [1.0, 2.0]


def test_only_those_are_told_who_have_something_to_do() -> None:
    class Ends(Callback):
        def on_fit_end(self, trainer: Any) -> None: ...

    class Stands(Callback):
        every = 2

    mixed = Stands()
    mixed.on_fit_end = print  # type: ignore[method-assign, assignment]
    ends = Ends()
    assert told([Callback(), ends, Stands(), mixed], "on_fit_end") == [ends.on_fit_end, print]
