"""Optimizers, schedules, Trainers and compiled functions are copied and pickled, also after use."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
Y = X[:, :1] * 2
WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}
OPTIMIZERS = sorted(
    name
    for name, kind in vars(optim).items()
    if inspect.isclass(kind) and issubclass(kind, optim.Optimizer) and kind is not optim.Optimizer
)
way = pytest.mark.parametrize("way", WAYS)


def _trainer(**options):
    cr.manual_seed(3)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    adam = optim.Adam(net.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.StepLR(adam, 2)
    return cr.Trainer(net, "mse", adam, schedule, metrics=["mae"], **options)


@way
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_changes_the_parameters_copied_with_it(name, way):
    p = nn.Parameter(np.ones((2, 2)))
    optimizer = getattr(optim, name)([p], lr=0.125)
    other, of_other = WAYS[way]((p, optimizer))

    def steps(p, optimizer):
        def loss():
            optimizer.zero_grad()
            value = (p * p).sum()
            value.backward()
            return value

        for _ in range(2):
            loss()
            optimizer.step(loss)
        return p.numpy().copy()

    changed = steps(other, of_other)
    assert (p.numpy() == 1).all() and (changed != 1).any()
    np.testing.assert_array_equal(steps(p, optimizer), changed)


def test_a_wrong_option_of_a_pickled_group_is_still_an_error():
    optimizer = pickle.loads(pickle.dumps(optim.Adam([nn.Parameter([1.0])])))
    with pytest.raises(cr.errors.OptionError, match="Adam: lr must be"):
        optimizer.param_groups[0]["lr"] = -1.0


@way
def test_a_trained_trainer_goes_on_as_the_original_would(way):
    trainer = _trainer()
    trainer.fit(X, Y, epochs=3, progress=False, validation_split=0.25)
    before = trainer.predict(X)
    other = WAYS[way](trainer)
    other.fit(X, Y, epochs=3, progress=False, validation_split=0.25)
    np.testing.assert_array_equal(trainer.predict(X), before)
    assert other.scheduler.optimizer is other.optimizer
    trainer.fit(X, Y, epochs=3, progress=False, validation_split=0.25)
    np.testing.assert_array_equal(trainer.predict(X), other.predict(X))
    assert dict(trainer.history.items()) == dict(other.history.items())


@way
def test_a_compiled_module_takes_its_copy_of_the_weights(way):
    net = nn.Linear(3, 1)
    compiled = cr.compile(net)
    compiled(X)
    other = WAYS[way](compiled)
    other.function.weight.data.zero_()
    np.testing.assert_array_equal(other(X).numpy(), np.broadcast_to(net.bias.numpy(), (8, 1)))
    np.testing.assert_allclose(compiled(X).numpy(), net(X).numpy(), rtol=1e-6)


@way
def test_a_seed_trainer_says_that_it_cannot(way):
    trainer = cr.Trainer(nn.Linear(3, 1), "mse", "adam", seeds=2)
    with pytest.raises(TypeError, match="SeedTrainer cannot be copied or pickled; write save"):
        WAYS[way](trainer)
