"""A model that several threads work with: they take turns, or one is told why not."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import ThreadError

X = np.linspace(-1, 1, 96, dtype=np.float32).reshape(24, 4)
Y = np.arange(24) % 3


def model():
    cr.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def trainer_of(net, loss=None):
    return cr.Trainer(net, loss or nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1))


def many(*works):
    """Each work six times, on four threads."""
    with ThreadPoolExecutor(4) as pool:
        return [[f.result() for f in [pool.submit(w) for _ in range(6)]] for w in works]


def test_threads_predict_and_evaluate_with_one_trainer():
    trainer = trainer_of(model())
    trainer.metrics = ["accuracy"]
    want = trainer.predict(X), trainer.evaluate(X, Y)
    predicted, measured = many(lambda: trainer.predict(X), lambda: trainer.evaluate(X, Y))
    assert all(np.array_equal(p, want[0]) for p in predicted)
    assert measured == [want[1]] * 6
    assert trainer.model.training


def test_trainers_that_share_a_model_take_turns():
    net = model()
    trainers = [trainer_of(net), trainer_of(nn.Sequential(net, nn.Identity()))]
    want = trainers[0].predict(X)
    for found in many(*(lambda t=t: t.predict(X) for t in trainers)):
        assert all(np.array_equal(f, want) for f in found)


class Pause(cr.train.Callback):
    """Stops inside of the fit until told to go on."""

    def __init__(self):
        self.reached, self.go_on = threading.Event(), threading.Event()

    def on_epoch_end(self, trainer, epoch, logs):
        self.reached.set()
        assert self.go_on.wait(300)


@pytest.fixture
def training():
    """A trainer that another thread is training at this moment."""
    trainer, pause = trainer_of(model()), Pause()
    thread = threading.Thread(
        name="trains",
        target=lambda: trainer.fit(X, Y, epochs=1, progress=False, callbacks=[pause]),
    )
    thread.start()
    assert pause.reached.wait(300)
    yield trainer
    pause.go_on.set()
    thread.join()
    assert trainer.predict(X).shape == (24, 3)


CALLS = {
    "predict": lambda t: t.predict(X),
    "evaluate": lambda t: t.evaluate(X, Y),
    "fit": lambda t: t.fit(X, Y, epochs=1, progress=False),
    "find_lr": lambda t: t.find_lr(X, Y),
    "diagnose": lambda t: t.diagnose(X, Y),
    "explain": lambda t: cr.explain(t, X, Y),
    "save": lambda t: t.save("never.safetensors"),
    "load": lambda t: t.load("never.safetensors"),
}


def test_while_one_thread_trains_others_are_told(training):
    for what, call in CALLS.items():
        for trainer in (training, trainer_of(nn.Sequential(training.model))):
            with pytest.raises(ThreadError) as caught:
                call(trainer)
            assert str(caught.value) == (
                f"{what}: the model is used by `fit` in thread 'trains', and both set its modules "
                "to training or evaluation mode; wait until that is done, or give each thread a "
                "model and a Trainer of its own"
            )


def test_a_loss_without_state_may_serve_trainers_in_many_threads(training):
    other = trainer_of(model(), training.objective.parts[0].loss)
    assert len(other.fit(X, Y, epochs=1, progress=False)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_alone(training):
    child = os.fork()
    if child == 0:
        try:
            training.predict(X)
            os._exit(0)
        except BaseException:
            os._exit(3)
    assert os.waitpid(child, 0) == (child, 0)


def test_a_callback_may_use_the_trainer_that_trains():
    trainer, found = trainer_of(model()), []

    class Look(cr.train.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            found.append(trainer.evaluate(X, Y)["loss"])

    trainer.fit(X, Y, epochs=2, progress=False, callbacks=[Look()])
    assert len(found) == 2


def test_a_wrong_call_leaves_the_model_free():
    trainer = trainer_of(model())
    with pytest.raises(cr.errors.ChainruleError):
        trainer.predict(X[:, :2])
    assert many(lambda: trainer.predict(X).shape) == [[(24, 3)] * 6]
