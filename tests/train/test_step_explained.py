"""explain_step: every equation holds, and its numbers are those of a compiled step and of grad."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError
from chainrule.nn import functional as F  # noqa: N812
from chainrule.train.step_explained import ExplainedStep
from chainrule.train.step_explained.records import Equation
from chainrule.train.step_explained.text import filled

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 2))
Z = RNG.normal(size=(3, 2))
LABELS = np.array([1, 0, 1])
YES = np.array([[1.0], [0.0], [1.0]])
P = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])


def net(*between: nn.Module, outputs: int = 2, end: tuple[nn.Module, ...] = ()) -> nn.Sequential:
    cr.manual_seed(3)
    layers = [nn.Linear(2, 3), *between, nn.Linear(3, outputs), *end]
    return nn.Sequential(*layers).double()


# -- do the equations hold? ------------------------------------------------------------------------
def normal_cdf(z: float) -> float:
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


NAMES: dict[str, Any] = {
    "exp": math.exp,
    "log": math.log,
    "tanh": math.tanh,
    "sqrt": math.sqrt,
    "σ": lambda z: 1 / (1 + math.exp(-z)),
    "Φ": normal_cdf,
    "φ": lambda z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    "sign": lambda z: math.copysign(1.0, z) if z else 0.0,
    "__builtins__": {"max": max, "abs": abs},
}


def evaluated(text: str) -> float:
    for symbol, python in (("·", "*"), ("−", "-"), ("²", "**2"), ("^", "**"), ("√", "sqrt")):
        text = text.replace(symbol, python)
    return float(eval(text, dict(NAMES)))


def equations(found: ExplainedStep) -> list[Equation]:
    step = found.step
    blocks = [b for row in step.rows for b in (row.forward, row.error, row.backward)]
    blocks += [step.gradients, step.updates]
    return [step.total, *(q for b in blocks for q in b.equations)]


def assert_equations_hold(found: ExplainedStep, tolerance: float = 1e-9) -> int:
    """The written numbers, calculated, give what stands at the end."""
    checked = 0
    for q in equations(found):
        if q.template:
            value = evaluated(filled(q, 17))
            assert value == pytest.approx(q.value, rel=tolerance, abs=tolerance), (q, value)
            checked += 1
    return checked


def assert_is_a_compiled_step(
    found: ExplainedStep, model: nn.Module, x: Any, y: Any, loss: Any, optimizer: Any
) -> None:
    """One real step of the compiled program has the same loss and the same weights after it."""
    trainer = cr.Trainer(model, loss, optimizer)
    history = trainer.fit(x, y, epochs=1, batch_size=len(x), progress=False)
    assert history["loss"][0] == pytest.approx(found.loss, rel=1e-9)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(found.updated[name], p.numpy(), rtol=1e-9, atol=1e-12)
    for w in found.step.weights:
        assert w.new == found.updated[w.parameter][w.index]


def assert_gradients(found: ExplainedStep, model: nn.Module, x: Any, y: Any, loss: Any) -> None:
    """Those of the whole model at once."""
    loss(model(cr.tensor(x)), y).backward()
    for name, p in model.named_parameters():
        np.testing.assert_allclose(found.gradients[name], p.grad.numpy(), rtol=1e-9, atol=1e-12)
        p.grad = None


def test_gradients_are_those_of_grad_on_the_formula() -> None:
    model = net(nn.Tanh())
    found = cr.explain_step(model, X, Z, nn.MSELoss())

    def error(w1: cr.Tensor, b1: cr.Tensor, w2: cr.Tensor, b2: cr.Tensor) -> cr.Tensor:
        hidden = cr.tanh(cr.tensor(X) @ w1.T + b1)
        return ((hidden @ w2.T + b2 - cr.tensor(Z)) ** 2).mean()

    params = [p.detach() for p in model.parameters()]
    wanted = cr.grad(error, argnums=(0, 1, 2, 3))(*params)
    assert found.loss == pytest.approx(error(*params).item(), rel=1e-12)
    for name, g in zip(found.gradients, wanted, strict=True):
        np.testing.assert_allclose(found.gradients[name], g.numpy(), rtol=1e-10, atol=1e-14)


ACTIVATIONS = [
    nn.Tanh(),
    nn.Sigmoid(),
    nn.ReLU(),
    nn.LeakyReLU(0.2),
    nn.ELU(1.5),
    nn.SELU(),
    nn.CELU(0.7),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Softplus(),
    nn.Softplus(2.0, 1.0),
    nn.Softsign(),
    nn.LogSigmoid(),
    nn.Hardtanh(),
    nn.Hardsigmoid(),
    nn.Hardswish(),
    nn.ReLU6(),
    nn.Tanhshrink(),
    nn.Softshrink(),
    nn.Hardshrink(),
    nn.Threshold(0.1, 0.5),
    nn.Softmax(1),
    nn.LogSoftmax(-1),
    nn.Identity(),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_every_activation(activation: nn.Module) -> None:
    model = net(activation)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    found = cr.explain_step(model, X, Z, nn.MSELoss(), optimizer)
    assert assert_equations_hold(found) > 60
    assert_gradients(found, model, X, cr.tensor(Z), nn.MSELoss())
    assert_is_a_compiled_step(found, model, X, Z, nn.MSELoss(), optimizer)


def half_square(y: cr.Tensor, t: cr.Tensor) -> cr.Tensor:
    """The error of the paper, equation 3."""
    return 0.5 * ((y - t) ** 2).sum()


LOSSES: dict[str, tuple[Any, Any, tuple[nn.Module, ...]]] = {
    "MSE": (nn.MSELoss(), Z, ()),
    "MSE sum": (nn.MSELoss(reduction="sum"), Z, ()),
    "mse_loss": (F.mse_loss, Z, ()),
    "L1": (nn.L1Loss(), Z, ()),
    "Huber": (nn.HuberLoss(), Z, ()),
    "CE": (nn.CrossEntropyLoss(), LABELS, ()),
    "CE sum": (nn.CrossEntropyLoss(reduction="sum"), LABELS, ()),
    "CE of probabilities": (nn.CrossEntropyLoss(), P, ()),
    "CE weighted": (nn.CrossEntropyLoss(weight=np.array([1.0, 3.0])), LABELS, ()),
    "CE smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), LABELS, ()),
    "NLL": (nn.NLLLoss(), LABELS, (nn.LogSoftmax(1),)),
    "BCE": (nn.BCELoss(), P, (nn.Sigmoid(),)),
    "BCE logits": (nn.BCEWithLogitsLoss(), P, ()),
    "BCE pos_weight": (nn.BCEWithLogitsLoss(pos_weight=np.array([2.0, 1.0])), P, ()),
    "softmax, MSE": (nn.MSELoss(), P, (nn.Softmax(1),)),
    "paper": (half_square, Z, ()),
}
WITHOUT_FORMULA = {"Huber", "CE weighted", "CE smoothed", "BCE pos_weight", "paper"}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name: str, rows: int) -> None:
    loss, y, end = LOSSES[name]
    model = net(nn.Tanh(), end=end)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    found = cr.explain_step(model, X[:rows], y[:rows], loss, optimizer)
    assert_equations_hold(found)
    assert bool(found.step.total.template) == (name not in WITHOUT_FORMULA)
    assert_gradients(found, model, X[:rows], cr.tensor(y[:rows]), loss)
    assert_is_a_compiled_step(found, model, X[:rows], y[:rows], loss, optimizer)


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda p: optim.SGD(p, lr=0.5),
    "decay": lambda p: optim.SGD(p, lr=0.5, weight_decay=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.5, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.5, momentum=0.9, nesterov=True),
    "dampening": lambda p: optim.SGD(p, lr=0.5, momentum=0.9, dampening=0.3),
    "maximize": lambda p: optim.SGD(p, lr=0.5, maximize=True),
    "paper": lambda p: optim.Backprop1986(p, lr=0.5, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "Adam decay": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
    "amsgrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1),
    "NAdam": lambda p: optim.NAdam(p, lr=0.1),
    "Rprop": lambda p: optim.Rprop(p, lr=0.1),
}


@pytest.mark.parametrize("before", [0, 2], ids=["first step", "third step"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name: str, before: int) -> None:
    model = net(nn.Tanh())
    optimizer = OPTIMIZERS[name](model.parameters())
    if before:
        cr.Trainer(model, nn.MSELoss(), optimizer).fit(X, Z, epochs=before, progress=False)
    found = cr.explain_step(model, X, Z, nn.MSELoss(), optimizer)
    assert_equations_hold(found)
    explained = [bool(q.template) for q in found.step.updates.equations]
    assert all(explained) or not any(explained)
    assert any(explained) == (name not in ("amsgrad", "RMSprop", "NAdam", "Rprop"))
    assert_is_a_compiled_step(found, model, X, Z, nn.MSELoss(), optimizer)


def test_the_checks_of_this_file_find_a_wrong_equation() -> None:
    model = net(nn.Tanh())
    found = cr.explain_step(model, X, Z)
    wrong = found.step.rows[0].forward.equations[0]
    object.__setattr__(wrong, "value", wrong.value * 1.001)
    with pytest.raises(AssertionError):
        assert_equations_hold(found)


# -- what it takes ---------------------------------------------------------------------------------
def test_nothing_is_changed_and_gradients_that_were_there_stay() -> None:
    model = net(nn.Tanh())
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    model(cr.tensor(X)).sum().backward()
    before = [(p.numpy().tobytes(), p.grad.numpy().tobytes()) for p in model.parameters()]
    state = [t.numpy().tobytes() for entry in optimizer.state.values() for t in entry.values()]
    cr.explain_step(model, X, Z, nn.MSELoss(), optimizer)
    assert before == [(p.numpy().tobytes(), p.grad.numpy().tobytes()) for p in model.parameters()]
    assert state == [
        t.numpy().tobytes() for entry in optimizer.state.values() for t in entry.values()
    ]


def test_one_row_without_its_axis_defaults_and_float32() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
    label = cr.explain_step(model, [0.5, -1.0], 2)
    assert label.step.title == (
        "One step of back-propagation: 2-2-3, 1 row, CrossEntropyLoss, SGD(lr=0.1)"
    )
    assert label.step.rows[0].targets == (0.0, 0.0, 1.0)
    number = cr.explain_step(model, [0.5, -1.0], [1.0, 2.0, 3.0])
    assert ", MSELoss," in number.step.title
    assert_equations_hold(number, 1e-5)
    assert number.step.rows[0].inputs == (0.5, -1.0)


def test_nets_of_other_forms() -> None:
    cr.manual_seed(0)
    inner = nn.Sequential(nn.Tanh(), nn.Sigmoid())
    model = nn.Sequential(
        nn.Flatten(), nn.Tanh(), nn.Linear(4, 2, bias=False), inner, nn.Dropout(), nn.Linear(2, 1)
    ).double()
    model.eval()
    model[2].weight.requires_grad = False
    x, y = RNG.normal(size=(2, 2, 2)), RNG.normal(size=2)
    found = cr.explain_step(model, x, y)
    assert_equations_hold(found)
    assert [c.name for c in found.step.columns] == ["Tanh", "Linear, Tanh", "Sigmoid", "Linear"]
    assert [c.units for c in found.step.columns] == [(5, 6, 7, 8), (9, 10), (11, 12), (13,)]
    assert set(found.gradients) == {"5.weight", "5.bias"}  # the other is frozen
    assert {w.symbol for w in found.step.weights if w.gradient is None} == {
        f"w{a}‚{b}" for a in ("₉", "₁₀") for b in "₅₆₇₈"
    } - {f"w₉‚{b}" for b in "₅₆₇₈"} | {f"w₉{b}" for b in "₅₆₇₈"}
    numbers = {w.parameter: w.new for w in found.step.weights if w.gradient is None}
    assert numbers["2.weight"] == model[2].weight.numpy()[-1, -1]


# -- text and page ---------------------------------------------------------------------------------
def test_the_text_in_full() -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    model[0].weight.assign(np.array([[0.5, -0.25]], "float32"))
    model[0].bias.assign(np.array([0.1], "float32"))
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    found = cr.explain_step(model, [[1.0, 2.0], [0.0, 1.0]], [[1.0], [0.0]], None, optimizer)
    assert str(found) == TEXT
    assert found.text(digits=2) != TEXT and max(map(len, found.text(width=60).split("\n"))) < 80
    assert repr(found) == (
        "ExplainedStep(One step of back-propagation: 2-1, 2 rows, MSELoss, SGD(lr=0.5, "
        "momentum=0.9); 3 weights, loss 0.2198)"
    )


TEXT = """\
One step of back-propagation: 2-1, 2 rows, MSELoss, SGD(lr=0.5, momentum=0.9)
=============================================================================

  units 1–2  inputs x
  unit 3     Linear, Sigmoid
  w₃₁: the weight from unit 1 to unit 3
  σ(z) = 1/(1 + exp(−z))

