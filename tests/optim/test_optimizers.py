"""Every optimizer in one table: it descends, resumes exactly, and leaves alone what has no
gradient."""

from __future__ import annotations

import exports
import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

RULES = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.8),
    "SGD dampening": lambda p: optim.SGD(p, lr=0.05, momentum=0.8, dampening=0.5),
    "Backprop1986": lambda p: optim.Backprop1986(p, lr=0.05, momentum=0.5),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.05),
    "RMSprop centered": lambda p: optim.RMSprop(p, lr=0.02, centered=True, momentum=0.5),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.5),
    "Adadelta": lambda p: optim.Adadelta(p, lr=20.0),
    "Adamax": lambda p: optim.Adamax(p, lr=0.1),
    "NAdam": lambda p: optim.NAdam(p, lr=0.1),
    "RAdam": lambda p: optim.RAdam(p, lr=0.1),
    "Lion": lambda p: optim.Lion(p, lr=0.05),
    "Rprop": lambda p: optim.Rprop(p, lr=0.05),
    "Muon": lambda p: optim.Muon(p, lr=0.1),
    "ASGD": lambda p: optim.ASGD(p, lr=0.1, t0=3),
    "Adafactor": lambda p: optim.Adafactor(p, lr=0.2),
    "LBFGS": lambda p: optim.LBFGS(p, lr=0.5, max_iter=2),
    "LBFGS strong_wolfe": lambda p: optim.LBFGS(p, line_search_fn="strong_wolfe", max_iter=3),
}
TARGET = np.linspace(-1, 1, 12).reshape(4, 3).astype(np.float32)


def bowl(rule: str) -> tuple[nn.Parameter, optim.Optimizer, object]:
    p = nn.Parameter(np.full((4, 3), 2.0, np.float32))
    optimizer = RULES[rule]([p])

    def closure():
        optimizer.zero_grad()
        loss = ((p - TARGET) ** 2).sum()
        loss.backward()
        return loss

    return p, optimizer, closure


@pytest.mark.parametrize("rule", list(RULES))
def test_descends(rule: str) -> None:
    p, optimizer, closure = bowl(rule)
    losses = [optimizer.step(closure).item() for _ in range(60)]
    assert losses[-1] < 0.1 * losses[0]
    assert p.dtype == np.float32 and p.is_leaf


@pytest.mark.parametrize("rule", list(RULES))
def test_state_dict_resumes_to_the_same_bits(rule: str) -> None:
    p, optimizer, closure = bowl(rule)
    for _ in range(3):
        optimizer.step(closure)
    q, other, other_closure = bowl(rule)
    q.assign(p.detach())
    other.load_state_dict(optimizer.state_dict())
    for _ in range(4):
        optimizer.step(closure)
        other.step(other_closure)
    assert np.array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize("rule", [r for r in RULES if not r.startswith("LBFGS")])
def test_compiled_equals_eager(rule: str) -> None:
    p, optimizer, closure = bowl(rule)
    q, other, other_closure = bowl(rule)
    compiled = cr.compile(lambda: other.step(other_closure))
    for _ in range(5):
        optimizer.step(closure)
        compiled()
    # Muon amplifies the rounding of small singular values: this gradient has rank 2 of 3.
    tolerance = 1e-3 if rule == "Muon" else 2e-5
    np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rule", [r for r in RULES if not r.startswith("LBFGS")])
def test_a_parameter_without_gradient_is_left_alone(rule: str) -> None:
    p, still = nn.Parameter(np.ones((2, 2))), nn.Parameter(np.ones((2, 2)))
    optimizer = RULES[rule]([p, still])
    for _ in range(2):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
    assert np.array_equal(still.numpy(), np.ones((2, 2))) and not np.array_equal(
        p.numpy(), np.ones((2, 2))
    )


def test_a_parameter_that_starts_late_counts_its_own_steps() -> None:
    """Adam's first step is lr · sign(g), also when other parameters have stepped before."""
    p, late = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(1))
    optimizer = optim.Adam([p, late], lr=0.1)
    for loss in (lambda: (p * p).sum(), lambda: (p * p).sum(), lambda: ((p + late) ** 2).sum()):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    np.testing.assert_allclose(late.numpy(), [0.9], rtol=1e-7)
    assert [optimizer.state[t]["step"].item() for t in (p, late)] == [3, 1]


def test_a_late_parameter_in_a_compiled_function() -> None:
    p, late = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(1))
    optimizer = optim.Adam([p, late], lr=0.1)

    @cr.compile
    def step(both: bool) -> cr.Tensor:
        loss = ((p + late) ** 2).sum() if both else (p * p).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step(True)
    step(False)
    step(False)
    step(True)
    assert [optimizer.state[t]["step"].item() for t in (p, late)] == [4, 2]


def test_param_groups() -> None:
    a, b = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(1))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    (a.sum() + b.sum()).backward()
    optimizer.step()
    assert a.item() == pytest.approx(0.9) and b.item() == 0.5
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5]
    c = nn.Parameter(np.ones(1))
    optimizer.add_param_group({"params": [c], "momentum": 0.9})
    assert len(optimizer.param_groups) == 3 and "momentum_buffer" in optimizer.state[c]


