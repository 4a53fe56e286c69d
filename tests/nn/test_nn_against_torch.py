"""Layers, losses and functions: values, gradients, statistics and training equal PyTorch's."""

from __future__ import annotations

import exports
import numpy as np
import pytest
from torch_goldens import agree, cases, converted, goldens

import chainrule as cr
from chainrule import nn

# PyTorch's own constants have float32's precision here: 1e-12 in BCELoss, 1/6 in Hardsigmoid.
SLACK = {
    ("TransformerEncoder", "float32"): 1.5,
    ("BCELoss at the ends", "float64"): 1e4,
    ("Hardsigmoid", "float64"): 1e5,
}


def fill(module: nn.Module) -> None:
    for i, (_, p) in enumerate(sorted(module.named_parameters(), key=lambda kv: kv[0])):
        p.assign(cases.normal(*p.shape, seed=100 + i).astype(p.dtype))
    for i, (name, b) in enumerate(sorted(module.named_buffers(), key=lambda kv: kv[0])):
        if name.endswith(("running_mean", "running_var")):
            b.assign(cases.uniform(*b.shape, seed=200 + i).astype(b.dtype))


def names(kind: str, case: str) -> list[str]:
    return [key for key in goldens if key.startswith(f"{kind}/{case}/")]


def prepared(kind: str, case, dtype: str):
    module = case.make(nn, lambda x: converted(x, dtype)).to(dtype)
    if kind == "layer":
        fill(module)
    module.train(not case.evaluate)
    inputs = [converted(x, dtype) for x in case.inputs]
    for i, x in enumerate(inputs):
        if x.is_floating_point() and (kind != "loss" or i == 0):
            x.requires_grad_()
    return module, inputs


def weighted(out: cr.Tensor, dtype: str) -> cr.Tensor:
    return (out * converted(cases.normal(*out.shape, seed=300), dtype)).sum()


def compare(kind: str, name: str, case, dtype: str) -> None:
    module, inputs = prepared(kind, case, dtype)
    before = {n: p.numpy().copy() for n, p in module.named_parameters()}
    out = module(*inputs)
    assert out.dtype == np.dtype(dtype)
    weighted(out, dtype).backward()
    found = {"out": out} | {f"grad {i}": x.grad for i, x in enumerate(inputs) if x.grad is not None}
    found |= {f"grad {n}": p.grad for n, p in module.named_parameters()}
    found |= {
        f"after {n}": p
        for n, p in module.named_parameters()
        if not np.array_equal(p.numpy(), before[n])
    }
    if kind == "layer":
        found |= {f"buffer {n}": b for n, b in module.named_buffers()}
    expected = set(names(kind, name))
    assert {f"{kind}/{name}/{k}" for k in found} == expected - {f"{kind}/{name}/losses"}
    for key, value in found.items():
        agree(value.numpy(), f"{kind}/{name}/{key}", dtype, slack(name, dtype))


def slack(name: str, dtype: str) -> float:
    return SLACK.get((name.split(",")[0].removesuffix(" at kinks"), dtype), 1.0)


def descend(module: nn.Module, inputs: list[cr.Tensor], dtype: str) -> list[float]:
    """The loss in each of 20 steps of gradient descent on inputs and parameters."""
    free = [t for t in (*inputs, *module.parameters()) if t.requires_grad]
    losses = []
    for _ in range(cases.STEPS):
        for t in free:
            t.grad = None
        out = module(*inputs)
        loss = weighted(out, dtype) if out.ndim else out
        loss.backward()
        losses.append(loss.item())
        with cr.no_grad():
            for t in free:
                t.assign(t - cases.RATE * t.grad)
    return losses


TABLES = {"layer": cases.LAYERS, "loss": cases.LOSSES, "function": cases.FUNCTIONS}


CASES = [(kind, name) for kind, table in TABLES.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_equals_pytorch(kind: str, name: str) -> None:
    for dtype in ("float64", "float32"):
        compare(kind, name, TABLES[kind][name], dtype)


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "name"), [c for c in CASES if cases.is_descended(c[1])])
def test_twenty_steps_equal_pytorchs(kind: str, name: str, dtype: str) -> None:
    losses = descend(*prepared(kind, TABLES[kind][name], dtype), dtype)
    agree(losses, f"{kind}/{name}/losses", dtype, slack(name, dtype))


def test_no_module_is_left_out() -> None:
    assert exports.MODULES - exports.COVERED == set(exports.WITHOUT_CASE)


def test_every_loss_has_all_its_reductions() -> None:
    for name in exports.named(cases.LOSSES):
        found = {n.split(", ")[1] for n in cases.LOSSES if n.startswith((f"{name},", f"{name} "))}
        assert found == set(getattr(nn, name).reductions), name
