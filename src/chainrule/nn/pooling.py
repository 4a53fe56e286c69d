"""Pooling layers, with PyTorch's names and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import trail
from .functional import pooled
from .functional.convolution import Sizes
from .functional.fractional import check_fractional, fractional_max_pool
from .functional.windows import check_adaptive, check_regular
from .module import Module
from .options import Constraint, check, integer, number, optional, takes_options


class _Windows(Module):
    """What all of them have: options, which are checked and shown."""

    rank: int
    function: ClassVar[Callable[..., Any]]
    constraints: ClassVar[dict[str, Constraint]] = {}
    defaults: tuple[tuple[str, Any], ...] = ()  # not shown where they are not changed

    def headline(self) -> str:
        """In one line: MaxPool2d(kernel_size=2)."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The arguments that are not defaults."""
        first = [f"norm_type={self.norm_type}"] if hasattr(self, "norm_type") else []
        given = [(n, getattr(self, n), default) for n, default in self.defaults]
        parts = [f"{n}={value!r}" for n, value, default in given if value != default]
        stride = [f"stride={self.stride!r}"] if self.stride != self.kernel_size else []
        return ", ".join([*first, f"kernel_size={self.kernel_size!r}", *stride, *parts])

    def _take(self, options: dict[str, Any]) -> None:
        super().__init__()
        check(type(self).__name__, self.constraints, options)
        names = options.keys() & {"kernel_size", "stride", "padding", "dilation"}
        check_regular(type(self).__name__, self.rank, **{k: options[k] for k in names})
        if options["stride"] is None:
            options["stride"] = options["kernel_size"]
        self._options = tuple(options)
        self.__dict__.update(options)

    def _pooled(self, *inputs: Any, **more: Any) -> Any:
        options = {k: getattr(self, k) for k in self._options}
        return type(self).function(trail.headline(self), *inputs, self.rank, **options, **more)


class _Pool(_Windows):
    def forward(self, x: Any) -> Any:
        """Of each window of x (N, C, *S), or of one example (C, *S)."""
        return self._pooled(x)


class _MaxPool(_Pool):
    defaults = (("padding", 0), ("dilation", 1), ("return_indices", False), ("ceil_mode", False))
    function = pooled.max_pool

    @takes_options
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None: ...


class MaxPool1d(_MaxPool):
    """y[n, c, t] = max over k of x[n, c, t stride + k dilation - padding].

    x (N, C, L) or (C, L): y (N, C, T), T = ⌊(L + 2 padding - dilation (K - 1) - 1) / stride⌋ + 1,
    rounded up with ``ceil_mode`` (but each window begins inside); ``stride``: ``kernel_size`` if
    None. The gradient goes to the first of equal maxima; NaN is largest. With ``return_indices``:
    (y, positions in x), for `MaxUnpool1d`. Raises OptionError for more padding than half a kernel.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.MaxPool1d(2)(cr.tensor([[1.0, 5.0, 2.0, 4.0]]))
    tensor([[5., 4.]])
    """

    rank = 1


class MaxPool2d(_MaxPool):
    """`MaxPool1d` over two positions: x (N, C, H, W) or (C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.MaxPool2d(3, stride=2, padding=1)(cr.zeros(2, 3, 28, 28)).shape
    (2, 3, 14, 14)
    """

    rank = 2


class MaxPool3d(_MaxPool):
    """`MaxPool1d` over three positions: x (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.MaxPool3d(2)(cr.zeros(2, 3, 4, 6, 8)).shape
    (2, 3, 2, 3, 4)
    """

    rank = 3


