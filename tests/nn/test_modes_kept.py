"""What looks at a model in another mode gives each module its own mode back."""

from typing import Any

import pytest

import chainrule as cr
from chainrule import models, nn, optim


def _frozen(model: nn.Module) -> list[bool]:
    """One module within is in evaluation mode, the model in training mode."""
    list(model.modules())[-1].eval()
    return [m.training for m in model.modules()]


def _summary() -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    before = _frozen(net)
    net.summary((4, 3))
    assert [m.training for m in net.modules()] == before
    return net


def _update_bn() -> nn.Module:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = _frozen(net)
    optim.swa_utils.update_bn([cr.ones(4, 3)], net)
    assert [m.training for m in net.modules()] == before
    return net


def _generate() -> nn.Module:
    net = models.GPT(5, length=4, width=4, heads=1, layers=1)
    before = _frozen(net)
    models.generate(net, [[1]], 2)
    assert [m.training for m in net.modules()] == before
    return net


def _beam_search() -> nn.Module:
    net = models.Seq2SeqTransformer(5, width=4, heads=1, layers=1, feedforward=4)
    before = _frozen(net)
    models.beam_search(net, [[3]], length=2)
    assert [m.training for m in net.modules()] == before
    return net


@pytest.mark.parametrize("look", [_summary, _update_bn, _generate, _beam_search])
def test_frozen_modules_stay_frozen(look: Any) -> None:
    assert look().training


def test_an_error_leaves_the_norms_as_they_were() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3))
    net.eval()
    with pytest.raises(cr.errors.ShapeError):
        optim.swa_utils.update_bn([cr.ones(4, 2)], net)
    assert net[0].momentum == 0.1 and not net[0].training
