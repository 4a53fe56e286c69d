"""Learning rate schedules: lr as a function of the count of ``scheduler.step()`` calls.

A schedule is a closed formula f(t) of a count t that is a tensor, so ``step`` works at once and
inside a compiled function. With several schedules on one optimizer lr is the product of their
factors: lr = initial_lr · Π fᵢ(tᵢ). A rate that is set by hand, ``group["lr"] = 0.1``, becomes the
initial one, and the schedules go on from there: each multiplies it by f(t) / f(now), a new one by
f(t). So phases follow one another, and a schedule at its end, or that nobody steps, changes
nothing. Names, arguments and values are those of ``torch.optim.lr_scheduler``.
"""

from .base import LRScheduler as LRScheduler
from .combined import ChainedScheduler as ChainedScheduler
from .combined import ReduceLROnPlateau as ReduceLROnPlateau
from .combined import SequentialLR as SequentialLR
from .cosine import CosineAnnealingLR as CosineAnnealingLR
from .cosine import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from .cosine import WarmupCosineLR as WarmupCosineLR
from .cycle import CyclicLR as CyclicLR
from .cycle import OneCycleLR as OneCycleLR
from .decay import ConstantLR as ConstantLR
from .decay import ExponentialLR as ExponentialLR
from .decay import LambdaLR as LambdaLR
from .decay import LinearLR as LinearLR
from .decay import MultiplicativeLR as MultiplicativeLR
from .decay import MultiStepLR as MultiStepLR
from .decay import NoamLR as NoamLR
from .decay import PolynomialLR as PolynomialLR
from .decay import StepLR as StepLR
