"""Averages of weights go with what holds them: pickled and copied, they go on."""

import copy
import pickle
from typing import Any

import pytest

from chainrule import nn, optim

swa = optim.swa_utils


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("average", [None, swa.get_ema_avg_fn(0.5)])
def test_a_copy_goes_on(average: Any, again: Any) -> None:
    model = nn.Linear(1, 1)
    own = swa.AveragedModel(model, avg_fn=average)
    for value in (1.0, 3.0):
        nn.init.constant_(model.weight, value)
        own.update_parameters(model)
    other = again(own)
    nn.init.constant_(model.weight, 8.0)
    for averages in (own, other):
        averages.update_parameters(model)
    assert own.module.weight.tolist() == ([[4.0]] if average is None else [[5.0]])
    assert other.module.weight.tolist() == own.module.weight.tolist()
