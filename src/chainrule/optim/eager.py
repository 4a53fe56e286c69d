"""A hint, said once: a training loop that runs one operation at a time could be compiled."""

from __future__ import annotations

import itertools
import warnings

from ..errors import SlowLoopWarning
from ..habits import user_level
from ..tensor.capture import active

STEPS = 100
"""Eager steps before the hint."""
_count = itertools.count(1)


def count_eager() -> None:
    """One step more, if it is not part of a compiled function; the hint after `STEPS` of them."""
    if active.capture is None and next(_count) == STEPS:
        warnings.warn(
            f"{STEPS} training steps have run one operation at a time, which is slow: put"
            " @cr.compile on a function that computes the loss and calls zero_grad, backward and"
            " step, or use cr.Trainer (this is said once)",
            SlowLoopWarning,
            stacklevel=user_level(),
        )
