"""Optimizers and schedules as code that PyTorch and Chainrule both run; see nn_cases.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from nn_cases import labels, normal

OPTIMIZERS: dict[str, Callable[[Any, Any], Any]] = {
    "SGD": lambda o, p: o.SGD(p, lr=0.1),
    "SGD momentum": lambda o, p: o.SGD(p, lr=0.05, momentum=0.9),
    "SGD dampening decay": lambda o, p: o.SGD(
        p, lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.01
    ),
    "SGD nesterov": lambda o, p: o.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "SGD maximize": lambda o, p: o.SGD(p, lr=0.01, maximize=True, weight_decay=0.1),
    "Adam": lambda o, p: o.Adam(p, lr=0.01),
    "Adam defaults": lambda o, p: o.Adam(p),
    "Adam amsgrad decay": lambda o, p: o.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.1),
    "Adam betas eps": lambda o, p: o.Adam(p, lr=0.01, betas=(0.5, 0.7), eps=0.01, maximize=True),
    "AdamW": lambda o, p: o.AdamW(p, lr=0.01),
    "AdamW amsgrad": lambda o, p: o.AdamW(p, lr=0.01, weight_decay=0.2, amsgrad=True),
    "RMSprop": lambda o, p: o.RMSprop(p, lr=0.01),
    "RMSprop centered momentum": lambda o, p: o.RMSprop(
        p, lr=0.01, momentum=0.8, centered=True, weight_decay=0.1, alpha=0.9, eps=1e-3
    ),
    "Adagrad": lambda o, p: o.Adagrad(p, lr=0.1),
    "Adagrad decay": lambda o, p: o.Adagrad(
        p, lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.2
    ),
    "Adadelta": lambda o, p: o.Adadelta(p, weight_decay=0.1),
    "Adamax": lambda o, p: o.Adamax(p, lr=0.01, weight_decay=0.1),
    "NAdam": lambda o, p: o.NAdam(p, lr=0.01),
    "NAdam decay": lambda o, p: o.NAdam(p, lr=0.01, weight_decay=0.1),
    "NAdam decoupled": lambda o, p: o.NAdam(
        p, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True
    ),
    "RAdam": lambda o, p: o.RAdam(p, lr=0.01),
    "RAdam decoupled": lambda o, p: o.RAdam(
        p, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1, decoupled_weight_decay=True
    ),
    "Rprop": lambda o, p: o.Rprop(p, lr=0.01),
    "LBFGS": lambda o, p: o.LBFGS(p, lr=0.5, max_iter=3, history_size=5),
    "LBFGS strong_wolfe": lambda o, p: o.LBFGS(p, line_search_fn="strong_wolfe", max_iter=2),
    "LBFGS strong_wolfe long": lambda o, p: o.LBFGS(
        p, lr=3.0, line_search_fn="strong_wolfe", max_iter=2, max_eval=9, history_size=3
    ),
    "SGD groups": lambda o, p: o.SGD(
        halves(p, {"momentum": 0.5}, {"lr": 0.02, "weight_decay": 0.1, "nesterov": True}),
        lr=0.1,
        momentum=0.9,
        foreach=False,
    ),
    "Adam groups": lambda o, p: o.Adam(
        halves(p, {}, {"betas": (0.8, 0.9), "eps": 1e-4, "amsgrad": True}), lr=0.01
    ),
    "Adam decoupled": lambda o, p: o.Adam(
        p, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True
    ),
    "AdamW maximize": lambda o, p: o.AdamW(p, lr=0.01, maximize=True, eps=1e-3),
    "RMSprop momentum": lambda o, p: o.RMSprop(p, lr=0.003, momentum=0.9, maximize=True),
    "Adagrad maximize": lambda o, p: o.Adagrad(p, lr=0.1, eps=1e-3, maximize=True),
    "Adadelta options": lambda o, p: o.Adadelta(p, lr=0.5, rho=0.8, eps=1e-3, maximize=True),
    "Adamax options": lambda o, p: o.Adamax(p, betas=(0.8, 0.9), eps=1e-2, maximize=True),
    "NAdam options": lambda o, p: o.NAdam(
        p, betas=(0.8, 0.9), eps=1e-3, momentum_decay=0.05, maximize=True
    ),
    "RAdam options": lambda o, p: o.RAdam(
        p, lr=0.01, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1, maximize=True
    ),
    "Rprop options": lambda o, p: o.Rprop(
        p, lr=0.01, etas=(0.4, 1.5), step_sizes=(2e-3, 0.03), maximize=True
    ),
    "ASGD": lambda o, p: o.ASGD(p),
    "ASGD options": lambda o, p: o.ASGD(
        p, lr=0.1, lambd=0.05, alpha=0.6, t0=6, weight_decay=0.1, maximize=True
    ),
    "Adafactor": lambda o, p: o.Adafactor(p),
    "Adafactor options": lambda o, p: o.Adafactor(
        p, lr=0.2, beta2_decay=-0.5, eps=(1e-4, 0.1), d=2.0, weight_decay=0.1, maximize=True
    ),
}


def halves(params: Any, first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """Two groups of two parameters each, with options of their own."""
    listed = list(params)
    return [{"params": listed[:2], **first}, {"params": listed[2:], **second}]


NET = {"0.weight": normal(8, 4), "0.bias": normal(8), "2.weight": normal(3, 8), "2.bias": normal(3)}
NET_X, NET_Y = normal(16, 4, seed=7), labels(16, n=3, seed=7)
STEPS = 20

SCHEDULES: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {}


def _schedule(
    name: str, make: Callable[[Any, Any], Any], optimizer: Callable[[Any, Any], Any] | None = None
) -> None:
    SCHEDULES[name] = (optimizer or (lambda o, p: o.SGD(p, lr=0.5)), make)


def MOMENTUM(o: Any, p: Any) -> Any:  # noqa: N802
    """SGD with momentum."""
    return o.SGD(p, lr=0.5, momentum=0.9)


def GROUPS(o: Any, p: Any) -> Any:  # noqa: N802
    """Two groups of SGD."""
    return o.SGD(halves(p, {}, {"lr": 0.25}), lr=0.5, momentum=0.9)


_schedule("LambdaLR", lambda s, o: s.LambdaLR(o, lambda t: 0.98**t))
_schedule("MultiplicativeLR", lambda s, o: s.MultiplicativeLR(o, lambda t: 1 - 1 / (10.0 + t)))
_schedule("StepLR", lambda s, o: s.StepLR(o, 7, 0.7))
_schedule("MultiStepLR", lambda s, o: s.MultiStepLR(o, [3, 50, 11, 12], 0.2))
_schedule("ExponentialLR", lambda s, o: s.ExponentialLR(o, 0.9))
_schedule("ConstantLR", lambda s, o: s.ConstantLR(o, 0.25, 6))
_schedule("LinearLR", lambda s, o: s.LinearLR(o, 0.1, 0.9, 60))
_schedule("PolynomialLR", lambda s, o: s.PolynomialLR(o, 80, 2.0))
_schedule("CosineAnnealingLR", lambda s, o: s.CosineAnnealingLR(o, 30, 0.05))
_schedule("CosineAnnealingWarmRestarts", lambda s, o: s.CosineAnnealingWarmRestarts(o, 9))
_schedule(
    "CosineAnnealingWarmRestarts growing", lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.01)
)
_schedule("OneCycleLR", lambda s, o: s.OneCycleLR(o, 1.0, 110), MOMENTUM)
_schedule(
    "OneCycleLR linear three phases",
    lambda s, o: s.OneCycleLR(
        o, 1.0, epochs=10, steps_per_epoch=11, anneal_strategy="linear", three_phase=True
    ),
    lambda o, p: o.Adam(p),
)
_schedule(
    "OneCycleLR plain", lambda s, o: s.OneCycleLR(o, 1.0, 101, pct_start=0.2, cycle_momentum=False)
)
_schedule("OneCycleLR groups", lambda s, o: s.OneCycleLR(o, [1.0, 0.3], 105), GROUPS)
_schedule("CyclicLR", lambda s, o: s.CyclicLR(o, 0.1, 1.0, 9), MOMENTUM)
_schedule(
    "CyclicLR triangular2",
    lambda s, o: s.CyclicLR(o, 0.0, 1.0, 6, 11, "triangular2"),
    lambda o, p: o.Adam(p),
)
_schedule(
    "CyclicLR exp_range",
    lambda s, o: s.CyclicLR(o, 0.1, 1.0, 10, mode="exp_range", gamma=0.97, cycle_momentum=False),
)
_schedule(
    "CyclicLR own scale",
    lambda s, o: s.CyclicLR(o, [0.1, 0.2], [1.0, 2.0], 7, scale_fn=lambda c: 1 / c),
    GROUPS,
)
_schedule(
    "CyclicLR own scale of steps",
    lambda s, o: s.CyclicLR(
        o, 0.1, 1.0, 7, scale_fn=lambda t: 0.9**t, scale_mode="iterations", cycle_momentum=False
    ),
)
_schedule("SWALR", lambda s, o: s.SWALR(o, 0.05, 20))
_schedule("SWALR linear groups", lambda s, o: s.SWALR(o, [0.05, 0.9], 7, "linear"), GROUPS)
_schedule("SWALR at once", lambda s, o: s.SWALR(o, 0.05, 0))
_schedule(
    "SequentialLR",
    lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.97), s.StepLR(o, 5, 0.5)], [4, 50]
    ),
)
_schedule(
    "ChainedScheduler",
    lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.95)]),
)
_schedule("two schedules", lambda s, o: (s.LinearLR(o, 0.2, 1.0, 5), s.StepLR(o, 20, 0.5)))
_schedule("groups", lambda s, o: s.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (1 + t)]), GROUPS)


def rates(optimizer: Any) -> list[float]:
    """The learning rate of each group, and the momentum (or β₁) of the first."""
    first = optimizer.param_groups[0]
    momentum = first["betas"][0] if "betas" in first else first["momentum"]
    return [*(group["lr"] for group in optimizer.param_groups), momentum]


COUNT = 100  # steps of a schedule
METRICS = [round(2.0 / (1 + t // 6) + 0.05 * np.cos(7.0 * t), 3) for t in range(100)]
PLATEAUS: dict[str, dict[str, Any]] = {
    "defaults": {"patience": 2},
    "cooldown": {"patience": 1, "factor": 0.5, "cooldown": 2, "min_lr": 0.2},
    "min abs groups": {"patience": 1, "threshold_mode": "abs", "min_lr": [0.1, 0.01], "eps": 0.02},
    "max abs": {"mode": "max", "patience": 3, "threshold_mode": "abs", "threshold": 0.2},
}
