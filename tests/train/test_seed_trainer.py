"""Nets of many seeds: each becomes what it becomes alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import CheckpointError, OptionError
from chainrule.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from chainrule.tensor.ops.random import default_generator
from chainrule.train import EarlyStopping, SeedHistory, SeedTrainer
from chainrule.train.seeds import mapped

RNG = np.random.default_rng(0)
X = RNG.normal(size=(44, 6)).astype("float32")
Y = (X @ RNG.normal(size=(6, 3))).argmax(1)
FIT = {"epochs": 3, "batch_size": 16, "progress": False, "diagnose": False}


def small():  # not so small that its step stays in registers, where sums go by halves
    return nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 3))


def layered():
    return nn.Sequential(
        nn.Linear(6, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Dropout(0.3), nn.Linear(40, 3)
    )


@pytest.fixture
def interpreted(monkeypatch):
    """Nothing is compiled, which takes longest."""
    monkeypatch.setenv("CHAINRULE_BACKEND", "interpreter")


def alone(make, seed, optimizer, loss="cross_entropy", scheduler=None, **options):
    """The trainer of one seed."""
    cr.manual_seed(seed)
    net = make()
    used = optimizer(list(net.parameters()))
    schedule = None if scheduler is None else scheduler(used)
    return cr.Trainer(net, loss, used, schedule, seed=seed, **options)


def same_weights(trainer, seed, lone):
    """Whether a seed's net is the lone one, to the bit."""
    there, here = lone.model.state_dict(), trainer.model_of(seed).state_dict()
    return all(np.array_equal(np.array(there[k]), np.array(here[k])) for k in there)


def test_each_net_is_the_one_of_its_seed_alone():
    adam = lambda p: optim.AdamW(p, lr=0.03)  # noqa: E731
    options = {"clip_norm": 0.5, "metrics": ["accuracy"]}
    how = {**FIT, "epochs": 14, "validation_split": 0.3, "early_stopping": 2}
    trainer = cr.Trainer(layered, "cross_entropy", adam, seeds=[3, 0, 11, 5, 8], **options)
    assert isinstance(trainer, SeedTrainer)
    history = trainer.fit(X, Y, **how)
    assert trainer.stack.group == 5
    lengths = set()
    for seed in (3, 11):
        lone = alone(layered, seed, adam, **options)
        own = lone.fit(X, Y, **how)
        found = history.of(seed)
        assert same_weights(trainer, seed, lone)
        assert found.keys() == own.keys() and found.stopped == own.stopped
        for name in own:  # the sum of a batch's losses may differ in its last bit
            np.testing.assert_allclose(found.numpy(name), own.numpy(name), rtol=1e-6)
        lengths.add(len(own))
        np.testing.assert_array_equal(trainer.predict(X, seed=seed), lone.predict(X))
        measured = trainer.evaluate(X, Y)
        assert measured["accuracy"][trainer.seeds.index(seed)] == lone.evaluate(X, Y)["accuracy"]
    assert len(lengths) == 2  # they stopped by themselves
    measured = trainer.evaluate(X[-13:], Y[-13:])["loss"]  # of the weights they went back to
    assert trainer.best_seed == trainer.seeds[measured.argmin()]