Forward, row 1: x = (1, 2), t = (1)
  net₃ = w₃₁·x₁ + w₃₂·x₂ + b₃ = 0.5·1 + (−0.25)·2 + 0.1 = 0.1
  y₃   = σ(net₃)              = σ(0.1) = 0.525
  E[1] = (y₃ − t₃)²           = (0.525 − 1)² = 0.2256

Forward, row 2: x = (0, 1), t = (0)
  net₃ = w₃₁·x₁ + w₃₂·x₂ + b₃ = 0.5·0 + (−0.25)·1 + 0.1 = −0.15
  y₃   = σ(net₃)              = σ(−0.15) = 0.4626
  E[2] = (y₃ − t₃)²           = (0.4626 − 0)² = 0.214

The error
  E = (E[1] + E[2])/2 = (0.2256 + 0.214)/2 = 0.2198

Backward, row 1: δⱼ = ∂E/∂netⱼ
  ∂E/∂y₃ = 2·(y₃ − t₃)/2      = 2·(0.525 − 1)/2 = −0.475
  δ₃     = ∂E/∂y₃·y₃·(1 − y₃) = −0.475·0.525·(1 − 0.525) = −0.1185

Backward, row 2: δⱼ = ∂E/∂netⱼ
  ∂E/∂y₃ = 2·(y₃ − t₃)/2      = 2·(0.4626 − 0)/2 = 0.4626
  δ₃     = ∂E/∂y₃·y₃·(1 − y₃) = 0.4626·0.4626·(1 − 0.4626) = 0.115

