"""Sequences of unequal length: padded, packed, and back, with the names of ``torch.nn.utils.rnn``.

Letters: T steps of the longest, N sequences. Padded: (T, N, *), or (N, T, *) with ``batch_first``.
Packed: only the steps there are, all first steps, then all second steps …, longest sequence first.
Lengths are numbers that are known when a function is traced: they decide shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.node import Array
from ...errors import CompileError, DataError, DTypeError, OptionError, ShapeError
from ...tensor.ops.create import full
from ...tensor.ops.elementwise import where
from ...tensor.ops.joining import concatenate, stack, unstack
from ...tensor.tensor import Tensor
from ...tensor.value import Value, as_tensor, stored
from ..functional.known import static_values


class PackedSequence(NamedTuple):
    """Sequences without padding: ``data`` (ΣL, *), ``batch_sizes`` (T,): how many still run.

    ``sorted_indices``: which sequence is the first, second …, from the longest on;
    ``unsorted_indices``: where each went; None: they were sorted. Made by `pack_padded_sequence`
    or `pack_sequence`; recurrent layers take it and return one.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    @property
    def lengths(self) -> Array:
        """How long each sequence is, in the order in which they were given."""
        sizes = _numbers("PackedSequence", self.batch_sizes)
        lengths: Array = (sizes[:, None] > np.arange(sizes[0])).sum(0)
        if self.unsorted_indices is None:
            return lengths
        given: Array = lengths[_numbers("PackedSequence", self.unsorted_indices)]
        return given

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data converted."""
        return self._replace(data=self.data.to(*args, **kwargs))

    def float(self) -> PackedSequence:
        """``to("float32")``."""
        return self.to("float32")

    def double(self) -> PackedSequence:
        """``to("float64")``."""
        return self.to("float64")


def _numbers(owner: str, lengths: Any) -> Array:
    """Lengths must be known while a function is traced: they decide shapes."""
    found = static_values(lengths)
    if found is None:
        raise CompileError(
            f"{owner}: the lengths are not known inside a compiled or vectorized function, and "
            "how many packed rows there are depends on them. Keep the sequences padded and give "
            "the layer lengths=, or make the lengths a list or a NumPy array"
        )
    return found


def checked_lengths(owner: str, lengths: Any, rows: int, longest: int) -> Array:
    """Lengths as integers (N,), or an error that names the first wrong one."""
    found = _numbers(owner, lengths)
    if found.dtype.kind not in "iu":
        raise DTypeError(f"{owner}: lengths must be integers, got {found.dtype}")
    if found.shape != (rows,):
        raise ShapeError(
            f"{owner}: lengths must have one number for each of the {rows} sequences, got shape "
            f"{found.shape}"
        )
    wrong = np.flatnonzero((found < 1) | (found > longest))
    if wrong.size:
        at, value = int(wrong[0]), int(found[wrong[0]])
        if value > longest:
            hint = f"pad the input to {value} steps, or give at most {longest}"
            hint += " (the second axis is time with batch_first=True, else the first)"
        else:
            hint = "leave empty sequences out"
        raise DataError(
            f"{owner}: length {value} of sequence {at} is not in 1 … {longest}, the steps of the "
            f"padded input; {hint}"
        )
    return found.astype(np.int64)


def _places(lengths: Array, order: Array) -> tuple[Array, Array, Array]:
    """(step, sequence) of each packed row, and how many sequences each step has."""
    running = np.arange(lengths.max())[:, None] < lengths[order]  # (T, N), longest first
    steps, ranks = np.nonzero(running)
    return steps, order[ranks], running.sum(1)


def _indices(array: Array) -> Tensor:
    return stored(np.ascontiguousarray(array, dtype=np.int64))


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """The first ``lengths[n]`` steps of each sequence n of (T, N, *), packed.

    ``enforce_sorted``: the lengths must fall; False: they are sorted here. Raises DataError for a
    length that is 0 or longer than T, OptionError where they do not fall.

    >>> import chainrule as cr
    >>> from chainrule.nn.utils.rnn import pack_padded_sequence
    >>> pack_padded_sequence(cr.tensor([[1, 2, 3], [4, 0, 0]]), [3, 1], batch_first=True).data
    tensor([1, 4, 2, 3])
    """
    x = as_tensor(input)
    if x.ndim < 2:
        raise ShapeError(
            f"pack_padded_sequence expects {_axes(batch_first)}, got {x.shape}; a single sequence "
            "needs no packing"
        )
    x = x.swapaxes(0, 1) if batch_first else x
    found = checked_lengths("pack_padded_sequence", lengths, x.shape[1], x.shape[0])
    if not found.size:
        raise DataError("pack_padded_sequence: there are no sequences")
    order = np.argsort(-found, kind="stable")
    if enforce_sorted and np.any(np.diff(found) > 0):
        at = int(np.flatnonzero(np.diff(found) > 0)[0])
        raise OptionError(
            f"pack_padded_sequence: with enforce_sorted=True the lengths must fall, but sequence "
            f"{at} has {found[at]} steps and sequence {at + 1} has {found[at + 1]}; say "
            "enforce_sorted=False"
        )
    steps, rows, sizes = _places(found, order)
    data = x[_indices(steps), _indices(rows)]
    if enforce_sorted:
        return PackedSequence(data, _indices(sizes))
    return PackedSequence(data, _indices(sizes), _indices(order), _indices(np.argsort(order)))


def _axes(batch_first: bool) -> str:
    return "(N, T, *)" if batch_first else "(T, N, *)"


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded sequences (T, N, *) and their lengths (N,), in the order they once had.

    ``total_length``: pad to so many steps. Raises OptionError if it is below the longest sequence.

    >>> import chainrule as cr
    >>> from chainrule.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> packed = pack_sequence([cr.tensor([1, 2, 3]), cr.tensor([4])])
    >>> pad_packed_sequence(packed, batch_first=True, padding_value=-1)
    (tensor([[ 1,  2,  3],
            [ 4, -1, -1]]), tensor([3, 1]))
    """
    _require_packed("pad_packed_sequence", sequence)
    lengths = sequence.lengths
    longest = int(lengths.max())
    if total_length is not None and total_length < longest:
        raise OptionError(
            f"pad_packed_sequence: total_length={total_length} is shorter than the longest "
            f"sequence, {longest} steps"
        )
    order = np.argsort(-lengths, kind="stable")
    if sequence.sorted_indices is not None:
        order = _numbers("pad_packed_sequence", sequence.sorted_indices)
    steps, rows, _ = _places(lengths, order)
    total = longest if total_length is None else int(total_length)
    # The row of the packed data that each place shows; those behind an end show row 0, replaced.
    source = np.zeros((total, len(lengths)), np.int64)
    source[steps, rows] = np.arange(len(steps))
    running = np.arange(total)[:, None] < lengths
    if batch_first:
        source, running = source.T, running.T
    padded = sequence.data[_indices(source)]
    if not running.all():
        mask = as_tensor(running.reshape(*running.shape, *[1] * (padded.ndim - 2)))
        padded = where(mask, padded, full((), padding_value, dtype=padded.dtype))
    return padded, _indices(lengths)