def test_groups_and_nets_in_turn_are_the_same_nets(monkeypatch):
    weights = {}
    for size in (5, 2, 1):  # two: three groups, of which the last is filled up
        monkeypatch.setattr(mapped, "group_of", lambda _, size=size: size)
        monkeypatch.setattr("chainrule.train.seeds.passes.group_of", lambda _, size=size: size)
        trainer = cr.Trainer(layered, "cross_entropy", "adam", seeds=5)
        trainer.fit(X, Y, **FIT)
        assert (trainer.stack.group, trainer.stack.groups) == (size, -(-5 // size))
        weights[size] = trainer.rows()
    for name, rows in weights[5].items():
        np.testing.assert_array_equal(rows, weights[2][name], err_msg=name)
        np.testing.assert_array_equal(rows, weights[1][name], err_msg=name)


def test_convolutions_side_by_side():
    def net():
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))

    x = RNG.normal(size=(24, 1, 8, 8)).astype("float32")
    sgd = lambda p: optim.SGD(p, lr=0.1)  # noqa: E731
    trainer = cr.Trainer(net, "cross_entropy", sgd, seeds=3)
    trainer.fit(x, Y[:24], **FIT)
    lone = alone(net, 1, sgd)
    lone.fit(x, Y[:24], **FIT)
    assert trainer.stack.group == 3
    for name, w in trainer.model_of(1).state_dict().items():
        np.testing.assert_allclose(w, lone.model.state_dict()[name], atol=1e-6)


def test_epochs_of_one_step_are_many_in_one_run():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    y = np.array([[0], [1], [1], [0]], "float32")

    def net():
        return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))

    sgd = lambda p: optim.SGD(p, lr=0.3, momentum=0.9)  # noqa: E731
    trainer = cr.Trainer(net, "bce_with_logits", sgd, seeds=37, metrics=["accuracy"])
    history = trainer.fit(x, y, epochs=200, batch_size=4, progress=False)
    assert history["loss"].shape == (200, 37)
    for seed in (0, 36):
        lone = alone(net, seed, sgd, "bce_with_logits", metrics=["accuracy"])
        own = lone.fit(x, y, epochs=200, batch_size=4, progress=False)
        np.testing.assert_allclose(own.numpy("loss"), history.of(seed).numpy("loss"), atol=1e-4)
        assert own["accuracy"][-1] == history["accuracy"][-1, seed]


def test_hyper_parameters_of_each_seed():
    vary = {
        "lr": [0.01, 0.1, 0.02],
        "weight_decay": [0.0, 0.1, 0.3],
        "momentum": [0.9, 0.0, 0.5],
        "dropout": [0.5, 0.25, 0.75],
        "gain": [1.0, 2.0, 0.5],
    }

    def sgd(p):
        return optim.SGD(p, lr=1.0, momentum=0.5)

    trainer = cr.Trainer(layered, "cross_entropy", sgd, seeds=3, vary=vary)
    trainer.fit(X, Y, **FIT)
    for seed in range(3):
        own = {k: v[seed] for k, v in vary.items()}
        lone = alone(
            layered,
            seed,
            lambda p, own=own: optim.SGD(
                p, lr=own["lr"], momentum=own["momentum"], weight_decay=own["weight_decay"]
            ),
        )
        lone.model[3].p = own["dropout"]
        with cr.no_grad():
            for p in lone.model.parameters():
                if p.ndim > 1:
                    p.assign(p * own["gain"])
        lone.fit(X, Y, **FIT)
        assert same_weights(trainer, seed, lone)
        assert trainer.model_of(seed)[3].p == own["dropout"]


@pytest.mark.parametrize("kind", ["steps", "plateau", "inside"])
def test_schedules(kind):
    def schedule(optimizer):
        if kind == "plateau":
            return ReduceLROnPlateau(optimizer, patience=0, threshold=0.5, factor=0.5)
        return StepLR(optimizer, 2, gamma=0.5)

    options = {"scheduler_interval": "step" if kind == "inside" else "epoch"}
    rates = [0.1, 0.02, 0.1]
    vary = None if kind == "inside" else {"lr": rates}
    sgd = lambda p, lr=0.1: optim.SGD(p, lr=lr)  # noqa: E731
    trainer = cr.Trainer(small, "cross_entropy", sgd, schedule, seeds=3, vary=vary, **options)
    history = trainer.fit(X, Y, **{**FIT, "epochs": 5})
    for seed, rate in enumerate(rates if vary else [0.1] * 3):
        lone = alone(small, seed, lambda p, r=rate: sgd(p, r), scheduler=schedule, **options)
        own = lone.fit(X, Y, **{**FIT, "epochs": 5})
        assert same_weights(trainer, seed, lone)
        assert own["lr"] == history.of(seed)["lr"]