class AvgPool1d(_Pool):
    """The mean of each window: y[n, c, t] = Σ x[n, c, t stride + k - padding] / K over k.

    x (N, C, L) or (C, L): y (N, C, T), T = ⌊(L + 2 padding - K) / stride⌋ + 1, rounded up with
    ``ceil_mode``. Padding is zeros, which count as elements unless ``count_include_pad`` is False;
    what ``ceil_mode`` adds behind it never counts.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.AvgPool1d(2)(cr.tensor([[1.0, 5.0, 2.0, 4.0]]))
    tensor([[3., 3.]])
    """

    rank = 1
    defaults: tuple[tuple[str, Any], ...] = (
        ("padding", 0),
        ("ceil_mode", False),
        ("count_include_pad", True),
    )
    function = pooled.avg_pool

    @takes_options
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None: ...


class AvgPool2d(AvgPool1d):
    """`AvgPool1d` over two positions, (N, C, H, W); ``divisor_override`` replaces the count.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.AvgPool2d(2)(cr.zeros(2, 6, 24, 24)).shape
    (2, 6, 12, 12)
    """

    rank = 2
    defaults = (*AvgPool1d.defaults, ("divisor_override", None))
    constraints = {"divisor_override": optional(integer())}

    @takes_options
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None: ...


class AvgPool3d(AvgPool2d):
    """`AvgPool2d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.AvgPool3d(2)(cr.zeros(2, 3, 4, 6, 8)).shape
    (2, 3, 2, 3, 4)
    """

    rank = 3


class _LPPool(_Pool):
    defaults = (("ceil_mode", False),)
    constraints = {"norm_type": number(0, brackets="()")}
    function = pooled.lp_pool

    @takes_options
    def __init__(
        self,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ) -> None: ...


class LPPool1d(_LPPool):
    """(Σ xᵖ)^(1/p) of each window of x (N, C, L), p = ``norm_type``: 1 the sum, ∞ the maximum.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LPPool1d(2, 2)(cr.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """

    rank = 1


class LPPool2d(_LPPool):
    """`LPPool1d` over two positions, (N, C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LPPool2d(2, 2)(cr.zeros(1, 3, 4, 6)).shape
    (1, 3, 2, 3)
    """

    rank = 2


class LPPool3d(_LPPool):
    """`LPPool1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LPPool3d(2, 2)(cr.zeros(1, 3, 4, 6, 2)).shape
    (1, 3, 2, 3, 1)
    """

    rank = 3


class _AdaptivePool(Module):
    rank: int

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        check_adaptive(type(self).__name__, self.rank, output_size)
        self.output_size = output_size

    def headline(self) -> str:
        """In one line: AdaptiveAvgPool2d(output_size=1)."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The argument."""
        return f"output_size={self.output_size!r}"