def test_named_parameters() -> None:
    optimizer = optim.SGD(nn.Linear(2, 1).named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ("weight", "bias")


def test_lr_reaches_a_compiled_step_without_compiling_again() -> None:
    p = nn.Parameter(np.ones(1))
    optimizer = optim.SGD([p], lr=0.5)
    traced = []

    @cr.compile
    def step() -> None:
        traced.append(1)
        optimizer.zero_grad()
        p.sum().backward()
        optimizer.step()

    step()
    optimizer.param_groups[0]["lr"] *= 0.5
    step()
    assert p.item() == 0.25 and len(traced) == 1
    optimizer.param_groups[0]["weight_decay"] = 1.0
    step()
    assert p.item() == pytest.approx(0.25 - 0.25 * 1.25) and len(traced) == 2


def test_zero_grad() -> None:
    p = nn.Parameter(np.ones(2))
    optimizer = optim.SGD([p], lr=0.1)
    p.sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_backprop1986_is_equation_9() -> None:
    p = nn.Parameter(np.array([1.0, -2.0]))
    optimizer = optim.Backprop1986([p], lr=0.1, momentum=0.9)
    w, change = np.array([1.0, -2.0]), np.zeros(2)
    for epsilon in (0.1, 0.1, 0.02, 0.02):
        optimizer.param_groups[0]["lr"] = epsilon
        optimizer.zero_grad()
        (p**3).sum().backward()
        optimizer.step()
        change = -epsilon * 3 * w**2 + 0.9 * change
        w = w + change
    np.testing.assert_allclose(p.numpy(), w, rtol=1e-14)


def test_lion_is_its_formula() -> None:
    p = nn.Parameter(np.array([1.0, -2.0]))
    optimizer = optim.Lion([p], lr=0.1, betas=(0.9, 0.5), weight_decay=0.1)
    w, m = np.array([1.0, -2.0]), np.zeros(2)
    for _ in range(5):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
        g = 2 * w
        w = w * (1 - 0.1 * 0.1) - 0.1 * np.sign(0.9 * m + 0.1 * g)
        m = 0.5 * m + 0.5 * g
    np.testing.assert_allclose(p.numpy(), w, rtol=1e-14)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
def test_muon_is_its_formula(shape: tuple[int, int], adjust: str | None) -> None:
    rng = np.random.default_rng(0)
    w, m = rng.normal(size=shape), np.zeros(shape)
    p = nn.Parameter(w)
    optimizer = optim.Muon([p], lr=0.1, weight_decay=0.2, momentum=0.9, adjust_lr_fn=adjust)
    for _ in range(3):
        g = rng.normal(size=shape)
        p.grad = cr.tensor(g)
        optimizer.step()
        m = 0.9 * m + 0.1 * g
        u = 0.1 * g + 0.9 * m
        x = u.T if shape[0] > shape[1] else u
        x = x / np.linalg.norm(x)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
        u = x.T if shape[0] > shape[1] else x
        rate = 0.2 * np.sqrt(max(shape)) if adjust else np.sqrt(max(1, shape[0] / shape[1]))
        w = w * (1 - 0.1 * 0.2) - 0.1 * rate * u
    np.testing.assert_allclose(p.numpy(), w, rtol=1e-12)
    assert (
        0.5
        < np.linalg.svd(u, compute_uv=False).min()
        < np.linalg.svd(u, compute_uv=False).max()
        < 1.5
    )


def test_lbfgs_finds_rosenbrocks_minimum() -> None:
    p = nn.Parameter(np.array([-1.2, 1.0]))
    optimizer = optim.LBFGS(
        [p], max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-14
    )
    count = []

    def closure():
        count.append(1)
        optimizer.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(p.numpy(), [1, 1], rtol=1e-6)
    assert len(count) < 80


def test_state_dict_of_torch_can_be_loaded() -> None:
    """PyTorch's layout: float steps, integer keys, options it has and we have not read."""
    p = nn.Parameter(np.ones(2, np.float32))
    optimizer = optim.Adam([p])
    optimizer.load_state_dict(
        {
            "state": {
                0: {"step": np.float32(7), "exp_avg": np.ones(2), "exp_avg_sq": np.full(2, 2.0)}
            },
            "param_groups": [
                {
                    "lr": 0.25,
                    "betas": (0.8, 0.9),
                    "eps": 1e-8,
                    "weight_decay": 0,
                    "amsgrad": False,
                    "foreach": None,
                    "maximize": False,
                    "capturable": False,
                    "params": [0],
                }
            ],
        }
    )
    assert optimizer.state[p]["step"].item() == 7 and optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.state[p]["exp_avg_sq"].tolist() == [2.0, 2.0]


def test_every_optimizer_is_in_the_table() -> None:
    assert {rule.split()[0] for rule in RULES} == exports.OPTIMIZERS


@pytest.mark.parametrize(
    "rule", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "RAdam"]
)
def test_pytorchs_switches_change_nothing(rule: str) -> None:
    results = []
    for switches in ({}, {"foreach": True, "fused": True, "capturable": False}):
        p = nn.Parameter(np.ones(3))
        optimizer = getattr(optim, rule)([p], lr=0.1, **switches)
        (p * p).sum().backward()
        optimizer.step()
        results.append(p.numpy())
    assert np.array_equal(*results)


def test_lbfgs_strong_wolfe_survives_a_loss_that_overflows() -> None:
    p = nn.Parameter(np.array([1.0]))
    optimizer = optim.LBFGS([p], lr=2000.0, line_search_fn="strong_wolfe", max_iter=30)

    def closure():
        optimizer.zero_grad()
        loss = cr.exp(p[0] * p[0])
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert p.item() == pytest.approx(0, abs=1e-3)


def test_repr() -> None:
    text = repr(optim.SGD([nn.Parameter([1.0])], lr=0.5))
    assert text.splitlines()[:3] == ["SGD (", "Parameter Group 0", "    dampening: 0"]
    assert "    lr: 0.5" in text
