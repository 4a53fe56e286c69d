"""Recurrent layers, with PyTorch's names, weight layouts and initial numbers."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

from ..core import dtypes as dt
from ..errors import DTypeError, OptionError, ShapeError
from ..tensor.ops.create import arange, zeros
from ..tensor.ops.elementwise import where
from ..tensor.ops.joining import concatenate, stack
from ..tensor.ranges import check_later
from ..tensor.tensor import Tensor
from ..tensor.value import Value, as_tensor
from . import init, trail
from .functional.dropout import dropout
from .functional.known import known_values
from .functional.recurrent import CELLS, Cell, State, Weights, run
from .linear import empty_parameter, single_tensor
from .module import Module
from .options import check, choice, integer, number, used
from .parameter import Parameter
from .utils.rnn import (
    PackedSequence,
    checked_lengths,
    pack_padded_sequence,
    pad_packed_sequence,
)


class _Recurrent(Module):
    """What the layers share. L = num_layers, D = 2 if bidirectional, R = proj_size or H."""

    kind: ClassVar[str]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        device: Any,
        dtype: Any,
        remat: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        check(name, dict.fromkeys(sizes, integer(1)), sizes)
        check(name, {"dropout": number(0, 1)}, {"dropout": dropout})
        check(name, {"proj_size": integer(0, hidden_size - 1)}, {"proj_size": proj_size})
        flags = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
        flags["remat"] = remat
        check(name, dict.fromkeys(flags, choice(True, False)), flags)
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)
        self.num_layers, self.bias, self.batch_first = int(num_layers), bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = dropout, bidirectional, int(proj_size)
        self.remat = remat
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"{trail.title(self)}: dropout={dropout} acts between layers and num_layers is 1; "
                "put nn.Dropout behind it",
                UserWarning,
                stacklevel=3,
            )
        for layer in range(self.num_layers):
            for suffix in self._suffixes(layer):
                self._add_weights(layer, suffix, device, dtype)
        self.reset_parameters()

    def _add_weights(self, layer: int, suffix: str, device: Any, dtype: Any) -> None:
        rows = self._cell.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, self._width(layer)),
            "weight_hh": (rows, self._out),
        }
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if self.bias else {}
        shapes |= {"weight_hr": (self.proj_size, self.hidden_size)} if self.proj_size else {}
        for part, shape in shapes.items():
            setattr(self, part + suffix, empty_parameter(shape, device, dtype))

    @property
    def _cell(self) -> Cell:
        return CELLS[self.kind]

    @property
    def _out(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _width(self, layer: int) -> int:
        return self._directions * self._out if layer else self.input_size

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: self._directions]

    def _weights(self, suffix: str) -> Weights:
        parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        found: list[Any] = [getattr(self, part + suffix, None) for part in parts]
        return Weights(*found)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, a list for each layer and direction."""
        found = [
            self._weights(s) for layer in range(self.num_layers) for s in self._suffixes(layer)
        ]
        return [[w for w in ws if w is not None] for ws in found]  # type: ignore[misc]

    def flatten_parameters(self) -> None:
        """Nothing to do: the weights need not lie side by side. PyTorch's CUDA code calls it."""

    def reset_parameters(self) -> None:
        """Draw the initial numbers again: uniform on ±1/√H."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    # -- calling -----------------------------------------------------------------------------------
    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> tuple[Any, Any]:
        """The outputs of the last layer at all steps, and the last state of all layers.

        ``hx``: the first state, zeros if None. ``lengths`` (N,): how many steps of each sequence
        count; behind them outputs are 0, and the last state is that at the sequence's end.
        """
        if isinstance(input, PackedSequence):
            return self._of_packed(input, hx, lengths)
        x = self._checked_input(input)
        batched = x.ndim == 3
        if not batched and lengths is not None:
            raise ShapeError(
                f"{trail.title(self)}: lengths= are for several sequences {self._axes()}, got one, "
                f"{x.shape}; cut it: x[:length]"
            )
        x = (x.swapaxes(0, 1) if self.batch_first else x) if batched else x.unsqueeze(1)
        states = self._first_states(hx, x, batched)
        alive = None if lengths is None else self._alive(lengths, x)
        out, last = self._layers(x, states, alive)
        if not batched:
            return out.squeeze(1), self._handed_back(tuple(s.squeeze(1) for s in last))
        return (out.swapaxes(0, 1) if self.batch_first else out), self._handed_back(last)

    def _of_packed(self, packed: PackedSequence, hx: Any, lengths: Any) -> tuple[Any, Any]:
        if lengths is not None:
            raise OptionError(
                f"{trail.title(self)}: a PackedSequence knows its lengths; leave lengths= out"
            )
        padded, known = pad_packed_sequence(packed, self.batch_first)
        out, last = self.forward(padded, hx, lengths=known)
        back = pack_padded_sequence(
            out, known, self.batch_first, enforce_sorted=packed.sorted_indices is None
        )
        return packed._replace(data=back.data), last

    def _layers(self, x: Tensor, states: State, alive: Tensor | None) -> tuple[Tensor, State]:
        last: list[State] = []
        if alive is not None:  # what is in the padding is nobody's business, NaN included
            x = where(alive, x, zeros((), dtype=x.dtype))
        for layer in range(self.num_layers):
            if layer and used(self.dropout) and self.training:
                x = dropout(x, self.dropout)
            outputs = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                state = tuple(s[layer * self._directions + direction] for s in states)
                y, end = run(
                    self._cell,
                    x,
                    state,
                    self._weights(suffix),
                    reverse=direction == 1,
                    alive=alive,
                    remat=self.remat,
                )
                outputs.append(y)
                last.append(end)
            x = outputs[0] if len(outputs) == 1 else concatenate(outputs, -1)  # (T, N, D R)
        return x, tuple(stack(parts, 0) for parts in zip(*last, strict=True))

    def _handed_back(self, states: State) -> Any:
        return states[0] if len(states) == 1 else states

    # -- checks ------------------------------------------------------------------------------------
    def _axes(self) -> str:
        return f"(N, T, {self.input_size})" if self.batch_first else f"(T, N, {self.input_size})"

    def _checked_input(self, given: Any) -> Tensor:
        x = single_tensor(self, given)
        if x.ndim not in (2, 3):
            raise ShapeError(
                f"{trail.title(self)} expects {self._axes()}, or one sequence "
                f"(T, {self.input_size}), got {x.shape}"
            )
        if x.shape[-1] != self.input_size:
            came = trail.origin(x)
            raise ShapeError(
                f"{trail.title(self)} expects {self._axes()}, got {x.shape}: {x.shape[-1]} features"
                + (f"\n    {came}" if came else "")
                + f"\n    set input_size={x.shape[-1]}"
            )
        if x.shape[1 if self.batch_first and x.ndim == 3 else 0] == 0:
            raise ShapeError(f"{trail.title(self)} got no steps: input {x.shape}")
        weight = self.weight_ih_l0
        if not dt.is_float(x.dtype):
            raise DTypeError(
                f"{trail.title(self)} expects {weight.dtype} input, got {x.dtype}: convert it with "
                f"x.to('{weight.dtype}'), or put nn.Embedding before it if these are indices"
            )
        self._check_dtype("input", x)
        return x

    def _check_dtype(self, what: str, x: Tensor) -> None:
        weight = self.weight_ih_l0
        if x.dtype != weight.dtype:
            raise DTypeError(
                f"{trail.title(self)} has {weight.dtype} weights, got {x.dtype} {what}: convert "
                f"it with .to('{weight.dtype}'), or the model with .to('{x.dtype}')"
            )

    def _first_states(self, hx: Any, x: Tensor, batched: bool) -> State:
        """The first state of each part, (L D, N, R or H)."""
        names = ("h0", "c0")[: self._cell.states]
        widths = (self._out, self.hidden_size)[: self._cell.states]
        number = self.num_layers * self._directions
        if hx is None:
            return tuple(zeros((number, x.shape[1], w), dtype=x.dtype) for w in widths)
        if len(names) == 1:
            hx = (hx,) if isinstance(hx, Value) or not isinstance(hx, tuple) else hx
        if not isinstance(hx, tuple | list) or len(hx) != len(names):
            got = f"a tensor {hx.shape}" if isinstance(hx, Value) else f"{len(hx)} of them"
            raise OptionError(
                f"{trail.title(self)}: the first state is ({', '.join(names)}), got {got}; give "
                f"hx=({', '.join(names)})"
            )
        found = []
        for name, width, state in zip(names, widths, hx, strict=True):
            state = as_tensor(state)
            rows = (x.shape[1],) if batched else ()
            if state.shape != (number, *rows, width):
                raise ShapeError(self._wrong_state(name, state, (number, *rows, width), x))
            self._check_dtype(name, state)
            found.append(state if batched else state.unsqueeze(1))
        return tuple(found)

    def _wrong_state(self, name: str, state: Tensor, wanted: tuple[int, ...], x: Tensor) -> str:
        axes = "layers · directions, N, width" if len(wanted) == 3 else "layers · directions, width"
        hint = ""
        if state.ndim == 3 and len(wanted) == 3:
            first, rows, width = wanted
            if state.shape == (rows, first, width):
                hint = f"\n    also with batch_first the layers come first: {name}.swapaxes(0, 1)"
            elif state.shape[0] == first and state.shape[2] == width:
                hint = f"\n    it belongs to {state.shape[1]} sequences, the input has {rows}"
                other = x.shape[0]
                if state.shape[1] == other:
                    order = "leave batch_first out" if self.batch_first else "set batch_first=True"
                    hint += f": is the input's other axis ({other}) the sequences? {order}"
                else:
                    hint += ": keep the rows of this minibatch, or start from hx=None"
        return f"{trail.title(self)} expects {name} {wanted} = ({axes}), got {state.shape}{hint}"

    def _alive(self, lengths: Any, x: Tensor) -> Tensor:
        """(T, N, 1): whether a sequence still runs at a step."""
        steps, rows = x.shape[:2]
        given = as_tensor(lengths)
        if known_values(given) is not None:
            given = as_tensor(checked_lengths(trail.title(self), known_values(given), rows, steps))
        if not dt.is_integer(given.dtype) or given.shape != (rows,):
            raise ShapeError(
                f"{trail.title(self)} expects integer lengths ({rows},), got "
                f"{given.dtype}{list(given.shape)}"
            )
        wrong = f"length {{}} of a sequence is not in 1 … {steps}, the steps of the padded input"
        check_later(given.node, 1, steps + 1, f"{trail.title(self)}: {wrong}")
        running: Tensor = arange(steps).unsqueeze(1) < given
        return running.unsqueeze(-1)

    # -- text --------------------------------------------------------------------------------------
    def headline(self) -> str:
        """In one line: LSTM(5, 8)."""
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size})"

    def extra_repr(self) -> str:
        """The arguments that are not defaults."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "num_layers": 1,
            "nonlinearity": "tanh",
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "proj_size": 0,
            "remat": False,
        }
        for name, default in defaults.items():
            value = getattr(self, name, default)
            parts += [f"{name}={value!r}"] if value != default else []
        return ", ".join(parts)


