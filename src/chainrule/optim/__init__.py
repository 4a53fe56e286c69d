"""Optimizers and schedules, with the names of ``torch.optim``."""

from .adam import Adam as Adam
from .adam import AdamW as AdamW
from .optimizer import Optimizer as Optimizer
from .sgd import SGD as SGD
from .sgd import Backprop1986 as Backprop1986
