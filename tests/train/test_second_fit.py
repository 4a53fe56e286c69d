"""A second fit copies into memory of the first, and nothing of the first is left in it."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.train import Callback, NonFiniteLossError


class Count(nn.Module):
    """Its weight grows by one a step."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(cr.zeros(1, dtype="float64"))

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return (8.5 - self.w) * x


def loss(prediction: cr.Tensor, target: cr.Tensor) -> cr.Tensor:
    return (prediction + prediction.detach().log()).mean()


@pytest.mark.parametrize("callbacks", [None, Callback()])
def test_a_loss_that_goes_wrong_in_the_third_fit(callbacks: Callback | None) -> None:
    model, x = Count(), np.ones((2, 1))
    trainer = cr.Trainer(model, loss, optim.SGD(model.parameters(), lr=1.0))
    for epochs in (1, 2):
        trainer.fit(x, x, epochs=epochs, batch_size=1, callbacks=callbacks, progress=False)
    assert model.w.tolist() == [6.0]
    with pytest.raises(NonFiniteLossError, match=r"step 10 \(epoch 2, batch 2 of 2\)"):
        trainer.fit(x, x, epochs=9, batch_size=1, callbacks=callbacks, progress=False)
    assert model.w.tolist() == [9.0]
    model.w.assign([2.0])
    trainer.fit(x, x, epochs=2, batch_size=1, callbacks=callbacks, progress=False)
    assert model.w.tolist() == [6.0]
