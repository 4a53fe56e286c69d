"""All functions on tensors, by their public names (`chainrule.exp`, `chainrule.einsum`, …).

Which they are, each file of `ops` says in its ``__all__``.
"""

from .ops.bits import *
from .ops.contract import *
from .ops.create import *
from .ops.cumulative import *
from .ops.elementwise import *
from .ops.gathering import *
from .ops.joining import *
from .ops.kinds import *
from .ops.linalg.solving import *
from .ops.norm import *
from .ops.operands import *
from .ops.random import *
from .ops.reduce import *
from .ops.shape import *
from .ops.softmax import *
from .ops.sorting import *
from .ops.statistics import *
from .settings import *

as_tensor = asarray  # PyTorch's name
