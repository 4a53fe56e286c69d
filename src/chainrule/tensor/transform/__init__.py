"""Transformations: grad, value_and_grad, vjp, jvp, jacobian, hessian, vmap, custom_vjp.

A function is run on tracers, tensors with fresh input nodes; what it returns is a graph, which is
transformed; then the tracers are replaced by the arguments. So transformations nest in any order.
Arguments and results may be pytrees (tuples, lists, dicts) of tensors.
"""

from __future__ import annotations

from .custom import custom_vjp as custom_vjp
from .derivatives import check_grads as check_grads
from .derivatives import grad as grad
from .derivatives import hessian as hessian
from .derivatives import jacobian as jacobian
from .derivatives import jvp as jvp
from .derivatives import stop_gradient as stop_gradient
from .derivatives import value_and_grad as value_and_grad
from .derivatives import vjp as vjp
from .mapping import vmap as vmap
from .tracers import Argnums as Argnums
from .tracers import Function as Function
