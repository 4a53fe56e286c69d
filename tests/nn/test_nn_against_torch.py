"""Layers and losses: values, gradients and running means equal PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from torch_goldens import agree, cases, converted, goldens

from chainrule import nn

# PyTorch's own constants have float32's precision here: 1e-12 in BCELoss, 1/6 in Hardsigmoid.
SLACK = {("BCELoss at the ends", "float64"): 1e4, ("Hardsigmoid", "float64"): 1e5}


def fill(module: nn.Module) -> None:
    for i, (_, p) in enumerate(sorted(module.named_parameters(), key=lambda kv: kv[0])):
        p.assign(cases.normal(*p.shape, seed=100 + i).astype(p.dtype))
    for i, (name, b) in enumerate(sorted(module.named_buffers(), key=lambda kv: kv[0])):
        if name.endswith(("running_mean", "running_var")):
            b.assign(cases.uniform(*b.shape, seed=200 + i).astype(b.dtype))


def names(kind: str, case: str) -> list[str]:
    return [key for key in goldens if key.startswith(f"{kind}/{case}/")]


def compare(kind: str, name: str, case, dtype: str) -> None:
    module = case.make(nn, lambda x: converted(x, dtype)).to(dtype)
    if kind == "layer":
        fill(module)
    module.train(not case.evaluate)
    inputs = [converted(x, dtype) for x in case.inputs]
    for i, x in enumerate(inputs):
        if x.is_floating_point() and (kind == "layer" or i == 0):
            x.requires_grad_()
    out = module(*inputs)
    assert out.dtype == np.dtype(dtype)
    (out * converted(cases.normal(*out.shape, seed=300), dtype)).sum().backward()
    found = {"out": out} | {f"grad {i}": x.grad for i, x in enumerate(inputs) if x.grad is not None}
    found |= {f"grad {n}": p.grad for n, p in module.named_parameters()}
    if kind == "layer":
        found |= {f"buffer {n}": b for n, b in module.named_buffers()}
    assert {f"{kind}/{name}/{k}" for k in found} == set(names(kind, name))
    slack = SLACK.get((name.split(",")[0].removesuffix(" at kinks"), dtype), 1.0)
    for key, value in found.items():
        agree(value.numpy(), f"{kind}/{name}/{key}", dtype, slack)


@pytest.mark.parametrize("name", list(cases.LAYERS))
def test_layer(name: str) -> None:
    for dtype in ("float64", "float32"):
        compare("layer", name, cases.LAYERS[name], dtype)


@pytest.mark.parametrize("name", list(cases.LOSSES))
def test_loss(name: str) -> None:
    for dtype in ("float64", "float32"):
        compare("loss", name, cases.LOSSES[name], dtype)
