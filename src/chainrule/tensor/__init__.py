"""The array users hold, its functions, and the transformations of functions of it."""

from .tensor import Tensor as Tensor
from .value import enable_grad as enable_grad
from .value import no_grad as no_grad
