"""Functions of functions, by the names and with the meaning of ``torch.func``.

They are those of the top level (`chainrule.grad`, `chainrule.vmap`, ...), and what makes a module a
function of its weights.
"""

from __future__ import annotations

import functools
from typing import Any

from .nn.functional_call import functional_call as functional_call
from .nn.functional_call import stack_module_state as stack_module_state
from .tensor.transform import Argnums, Function
from .tensor.transform import grad as grad
from .tensor.transform import hessian as hessian
from .tensor.transform import jacobian as jacfwd
from .tensor.transform import jacobian as jacrev
from .tensor.transform import jvp as jvp
from .tensor.transform import value_and_grad as _value_and_grad
from .tensor.transform import vjp as vjp
from .tensor.transform import vmap as _vmap

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "stack_module_state",
    "vjp",
    "vmap",
]


def grad_and_value(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns ``(gradient, func(*args))``.

    That is `chainrule.value_and_grad` in PyTorch's order; with ``has_aux`` ``(gradient, (value,
    aux))``.

    >>> import chainrule as cr
    >>> cr.func.grad_and_value(lambda x: (x * x).sum())(cr.tensor([1.0, 3.0]))
    (tensor([2., 6.]), tensor(10.))
    """
    both = _value_and_grad(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **options: Any) -> Any:
        value, gradient = both(*args, **options)
        return gradient, value

    return wrapped


def vmap(
    func: Function, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error"
) -> Function:
    """`chainrule.vmap` with PyTorch's names.

    Random numbers drawn inside are an error unless ``randomness`` says "different" or "same".

    >>> import chainrule as cr
    >>> cr.func.vmap(lambda a, b: a @ b, in_dims=(0, None))(cr.ones(3, 2), cr.ones(2))
    tensor([2., 2., 2.])
    """
    return _vmap(func, in_dims, out_dims, randomness)
