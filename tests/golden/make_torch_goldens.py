"""Write torch_nn.npz: what PyTorch computes for every case beside this file, in float64.

Also torch_state.safetensors: the state dict of all layers, as PyTorch writes it. Run with a Python
that has PyTorch and safetensors: ``python tests/golden/make_torch_goldens.py``.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nn_cases as cases
import numpy as np
import optim_cases
import torch
from safetensors.torch import save_file
from torch import nn, optim
from torch.optim import lr_scheduler, swa_utils

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


def prepared(kind: str, case: cases.Case) -> tuple[nn.Module, list[torch.Tensor]]:
    """A filled module, and its inputs; the losses have gradients of their first input only."""
    module = case.make(nn, tensor)
    if kind == "layer":
        fill(module)
    module.train(not case.evaluate)
    inputs = [tensor(np.asarray(x)) for x in case.inputs]
    for x in inputs:
        x.requires_grad_(x.is_floating_point() and (kind != "loss" or x is inputs[0]))
    return module, inputs


def weighted(out: torch.Tensor) -> torch.Tensor:
    """A number from all outputs."""
    return (out * tensor(cases.normal(*out.shape, seed=300))).sum()


def run(kind: str, table: dict[str, cases.Case]) -> None:
    """Outputs, gradients, running means, and parameters that a call changes."""
    for name, case in table.items():
        module, inputs = prepared(kind, case)
        before = {n: p.detach().clone() for n, p in module.named_parameters()}
        out = module(*inputs)
        weighted(out).backward()
        found[f"{kind}/{name}/out"] = out.detach().numpy()
        for i, x in enumerate(inputs):
            if x.grad is not None:
                found[f"{kind}/{name}/grad {i}"] = x.grad.numpy()
        for n, p in module.named_parameters():
            found[f"{kind}/{name}/grad {n}"] = p.grad.numpy()
            if not torch.equal(p, before[n]):
                found[f"{kind}/{name}/after {n}"] = p.detach().numpy()
        for n, b in module.named_buffers():
            if kind == "layer":
                found[f"{kind}/{name}/buffer {n}"] = b.numpy()
        if cases.is_descended(name):
            descend(f"{kind}/{name}", *prepared(kind, case))


def descend(name: str, module: nn.Module, inputs: list[torch.Tensor]) -> None:
    """The loss in each of 20 steps of gradient descent on inputs and parameters."""
    free = [t for t in (*inputs, *module.parameters()) if t.requires_grad]
    losses = []
    for _ in range(cases.STEPS):
        out = module(*inputs)
        loss = weighted(out) if out.ndim else out
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, free)
        with torch.no_grad():
            for t, grad in zip(free, gradients, strict=True):
                t -= cases.RATE * grad
    found[f"{name}/losses"] = np.array(losses)


def train(name: str, make: Any) -> None:
    """Losses of 20 steps and the parameters after them."""
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    net.load_state_dict({k: tensor(v) for k, v in optim_cases.NET.items()})
    optimizer = make(optim, net.parameters())
    x, y = tensor(optim_cases.NET_X), tensor(optim_cases.NET_Y)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure)) for _ in range(optim_cases.STEPS)]
    found[f"optimizer/{name}/losses"] = np.array(losses)
    for n, p in net.named_parameters():
        found[f"optimizer/{name}/{n}"] = p.detach().numpy()


def parameters() -> list[nn.Parameter]:
    """Four, for one group or two."""
    return [nn.Parameter(torch.zeros(1)) for _ in range(4)]


def rates(name: str, make_optimizer: Any, make: Any) -> None:
    """Learning rates (and the first momentum) at each step."""
    optimizer = make_optimizer(optim, parameters())
    made = make(SimpleNamespace(**vars(lr_scheduler), SWALR=swa_utils.SWALR), optimizer)
    schedules = made if isinstance(made, tuple) else (made,)
    rows = []
    for _ in range(optim_cases.COUNT):
        rows.append(optim_cases.rates(optimizer))
        optimizer.step()
        for s in schedules:
            s.step()
    found[f"schedule/{name}"] = np.array(rows)


def plateau(name: str, options: dict[str, Any]) -> None:
    """Learning rates after each metric."""
    optimizer = optim_cases.GROUPS(optim, parameters())
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rows = []
    for metric in optim_cases.METRICS:
        schedule.step(metric)
        rows.append(optim_cases.rates(optimizer))
    found[f"plateau/{name}"] = np.array(rows)


def state() -> None:
    """The state dict of all layers after one call in training, and what they give then."""
    zoo = cases.zoo(nn, lambda x: torch.tensor(x)).float()
    for name, module in zoo.items():
        fill(module)
        inputs = [torch.tensor(np.asarray(x)) for x in cases.LAYERS[name].inputs]
        inputs = [x.float() if x.is_floating_point() else x for x in inputs]
        module.train()
        module(*inputs)
        module.eval()
        found[f"state/{name}"] = module(*inputs).detach().numpy()
    save_file(zoo.state_dict(), Path(__file__).with_name("torch_state.safetensors"))


if __name__ == "__main__":
    run("layer", cases.LAYERS)
    run("loss", cases.LOSSES)
    run("function", cases.FUNCTIONS)
    for name, make in optim_cases.OPTIMIZERS.items():
        train(name, make)
    for name, (make_optimizer, make) in optim_cases.SCHEDULES.items():
        rates(name, make_optimizer, make)
    for name, options in optim_cases.PLATEAUS.items():
        plateau(name, options)
    state()
    path = Path(__file__).with_name("torch_nn.npz")
    np.savez_compressed(path, **found)
    print(f"{path.name}: {len(found)} arrays, {path.stat().st_size} bytes")
