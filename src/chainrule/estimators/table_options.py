"""Options of a model of a table, with their defaults: the same from Python and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.understood import Reading, column_names, reading_of
from ..errors import OptionError
from .keywords import Keywords
from .network import Training

TABLE_LOSSES = ("auto", "poisson")
TRAINING = ("optimizer", "lr", "weight_decay", "batch_size", "epochs", "seed")
"""The options of `Training` that are options here as well."""


@dataclass(frozen=True)
class TableOptions(Keywords):
    """How to read a table, which rows to hold out, what net to train, and how.

    ``test``: rows that choose nothing and are measured at the end: a share of the rows, "last:N",
    or a table. ``split``: "random", or "time:COLUMN": the latest rows are held out. ``loss``:
    "auto" (cross entropy, or squared error), or "poisson" for counts; ``log_target``: learn
    log(1 + y); ``class_weight``: "balanced", or a weight by class.
    """

    task: str = "auto"
    drop: Any = ()
    categorical: Any = ()
    text: Any = ()
    dates: Any = ()
    decimal: str | None = None
    thousands: str | None = None
    missing: Any = ()
    hidden: Sequence[int] = (64, 64)
    activation: str | Sequence[str] = "relu"
    dropout: float | Sequence[float] = 0.0
    schedule: str = "constant"
    validation: float = 0.2
    test: Any = None
    split: str = "random"
    patience: int | None = 10
    loss: str = "auto"
    log_target: bool = False
    class_weight: str | Mapping[Any, float] | None = None
    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 1e-5
    batch_size: int = 128
    epochs: int = 100
    seed: int = 0
    training: Mapping[str, Any] | None = field(default=None)
    """More options of `Training`, or the same."""

    def __post_init__(self) -> None:
        if not 0 < self.validation < 1:
            raise OptionError(
                f"validation is a share of the rows between 0 and 1, got {self.validation!r}"
            )
        if self.loss not in TABLE_LOSSES:
            raise OptionError(f"loss is {' or '.join(map(repr, TABLE_LOSSES))}, got {self.loss!r}")
        if self.split != "random" and not (self.split.startswith("time:") and self.split[5:]):
            raise OptionError(f'split is "random" or "time:COLUMN", got {self.split!r}')
        if self.log_target and self.loss == "poisson":
            raise OptionError(
                "log_target and loss 'poisson' both learn a logarithm; choose one of them"
            )

    def reading(self) -> Reading:
        """How cells are to be read."""
        return reading_of(
            self.decimal,
            self.thousands,
            column_names(self.missing),
            column_names(self.categorical),
            column_names(self.text),
            self.dates if isinstance(self.dates, Mapping) else column_names(self.dates),
        )

    def for_training(self) -> Training:
        """The options of the training itself."""
        own = {k: getattr(self, k) for k in TRAINING}
        return Training(**(own | dict(self.training or {})))


DEFAULTS = TableOptions()
