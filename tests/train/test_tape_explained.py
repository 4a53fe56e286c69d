"""explain_step of any model: what is written is what was calculated, here also by hand."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn, optim
from chainrule.errors import OptionError
from chainrule.train.step_explained import ExplainedTape
from chainrule.train.step_explained.records import Equation
from chainrule.train.step_explained.text import filled

RNG = np.random.default_rng(0)
NAMES: dict[str, Any] = {
    "exp": math.exp,
    "log": math.log,
    "tanh": math.tanh,
    "sqrt": math.sqrt,
    "erf": math.erf,
    "σ": lambda z: 1 / (1 + math.exp(-z)),
    "__builtins__": {"max": max, "min": min, "abs": abs},
}


def explained(model: nn.Module, x: Any, y: Any, *options: Any) -> ExplainedTape:
    found = cr.explain_step(model, x, y, *options)
    assert isinstance(found, ExplainedTape)
    return found


def equation(found: ExplainedTape, left: str) -> Equation:
    (only,) = [q for b in found.blocks for q in b.equations if q.left == left and q.relation == "="]
    return only


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def assert_equations_hold(found: ExplainedTape) -> int:
    checked = 0
    for q in (q for b in found.blocks for q in b.equations if q.template):
        text = filled(q, 17)
        for sign, python in (("·", "*"), ("−", "-"), ("²", "**2"), ("^", "**"), ("√", "sqrt")):
            text = text.replace(sign, python)
        assert eval(text, dict(NAMES)) == pytest.approx(q.value, rel=1e-9, abs=1e-12), (q, text)
        checked += 1
    return checked


def assert_is_the_gradient(found: ExplainedTape, model: nn.Module, loss: cr.Tensor) -> None:
    assert found.loss == pytest.approx(loss.item(), rel=1e-12)
    loss.backward()
    for name, p in model.named_parameters():
        np.testing.assert_allclose(found.gradients[name], p.grad.numpy(), rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(
            found.updated[name], p.numpy() - 0.1 * p.grad.numpy(), rtol=1e-9, atol=1e-13
        )


class Step(nn.Module):
    """One step of an LSTM of one unit from h = 0.5, c = 0.25."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(1, 1)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        before = cr.tensor([[0.5]], dtype="float64"), cr.tensor([[0.25]], dtype="float64")
        h, _ = self.cell(x, before)
        return h


def test_a_step_of_an_lstm_by_hand() -> None:
    model = Step().double()
    w, u, b = [0.5, 1.0, -1.5, 2.0], [1.0, -1.0, 0.5, 0.25], [0.1, 0.2, 0.3, -0.4]
    for p, values in zip(
        model.parameters(),
        (np.array(w)[:, None], np.array(u)[:, None], np.array(b), np.zeros(4)),
        strict=True,
    ):
        p.data = cr.tensor(values)
    found = explained(model, [[2.0]], [[1.0]], nn.MSELoss())
    # By hand, in the order of the gates i, f, g, o.
    z = [2.0 * a + 0.5 * r + c for a, r, c in zip(w, u, b, strict=True)]
    i, f, g, o = sigmoid(z[0]), sigmoid(z[1]), math.tanh(z[2]), sigmoid(z[3])
    c = f * 0.25 + i * g
    h = o * math.tanh(c)
    dh = 2 * (h - 1)
    dc = dh * o * (1 - math.tanh(c) ** 2)
    dz = [
        dc * g * i * (1 - i),
        dc * 0.25 * f * (1 - f),
        dc * i * (1 - g**2),
        dh * math.tanh(c) * o * (1 - o),
    ]
    assert found.loss == pytest.approx((h - 1) ** 2, rel=1e-12)
    np.testing.assert_allclose(found.gradients["cell.bias_ih"], dz, rtol=1e-10)
    np.testing.assert_allclose(found.gradients["cell.weight_ih"][:, 0], np.multiply(dz, 2.0))
    np.testing.assert_allclose(found.gradients["cell.weight_hh"][:, 0], np.multiply(dz, 0.5))
    first = equation(found, "v1[0, 2]")
    assert first.rule == (
        "x·cell.weight_ih[2, 0] + cell.bias_ih[2] + cell.bias_hh[2] + 0.5·cell.weight_hh[2, 0]"
    )
    assert first.numbers == (2.0, -1.5, 0.3, 0.0, 0.5, 0.5) and first.value == z[2]
    assert equation(found, "v6").rule == "tanh(v3·0.25 + v4·v5)"
    assert equation(found, "∂E/∂v1[0, 1]").rule == "∂E/∂v3·v3·(1 − v3)"
    assert assert_equations_hold(found) > 40
    assert [b.title for b in found.blocks][0] == "Forward, cell: LSTMCell(1, 1) → v7 (1 × 1)"


