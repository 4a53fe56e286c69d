"""Every error a user can meet. Messages say where, what was expected, what came, what to do."""

from __future__ import annotations

import numpy as np


class ChainruleError(Exception):
    """Base of all errors raised by Chainrule."""


class ShapeError(ChainruleError, ValueError):
    """Shapes do not fit together."""


class DTypeError(ChainruleError, TypeError):
    """A data type an operation does not take."""


class GradientError(ChainruleError, RuntimeError):
    """A gradient was asked for that does not exist."""


class DataError(ChainruleError, ValueError):
    """The user's data cannot be used as they are (NaN, empty, labels out of range …)."""


class OutOfRangeError(DataError, IndexError):
    """An index or a class outside the axis or table it counts in."""

    place: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Where among the indices the first one outside is, and their shape, where that is known."""
    after_run = False
    """Whether a program had run before it was found."""


class LinAlgError(ChainruleError, np.linalg.LinAlgError):
    """A matrix for which there is no answer: it is singular, or not positive definite."""


class OptionError(ChainruleError, ValueError):
    """An argument has a value that is not allowed."""


class CompileError(ChainruleError, RuntimeError):
    """A function cannot be compiled (for example, it asks for a value while it is traced)."""


class ThreadError(ChainruleError, RuntimeError):
    """Two threads use at once what only one can use."""


class MissingExtraError(ChainruleError, ImportError):
    """An optional package is needed for this and is not installed."""


class CheckpointError(ChainruleError, OSError):
    """A file of weights or a checkpoint is damaged, foreign or does not fit the model."""


class WriteError(ChainruleError, OSError):
    """A file cannot be written: its folder is missing or read-only, or the disk is full."""


class InternalError(ChainruleError, AssertionError):
    """A fault of Chainrule's own; please report it."""


class SlowLoopWarning(UserWarning):
    """Many training steps have run one operation at a time; said once."""