class RNN(_Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or relu of it (Elman, 1990).

    x (T, N, I), (N, T, I) with ``batch_first``, or one sequence (T, I). L = num_layers layers, each
    on the outputs of the one below (with ``dropout`` between them); with ``bidirectional`` (D = 2)
    a second loop from the last step to the first, outputs side by side. Returns the outputs
    (T, N, D H) and h_n (L D, N, H), row 2·layer + direction. ``hx``: h_0, like h_n; zeros if None.

    Sequences of unequal length: padded with ``lengths=`` (N,), or a `PackedSequence`. Parameters of
    each layer l and direction: weight_ih_l (H, I or D H), weight_hh_l (H, H), bias_ih_l and
    bias_hh_l (H,), all uniform on ±1/√H. ``remat``: the gradient keeps √T states and computes the
    rest again. ``lengths`` and ``remat`` are not in PyTorch.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> out, h_n = nn.RNN(3, 5, num_layers=2, bidirectional=True)(cr.zeros(7, 4, 3))
    >>> out.shape, h_n.shape
    ((7, 4, 10), (4, 4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        remat: bool = False,
    ) -> None:
        check("RNN", {"nonlinearity": choice("tanh", "relu")}, {"nonlinearity": nonlinearity})
        object.__setattr__(self, "nonlinearity", nonlinearity)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
            remat,
        )

    @property
    def _cell(self) -> Cell:
        return CELLS[self.nonlinearity]


class LSTM(_Recurrent):
    """Long short-term memory: a cell c_t behind gates (Hochreiter & Schmidhuber, 1997).

        i, f, g, o = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh       (4 H, in this order)
        c_t = σ(f) c_{t-1} + σ(i) tanh(g)
        h_t = σ(o) tanh(c_t),  or  W_hr (σ(o) tanh(c_t)) with proj_size

    As `RNN`, but the state is (h, c): h_n (L D, N, R), c_n (L D, N, H), R = proj_size or H, and the
    outputs are (T, N, D R). weight_ih_l (4 H, I or D R), weight_hh_l (4 H, R), weight_hr_l (R, H).
    The forget gate is that of Gers, Schmidhuber & Cummins, 2000. Both biases are added, so two
    biases of 1 are one of 2.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> out, (h_n, c_n) = nn.LSTM(3, 5, batch_first=True)(cr.zeros(4, 7, 3), lengths=[7, 2, 1, 3])
    >>> out.shape, h_n.shape, c_n.shape
    ((4, 7, 5), (1, 4, 5), (1, 4, 5))
    """

    kind = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
        remat: bool = False,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
            remat,
        )


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al., 2014), the reset gate behind the product as in PyTorch.

        r = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
        z = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
        n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn))
        h_t = (1 - z) n + z h_{t-1}

    As `RNN`, with weights of 3 H rows in the order r, z, n.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> out, h_n = nn.GRU(3, 5)(cr.zeros(7, 3))
    >>> out.shape, h_n.shape
    ((7, 5), (1, 5))
    """

    kind = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        remat: bool = False,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
            remat,
        )
