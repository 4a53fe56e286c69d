"""Models, trainers and compiled functions that read attributes under computed names: what is the
user's is watched, the machinery around it is not."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

X = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
Y = np.arange(11) % 3


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer0, self.layer1, self.scale1 = nn.Linear(3, 4), nn.Linear(4, 3), 1.0

    def forward(self, x):
        for i in range(2):
            x = getattr(self, f"layer{i}")(x) * getattr(self, f"scale{i}", 1.0)
        return x


class Weighted(cr.Trainer):
    def training_step(self, batch):
        prediction = self.forward(batch.x)
        return self.compute_loss(prediction, batch) * getattr(self, "times" + "_loss"), prediction


def _trainer(kind=cr.Trainer, **options):
    cr.manual_seed(0)
    model = Layers()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    return kind(model, "cross_entropy", sgd, metrics=["accuracy"], **options)


@pytest.mark.parametrize("options", [{}, {"seeds": 2}], ids=["one net", "two seeds"])
def test_such_a_model_is_trained_measured_and_compiled_once(options):
    trainer = _trainer(**options)
    for _ in range(3):
        trainer.fit(X, Y, epochs=2, batch_size=4, progress=False, validation_data=(X, Y))
        trainer.predict(X)
    steps = getattr(trainer, "one", trainer)._steps
    assert [c._made for c in (steps.train, steps.evaluate, steps.predict)] == [2, 1, 1]


def test_a_computed_attribute_of_the_model_is_watched():
    trainer = _trainer()
    first = trainer.predict(X)
    trainer.model.scale1 = 2.0
    np.testing.assert_allclose(trainer.predict(X), 2 * first, rtol=1e-6)


def test_a_computed_attribute_of_the_trainer_is_watched():
    trainer = _trainer(Weighted)
    trainer.times_loss = 0.0
    before = trainer.model.layer0.weight.numpy().copy()
    trainer.fit(X, Y, epochs=1, progress=False, diagnose=False)
    np.testing.assert_array_equal(trainer.model.layer0.weight.numpy(), before)
    trainer.times_loss = 1.0
    trainer.fit(X, Y, epochs=1, progress=False)
    assert (trainer.model.layer0.weight.numpy() != before).any()


def test_a_compiled_function_inside_of_another():
    name = "tanh"
    inner = cr.compile(lambda x: x * 2)
    inner(cr.ones(2))
    outer = cr.compile(lambda x: getattr(cr, name)(inner(x)))
    for _ in range(2):
        np.testing.assert_allclose(outer(cr.ones(2)).numpy(), np.tanh([2.0, 2.0]), rtol=1e-6)
    inner(cr.ones(3))  # it has a program more
    outer(cr.ones(2))
    assert outer._made == 1
