"""Activations as layers: each calls the function of `nn.functional` with the same arguments."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..core import dtypes as dt
from ..errors import OptionError, ShapeError
from ..tensor.ops.create import check_device
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import functional as F
from .module import Module
from .of_function import OfFunction
from .options import Constraint, check, check_order, choice, integer, number, takes_options
from .parameter import Parameter


class Activation(OfFunction):
    """A function of each element, or along an axis."""

    saturates: ClassVar[tuple[float, float] | None] = None
    """Its bounds, where both of its ends are flat."""
    dies: ClassVar[bool] = False
    """Whether it is 0, and flat, for every negative number: such a unit does not learn."""

    def __init__(self) -> None:
        super().__init__()


class _InPlace(Activation):
    """One that takes PyTorch's ``inplace``, and does nothing with it."""

    @takes_options
    def __init__(self, inplace: bool = False) -> None: ...


class ReLU(_InPlace):
    """max(x, 0). ``inplace`` is accepted and changes nothing: memory is the compiler's affair.

    >>> from chainrule import nn
    >>> nn.ReLU()([-2.0, 0.0, 2.0])
    tensor([0., 0., 2.])
    """

    dies = True
    function = F.relu


class ReLU6(_InPlace):
    """min(max(x, 0), 6).

    >>> from chainrule import nn
    >>> nn.ReLU6()([-2.0, 0.0, 2.0])
    tensor([0., 0., 2.])
    """

    dies = True
    function = F.relu6


class LeakyReLU(Activation):
    """x where x > 0, else negative_slope · x.

    >>> from chainrule import nn
    >>> nn.LeakyReLU()([-2.0, 0.0, 2.0])
    tensor([-0.02,  0.  ,  2.  ])
    """

    constraints = {"negative_slope": number()}
    function = F.leaky_relu

    @takes_options
    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None: ...


class PReLU(Module):
    """x where x > 0, else weight · x; weight (num_parameters,) is learned (He et al., 2015).

    >>> from chainrule import nn
    >>> nn.PReLU()([-2.0, 0.0, 2.0]).detach()
    tensor([-0.5,  0. ,  2. ])
    """

    weight: Parameter

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        check_device(device)
        check(
            "PReLU",
            {"num_parameters": integer(1), "init": number()},
            {"num_parameters": num_parameters, "init": init},
        )
        self.num_parameters = num_parameters
        self.weight = Parameter(
            np.full(num_parameters, init, dt.dtype_of(dtype or dt.default_float))
        )

    def forward(self, x: Any) -> Tensor:
        """The same shape; the slopes go along axis 1."""
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"num_parameters={self.num_parameters}"


class RReLU(Activation):
    """x where x > 0, else a · x; in training a is uniform on [lower, upper) for each element.

    In evaluation a = (lower + upper) / 2. Source: Xu et al., 2015.

    >>> from chainrule import nn
    >>> nn.RReLU(0.25, 0.75).eval()([-2.0, 0.0, 2.0])
    tensor([-1.,  0.,  2.])
    """

    constraints = {"lower": number(), "upper": number()}

    @takes_options
    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        check_order("RReLU", "lower", lower, "upper", upper)

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        return F.rrelu(x, self.lower, self.upper, self.training)


class ELU(Activation):
    """x where x > 0, else alpha (eˣ - 1).

    >>> from chainrule import nn
    >>> nn.ELU()([-2.0, 0.0, 2.0])
    tensor([-0.8647,  0.    ,  2.    ])
    """

    constraints = {"alpha": number()}
    function = F.elu

    @takes_options
    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None: ...


class SELU(_InPlace):
    """1.0507 x where x > 0, else 1.0507 · 1.6733 (eˣ - 1): mean 0 and variance 1 are kept.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017.

    >>> from chainrule import nn
    >>> nn.SELU()([-2.0, 0.0, 2.0])
    tensor([-1.5202,  0.    ,  2.1014])
    """

    function = F.selu


class CELU(Activation):
    """x where x > 0, else alpha (e^(x/alpha) - 1).

    >>> from chainrule import nn
    >>> nn.CELU()([-2.0, 0.0, 2.0])
    tensor([-0.8647,  0.    ,  2.    ])
    """

    constraints = {
        "alpha": Constraint(lambda a: number().holds(a) and a != 0, "a number that is not 0")
    }
    function = F.celu

    @takes_options
    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None: ...


class GELU(Activation):
    """x Φ(x); ``approximate="tanh"`` for the approximation (Hendrycks & Gimpel, 2016).

    >>> from chainrule import nn
    >>> nn.GELU()([-2.0, 0.0, 2.0])
    tensor([-0.0455,  0.    ,  1.9545])
    """

    constraints = {"approximate": choice("none", "tanh")}
    function = F.gelu

    @takes_options
    def __init__(self, approximate: str = "none") -> None: ...


class SiLU(_InPlace):
    """x sigmoid(x).

    >>> from chainrule import nn
    >>> nn.SiLU()([-2.0, 0.0, 2.0])
    tensor([-0.2384,  0.    ,  1.7616])
    """

    function = F.silu


class Mish(_InPlace):
    """x tanh(ln(1 + eˣ)).

    >>> from chainrule import nn
    >>> nn.Mish()([-2.0, 0.0, 2.0])
    tensor([-0.2525,  0.    ,  1.944 ])
    """

    function = F.mish


class Sigmoid(Activation):
    """1 / (1 + e⁻ˣ).

    >>> from chainrule import nn
    >>> nn.Sigmoid()([-2.0, 0.0, 2.0])
    tensor([0.1192, 0.5   , 0.8808])
    """

    saturates = (0.0, 1.0)
    function = F.sigmoid


