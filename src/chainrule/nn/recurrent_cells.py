"""One step of a recurrent layer, for loops that are written by hand or given to `cr.scan`."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..core import dtypes as dt
from ..errors import DTypeError, OptionError, ShapeError
from ..tensor.ops.create import zeros
from ..tensor.tensor import Tensor
from ..tensor.value import Value, as_tensor
from . import init, trail
from .functional.recurrent import CELLS, Cell, State, Weights, projected
from .linear import empty_parameter
from .module import Module
from .options import check, choice, integer
from .parameter import Parameter


class _Cell(Module):
    """What the cells share: weight_ih (G H, I), weight_hh (G H, H), biases (G H,)."""

    kind: ClassVar[str]
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any
    ) -> None:
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size}
        check(type(self).__name__, dict.fromkeys(sizes, integer(1)), sizes)
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)
        self.bias = bias
        rows = self._cell.gates * self.hidden_size
        self.weight_ih = empty_parameter((rows, self.input_size), device, dtype)
        self.weight_hh = empty_parameter((rows, self.hidden_size), device, dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, empty_parameter((rows,), device, dtype) if bias else None)
        self.reset_parameters()

    @property
    def _cell(self) -> Cell:
        return CELLS[self.kind]

    def reset_parameters(self) -> None:
        """Draw the initial numbers again: uniform on ±1/√H."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state from x (N, I), or one row (I,), and the state before; zeros if None."""
        x = self._checked_input(input)
        state = self._checked_state(hx, x)
        w = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if x.ndim == 1:  # as a minibatch of one
            x, state = x.unsqueeze(0), tuple(s.unsqueeze(0) for s in state)
            new = self._cell.step(projected(self._cell, x, w), state, w)
            new = tuple(s.squeeze(0) for s in new)
        else:
            new = self._cell.step(projected(self._cell, x, w), state, w)
        return new[0] if len(new) == 1 else new

    def _checked_input(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            hint = f"\n    set input_size={x.shape[-1]}" if x.ndim in (1, 2) else ""
            raise ShapeError(
                f"{trail.title(self)} expects (N, {self.input_size}) or ({self.input_size},), got "
                f"{x.shape}{hint}"
            )
        return self._checked_dtype("input", x)

    def _checked_dtype(self, what: str, x: Tensor) -> Tensor:
        wanted = self.weight_ih.dtype
        if x.dtype != wanted:
            other = f", or the model with .to('{x.dtype}')" if dt.is_float(x.dtype) else ""
            raise DTypeError(
                f"{trail.title(self)} has {wanted} weights, got {x.dtype} {what}: convert it with "
                f".to('{wanted}'){other}"
            )
        return x

    def _checked_state(self, hx: Any, x: Tensor) -> State:
        names = ("h", "c")[: self._cell.states]
        wanted = (*x.shape[:-1], self.hidden_size)
        if hx is None:
            return tuple(zeros(wanted, dtype=x.dtype) for _ in names)
        parts = (hx,) if len(names) == 1 else hx
        if isinstance(parts, Value) or not isinstance(parts, tuple | list) or len(parts) != 2:
            if len(names) == 2:
                raise OptionError(f"{trail.title(self)}: the state is a pair (h, c)")
        found = []
        for name, part in zip(names, parts, strict=True):
            state = as_tensor(part)
            if state.shape != wanted:
                raise ShapeError(
                    f"{trail.title(self)} expects {name} {wanted} for input {x.shape}, got "
                    f"{state.shape}"
                )
            found.append(self._checked_dtype(name, state))
        return tuple(found)

    def headline(self) -> str:
        """In one line: LSTMCell(5, 8)."""
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size})"

    def extra_repr(self) -> str:
        """The arguments that are not defaults."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [] if self.bias else ["bias=False"]
        kind = getattr(self, "nonlinearity", "tanh")
        return ", ".join(parts + ([f"nonlinearity={kind!r}"] if kind != "tanh" else []))


class RNNCell(_Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu: one step of `RNN`.

    x (N, I) or (I,), h (N, H) or (H,). Weights (H, I) and (H, H), uniform on ±1/√H.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.RNNCell(3, 5)(cr.zeros(4, 3)).shape
    (4, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        choices = {"nonlinearity": choice("tanh", "relu")}
        check("RNNCell", choices, {"nonlinearity": nonlinearity})
        object.__setattr__(self, "nonlinearity", nonlinearity)
        super().__init__(input_size, hidden_size, bias, device, dtype)

    @property
    def _cell(self) -> Cell:
        return CELLS[self.nonlinearity]


class LSTMCell(_Cell):
    """One step of `LSTM`: (h', c') from x and (h, c).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> h, c = nn.LSTMCell(3, 5)(cr.zeros(4, 3))
    >>> h.shape, c.shape
    ((4, 5), (4, 5))
    """

    kind = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)


class GRUCell(_Cell):
    """One step of `GRU`: h' from x and h.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.GRUCell(3, 5)(cr.zeros(3)).shape
    (5,)
    """

    kind = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
