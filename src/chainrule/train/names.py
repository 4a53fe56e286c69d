"""Losses and optimizers by name, for ``Trainer(model, "cross_entropy", "adam")``."""

from __future__ import annotations

import difflib
from typing import Any

from .. import optim
from ..errors import OptionError
from ..nn import loss as nn_loss
from ..nn.module import Module
from ..optim.optimizer import Optimizer

LOSSES: dict[str, type[nn_loss.Loss]] = {
    "cross_entropy": nn_loss.CrossEntropyLoss,
    "nll": nn_loss.NLLLoss,
    "bce_with_logits": nn_loss.BCEWithLogitsLoss,
    "binary_cross_entropy_with_logits": nn_loss.BCEWithLogitsLoss,
    "mse": nn_loss.MSELoss,
    "mean_squared_error": nn_loss.MSELoss,
    "mae": nn_loss.L1Loss,
    "mean_absolute_error": nn_loss.L1Loss,
    "l1": nn_loss.L1Loss,
    "huber": nn_loss.HuberLoss,
    "smooth_l1": nn_loss.SmoothL1Loss,
    "poisson_nll": nn_loss.PoissonNLLLoss,
    "kl_div": nn_loss.KLDivLoss,
}
"""Losses by name, with their defaults."""

_LOGITS = {
    "sparse_categorical_crossentropy": '"cross_entropy"',
    "categorical_crossentropy": '"cross_entropy"',
    "crossentropy": '"cross_entropy"',
    "binary_crossentropy": '"bce_with_logits"',
    "binary_cross_entropy": '"bce_with_logits"',
    "bce": '"bce_with_logits"',
    "logistic": '"bce_with_logits"',
}
OPTIMIZERS: dict[str, type[Optimizer]] = {
    name.lower(): kind
    for name, kind in vars(optim).items()
    if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
}
"""Optimizers by name, with their defaults."""


def loss_of(where: str, loss: Any) -> Any:
    """A loss from its name; anything else as it is."""
    if not isinstance(loss, str):
        return loss
    if loss in LOSSES:
        return LOSSES[loss]()
    if loss in _LOGITS:
        raise OptionError(
            f"{where}: loss is the text {loss!r}, which takes probabilities; write {_LOGITS[loss]},"
            " which takes logits: no softmax or sigmoid at the end of the model"
        )
    raise OptionError(f"{where}: no loss is called {loss!r}; {_known(loss, LOSSES)}")


def optimizer_of(model: Any, optimizer: Any) -> Any:
    """An optimizer of all parameters of the model from its name or class; else as it is."""
    if isinstance(optimizer, str):
        kind = OPTIMIZERS.get(optimizer.lower())
        if kind is None:
            raise OptionError(
                f"Trainer: no optimizer is called {optimizer!r}; {_known(optimizer, OPTIMIZERS)}"
            )
        optimizer = kind
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        if isinstance(model, Module):
            return optimizer(model.parameters())  # type: ignore[call-arg]
    return optimizer


def _known(name: str, table: dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, table, 1, 0.6)
    return f"is it {close[0]!r}?" if close else f"there are {', '.join(table)}"