def test_what_is_saved_goes_on_to_the_bit(tmp_path, interpreted):
    def made():
        return cr.Trainer(layered, "cross_entropy", "adam", seeds=4)

    whole = made()
    whole.fit(X, Y, **FIT)
    whole.fit(X, Y, **FIT)
    first = made()
    first.fit(X, Y, **FIT)
    file = first.save(tmp_path / "seeds.safetensors")
    second = made()
    second.load(file)
    history = second.fit(X, Y, **FIT)
    assert len(history) == 6 and second.step == whole.step
    for name, rows in whole.rows().items():
        np.testing.assert_array_equal(rows, second.rows()[name], err_msg=name)
    with pytest.raises(CheckpointError, match="seeds"):
        cr.Trainer(layered, "cross_entropy", "adam", seeds=3).load(file)
    with pytest.raises(CheckpointError):
        alone(layered, 0, optim.Adam).load(file)


def test_checkpoints_are_resumed(tmp_path, interpreted):
    how = {**FIT, "epochs": 9, "early_stopping": EarlyStopping("loss", patience=1)}

    class Crash(Exception):
        pass

    def crash(_, epoch, logs):
        if epoch == stop and logs["loss"].shape == (4,):
            raise Crash

    def run(folder, **options):
        rates = {"lr": [0.01, 0.3, 1.0, 3.0]}
        sgd = lambda p: optim.SGD(p, momentum=0.9)  # noqa: E731
        trainer = cr.Trainer(small, "cross_entropy", sgd, seeds=4, vary=rates)
        save = cr.train.Checkpoint(folder, every_steps=1)
        return trainer, trainer.fit(X, Y, **how, checkpoint=save, callbacks=crash, **options)

    stop = -1
    whole, history = run(tmp_path / "a")
    stop = 4
    with pytest.raises(Crash):
        run(tmp_path / "b")
    stop = -1
    resumed, again = run(tmp_path / "b")
    assert again.stopped == history.stopped and any(history.stopped)
    np.testing.assert_array_equal(history["loss"], again["loss"])
    for name, rows in whole.rows().items():
        np.testing.assert_array_equal(rows, resumed.rows()[name], err_msg=name)
    with pytest.raises(CheckpointError, match="another run"):
        run(tmp_path / "b", shuffle=False)


def test_the_ensemble(interpreted):
    trainer = cr.Trainer(small, "cross_entropy", "adam", seeds=5)
    history = trainer.fit(X, Y, **FIT, validation_split=0.2)
    every = trainer.predict(X, seed="all").astype(float)
    assert every.shape == (5, 44, 3)
    p = np.exp(every - every.max(-1, keepdims=True))
    p = (p / p.sum(-1, keepdims=True)).mean(0)
    found = np.exp(trainer.predict(X).astype(float))
    np.testing.assert_allclose(found, p, rtol=1e-5)
    best = int(history["val_loss"][-1].argmin())
    assert trainer.best_seed == best
    np.testing.assert_array_equal(trainer.predict(X, seed="best"), trainer.predict(X, seed=best))
    net = trainer.model_of("best").eval()
    np.testing.assert_allclose(net(X).numpy(), every[best], rtol=1e-5, atol=1e-6)