def _require_packed(owner: str, sequence: Any) -> None:
    if not (isinstance(sequence, tuple) and hasattr(sequence, "batch_sizes")):
        raise OptionError(f"{owner} expects a PackedSequence, got {type(sequence).__name__}")


def _list_of_sequences(owner: str, sequences: Any) -> list[Tensor]:
    if isinstance(sequences, Value):
        sequences = list(unstack(sequences, 0)) if sequences.ndim else []
    found = [as_tensor(s) for s in sequences]
    if not found:
        raise DataError(f"{owner}: there are no sequences")
    first = found[0]
    for i, s in enumerate(found):
        if s.ndim == 0 or s.shape[1:] != first.shape[1:] or s.dtype != first.dtype:
            raise ShapeError(
                f"{owner}: sequence {i} is {s.dtype}{list(s.shape)}, sequence 0 is {first.dtype}"
                f"{list(first.shape)}; they may differ in their first axis only, the steps"
            )
    return found


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L_n, *) of unequal length, side by side: (T, N, *), T the longest.

    >>> import chainrule as cr
    >>> from chainrule.nn.utils.rnn import pad_sequence
    >>> pad_sequence([cr.tensor([1, 2]), cr.tensor([3])], batch_first=True, padding_value=-1)
    tensor([[ 1,  2],
            [ 3, -1]])
    """
    if padding_side not in ("left", "right"):
        raise OptionError(
            f"pad_sequence: padding_side must be 'left' or 'right', got {padding_side!r}"
        )
    found = _list_of_sequences("pad_sequence", sequences)
    longest = max(s.shape[0] for s in found)
    rows = []
    for s in found:
        fill = full((longest - s.shape[0], *s.shape[1:]), padding_value, dtype=s.dtype)
        parts = [s, fill] if padding_side == "right" else [fill, s]
        rows.append(concatenate(parts, 0) if fill.shape[0] else s)
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The first ``lengths[n]`` steps of each sequence of (T, N, *), as a list.

    >>> import chainrule as cr
    >>> from chainrule.nn.utils.rnn import unpad_sequence
    >>> unpad_sequence(cr.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)
    [tensor([1, 2]), tensor([3])]
    """
    x = as_tensor(padded_sequences)
    if x.ndim < 2:
        raise ShapeError(f"unpad_sequence expects {_axes(batch_first)}, got {x.shape}")
    x = x if batch_first else x.swapaxes(0, 1)
    found = checked_lengths("unpad_sequence", lengths, x.shape[0], x.shape[1])
    return [x[n, : int(length)] for n, length in enumerate(found)]


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """`pad_sequence`, then `pack_padded_sequence`.

    >>> import chainrule as cr
    >>> from chainrule.nn.utils.rnn import pack_sequence
    >>> pack_sequence([cr.tensor([1, 2, 3]), cr.tensor([4])]).batch_sizes
    tensor([2, 1, 1])
    """
    found = _list_of_sequences("pack_sequence", sequences)
    lengths = [s.shape[0] for s in found]
    return pack_padded_sequence(pad_sequence(found), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a `PackedSequence`, as a list.

    >>> import chainrule as cr
    >>> from chainrule.nn.utils.rnn import pack_sequence, unpack_sequence
    >>> unpack_sequence(pack_sequence([cr.tensor([1, 2, 3]), cr.tensor([4])]))
    [tensor([1, 2, 3]), tensor([4])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
