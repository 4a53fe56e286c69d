"""`Trainer.fit` takes `data.Batches`: rows, batch size, and what is done to each example."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, nn, optim
from chainrule.data import Batches
from chainrule.errors import DataError, OptionError
from chainrule.utils.data import DataLoader, TensorDataset

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6, 6)).astype(np.float32)
Y = np.arange(50) % 3


def trainer(inputs: int = 36, seed: int = 0, **options: object) -> cr.Trainer:
    cr.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 3))
    sgd = optim.SGD(net.parameters(), lr=0.1)
    return cr.Trainer(net, nn.CrossEntropyLoss(), sgd, seed=seed, **options)


def weights(t: cr.Trainer) -> np.ndarray:
    return np.concatenate([p.numpy().ravel() for p in t.model.parameters()])


def test_plain_batches_are_their_arrays() -> None:
    for shuffle in (True, False):
        one, other = trainer(), trainer()
        one.fit(Batches(X, Y, 16, shuffle=shuffle), epochs=3, progress=False)
        other.fit(X, Y, 3, 16, shuffle=shuffle, progress=False)
        np.testing.assert_array_equal(weights(one), weights(other))


def test_examples_are_changed_by_their_row_and_epoch_alone() -> None:
    """A changed example does not depend on the batch that it is in."""
    seen: dict[int, np.ndarray] = {}
    for size in (16, 50):
        cr.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 1, bias=False))
        with cr.no_grad():
            net[1].weight.assign(cr.zeros(1, 36))
        t = cr.Trainer(net, nn.L1Loss(reduction="sum"), optim.SGD(net.parameters(), lr=1.0), seed=3)
        far = np.full((50, 1), 1e6, np.float32)  # so the slope of each example is -x
        batches = Batches(X, far, size, augment=data.RandomNoise(0.5))
        t.fit(batches, epochs=1, progress=False, diagnose=False)
        seen[size] = net[1].weight.numpy().ravel()
    np.testing.assert_allclose(seen[16], seen[50], rtol=1e-4)
    assert np.abs(seen[50] - X.reshape(50, 36).sum(0)).max() > 0.5


def test_pieces_of_images_and_mixed_labels_reach_the_net() -> None:
    t = trainer(16)
    batches = Batches(X, Y, 16, augment=[data.RandomMixup(0.2, 3), data.RandomCrop(4)])
    history = t.fit(
        batches, epochs=4, validation_data=(X[:9, 1:5, 1:5], Y[:9]), metrics=["accuracy"],
        progress=False,
    )  # fmt: skip
    assert np.isfinite(history["loss"]).all() and len(history["val_accuracy"]) == 4


def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path: Path) -> None:
    def fit(epochs: int, folder: Path | None) -> np.ndarray:
        t = trainer(seed=5)
        batches = Batches(X, Y, 16, augment=data.RandomRotation(20))
        t.fit(batches, epochs=epochs, checkpoint=folder, progress=False)
        return weights(t)

    fit(2, tmp_path / "run")
    np.testing.assert_array_equal(fit(5, tmp_path / "run"), fit(5, None))


# -- drop_last -------------------------------------------------------------------------------------
def loaders(rows: int, size: int, shuffle: bool) -> list[object]:
    x, y = X[:rows], Y[:rows]
    pairs = list(zip(x, y, strict=True))
    return [
        DataLoader(TensorDataset(cr.tensor(x), cr.tensor(y)), size, shuffle, drop_last=True),
        Batches(x, y, size, shuffle=shuffle, drop_last=True),
        DataLoader(pairs, size, shuffle, drop_last=True),
    ]


@pytest.mark.filterwarnings("ignore:fit. the rows of the DataLoader were read once")
def test_drop_last_leaves_out_the_rows_that_do_not_fill_a_batch() -> None:
    wanted = trainer()
    history = wanted.fit(X[:48], Y[:48], 30, 16, shuffle=False, progress=False)
    for loader in loaders(50, 16, False):
        t = trainer()
        found = t.fit(loader, epochs=30, progress=False)
        np.testing.assert_array_equal(weights(t), weights(wanted))
        np.testing.assert_array_equal(found["loss"], history["loss"])
        assert t.step == 90


def test_drop_last_leaves_out_other_rows_in_each_epoch_of_a_shuffled_fit() -> None:
    """The mean slope over many epochs is that of all rows."""
    net = nn.Sequential(nn.Linear(4, 1, bias=False))
    t = cr.Trainer(net, nn.L1Loss(reduction="sum"), optim.SGD(net.parameters(), lr=1.0))
    before, x = net[0].weight.numpy().copy(), np.repeat(np.eye(4, dtype=np.float32), 5, 0)[:18]
    far = np.full((18, 1), 1e7, np.float32)
    t.fit(Batches(x, far, 4, shuffle=True, drop_last=True), epochs=90, progress=False)
    counts = (net[0].weight.numpy() - before).ravel()
    assert counts.sum() == 90 * 16
    np.testing.assert_allclose(counts / 80, [5, 5, 5, 3], atol=0.4)


@pytest.mark.filterwarnings("ignore:fit. the rows of the DataLoader were read once")
def test_fewer_rows_than_a_batch_that_must_be_full_are_no_training() -> None:
    x, y = cr.tensor(X[:5]), cr.tensor(Y[:5])
    with pytest.raises(DataError) as error:
        trainer().fit(DataLoader(TensorDataset(x, y), 8, drop_last=True), progress=False)
    assert str(error.value) == (
        "fit: 5 training rows do not fill one batch of batch_size=8, and drop_last=True leaves out "
        "what does not: choose batch_size up to 5, or drop_last=False"
    )
    items = DataLoader(list(zip(X[:5], Y[:5], strict=True)), 8, drop_last=True)
    with pytest.raises(DataError, match="fit: 5 training rows do not fill one batch of batch_size"):
        trainer().fit(items, progress=False)
    with pytest.raises(DataError) as error:
        trainer().evaluate(items)
    assert str(error.value) == (
        "evaluate: 5 rows do not fill one batch of batch_size=8, and drop_last=True leaves out what"
        " does not: choose batch_size up to 5, or drop_last=False"
    )
    assert items.drop_last
    with pytest.raises(DataError, match="fit: 5 training rows do not fill"):  # 3 are held out
        batches = Batches(X[:8], Y[:8], 8, drop_last=True)
        trainer().fit(batches, validation_split=0.4, progress=False)


def test_evaluate_and_predict_leave_out_what_the_loader_does() -> None:
    """As a loop over the loader would."""
    t = trainer()
    for loader in loaders(50, 16, False):
        assert t.evaluate(loader) == t.evaluate(X[:48], Y[:48])
        assert len(t.predict(loader)) == 48
    for loader in loaders(50, 16, False):
        t.fit(X, Y, 1, 16, validation_data=loader, progress=False)
        assert t.history["val_loss"][-1] == pytest.approx(t.evaluate(loader)["loss"], rel=1e-6)


@pytest.mark.filterwarnings("ignore:fit. the rows of the DataLoader were read once")
def test_items_read_once_lose_other_rows_in_each_epoch() -> None:
    """Also where a pass over the loader itself gives full batches only."""
    net = nn.Sequential(nn.Linear(5, 1, bias=False))
    t = cr.Trainer(net, nn.L1Loss(reduction="sum"), optim.SGD(net.parameters(), lr=1.0))
    before, rows = net[0].weight.numpy().copy(), np.eye(5, dtype=np.float32)
    items = [(row, np.full(1, 1e7, np.float32)) for row in rows]
    t.fit(DataLoader(items, 4, shuffle=True, drop_last=True), epochs=60, progress=False)
    counts = (net[0].weight.numpy() - before).ravel()
    assert counts.sum() == pytest.approx(60 * 4) and counts.min() > 30


def test_what_the_trainer_does_not_take() -> None:
    t = trainer()
    with pytest.raises(OptionError, match="of=2 of the Batches is not for the Trainer"):
        t.fit(Batches(X, Y, 16, of=2), progress=False)
    with pytest.raises(OptionError, match="give the windows of a text as arrays"):
        t.fit(data.TextBatches(np.arange(99), 4, 8), progress=False)
    with pytest.raises(OptionError, match="x is a Batches, which has the targets as well"):
        t.fit(Batches(X, Y, 16), Y, progress=False)


def test_a_loss_that_is_not_finite_is_found_among_changed_examples() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    t = cr.Trainer(net, nn.MSELoss(), optim.SGD(net.parameters(), lr=1e3))
    batches = Batches(X, X.sum((1, 2))[:, None], 16, augment=data.RandomCrop(4))
    with pytest.raises(cr.train.NonFiniteLossError, match="the loss became"):
        t.fit(batches, epochs=50, progress=False, diagnose=False)