class _AdaptiveAvgPool(_AdaptivePool):
    def forward(self, x: Any) -> Tensor:
        """X (N, C, *S) -> (N, C, *output_size)."""
        return pooled.adaptive_avg_pool(trail.headline(self), x, self.rank, self.output_size)


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Any) -> Any:
        """(N, C, *S) -> (N, C, *output_size), with ``return_indices`` also where the maxima are."""
        return pooled.adaptive_max_pool(
            trail.headline(self), x, self.rank, self.output_size, self.return_indices
        )


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of ``output_size`` windows, whatever the length: from ⌊i L / T⌋ up to ⌈(i + 1) L / T⌉.

    x (N, C, L) or (C, L): y (N, C, T). None: T = L. Windows overlap where T does not divide L.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.AdaptiveAvgPool1d(2)(cr.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1.5, 2.5]])
    """

    rank = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """`AdaptiveAvgPool1d` over two positions, (N, C, H, W); 1: the mean of each channel.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.AdaptiveAvgPool2d((3, None))(cr.zeros(2, 8, 7, 5)).shape
    (2, 8, 3, 5)
    """

    rank = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """`AdaptiveAvgPool1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.AdaptiveAvgPool3d(1)(cr.zeros(2, 8, 7, 5, 3)).shape
    (2, 8, 1, 1, 1)
    """

    rank = 3


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of the windows of `AdaptiveAvgPool1d`: (N, C, L) to (N, C, T).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.AdaptiveMaxPool1d(2)(cr.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 3.]])
    """

    rank = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """`AdaptiveMaxPool1d` over two positions, (N, C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.AdaptiveMaxPool2d(3)(cr.zeros(2, 8, 7, 5)).shape
    (2, 8, 3, 3)
    """

    rank = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """`AdaptiveMaxPool1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.AdaptiveMaxPool3d(2)(cr.zeros(2, 8, 7, 5, 3)).shape
    (2, 8, 2, 2, 2)
    """

    rank = 3


class _MaxUnpool(_Windows):
    defaults = (("padding", 0),)
    function = pooled.max_unpool

    @takes_options
    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0
    ) -> None: ...

    def forward(self, x: Any, indices: Any, output_size: Any = None) -> Any:
        """X's elements at ``indices``, zeros elsewhere.

        ``output_size``: the positions before the pooling, where several give the same result.
        """
        return self._pooled(x, indices, output_size=output_size)


class MaxUnpool1d(_MaxUnpool):
    """Maxima back in their places, zeros around: (N, C, T) to (N, C, L).

    ``indices`` are those of `MaxPool1d` with ``return_indices``.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> y, places = nn.MaxPool1d(2, return_indices=True)(cr.tensor([[1.0, 5.0, 2.0, 4.0]]))
    >>> nn.MaxUnpool1d(2)(y, places)
    tensor([[0., 5., 0., 4.]])
    """

    rank = 1


class MaxUnpool2d(_MaxUnpool):
    """`MaxUnpool1d` over two positions, (N, C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> y, places = nn.MaxPool2d(2, return_indices=True)(cr.rand(1, 3, 5, 5))
    >>> nn.MaxUnpool2d(2)(y, places, output_size=(5, 5)).shape
    (1, 3, 5, 5)
    """

    rank = 2


class MaxUnpool3d(_MaxUnpool):
    """`MaxUnpool1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> y, places = nn.MaxPool3d(2, return_indices=True)(cr.rand(1, 3, 4, 4, 4))
    >>> nn.MaxUnpool3d(2)(y, places).shape
    (1, 3, 4, 4, 4)
    """

    rank = 3


class _FractionalMaxPool(Module):
    rank: int

    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        super().__init__()
        check_fractional(type(self).__name__, self.rank, kernel_size, output_size, output_ratio)
        self.kernel_size, self.return_indices = kernel_size, return_indices
        self.output_size, self.output_ratio = output_size, output_ratio
        samples = None if _random_samples is None else as_tensor(_random_samples)
        self.register_buffer("_random_samples", samples)

    def forward(self, x: Any) -> Any:
        """The largest element of each window of x (N, C, *S), or of one example (C, *S)."""
        return fractional_max_pool(
            trail.headline(self),
            x,
            self.rank,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )

    def headline(self) -> str:
        """In one line: FractionalMaxPool2d(kernel_size=2, output_ratio=0.7)."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The arguments that are not defaults."""
        names = ("kernel_size", "output_size", "output_ratio", "return_indices")
        return ", ".join(
            f"{n}={v!r}" for n in names if (v := getattr(self, n)) not in (None, False)
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest element of each of T windows at random places: (N, C, H, W) to (N, C, T, T').

    Window i begins at ⌊(i + u) α⌋ - ⌊u α⌋, α = (S - K) / (T - 1), the last one at S - K; u uniform
    on [0, 1) for each example, channel and axis, also in evaluation. One of ``output_size`` T and
    ``output_ratio``, T = ⌊ratio · S⌋. With ``return_indices``: (y, positions in x). Graham,
    "Fractional max-pooling" (2014).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.FractionalMaxPool2d(2, output_ratio=0.7)(cr.rand(1, 3, 9, 9)).shape
    (1, 3, 6, 6)
    """

    rank = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """`FractionalMaxPool2d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.FractionalMaxPool3d(2, output_size=4)(cr.rand(3, 8, 8, 8)).shape
    (3, 4, 4, 4)
    """

    rank = 3
