"""Initializers: fill a tensor in place, with the names of ``torch.nn.init``; all return the tensor.

Random ones draw from the default generator (`chainrule.manual_seed`) or from ``generator``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..tensor.grad_mode import no_grad
from ..tensor.ops import random
from ..tensor.ops.random import Generator
from ..tensor.tensor import Tensor
from ..tensor.value import array_of, stored
from .options import check, choice, number

GAINS = {
    "linear": 1.0,
    "identity": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
    **{f"conv{n}d": 1.0 for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": 1.0 for n in (1, 2, 3)},
}
_STD = {"std": number(0)}
_MODE = {"mode": choice("fan_in", "fan_out")}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps variance through a nonlinearity; ``param``: the slope of leaky_relu.

    >>> from chainrule.nn import init
    >>> round(init.calculate_gain("leaky_relu", 0.2), 4)
    1.3868
    """
    if nonlinearity == "leaky_relu":
        check("calculate_gain", {"param": number()}, {} if param is None else {"param": param})
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in GAINS:
        raise OptionError(
            f"calculate_gain: nonlinearity must be one of {', '.join([*GAINS, 'leaky_relu'])},"
            f" got {nonlinearity!r}"
        )
    return GAINS[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """Fan-in and fan-out of a weight (out, in, *kernel): how many inputs, outputs a unit has.

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> init.fans(cr.zeros(8, 3, 5, 5))
    (75, 200)
    """
    if tensor.ndim < 2:
        raise ShapeError(
            "fan-in and fan-out need a weight of at least 2 axes (out, in, ...), got "
            f"{tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fill(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        return tensor.assign(values)


def _array(tensor: Tensor, values: Any) -> Tensor:
    array = np.array(values, tensor.dtype, order="C")
    array.setflags(write=False)
    return _fill(tensor, stored(array))


# -- plain -----------------------------------------------------------------------------------------
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform on [a, b).

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.uniform_(cr.zeros(200, 300), -1, 1)
    >>> round(w.abs().max().item(), 2)
    1.0
    """
    if not a <= b:
        raise OptionError(f"uniform_: a must be at most b, got a={a!r}, b={b!r}")
    return _fill(
        tensor, random.rand(tensor.shape, dtype=tensor.dtype, generator=generator) * (b - a) + a
    )


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal with the given mean and standard deviation.

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.normal_(cr.zeros(200, 300), 0, 0.5)
    >>> round(w.std().item(), 2)
    0.5
    """
    check("normal_", _STD, {"std": std})
    return _fill(
        tensor, random.randn(tensor.shape, dtype=tensor.dtype, generator=generator) * std + mean
    )


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal, drawn again until it lies in [a, b].

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.trunc_normal_(cr.zeros(200, 300), std=0.5)
    >>> round(w.std().item(), 2)
    0.5
    """
    check("trunc_normal_", {"std": number(0, brackets="()")}, {"std": std})
    if not a < b:
        raise OptionError(f"trunc_normal_: a must be below b, got a={a!r}, b={b!r}")
    low, high = (a - mean) / std, (b - mean) / std
    inside = 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)))
    values = np.empty(math.prod(tensor.shape))
    open_ = np.arange(values.size)
    nearest = min(max(low, 0.0), high)  # where the density in [low, high] is largest
    while open_.size:
        if inside > 0.3:
            draw = array_of(random.randn(open_.size, dtype="float64", generator=generator))
            good = (low <= draw) & (draw <= high)
        else:
            # Proposals uniform over the part that matters, accepted in proportion to the density.
            left, right = max(low, nearest - 10), min(high, nearest + 10)
            u = array_of(random.rand(2, open_.size, dtype="float64", generator=generator))
            draw = left + (right - left) * u[0]
            good = u[1] < np.exp((nearest**2 - draw**2) / 2)
        values[open_[good]] = draw[good]
        open_ = open_[~good]
    return _array(tensor, np.clip(values * std + mean, a, b).reshape(tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """All elements ``val``.

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> init.constant_(cr.ones(2, 2), 0.5).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    return _array(tensor, np.full(tensor.shape, val))


def zeros_(tensor: Tensor) -> Tensor:
    """All elements 0.

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> init.zeros_(cr.ones(2, 2)).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """All elements 1.

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> init.ones_(cr.zeros(2, 2)).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return constant_(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix (of any two lengths).

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> init.eye_(cr.ones(2, 2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_ fills a matrix, got shape {tensor.shape}")
    return _array(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def paper_(tensor: Tensor, r: float = 0.3, generator: Generator | None = None) -> Tensor:
    """Uniform on [-r, r): the small random weights of Rumelhart, Hinton & Williams (1986), r = 0.3.

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.paper_(cr.zeros(200, 300))
    >>> round(w.abs().max().item(), 2)
    0.3
    """
    check("paper_", {"r": number(0)}, {"r": r})
    return uniform_(tensor, -r, r, generator)


# -- variance kept through the layers --------------------------------------------------------------
def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform on ±gain √(6 / (fan_in + fan_out)) (Glorot & Bengio, 2010).

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.xavier_uniform_(cr.zeros(200, 300))
    >>> round(w.abs().max().item(), 2)
    0.11
    """
    bound = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation gain √(2 / (fan_in + fan_out)) (Glorot & Bengio, 2010).

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.xavier_normal_(cr.zeros(200, 300))
    >>> round(w.std().item(), 2)
    0.06
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))), generator)


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    check(name, _MODE, {"mode": mode})
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a if nonlinearity == "leaky_relu" else None) / math.sqrt(
        max(fan, 1)
    )


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform on ±gain √(3 / fan) (He et al., 2015); ``a``: the slope of leaky_relu.

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.kaiming_uniform_(cr.zeros(200, 300), nonlinearity="relu")
    >>> round(w.abs().max().item(), 2)
    0.14
    """
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with standard deviation gain / √fan (He et al., 2015); ``a``: the slope of leaky_relu.

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.kaiming_normal_(cr.zeros(200, 300), nonlinearity="relu")
    >>> round(w.std().item(), 2)
    0.08
    """
    return normal_(
        tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator
    )


def lecun_uniform_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Uniform on ±√(3 / fan_in) (LeCun et al., 1998).

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.lecun_uniform_(cr.zeros(200, 300))
    >>> round(w.abs().max().item(), 2)
    0.1
    """
    bound = math.sqrt(3 / max(fans(tensor)[0], 1))
    return uniform_(tensor, -bound, bound, generator)


def lecun_normal_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation 1 / √fan_in (LeCun et al., 1998).

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.lecun_normal_(cr.zeros(200, 300))
    >>> round(w.std().item(), 2)
    0.06
    """
    return normal_(tensor, 0.0, math.sqrt(1 / max(fans(tensor)[0], 1)), generator)


# -- structured ------------------------------------------------------------------------------------
def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Rows (or columns, if there are fewer) orthogonal and of length gain (Saxe et al., 2013).

    Axes after the first count as one.

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.orthogonal_(cr.zeros(2, 3), gain=2.0)
    >>> [round(x.item(), 2) + 0.0 for x in (w @ w.T).diagonal()]
    [4.0, 4.0]
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_ needs at least 2 axes, got shape {tensor.shape}")
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    flat = array_of(random.randn(rows, columns, dtype="float64", generator=generator))
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # uniform over orthogonal matrices
    return _array(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Normal, with the fraction ``sparsity`` of each column set to 0 (Martens, 2010).

    >>> import chainrule as cr
    >>> from chainrule.nn import init
    >>> w = init.sparse_(cr.zeros(4, 3), 0.5)
    >>> (w == 0).sum(axis=0).tolist()
    [2, 2, 2]
    """
    check("sparse_", {"sparsity": number(0, 1), **_STD}, {"sparsity": sparsity, "std": std})
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_ fills a matrix, got shape {tensor.shape}")
    rows, columns = tensor.shape
    values = array_of(random.randn(rows, columns, dtype="float64", generator=generator)) * std
    order = np.argsort(
        array_of(random.rand(rows, columns, dtype="float64", generator=generator)), axis=0
    )
    zeros = order[: math.ceil(sparsity * rows)]
    np.put_along_axis(values, zeros, 0.0, axis=0)
    return _array(tensor, values)
