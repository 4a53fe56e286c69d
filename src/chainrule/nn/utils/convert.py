"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...errors import OptionError, ShapeError
from ...tensor.grad_mode import no_grad
from ...tensor.ops.joining import concat
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters, one after another.

    >>> from chainrule import nn
    >>> nn.utils.parameters_to_vector(nn.Linear(2, 3).parameters()).shape
    (9,)
    """
    listed = list(parameters)
    if not listed:
        raise OptionError("parameters_to_vector: there are no parameters")
    return concat([p.reshape(-1) for p in listed])


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Assign consecutive parts of ``vec`` to the parameters.

    >>> from chainrule import nn
    >>> layer = nn.Linear(1, 1)
    >>> nn.utils.vector_to_parameters([2.0, 3.0], layer.parameters())
    >>> layer.weight.item(), layer.bias.item()
    (2.0, 3.0)
    """
    vec, listed = as_tensor(vec), list(parameters)
    count = sum(p.numel() for p in listed)
    if vec.shape != (count,):
        raise ShapeError(
            f"vector_to_parameters: the parameters have {count} elements, vec has shape {vec.shape}"
        )
    at = 0
    with no_grad():
        for p in listed:
            p.assign(vec[at : at + p.numel()].reshape(p.shape))
            at += p.numel()