Gradients: ∂E/∂wⱼᵢ = Σ over the rows of δⱼ·yᵢ
  ∂E/∂w₃₁ = Σ δ₃·x₁ = −0.1185·1 + 0.115·0 = −0.1185
  ∂E/∂w₃₂ = Σ δ₃·x₂ = −0.1185·2 + 0.115·1 = −0.1219
  ∂E/∂b₃  = Σ δ₃    = −0.1185 + 0.115 = −0.003464

The update: SGD(lr=0.5, momentum=0.9)
  lr: the learning rate, μ: the momentum
  v₃₁ ← μ·v₃₁ + ∂E/∂w₃₁ = 0.9·0 + (−0.1185) = −0.1185
  w₃₁ ← w₃₁ − lr·v₃₁    = 0.5 − 0.5·(−0.1185) = 0.5592
  v₃₂ ← μ·v₃₂ + ∂E/∂w₃₂ = 0.9·0 + (−0.1219) = −0.1219
  w₃₂ ← w₃₂ − lr·v₃₂    = −0.25 − 0.5·(−0.1219) = −0.189
  v₃  ← μ·v₃ + ∂E/∂b₃   = 0.9·0 + (−0.003464) = −0.003464
  b₃  ← b₃ − lr·v₃      = 0.1 − 0.5·(−0.003464) = 0.1017"""


class Checker(HTMLParser):
    """Counts elements and sees that they are closed in order."""

    VOID = ("meta", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.links += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    model = net(nn.Tanh())
    found = cr.explain_step(model, X, Z)
    page = found.save(tmp_path / "step.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert not checker.open and not checker.links and "script" not in checker.count
    assert checker.count["svg"] == 6 and checker.count["circle"] == 2 * 6 * 7  # 3 rows, 2 drawings
    assert checker.count["line"] == 6 * 12 and checker.count["tr"] == len(equations(found))
    assert "#0877bd" in page and "#f59322" in page  # blue +, orange −
    text = found.save(tmp_path / "step.txt").read_text(encoding="utf-8")
    assert text == str(found) + "\n"
    with pytest.raises(OptionError, match=r"the name ends in .html or .txt, got 'step.pdf'"):
        found.save(tmp_path / "step.pdf")
    with pytest.raises(OptionError, match="ExplainedStep: digits is from 1 to 17, got 0"):
        found.text(digits=0)


def test_a_trainer_is_its_model_loss_and_optimizer() -> None:
    model = net()
    loss, optimizer = nn.L1Loss(), optim.SGD(model.parameters(), lr=0.3)
    found = cr.explain_step(cr.Trainer(model, loss, optimizer), X, Z)
    assert str(found) == str(cr.explain_step(model, X, Z, loss, optimizer))
    assert "SGD(lr=0.3)" in str(found)


# -- mistakes --------------------------------------------------------------------------------------
def made(module: nn.Module) -> nn.Module:
    for m in module.modules():
        object.__setattr__(m, "_made_at", "net.py:3")
    return module


MISTAKES: dict[str, tuple[Any, str]] = {
    "no linear": (
        lambda: cr.explain_step(nn.Sequential(nn.Tanh()), X, Z),
        "explain_step: the model has no parameters, so there is nothing to learn",
    ),
    "function": (
        lambda: cr.explain_step(lambda x: x, X, Z),  # type: ignore[arg-type]
        "explain_step: model must be an nn.Module or a Trainer, got function",
    ),
    "trainer that clips": (
        lambda: cr.explain_step(cr.Trainer(net(), "mse", "sgd", clip_norm=1.0), X, Z),
        "explain_step: the Trainer's clip_norm is not written down; give trainer.model, with loss= "
        "and optimizer=",
    ),
    "optimizer class": (
        lambda: cr.explain_step(net(), X, Z, optimizer=optim.SGD),  # type: ignore[arg-type]
        "explain_step: optimizer must be an optimizer of optim, got the class SGD (add "
        "parentheses)",
    ),
    "optimizer of another": (
        lambda: cr.explain_step(net(), X, Z, optimizer=optim.SGD(net().parameters())),
        "explain_step: the optimizer has parameters that are not in the model; make it from "
        "model.parameters()",
    ),
    "lbfgs": (
        lambda: cr.explain_step(m := net(), X, Z, optimizer=optim.LBFGS(m.parameters())),
        "explain_step: a step of LBFGS computes the loss many times; use another",
    ),
    "rows": (
        lambda: cr.explain_step(net(), X, Z[:2]),
        "explain_step: x has 3 rows, y has 2; every example needs one target",
    ),
    "nan": (
        lambda: cr.explain_step(net(), X * np.nan, Z),
        "explain_step: x has 6 NaN values in 3 of 3 rows, the first at row 0, column 0; impute "
        "or drop these rows",
    ),
    "none": (
        lambda: cr.explain_step(net(), None, Z),
        "explain_step: x is None; give an array, a tensor, a table, or a tuple or dict of them",
    ),
    "label": (
        lambda: cr.explain_step(net(), X, [0, 1, 2]),
        "explain_step: y has the label 2 at row 2 (1 of 3 labels are outside), the model has 2 "
        "outputs: labels are 0 to 1; set the outputs of the last layer to 3",
    ),
    "shape of y": (
        lambda: cr.explain_step(net(), X, np.zeros((3, 4))),
        "explain_step: y has rows of shape (4,), the model's predictions (2,); set the outputs of "
        "the last layer to 4",
    ),
    "several losses": (
        lambda: cr.explain_step(net(), X, Z, loss=[nn.MSELoss(), nn.L1Loss()]),
        "explain_step: one loss is expected, got several",
    ),
    "loss class": (
        lambda: cr.explain_step(net(), X, Z, loss=nn.MSELoss),
        "explain_step: loss is the class MSELoss; add parentheses: MSELoss()",
    ),
    "detached loss": (
        lambda: cr.explain_step(net(), X, Z, loss=lambda y, t: (t * t).sum()),
        "explain_step: the loss does not depend on the model's output",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name: str) -> None:
    action, text = MISTAKES[name]
    with pytest.raises(cr.errors.ChainruleError) as error:
        action()
    assert str(error.value) == text
