"""Chainrule: neural networks trained by back-propagation, the whole training loop one native program."""

from .core.dtypes import bool_ as bool_
from .core.dtypes import float32 as float32
from .core.dtypes import float64 as float64
from .core.dtypes import int32 as int32
from .core.dtypes import int64 as int64
from .core.dtypes import uint8 as uint8
from .core.dtypes import uint32 as uint32
from .tensor.functions import *  # noqa: F403
from .tensor.tensor import Tensor as Tensor
from .tensor.value import enable_grad as enable_grad
from .tensor.value import is_grad_enabled as is_grad_enabled
from .tensor.value import no_grad as no_grad
from .tensor.value import set_grad_enabled as set_grad_enabled
