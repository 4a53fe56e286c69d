"""What training a net for images, sequences or texts has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..errors import DataError, OptionError
from ..nn.options import check, integer, number, optional
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from ..tensor.ops.random import default_generator
from ..tensor.value import stored
from ..train import EarlyStopping, Trainer
from ..train.interrupt import INTERRUPTED, Interrupts, interrupts
from .keywords import Keywords
from .measure import ClassScores, NumberScores
from .network import OPTIMIZERS, softmax
from .schedule import schedules_of

ROWS = 256
"""Examples that are answered at once."""


@dataclass(frozen=True)
class LearningOptions(Keywords):
    """How to train.

    ``validation``, the share of the examples by which the epoch is chosen; ``patience``: epochs
    without progress before it stops (None: never; the last is kept).
    """

    validation: float = 0.1
    patience: int | None = 5
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    batch_size: int = 64
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "validation": number(0, 1, "()"),
            "patience": optional(integer(1)),
            "lr": number(0, brackets="()"),
            "weight_decay": number(0),
            "batch_size": integer(1),
            "epochs": integer(1),
            "seed": integer(),
        }
        check(type(self).__name__, limits, {k: getattr(self, k) for k in limits})
        if self.optimizer not in OPTIMIZERS:
            raise OptionError(
                f"optimizer {self.optimizer!r} is unknown; there are {', '.join(OPTIMIZERS)}"
            )

    def described(self) -> dict[str, Any]:
        """All options, as JSON values."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in held.items()}

    def make_optimizer(self, net: nn.Module) -> optim.Optimizer:
        """The optimizer; what is no matrix does not decay."""
        groups: list[dict[str, Any]] = [
            {"params": [p for p in net.parameters() if p.ndim > 1]},
            {"params": [p for p in net.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        more: dict[str, Any] = {"momentum": 0.9} if self.optimizer == "sgd" else {}
        make: Any = OPTIMIZERS[self.optimizer]
        groups = [g for g in groups if g["params"]]
        made: optim.Optimizer = make(groups, lr=self.lr, weight_decay=self.weight_decay, **more)
        return made

    def stopping(self) -> EarlyStopping | None:
        """What chooses the epoch."""
        return EarlyStopping("val_loss", self.patience) if self.patience else None


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The default generator starts from ``seed`` in this block, and afterwards where it was."""
    before = default_generator.get_state()
    default_generator.manual_seed(seed)
    try:
        yield
    finally:
        default_generator.set_state(before)


def until_interrupted(trainer: Trainer, presses: Interrupts, run: Callable[[], Any]) -> bool:
    """Train; True if Ctrl-C ended it after a step or more, so that something was learned.

    Of what a user does then (a second Ctrl-C, one before the first step) and of errors nothing is
    caught. The history is the trainer's.
    """
    first = trainer.step
    try:
        run()
    except KeyboardInterrupt:
        if presses.at_once or trainer.history.stopped != INTERRUPTED or trainer.step == first:
            raise
    interrupted = presses.waiting or trainer.history.stopped == INTERRUPTED
    presses.answered = True
    return interrupted


def learn(
    trainer: Trainer,
    options: LearningOptions,
    data: tuple[Any, Any],
    validation: tuple[Any, Any],
    **given: Any,
) -> bool:
    """Train as the options say; whether Ctrl-C ended it."""
    if trainer.scheduler is None:
        trainer.scheduler = schedules_of(options.schedule, trainer.optimizer, options.epochs)
    with interrupts() as presses:
        return until_interrupted(
            trainer,
            presses,
            lambda: trainer.fit(
                *data,
                options.epochs,
                options.batch_size,
                validation_data=validation,
                early_stopping=options.stopping(),
                **given,
            ),
        )


class Answers:
    """The outputs of a net for many examples, some at a time, by one program for each size."""

    def __init__(self, net: nn.Module, f: Callable[..., Any] | None = None) -> None:
        """``f``: what to compute with the net; by default ``net`` itself."""
        self.net = net
        self._program = compiled(f or (lambda *inputs: net(*inputs)))

    def __call__(self, *inputs: Array) -> Array:
        """(N, outputs) of arrays with N rows each; a last, smaller part is filled up."""
        self.net.eval()
        rows, found = len(inputs[0]), []
        with no_grad():
            for start in range(0, rows, ROWS):
                parts = [a[start : start + ROWS] for a in inputs]
                count = len(parts[0])
                full = min(1 << (count - 1).bit_length(), ROWS)
                wide = [np.concatenate([p, np.repeat(p[-1:], full - count, 0)]) for p in parts]
                found.append(np.array(self._program(*map(stored, wide)).numpy()[:count]))
        return np.concatenate(found)


def class_scores(y: Array, z: Array) -> dict[str, float]:
    """Accuracy, log loss and F1 of labels (N,) and outputs (N, classes)."""
    scores = ClassScores(z.shape[1])
    scores.add(y, softmax(z.astype(np.float64)))
    return scores.result()


def share_scores(y: Array, asked: Array, classes: int) -> dict[str, float]:
    """`class_scores` of ``asked`` if every answer is the most frequent class of ``y``."""
    shares = np.bincount(y, minlength=classes) / len(y)
    scores = ClassScores(classes)
    scores.add(asked, np.broadcast_to(shares, (len(asked), classes)))
    return scores.result()


def number_scores(y: Array, said: Array) -> dict[str, float]:
    """RMSE, MAE and R² of targets and predictions, (N, targets) both."""
    scores = NumberScores()
    scores.add(y, said)
    return scores.result()


def check_classes(where: str, y: Array, classes: int) -> None:
    """Raise DataError unless at least two classes have examples, and two of them to be split."""
    there = np.bincount(y, minlength=classes)
    if (there > 0).sum() < 2:
        raise DataError(
            f"{where}: all examples are of one class; a net learns to tell classes apart, so give "
            "at least two"
        )
    if len(y) < 4:
        raise DataError(f"{where}: {len(y)} examples are too few; give at least 4")
