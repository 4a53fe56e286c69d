"""A callback that turns the model to evaluation does not turn off dropout and batch statistics for
the rest of the training."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.callbacks import Callback

X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
Y = X[:, :1] * 2


class _Evaluates(Callback):
    def on_epoch_end(self, trainer, epoch, logs):
        trainer.model.eval()


class _EvaluatesEachStep(Callback):
    every = 1

    def on_steps(self, trainer, *_):
        trainer.model.eval()


def _trained(*callbacks, freeze=False):
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    if freeze:
        net[1].eval()
    trainer = cr.Trainer(net, "mse", optim.SGD(net.parameters(), lr=0.01))
    history = trainer.fit(X, Y, epochs=3, batch_size=8, progress=False, callbacks=callbacks)
    return history["loss"], [m.training for m in net.modules()], net[1].num_batches_tracked.item()


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("callback", [_Evaluates, _EvaluatesEachStep])
def test_the_training_goes_on_as_without_it(callback, freeze):
    loss, modes, batches = _trained(freeze=freeze)
    assert batches == (0 if freeze else 6) and modes == [True, True, not freeze, True, True]
    assert _trained(callback(), freeze=freeze) == (loss, modes, batches)
