"""The array users hold, its functions, and the transformations of functions of it."""

from .grad_mode import enable_grad as enable_grad
from .grad_mode import no_grad as no_grad
from .tensor import Tensor as Tensor
