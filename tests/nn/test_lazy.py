"""Layers that take their number of inputs from the first input: as PyTorch's, and as the layers
they become."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError, ShapeError

# fmt: off
NORM = {"weight": (3,), "bias": (3,), "running_mean": (3,), "running_var": (3,)}
# arguments, options, input, parameters and buffers, and the loss of the third step in PyTorch 2.13
PYTORCH: dict[str, Any] = {
    "LazyLinear": ((3,), {}, (4, 5), {"weight": (3, 5), "bias": (3,)}, 0.7991796905562079),
    "LazyConv1d": (
        (4, 3), {"stride": 2}, (2, 3, 9), {"weight": (4, 3, 3), "bias": (4,)}, 0.8988200500522507),
    "LazyConv2d": (
        (4, 3), {"groups": 2, "padding": 1}, (2, 6, 5, 5),
        {"weight": (4, 3, 3, 3), "bias": (4,)}, 12.986088971830936),
    "LazyConv3d": (
        (2, 2), {"bias": False}, (1, 3, 3, 3, 3), {"weight": (2, 3, 2, 2, 2)}, 0.6831811737348578),
    "LazyConvTranspose1d": (
        (4, 3), {"stride": 2}, (2, 3, 5), {"weight": (3, 4, 3), "bias": (4,)}, 1.1185541734747793),
    "LazyConvTranspose2d": (
        (4, 3), {"groups": 2}, (2, 6, 4, 4),
        {"weight": (6, 2, 3, 3), "bias": (4,)}, 0.5962194227817093),
    "LazyConvTranspose3d": (
        (2, 2), {"output_padding": 1, "stride": 2}, (1, 3, 2, 2, 2),
        {"weight": (3, 2, 2, 2, 2), "bias": (2,)}, 0.24406306695732016),
    "LazyBatchNorm1d": ((), {}, (5, 3), NORM, 0.7094374715012831),
    "LazyBatchNorm2d": ((), {"momentum": 0.3}, (2, 3, 4, 4), NORM, 0.7094416889421247),
    "LazyBatchNorm3d": (
        (), {"affine": False}, (2, 3, 2, 2, 2),
        {"running_mean": (3,), "running_var": (3,)}, 0.9999794937765148),
    "LazyInstanceNorm1d": ((), {}, (2, 3, 5), NORM, 0.7094420825284983),
    "LazyInstanceNorm2d": (
        (), {"track_running_stats": False}, (2, 3, 4, 4),
        {"weight": (3,), "bias": (3,)}, 0.7094416600340115),
    "LazyInstanceNorm3d": ((), {}, (2, 3, 2, 2, 2), NORM, 0.7094413994535119),
}
# fmt: on
EARLY = "this parameter has no shape yet, for no input has been through its layer"


def wave(shape: Any, start: int = 1) -> np.ndarray:
    return np.sin(start + np.arange(np.prod(shape), dtype=float)).reshape(shape)


def net() -> nn.Sequential:
    return nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(2))


@pytest.mark.parametrize("name", PYTORCH)
def test_pytorch(name: str) -> None:
    """Shapes after a call; loaded before one, three steps of an optimizer made before it."""
    arguments, options, shape, tensors, loss_there = PYTORCH[name]
    x = cr.tensor(wave(shape))
    layer = getattr(nn, name)(*arguments, **options).double()
    layer(x)
    assert {k: v.shape for k, v in layer.state_dict().items() if v.ndim} == tensors
    assert type(layer) is getattr(nn, name.removeprefix("Lazy"))
    layer = getattr(nn, name)(*arguments, **options).double()
    numbers = {k: wave(v, i + 2) ** 2 for i, (k, v) in enumerate(tensors.items())}
    parameters = list(layer.parameters())
    optimizer = optim.SGD(parameters, lr=0.01) if parameters else None
    layer.load_state_dict(numbers, strict=False)
    for _ in range(3):
        y = layer(x)
        loss = (y * y).mean()
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    np.testing.assert_allclose(loss.item(), loss_there, rtol=1e-12)


def test_numbers_are_those_of_the_layers_it_becomes() -> None:
    x = cr.tensor(wave((5, 3)).astype(np.float32))
    cr.manual_seed(3)
    lazy = net()
    lazy(x)
    cr.manual_seed(3)
    common = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    for p, q in zip(lazy.parameters(), common.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert repr(lazy) == repr(common)


def test_first_call_inside_a_compiled_step() -> None:
    def trained(model: nn.Module, optimizer: optim.Optimizer) -> list[float]:
        @cr.compile
        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        losses = [step(wave((8, 3))).item() for _ in range(3)]
        assert step._made == 1
        return losses

    def adam(model: nn.Module) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=0.1)

    lazy = net().double()
    made_before = adam(lazy)
    cr.manual_seed(0)
    losses = trained(lazy, made_before)
    cr.manual_seed(0)
    common = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    assert losses == trained(common, adam(common))


def test_a_parameter_that_is_late_begins_at_step_zero() -> None:
    early, late = nn.Linear(2, 1), nn.LazyLinear(1)
    optimizer = optim.Adam([*early.parameters(), *late.parameters()])
    for model in (early, early, late):
        optimizer.zero_grad()
        model(cr.ones(1, 2)).sum().backward()
        optimizer.step()
    steps = [float(entry["step"]) for entry in optimizer.state_dict()["state"].values()]
    assert steps == [2, 2, 1, 1]


def test_an_optimizer_copied_with_its_model_waits_too() -> None:
    model = nn.LazyLinear(1)
    optimizer = optim.Adam(model.parameters(), lr=0.5)
    for m, o in (copy.deepcopy((model, optimizer)), (model, optimizer)):
        m(cr.ones(1, 2)).sum().backward()
        before = m.bias.numpy().copy()
        o.step()
        np.testing.assert_allclose(m.bias.numpy(), before - 0.5, rtol=1e-5)


def test_trainer_and_summary_call_it() -> None:
    model = nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
    )
    summary = nn.summary(copy.deepcopy(model), (1, 1, 8, 8))
    assert [row.kind for row in summary.rows][1:3] == ["Conv2d", "BatchNorm2d"]
    assert summary.parameters == summary.rows[0].parameters == 40 + 8 + 290
    trainer = cr.Trainer(model, nn.CrossEntropyLoss(), "adam")
    history = trainer.fit(wave((20, 1, 8, 8)), np.arange(20) % 2, epochs=3, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert type(model[4]) is nn.Linear


def test_copies_state_dicts_and_dtypes_before_the_first_call() -> None:
    model = net()
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model)), net()
    copies[2].load_state_dict(model.state_dict())
    for other in copies:
        assert other.double()(cr.ones(2, 3, dtype="float64")).dtype == np.float64
    model.requires_grad_(False)
    model(cr.ones(2, 3))
    assert not any(p.requires_grad for p in model.parameters())
    nn.LazyLinear(3).load_state_dict(nn.Linear(2, 3).state_dict())
    with pytest.raises(ShapeError, match="this parameter has no shape yet"):
        nn.Linear(2, 3).load_state_dict(nn.LazyLinear(3).state_dict())


@pytest.mark.parametrize(
    "use",
    [
        lambda p: p.shape,
        lambda p: p + 1,
        lambda p: p.numpy(),
        lambda p: p.numel(),
        lambda p: nn.init.xavier_uniform_(p),
        lambda p: p.assign([1.0]),
        lambda p: cr.compile(lambda: p * 2)(),
    ],
)
def test_used_too_early(use: Any) -> None:
    with pytest.raises(ShapeError, match=EARLY):
        use(nn.LazyLinear(3).weight)


def test_other_mistakes() -> None:
    with pytest.raises(
        ShapeError, match=r"LazyConv2d\(.*input of shape \(3,\) does not tell in_ch"
    ):
        nn.LazyConv2d(3, 3)(cr.ones(3))
    with pytest.raises(OptionError, match="Conv2d: in_channels=3 cannot be divided into groups=2"):
        nn.LazyConv2d(4, 3, groups=2)(cr.ones(1, 3, 5, 5))
    with pytest.raises(OptionError, match="LazyLinear: out_features must be"):
        nn.LazyLinear(0)
    loaded = nn.LazyLinear(3)
    loaded.load_state_dict(nn.Linear(2, 3).state_dict())
    with pytest.raises(ShapeError, match="expects 2 features, got 4"):
        loaded(cr.ones(1, 4))


def test_cross_map_lrn() -> None:
    """PyTorch's numbers where all windows hold the first channel, which it never takes out."""
    y = nn.CrossMapLRN2d(5, alpha=2.0, beta=0.6, k=0.5)(cr.tensor(wave((2, 3, 2, 2))))
    there = [0.7472073349673186, -0.2827639587962828, -0.9545401428819227]
    np.testing.assert_allclose(y.flatten().tolist()[:15:5], there, rtol=1e-12)
    even = nn.CrossMapLRN2d(2, alpha=2.0, beta=0.6, k=0.5)(cr.tensor(wave((1, 1, 2, 2))))
    there = [0.7512476878320253, 0.7673940030054683, 0.20894368798000437, -0.7255768825531885]
    np.testing.assert_allclose(even.flatten().tolist(), there, rtol=1e-12)
    many = cr.tensor(wave((1, 6, 2, 2)))
    np.testing.assert_allclose(
        nn.CrossMapLRN2d(3)(many).numpy(), nn.LocalResponseNorm(3)(many).numpy(), rtol=1e-12
    )
    with pytest.raises(ShapeError, match=r"expects \(batch, channels, h, w\), got \(2, 3\)"):
        nn.CrossMapLRN2d(3)(cr.ones(2, 3))
