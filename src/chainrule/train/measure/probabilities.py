"""What the outputs of a model are probabilities of: its loss says it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ...nn import functional as f
from ...nn.loss import module_of
from .objective import target_of


def probabilities(loss: Any, outputs: Any) -> Array:
    """Probabilities of the classes (axis 1, or the only one) from the outputs of a model.

    Raises OptionError where the loss takes neither logits nor log-probabilities.
    """
    found: Array = np.asarray(outputs)
    takes, target = getattr(module_of(loss), "prediction", ""), target_of(loss)
    if takes == "logits" and target == "labels":
        return np.asarray(f.softmax(found, dim=min(1, found.ndim - 1)).numpy())
    if takes == "logits":
        return np.asarray(f.sigmoid(found).numpy())
    if takes == "log-probabilities":
        return np.asarray(np.exp(found))
    if takes == "probabilities":
        return found
    name = getattr(loss, "__name__", type(loss).__name__)
    raise OptionError(
        f"predict_proba: {name} does not say what is probable; write trainer.predict(x), and the "
        "formula for what its outputs mean"
    )