def test_a_seed_that_diverges_is_left_out(interpreted):
    def regress():
        return nn.Sequential(nn.Linear(6, 1))

    x, y = X * 100, X[:, :1]
    vary = {"lr": [1e-6, 1e3, 1e-5]}
    trainer = cr.Trainer(regress, "mse", "sgd", seeds=3, vary=vary)
    with pytest.warns(cr.train.TrainingWarning, match="1 of 3 seeds"):
        history = trainer.fit(x, y, **{**FIT, "epochs": 30})
    assert trainer.failed.tolist() == [False, True, False]
    assert "in epoch" in history.stopped[1] and history.stopped[0] == ""
    assert np.isfinite(history["loss"][:, [0, 2]]).all() and np.isfinite(trainer.predict(x)).all()
    every = cr.Trainer(regress, "mse", "sgd", seeds=2, vary={"lr": [1e3, 1e4]})
    with pytest.raises(cr.train.NonFiniteLossError, match="all 2 seeds"):
        every.fit(x, y, **{**FIT, "epochs": 30})


def test_a_step_of_ones_own(interpreted):
    class Penalized(cr.Trainer):
        def training_step(self, batch):
            out = self.forward(batch.x)
            return self.compute_loss(out, batch) + 0.01 * sum(
                abs(p).sum() for p in self.model.parameters()
            )

    trainer = Penalized(small, "cross_entropy", "sgd", seeds=2)
    plain = cr.Trainer(small, "cross_entropy", "sgd", seeds=2)
    assert (
        trainer.fit(X, Y, **FIT)["loss"][0].min() > plain.fit(X, Y, **FIT)["loss"][0].max() + 0.01
    )


def test_the_module_that_is_given_stays_as_it_is(interpreted):
    net = layered()
    before = {k: np.array(v) for k, v in net.state_dict().items()}
    state = default_generator.get_state()
    adam = optim.Adam(net.parameters())
    trainer = cr.Trainer(net, "cross_entropy", adam, seeds=3)
    trainer.fit(X, Y, **FIT)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    for name, value in default_generator.get_state().items():
        np.testing.assert_array_equal(value, state[name])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"seeds": 0}, "at least 1"),
        ({"seeds": [1, 1]}, "twice"),
        ({"seeds": 3, "seed": 4}, "not both"),
        ({"seeds": 3, "vary": {"eps": [1, 2, 3]}}, "what may differ here is gain"),
        ({"seeds": 3, "vary": {"lr": [1, 2]}}, "one number for each of 3"),
        ({"seeds": 3, "vary": {"lr": [1, 2, -3]}}, "lr must be"),
        ({"seeds": 3, "vary": {"dropout": [0.1, 0.2, 0.3]}}, "number of this name"),
        ({"vary": {"lr": [1.0]}}, "add seeds="),
    ],
)
def test_arguments_that_make_no_sense(arguments, text):
    with pytest.raises(OptionError, match=text):
        cr.Trainer(small, "cross_entropy", "sgd", **arguments)


def test_what_is_of_one_net_says_so():
    trainer = cr.Trainer(small, "cross_entropy", "sgd", seeds=2)
    with pytest.raises(AttributeError, match="model_of"):
        trainer.find_lr(X, Y)
    with pytest.raises(OptionError, match="nothing is trained"):
        _ = trainer.best_seed
    with pytest.raises(OptionError, match="no seed 7"):
        trainer.model_of(7)


def test_history(tmp_path):
    pytest.importorskip("matplotlib")
    history = SeedHistory([4, 5, 6])
    history.extend({"loss": [[3.0, 4.0, 5.0]]})
    history.extend({"loss": [[1.0, np.nan, 2.0]], "val_loss": [[1.0, np.nan, 0.5]]})
    assert len(history) == 2 and history.best("loss") == (4, 1, 1.0)
    assert history.best() == (6, 1, 0.5) and history.last("loss").tolist() == [1.0, 4.0, 2.0]
    assert history.of(5)["loss"] == [4.0]
    assert history.to_csv(tmp_path / "h.csv").read_text().splitlines()[:3] == [
        "seed,epoch,loss,val_loss",
        "4,1,3.0,",
        "4,2,1.0,1.0",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert history.plot(tmp_path / "h.svg").read_text().count("median") >= 1
    with pytest.raises(OptionError, match="epochs and seeds"):
        history.extend({"loss": [[1.0]]})
