"""What nn and optim export: the cases must name all of it, but for short lists with reasons."""

from __future__ import annotations

from typing import Any

import nn_cases

from chainrule import nn, optim
from chainrule.optim import lr_scheduler, swa_utils


def classes(module: Any, base: type) -> set[str]:
    """The public classes of a module that derive from ``base``, without it."""
    found = {k for k, v in vars(module).items() if isinstance(v, type) and issubclass(v, base)}
    return {k for k in found if not k.startswith("_")} - {base.__name__}


def named(cases: Any) -> set[str]:
    """The classes the cases are named after: the first word."""
    return {name.replace(",", " ").split()[0] for name in cases}


MODULES = classes(nn, nn.Module)
OPTIMIZERS = classes(optim, optim.Optimizer)
SCHEDULES = {
    name
    for module in (lr_scheduler, swa_utils)
    for name in classes(module, lr_scheduler.LRScheduler)
}
COVERED = named(nn_cases.LAYERS) | named(nn_cases.LOSSES)

WITHOUT_CASE = {
    "ModuleList": "computes nothing",
    "ModuleDict": "computes nothing",
    "ParameterList": "computes nothing",
    "ParameterDict": "computes nothing",
    "RBM": "not in PyTorch: exact sums over all states in NumPy, test_boltzmann.py",
    "Dense": "LazyLinear and an activation, test_keras_words.py",
    "CrossMapLRN2d": "LocalResponseNorm's formula with another first sum, test_lazy.py",
    **{n: "becomes another module, test_lazy.py" for n in MODULES if n.startswith("Lazy")},
}
OPTIMIZERS_WITHOUT_GOLDEN = {
    "Backprop1986": "not in PyTorch: equation 9 in NumPy, test_optimizers.py",
    "Lion": "not in PyTorch: its formula in NumPy, test_optimizers.py",
    "Muon": "PyTorch orthogonalizes in bfloat16: its formula in NumPy, test_optimizers.py",
}
SCHEDULES_WITHOUT_GOLDEN = {
    "NoamLR": "not in PyTorch: its formula, test_lr_scheduler.py",
    "WarmupCosineLR": "not in PyTorch: its formula, test_lr_scheduler.py",
    "ReduceLROnPlateau": "has goldens of its own, by metrics",
}
