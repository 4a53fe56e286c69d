"""Learning rate schedules by name, stepped after each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import OptionError
from ..optim import lr_scheduler as lr
from ..optim.optimizer import Optimizer

SCHEDULES: dict[str, Callable[[Optimizer, int], Any]] = {
    "constant": lambda optimizer, epochs: None,
    "cosine": lambda optimizer, epochs: lr.CosineAnnealingLR(optimizer, T_max=epochs),
    "linear": lambda optimizer, epochs: lr.LinearLR(optimizer, 1.0, 0.0, total_iters=epochs),
    "exponential": lambda optimizer, epochs: lr.ExponentialLR(optimizer, 0.01 ** (1 / epochs)),
    "step": lambda optimizer, epochs: lr.StepLR(optimizer, max(epochs // 3, 1), 0.1),
    "plateau": lambda optimizer, epochs: lr.ReduceLROnPlateau(optimizer, factor=0.3, patience=4),
}
"""By name: from the optimizer and the number of epochs; constant is none."""


def schedules_of(name: str, optimizer: Optimizer, epochs: int) -> list[Any]:
    """The schedule called ``name``, as a list that may be empty.

    cosine and linear fall to 0 over the epochs, exponential to 1 %, step to a tenth after each
    third of them; plateau to 0.3 of it when the validation loss has not improved for 5 epochs.
    """
    if name not in SCHEDULES:
        raise OptionError(f"schedule {name!r} is unknown; there are {', '.join(SCHEDULES)}")
    made = SCHEDULES[name](optimizer, epochs)
    return [] if made is None else [made]