class Residual(nn.Module):
    """x + W relu(V x), with a function and an addition that are no modules."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.outside = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return x + self.outside(nn.functional.relu(self.inside(x)))


def test_a_module_of_ones_own_by_hand() -> None:
    model = Residual().double()
    v, w = np.array([[1.0, 2.0], [-1.0, 0.0], [0.5, 0.5]]), np.array([[1.0, 5.0, -2.0], [0, 1, 2]])
    model.inside.weight.data, model.outside.weight.data = cr.tensor(v), cr.tensor(w)
    found = explained(model, [[1.0, -2.0]], [[0.0, 0.0]], nn.MSELoss(reduction="sum"))
    # V x = (-3, -1, -0.5): no unit is on, so the output is x and E = 1 + 4; nothing learns.
    assert found.loss == 5.0
    assert (
        not found.gradients["inside.weight"].any() and not found.gradients["outside.weight"].any()
    )
    found = explained(model, [[1.0, 1.0]], [[0.0, 0.0]], nn.MSELoss(reduction="sum"))
    # V x = (3, -1, 1), relu (3, 0, 1), W · = (1, 2), out = (2, 3), E = 13, dE/dout = (4, 6);
    # down through W: (4, 26, 4), past the unit that is off: (4, 0, 4).
    assert found.loss == 13.0
    assert found.gradients["outside.weight"].tolist() == [[12, 0, 4], [18, 0, 6]]
    assert found.gradients["inside.weight"].tolist() == [[4, 4], [0, 0], [4, 4]]
    assert equation(found, "v2[0, 0]").rule == "max(v1[0, 0], 0)"
    assert assert_equations_hold(found) > 15


def test_a_convolution_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 2), nn.Flatten(), nn.Linear(4, 1, bias=False)).double()
    kernel, out = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0, 0.0, -1.0]])
    model[0].weight.data, model[0].bias.data = cr.tensor(kernel[None, None]), cr.tensor([0.5])
    model[0].double()
    model[2].weight.data = cr.tensor(out)
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    found = explained(model, x, [[0.0]], nn.MSELoss())
    # Windows (0 1 3 4), (1 2 4 5), (3 4 6 7), (4 5 7 8) times (1 2 3 4), and 0.5.
    assert found.values["0: Conv2d(1, 1, kernel_size=2)"].ravel().tolist() == [
        27.5,
        37.5,
        57.5,
        67.5,
    ]
    # The output is 27.5 - 67.5 = -40, E = 1600, dE/dy = -80: -80 and 80 at two corners.
    assert found.loss == 1600.0
    slopes = found.slopes["0: Conv2d(1, 1, kernel_size=2)"]
    assert slopes.ravel().tolist() == [-80, 0, 0, 80]
    assert found.gradients["0.weight"].ravel().tolist() == [320, 320, 320, 320]
    assert found.gradients["0.bias"].tolist() == [0]
    at = equation(found, "v1[0, 0, 1, 1]")
    assert at.rule.startswith(
        "x[0, 0, 1, 1]·0.weight[0, 0, 0, 0] + x[0, 0, 1, 2]·0.weight[0, 0, 0, 1]"
    )
    assert at.numbers == (4.0, 1.0, 5.0, 2.0, 7.0, 3.0, 8.0, 4.0, 0.5) and at.value == 67.5
    assert_equations_hold(found)


MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 2)),
        (3, 2),
    ),
    "a layer twice": (lambda: nn.Sequential(a := nn.Linear(2, 2), nn.Tanh(), a), (3, 2)),
    "large": (lambda: nn.Sequential(nn.Linear(60, 30), nn.Tanh(), nn.Linear(30, 2)), (3, 60)),
    "gelu": (lambda: nn.Sequential(nn.Linear(40, 30), nn.GELU(), nn.Linear(30, 2)), (3, 40)),
    "pooling": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1, stride=2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2)
        ),
        (2, 1, 8, 8),
    ),
    "attention": (lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), (2, 3, 4)),
    "a whole LSTM": (lambda: nn.LSTM(2, 3), (4, 2, 2)),
    "a GRU step": (lambda: nn.GRUCell(2, 3), (2, 2)),
}


@pytest.mark.parametrize("name", MODELS)
def test_any_model(name: str) -> None:
    make, shape = MODELS[name]
    cr.manual_seed(1)
    model = make().double()
    x = RNG.normal(size=shape)
    with cr.no_grad():
        out = model(cr.tensor(x))
    target = RNG.normal(size=(out[0] if isinstance(out, tuple) else out).shape)
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    found = explained(model, x, target, nn.MSELoss())
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert all(p.grad is None for p in model.parameters())
    assert assert_equations_hold(found) > 5
    again = model(cr.tensor(x))
    again = again[0] if isinstance(again, tuple) else again
    assert_is_the_gradient(found, model, nn.functional.mse_loss(again, cr.tensor(target)))


def test_lenet_as_text_page_and_picture(tmp_path: Path) -> None:
    cr.manual_seed(0)
    model = models.LeNet5()
    x = RNG.random((1, 1, 28, 28)).astype("f")
    found = explained(model, x, [3])
    text = str(found)
    assert text.startswith("One step of back-propagation: LeNet5, 1 row, CrossEntropyLoss, SGD")
    assert "Forward, c1: Conv2d(1, 6, kernel_size=5) → v1 (1 × 6 × 28 × 28)" in text
    assert "c1.weight[" in text and max(map(len, text.splitlines())) < 125
    assert re.search(r"E += v\d+ − v\d+\[0, 3\]", text)
    assert found.values["c3: PartialConv2d"].shape == (1, 16, 10, 10)
    assert found.slopes["s4: Subsampling"].shape == (1, 16, 5, 5)
    page = found.save(tmp_path / "lenet.html").read_text("utf-8")
    assert page.count("<section>") == len(found.blocks) and "script" not in page


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 2))
    found = explained(model, RNG.random((1, 1, 6, 6)).astype("f"), [1])
    assert list(found.values) == [
        "0: Conv2d(1, 2, kernel_size=3)",
        "1: Tanh",
        "3: Linear(32, 2)",
    ]
    assert found.draw(tmp_path / "net.png").stat().st_size > 5_000


def test_momentum_and_frozen_parameters() -> None:
    model = Residual().double()
    model.outside.weight.requires_grad_(False)
    sgd = optim.SGD([model.inside.weight], lr=0.1, momentum=0.9)
    found = explained(model, [[1.0, 1.0]], [[0.0, 0.0]], nn.MSELoss(), sgd)
    assert list(found.gradients) == ["inside.weight"]
    np.testing.assert_array_equal(found.updated["outside.weight"], model.outside.weight.numpy())
    assert not sgd.state[model.inside.weight]["momentum_buffer"].numpy().any()


def test_a_loss_that_forgets_the_model_is_refused() -> None:
    with pytest.raises(OptionError, match="the loss does not depend on the model's parameters"):
        cr.explain_step(Residual(), [[1.0, 1.0]], [[0.0, 0.0]], lambda y, t: (t * t).sum())
