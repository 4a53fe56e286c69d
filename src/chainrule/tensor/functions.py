"""All functions on tensors, by their public names (`chainrule.exp`, `chainrule.einsum`, …).

Which they are, each file of `ops` says in its ``__all__``.
"""

from .ops.bits import *
from .ops.contract import *
from .ops.create import *
from .ops.diagonals import *
from .ops.elementwise import *
from .ops.indexing.gathering import *
from .ops.indexing.sorting import *
from .ops.joining import *
from .ops.kinds import *
from .ops.linalg.solving import *
from .ops.operands import *
from .ops.random import *
from .ops.reductions.cumulative import *
from .ops.reductions.norm import *
from .ops.reductions.reduce import *
from .ops.reductions.softmax import *
from .ops.reductions.statistics import *
from .ops.shape import *
from .settings import *

as_tensor = asarray  # PyTorch's name