class LogSigmoid(Activation):
    """ln(1 / (1 + e⁻ˣ)).

    >>> from chainrule import nn
    >>> nn.LogSigmoid()([-2.0, 0.0, 2.0])
    tensor([-2.1269, -0.6931, -0.1269])
    """

    function = F.logsigmoid


class Hardsigmoid(_InPlace):
    """relu6(x + 3) / 6.

    >>> from chainrule import nn
    >>> nn.Hardsigmoid()([-2.0, 0.0, 2.0])
    tensor([0.1667, 0.5   , 0.8333])
    """

    saturates = (0.0, 1.0)
    function = F.hardsigmoid


class Hardswish(_InPlace):
    """x · relu6(x + 3) / 6.

    >>> from chainrule import nn
    >>> nn.Hardswish()([-2.0, 0.0, 2.0])
    tensor([-0.3333,  0.    ,  1.6667])
    """

    function = F.hardswish


class Hardtanh(Activation):
    """min(max(x, min_val), max_val).

    >>> from chainrule import nn
    >>> nn.Hardtanh()([-2.0, 0.0, 2.0])
    tensor([-1.,  0.,  1.])
    """

    saturates = (-1.0, 1.0)
    constraints = {"min_val": number(), "max_val": number()}
    function = F.hardtanh

    @takes_options
    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        if not min_val < max_val:
            raise OptionError(
                f"Hardtanh: min_val must be below max_val, got {min_val!r} and {max_val!r}"
            )


class Tanh(Activation):
    """(eˣ - e⁻ˣ) / (eˣ + e⁻ˣ).

    >>> from chainrule import nn
    >>> nn.Tanh()([-2.0, 0.0, 2.0])
    tensor([-0.964,  0.   ,  0.964])
    """

    saturates = (-1.0, 1.0)
    function = F.tanh


class Tanhshrink(Activation):
    """x - tanh(x).

    >>> from chainrule import nn
    >>> nn.Tanhshrink()([-2.0, 0.0, 2.0])
    tensor([-1.036,  0.   ,  1.036])
    """

    function = F.tanhshrink


class Softplus(Activation):
    """ln(1 + e^(beta x)) / beta; x itself where beta x > threshold.

    >>> from chainrule import nn
    >>> nn.Softplus()([-2.0, 0.0, 2.0])
    tensor([0.1269, 0.6931, 2.1269])
    """

    constraints = {"beta": number(0, brackets="()"), "threshold": number()}
    function = F.softplus

    @takes_options
    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None: ...


class Softsign(Activation):
    """x / (1 + |x|).

    >>> from chainrule import nn
    >>> nn.Softsign()([-2.0, 0.0, 2.0])
    tensor([-0.6667,  0.    ,  0.6667])
    """

    saturates = (-1.0, 1.0)
    function = F.softsign


class Softshrink(Activation):
    """x - lambd where x > lambd, x + lambd where x < -lambd, else 0.

    >>> from chainrule import nn
    >>> nn.Softshrink()([-2.0, 0.0, 2.0])
    tensor([-1.5,  0. ,  1.5])
    """

    constraints = {"lambd": number(0)}
    function = F.softshrink

    @takes_options
    def __init__(self, lambd: float = 0.5) -> None: ...


class Hardshrink(Activation):
    """x where |x| > lambd, else 0.

    >>> from chainrule import nn
    >>> nn.Hardshrink()([-2.0, 0.0, 2.0])
    tensor([-2.,  0.,  2.])
    """

    constraints = {"lambd": number()}
    function = F.hardshrink

    @takes_options
    def __init__(self, lambd: float = 0.5) -> None: ...


class Threshold(Activation):
    """x where x > threshold, else value.

    >>> from chainrule import nn
    >>> nn.Threshold(0.5, -1.0)([-2.0, 0.0, 2.0])
    tensor([-1., -1.,  2.])
    """

    constraints = {"threshold": number(), "value": number()}
    function = F.threshold

    @takes_options
    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None: ...


class GLU(Activation):
    """a · sigmoid(b), a and b the halves of x along ``dim``.

    >>> from chainrule import nn
    >>> nn.GLU()([1.0, 2.0, 0.0, 4.0])
    tensor([0.5  , 1.964])
    """

    constraints = {"dim": integer()}
    function = F.glu

    @takes_options
    def __init__(self, dim: int = -1) -> None: ...


class Softmax(Activation):
    """eˣ / Σ eˣ along ``dim``. Not before CrossEntropyLoss, which takes logits.

    >>> from chainrule import nn
    >>> nn.Softmax(dim=0)([0.0, 1.0])
    tensor([0.2689, 0.7311])
    """

    function = F.softmax

    @takes_options
    def __init__(self, dim: int | None = None) -> None: ...


class LogSoftmax(Activation):
    """ln softmax(x) along ``dim``.

    >>> from chainrule import nn
    >>> nn.LogSoftmax(dim=0)([0.0, 1.0])
    tensor([-1.3133, -0.3133])
    """

    function = F.log_softmax

    @takes_options
    def __init__(self, dim: int | None = None) -> None: ...


class Softmin(Activation):
    """softmax(-x) along ``dim``.

    >>> from chainrule import nn
    >>> nn.Softmin(dim=0)([0.0, 1.0])
    tensor([0.7311, 0.2689])
    """

    function = F.softmin

    @takes_options
    def __init__(self, dim: int | None = None) -> None: ...


class Softmax2d(Activation):
    """eˣ / Σ eˣ over the channels of (N, C, H, W) or (C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Softmax2d()(cr.zeros(4, 2, 2)).sum(axis=0).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        x = as_tensor(x)
        if x.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d expects (N, C, H, W) or (C, H, W), got {x.shape}")
        return F.softmax(x, -3)
