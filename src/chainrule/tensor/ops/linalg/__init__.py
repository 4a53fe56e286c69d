"""`chainrule.linalg`: linear algebra, by the names of the Array API, PyTorch and NumPy.

Matrices lie in the last two axes; axes before them are a batch. What decomposes or solves takes
float32 and float64, has gradients, and runs in compiled functions as well. Outside of them LAPACK
computes it (NumPy's), and a matrix without an answer is a LinAlgError.
"""

from typing import TYPE_CHECKING

from ....errors import LinAlgError as LinAlgError
from ....habits import answers_of as _answers_of
from ..contract import matmul as matmul
from ..contract import outer as outer
from ..contract import tensordot as tensordot
from ..contract import vecdot as vecdot
from ..shape import matrix_transpose as matrix_transpose
from .factors import cholesky as cholesky
from .factors import eigh as eigh
from .factors import eigvalsh as eigvalsh
from .factors import qr as qr
from .factors import svd as svd
from .factors import svdvals as svdvals
from .norms import cond as cond
from .norms import matrix_norm as matrix_norm
from .norms import norm as norm
from .norms import vector_norm as vector_norm
from .products import cross as cross
from .products import diagonal as diagonal
from .products import matrix_power as matrix_power
from .products import multi_dot as multi_dot
from .products import trace as trace
from .solving import det as det
from .solving import inv as inv
from .solving import lstsq as lstsq
from .solving import matrix_rank as matrix_rank
from .solving import pinv as pinv
from .solving import slogdet as slogdet
from .solving import solve as solve
from .solving import solve_triangular as solve_triangular

if not TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.linalg")
