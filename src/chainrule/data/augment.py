"""Augmentations: functions of one example, for ``Batches(augment=...)``.

They are tensor code like any other and run inside the program. What they draw is a function of the
seed, the epoch and the row. uint8 stays uint8: clipped to 0 ... 255, halves rounded to even.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..errors import OptionError, ShapeError
from ..tensor.ops.create import arange
from ..tensor.ops.elementwise import clip, cos, floor, sin, where
from ..tensor.ops.elementwise import round as rounded
from ..tensor.ops.indexing.gathering import one_hot, take
from ..tensor.ops.random import rand, randint, randn
from ..tensor.ops.shape import flip
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor, stored

Range = float | tuple[float, float]


class RandomFlip:
    """An image (..., H, W) mirrored along ``axis`` with probability ``p``: left and right swap.

    ``both``: x and y, which is a picture too (a mask), alike.

    >>> import chainrule as cr
    >>> from chainrule.data import RandomFlip
    >>> RandomFlip(p=1.0)(cr.tensor([[1, 2], [3, 4]]))
    tensor([[2, 1],
            [4, 3]])
    """

    def __init__(self, p: float = 0.5, axis: int = -1, both: bool = False) -> None:
        _between("RandomFlip", "p", p, 0, 1)
        self.p, self.axis, self.both = p, axis, both

    def __call__(self, x: Any, y: Any = None) -> Any:
        """The example."""
        turned = rand() < self.p
        x = where(turned, flip(x, self.axis), x)
        return (x, where(turned, flip(y, self.axis), y)) if self.both else x


class RandomCrop:
    """A piece of ``size`` (height, width) of an image (..., H, W); each place in it is alike.

    ``padding``: first so many pixels of ``fill`` are put on all four sides. Without a size it is
    the image's, which is then moved by up to ``padding`` pixels. ``both``: the same piece of y.

    >>> import chainrule as cr
    >>> from chainrule.data import RandomCrop
    >>> RandomCrop((2, 3))(cr.ones(3, 5, 5)).shape
    (3, 2, 3)
    """

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        padding: int = 0,
        fill: float = 0,
        both: bool = False,
    ) -> None:
        self.size = (size, size) if isinstance(size, int) else size
        if padding < 0 or (self.size is not None and min(self.size) < 1):
            raise OptionError(f"RandomCrop: size {size} and padding {padding} must not be negative")
        self.padding, self.fill, self.both = padding, fill, both

    def __call__(self, x: Any, y: Any = None) -> Any:
        """The example."""
        x = as_tensor(x)
        if x.ndim < 2:
            raise ShapeError(
                f"RandomCrop: an image (..., height, width) is expected, got {x.shape}"
            )
        image, p = x.shape[-2:], self.padding
        size = image if self.size is None else self.size
        if any(n + 2 * p < s for n, s in zip(image, size, strict=True)):
            raise ShapeError(
                f"RandomCrop: a piece of {size} of an image of {image} with padding {p}; it is "
                "larger than that"
            )
        first = [randint(0, n + 2 * p - s + 1) - p for n, s in zip(image, size, strict=True)]
        x = self._piece(x, first, size)
        return (x, self._piece(as_tensor(y), first, size)) if self.both else x

    def _piece(self, x: Tensor, first: list[Any], size: tuple[int, int]) -> Tensor:
        for axis, start, length in zip((-2, -1), first, size, strict=True):
            place, n = start + arange(length), x.shape[axis]
            piece = take(x, clip(place, 0, n - 1), axis)
            if self.padding:
                inside = (place >= 0) & (place < n)
                shape = (length, 1) if axis == -2 else (length,)
                piece = where(inside.reshape(shape), piece, as_tensor(self.fill).to(x.dtype))
            x = piece
        return x


class RandomShift(RandomCrop):
    """An image moved by up to ``most`` pixels in each direction; ``fill`` comes in."""

    def __init__(self, most: int, fill: float = 0, both: bool = False) -> None:
        super().__init__(None, most, fill, both)


class RandomRotation:
    """An image (..., H, W) turned about its middle, by up to ``degrees`` to either side.

    Or by an angle of a pair (low, high); ``fill`` comes in at the corners.

    Positive angles turn to the left. Between pixels it is bilinear. ``both``: y alike.

    >>> import chainrule as cr
    >>> from chainrule.data import RandomRotation
    >>> RandomRotation((90, 90))(cr.tensor([[1, 2], [3, 4]], dtype="uint8"))
    tensor([[2, 4],
            [1, 3]], dtype=uint8)
    """

    def __init__(self, degrees: Range, fill: float = 0, both: bool = False) -> None:
        self.degrees = _range(degrees if isinstance(degrees, tuple) else (-degrees, degrees))
        self.fill, self.both = fill, both

    def __call__(self, x: Any, y: Any = None) -> Any:
        """The example."""
        x = as_tensor(x)
        if x.ndim < 2:
            raise ShapeError(
                f"RandomRotation: an image (..., height, width) is expected, got {x.shape}"
            )
        angle = _drawn(self.degrees) * (np.pi / 180)
        x = self._turned(x, angle)
        return (x, self._turned(as_tensor(y), angle)) if self.both else x

    def _turned(self, x: Tensor, angle: Any) -> Tensor:
        """Each pixel is that of the place which the rotation takes it from."""
        h, w = x.shape[-2:]
        row = np.repeat(np.arange(h, dtype=np.float32) - (h - 1) / 2, w)
        column = np.tile(np.arange(w, dtype=np.float32) - (w - 1) / 2, h)
        turned_row = row * cos(angle) + column * sin(angle) + (h - 1) / 2
        turned_column = column * cos(angle) - row * sin(angle) + (w - 1) / 2
        top, left = floor(turned_row), floor(turned_column)
        down, right = turned_row - top, turned_column - left
        flat = _float(x).reshape(*x.shape[:-2], h * w)

        def at(i: Tensor, j: Tensor) -> Tensor:
            inside = (i >= 0) & (i < h) & (j >= 0) & (j < w)
            place = clip(i, 0, h - 1).long() * w + clip(j, 0, w - 1).long()
            found: Tensor = where(inside, take(flat, place, -1), self.fill)
            return found

        upper = at(top, left) * (1 - right) + at(top, left + 1) * right
        lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
        return _back((upper * (1 - down) + lower * down).reshape(x.shape), x)


class RandomNoise:
    """x + ``std`` · n, with n normal and another for each number.

    >>> import chainrule as cr
    >>> from chainrule.data import RandomNoise
    >>> RandomNoise(10.0)(cr.tensor([250, 3], dtype="uint8")).dtype
    dtype('uint8')
    """

    both = False

    def __init__(self, std: float) -> None:
        _between("RandomNoise", "std", std, 0, np.inf)
        self.std = std

    def __call__(self, x: Any) -> Tensor:
        """The example."""
        wide = _float(x)
        return _back(wide + self.std * randn(wide.shape, dtype=wide.dtype), as_tensor(x))


class RandomBrightness:
    """x · ``factor`` + ``offset``; of a pair (low, high) a number between is drawn.

    >>> import chainrule as cr
    >>> from chainrule.data import RandomBrightness
    >>> RandomBrightness(1.5)(cr.tensor([100, 200], dtype="uint8"))
    tensor([150, 255], dtype=uint8)
    """

    both = False

    def __init__(self, factor: Range = 1.0, offset: Range = 0.0) -> None:
        self.factor, self.offset = _range(factor), _range(offset)

    def __call__(self, x: Any) -> Tensor:
        """The example."""
        return _back(_float(x) * _drawn(self.factor) + _drawn(self.offset), as_tensor(x))


class RandomContrast:
    """m + (x - m) · ``factor``, m the image's mean; of a pair (low, high) a factor is drawn.

    >>> import chainrule as cr
    >>> from chainrule.data import RandomContrast
    >>> RandomContrast(2.0)(cr.tensor([100, 200], dtype="uint8"))
    tensor([ 50, 250], dtype=uint8)
    """

    both = False

    def __init__(self, factor: Range) -> None:
        self.factor = _range(factor)

    def __call__(self, x: Any) -> Tensor:
        """The example."""
        wide = _float(x)
        mean = wide.mean()
        return _back(mean + (wide - mean) * _drawn(self.factor), as_tensor(x))


class RandomMixup:
    """λ x + (1 - λ) x' with another example x' of the batch; the same of the targets.

    λ is drawn from Beta(α, α) (Zhang et al., 2018); x' is as far from the end of the batch as x
    from its beginning.

    Labels become probabilities, of ``classes`` classes, as `nn.CrossEntropyLoss` takes them;
    targets that are floats are mixed as they are. x becomes float.

    >>> import chainrule as cr
    >>> from chainrule.data import Batches, RandomMixup
    >>> batches = Batches(cr.eye(4), [0, 1, 2, 2], 4, augment=RandomMixup(0.2, classes=3))
    >>> x, y = batches.next()
    >>> y.shape, y.sum(1)
    ((4, 3), tensor([1., 1., 1., 1.]))
    """

    both = True
    mixes = True

    def __init__(self, alpha: float = 0.2, classes: int | None = None) -> None:
        if not alpha > 0:
            raise OptionError(f"RandomMixup: alpha is above 0, got {alpha}")
        self.alpha, self.classes = alpha, classes
        self.quantiles = stored(_beta_quantiles(alpha))

    def __call__(self, x: Any, y: Any, other_x: Any, other_y: Any) -> Any:
        """The example, mixed with the other one."""
        if isinstance(x, tuple) or isinstance(y, tuple):
            raise OptionError("RandomMixup: one array x and one array y are mixed")
        place = rand() * (len(_KNOTS) - 1)
        low = clip(place.long(), 0, len(_KNOTS) - 2)
        rest = place - low.float()
        share = self.quantiles[low] * (1 - rest) + self.quantiles[low + 1] * rest
        mixed = _float(x) * share + _float(other_x) * (1 - share)
        return mixed, self._target(y) * share + self._target(other_y) * (1 - share)

    def _target(self, y: Any) -> Tensor:
        target = as_tensor(y)
        if dt.is_float(target.dtype):
            return target
        if self.classes is None:
            raise OptionError("RandomMixup: labels are mixed as probabilities; say classes=")
        found: Tensor = one_hot(target, self.classes).float()
        return found


_KNOTS = np.linspace(0, 1, 4097)
"""Between neighbours the quantile function is taken to be straight."""


def _beta_quantiles(alpha: float) -> Any:
    """The quantile function of Beta(α, α) at `_KNOTS`: λ = sin² t has density (sin t cos t)^(2α-1).

    The steps of t halve towards the ends, where the density may have poles.
    """
    inner = np.concatenate([np.geomspace(1e-12, 1e-3, 2000), np.linspace(1e-3, np.pi / 4, 40_000)])
    edges = np.unique(np.concatenate([[0.0], inner, np.pi / 2 - inner, [np.pi / 2]]))
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    weight = width * np.exp((2 * alpha - 1) * np.log(np.sin(middle) * np.cos(middle)))
    weight[0] = weight[-1] = edges[1] ** (2 * alpha) / (2 * alpha)  # the pole itself
    total = np.concatenate([[0.0], np.cumsum(weight)])
    found = np.sin(np.interp(_KNOTS, total / total[-1], edges)) ** 2
    return found.astype(np.float32)


def _float(x: Any) -> Tensor:
    x = as_tensor(x)
    wide: Tensor = x if dt.is_float(x.dtype) else x.float()
    return wide


def _back(x: Tensor, like: Tensor) -> Tensor:
    """``x`` in the type of ``like``: integers are rounded and kept within what the type holds."""
    if dt.is_float(like.dtype):
        return x
    limits = np.iinfo(like.dtype)
    kept: Tensor = clip(rounded(x), float(limits.min), float(limits.max)).to(like.dtype)
    return kept


def _range(value: Range) -> tuple[float, float]:
    low, high = value if isinstance(value, tuple) else (value, value)
    if not low <= high:
        raise OptionError(f"a range (low, high) is expected, got {value}")
    return float(low), float(high)


def _drawn(limits: tuple[float, float]) -> Any:
    low, high = limits
    return low if low == high else low + (high - low) * rand()


def _between(where_: str, name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OptionError(f"{where_}: {name} is from {low} to {high}, got {value}")
