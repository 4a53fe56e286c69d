"""What the outputs of a model are probabilities of: its loss says it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ...nn import functional as f
from ...nn import loss as nn_loss


def probabilities(loss: Any, outputs: Any) -> Array:
    """Probabilities of the classes (axis 1, or the only one) from the outputs of a model.

    Raises OptionError where the loss takes neither logits nor log-probabilities.
    """
    found = np.asarray(outputs)
    if isinstance(loss, nn_loss.CrossEntropyLoss) or loss is f.cross_entropy:
        softmax: Array = f.softmax(found, dim=min(1, found.ndim - 1)).numpy()
        return softmax
    if isinstance(loss, nn_loss.NLLLoss) or loss is f.nll_loss:
        likely: Array = np.exp(found)
        return likely
    if (
        isinstance(loss, nn_loss.BCEWithLogitsLoss | nn_loss.MultiLabelSoftMarginLoss)
        or loss is f.binary_cross_entropy_with_logits
    ):
        sigmoid: Array = f.sigmoid(found).numpy()
        return sigmoid
    if isinstance(loss, nn_loss.BCELoss) or loss is f.binary_cross_entropy:
        return found
    name = getattr(loss, "__name__", type(loss).__name__)
    raise OptionError(
        f"predict_proba: {name} does not say what is probable; write trainer.predict(x), and the "
        "formula for what its outputs mean"
    )
