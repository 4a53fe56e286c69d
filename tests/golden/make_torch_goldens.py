"""Write torch_nn.npz: what PyTorch computes for every case of nn_cases.py, in float64.

Run with a Python that has PyTorch: ``python tests/golden/make_torch_goldens.py``.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nn_cases as cases
import numpy as np
import torch
from torch import nn, optim
from torch.optim import lr_scheduler

warnings.filterwarnings("ignore")
torch.set_default_dtype(torch.float64)
found: dict[str, np.ndarray] = {}


def tensor(x: np.ndarray) -> torch.Tensor:
    """A tensor with its dtype."""
    return torch.tensor(x)


def fill(module: nn.Module) -> None:
    """Parameters and running means by name, from fixed seeds."""
    with torch.no_grad():
        for i, (_, p) in enumerate(sorted(module.named_parameters())):
            p.copy_(tensor(cases.normal(*p.shape, seed=100 + i)))
        for i, (name, b) in enumerate(sorted(module.named_buffers())):
            if name.endswith(("running_mean", "running_var")):
                b.copy_(tensor(cases.uniform(*b.shape, seed=200 + i)))


def run(kind: str, table: dict[str, cases.Case]) -> None:
    """Outputs, gradients and running means of all modules of a table."""
    for name, case in table.items():
        module = case.make(nn, tensor)
        if kind == "layer":
            fill(module)
        module.train(not case.evaluate)
        inputs = [tensor(np.asarray(x)) for x in case.inputs]
        for x in inputs:
            x.requires_grad_(x.is_floating_point() and (kind == "layer" or x is inputs[0]))
        out = module(*inputs)
        weights = tensor(cases.normal(*out.shape, seed=300))
        (out * weights).sum().backward()
        found[f"{kind}/{name}/out"] = out.detach().numpy()
        for i, x in enumerate(inputs):
            if x.grad is not None:
                found[f"{kind}/{name}/grad {i}"] = x.grad.numpy()
        for n, p in module.named_parameters():
            found[f"{kind}/{name}/grad {n}"] = p.grad.numpy()
        for n, b in module.named_buffers():
            if kind == "layer":
                found[f"{kind}/{name}/buffer {n}"] = b.numpy()


def train(name: str, make: Any) -> None:
    """Losses of 20 steps and the parameters after them."""
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    net.load_state_dict({k: tensor(v) for k, v in cases.NET.items()})
    optimizer = make(optim, net.parameters())
    x, y = tensor(cases.NET_X), tensor(cases.NET_Y)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure)) for _ in range(cases.STEPS)]
    found[f"optimizer/{name}/losses"] = np.array(losses)
    for n, p in net.named_parameters():
        found[f"optimizer/{name}/{n}"] = p.detach().numpy()


def rates(name: str, make_optimizer: Any, make: Any) -> None:
    """Learning rate (and momentum) at each step."""
    optimizer = make_optimizer(optim, [nn.Parameter(torch.zeros(1))])
    made = make(lr_scheduler, optimizer)
    schedules = made if isinstance(made, tuple) else (made,)
    group = optimizer.param_groups[0]
    rows = []
    for _ in range(cases.COUNT):
        rows.append([group["lr"], group["betas"][0] if "betas" in group else group["momentum"]])
        optimizer.step()
        for s in schedules:
            s.step()
    found[f"schedule/{name}"] = np.array(rows)


def plateau(name: str, options: dict[str, Any]) -> None:
    """Learning rate after each metric."""
    optimizer = optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rows = []
    for metric in cases.METRICS:
        schedule.step(metric)
        rows.append(optimizer.param_groups[0]["lr"])
    found[f"plateau/{name}"] = np.array(rows)


if __name__ == "__main__":
    run("layer", cases.LAYERS)
    run("loss", cases.LOSSES)
    for name, make in cases.OPTIMIZERS.items():
        train(name, make)
    for name, (make_optimizer, make) in cases.SCHEDULES.items():
        rates(name, make_optimizer, make)
    for name, options in cases.PLATEAUS.items():
        plateau(name, options)
    path = Path(__file__).with_name("torch_nn.npz")
    np.savez_compressed(path, **found)
    print(f"{path.name}: {len(found)} arrays, {path.stat().st_size} bytes")
