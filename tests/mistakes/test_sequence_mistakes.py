"""Mistakes with sequences: every message of the recurrent layers, packing and CTC in full."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import chainrule as cr
from chainrule import errors, nn
from chainrule.nn import functional as F
from chainrule.nn.utils import rnn

z = cr.zeros
lstm, gru = nn.LSTM(5, 8), nn.GRU(5, 8, batch_first=True)
net = nn.Sequential(nn.Embedding(4, 6), nn.GRU(5, 8))
packed = rnn.pack_sequence([z(3, 5), z(1, 5)])
lp = cr.log(cr.full((4, 2, 3), 1 / 3))

MISTAKES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "features": (
        lambda: net(z(2, 3, dtype="int64")),
        "ShapeError",
        "GRU(5, 8) `net[1]` (file:line) expects (T, N, 5), got (2, 3, 6): 6 "
        "features\n    from Embedding(4, 6) `net[0]`, input (batch, 3)\n    set "
        "input_size=6",
    ),
    "axes": (
        lambda: lstm(z(5)),
        "ShapeError",
        "LSTM(5, 8) `lstm` (file:line) expects (T, N, 5), or one sequence (T, 5), got (5,)",
    ),
    "tokens": (
        lambda: gru(z(2, 3, 5, dtype="int64")),
        "DTypeError",
        "GRU(5, 8) `gru` (file:line) expects float32 input, got int64: convert it with "
        "x.to('float32'), or put nn.Embedding before it if these are indices",
    ),
    "float64": (
        lambda: lstm(z(2, 3, 5, dtype="float64")),
        "DTypeError",
        "LSTM(5, 8) `lstm` (file:line) has float32 weights, got float64 input: convert "
        "it with .to('float32'), or the model with .to('float64')",
    ),
    "no steps": (
        lambda: lstm(z(0, 3, 5)),
        "ShapeError",
        "LSTM(5, 8) `lstm` (file:line) got no steps: input (0, 3, 5)",
    ),
    "state of another batch": (
        lambda: gru(z(3, 7, 5), z(1, 2, 8)),
        "ShapeError",
        "GRU(5, 8) `gru` (file:line) expects h0 (1, 3, 8) = (layers · directions, N, "
        "width), got (1, 2, 8)\n    it belongs to 2 sequences, the input has 3: keep "
        "the rows of this minibatch, or start from hx=None",
    ),
    "batch_first forgotten": (
        lambda: lstm(z(3, 7, 5), (z(1, 3, 8), z(1, 3, 8))),
        "ShapeError",
        "LSTM(5, 8) `lstm` (file:line) expects h0 (1, 7, 8) = (layers · directions, N, "
        "width), got (1, 3, 8)\n    it belongs to 3 sequences, the input has 7: is the "
        "input's other axis (3) the sequences? set batch_first=True",
    ),
    "state batch first": (
        lambda: gru(z(3, 7, 5), z(3, 1, 8)),
        "ShapeError",
        "GRU(5, 8) `gru` (file:line) expects h0 (1, 3, 8) = (layers · directions, N, "
        "width), got (3, 1, 8)\n    also with batch_first the layers come first: "
        "h0.swapaxes(0, 1)",
    ),
    "state without axis": (
        lambda: gru(z(3, 7, 5), z(3, 8)),
        "ShapeError",
        "GRU(5, 8) `gru` (file:line) expects h0 (1, 3, 8) = (layers · directions, N, "
        "width), got (3, 8)",
    ),
    "lstm state alone": (
        lambda: lstm(z(7, 3, 5), z(1, 3, 8)),
        "OptionError",
        "LSTM(5, 8) `lstm` (file:line): the first state is (h0, c0), got a tensor (1, "
        "3, 8); give hx=(h0, c0)",
    ),
    "cell state width": (
        lambda: lstm(z(7, 3, 5), (z(1, 3, 8), z(1, 3, 4))),
        "ShapeError",
        "LSTM(5, 8) `lstm` (file:line) expects c0 (1, 3, 8) = (layers · directions, N, "
        "width), got (1, 3, 4)",
    ),
    "state dtype": (
        lambda: gru(z(3, 7, 5), z(1, 3, 8, dtype="float64")),
        "DTypeError",
        "GRU(5, 8) `gru` (file:line) has float32 weights, got float64 h0: convert it "
        "with .to('float32'), or the model with .to('float64')",
    ),
    "length too long": (
        lambda: gru(z(3, 7, 5), lengths=[1, 9, 2]),
        "DataError",
        "GRU(5, 8) `gru` (file:line): length 9 of sequence 1 is not in 1 … 7, the "
        "steps of the padded input; pad the input to 9 steps, or give at most 7 (the "
        "second axis is time with batch_first=True, else the first)",
    ),
    "length zero": (
        lambda: gru(z(3, 7, 5), lengths=[1, 0, 2]),
        "DataError",
        "GRU(5, 8) `gru` (file:line): length 0 of sequence 1 is not in 1 … 7, the "
        "steps of the padded input; leave empty sequences out",
    ),
    "lengths shape": (
        lambda: gru(z(3, 7, 5), lengths=[1, 2]),
        "ShapeError",
        "GRU(5, 8) `gru` (file:line): lengths must have one number for each of the 3 "
        "sequences, got shape (2,)",
    ),
    "lengths floats": (
        lambda: gru(z(3, 7, 5), lengths=[1.0, 2.0, 3.0]),
        "DTypeError",
        "GRU(5, 8) `gru` (file:line): lengths must be integers, got float32",
    ),
    "lengths of one": (
        lambda: gru(z(7, 5), lengths=[3]),
        "ShapeError",
        "GRU(5, 8) `gru` (file:line): lengths= are for several sequences (N, T, 5), "
        "got one, (7, 5); cut it: x[:length]",
    ),
    "lengths of packed": (
        lambda: gru(packed, lengths=[3, 1]),
        "OptionError",
        "GRU(5, 8) `gru` (file:line): a PackedSequence knows its lengths; leave lengths= out",
    ),
    "proj_size": (
        lambda: nn.LSTM(5, 8, proj_size=8),
        "OptionError",
        "LSTM: proj_size must be an integer ≥ 0 and ≤ 7, got 8",
    ),
    "hidden size": (
        lambda: nn.GRU(5, 0),
        "OptionError",
        "GRU: hidden_size must be an integer ≥ 1, got 0",
    ),
    "nonlinearity": (
        lambda: nn.RNN(5, 8, nonlinearity="gelu"),
        "OptionError",
        "RNN: nonlinearity must be 'tanh' or 'relu', got 'gelu'",
    ),
    "dropout": (
        lambda: nn.GRU(5, 8, 2, dropout=1.5),
        "OptionError",
        "GRU: dropout must be a number in [0, 1], got 1.5",
    ),
    "cell features": (
        lambda: nn.GRUCell(5, 8)(z(3, 4)),
        "ShapeError",
        "GRUCell(5, 8) (file:line) expects (N, 5) or (5,), got (3, 4)\n    set input_size=4",
    ),
    "cell state": (
        lambda: nn.GRUCell(5, 8)(z(3, 5), z(2, 8)),
        "ShapeError",
        "GRUCell(5, 8) (file:line) expects h (3, 8) for input (3, 5), got (2, 8)",
    ),
    "cell pair": (
        lambda: nn.LSTMCell(5, 8)(z(3, 5), z(3, 8)),
        "OptionError",
        "LSTMCell(5, 8) (file:line): the state is a pair (h, c)",
    ),
    "not sorted": (
        lambda: rnn.pack_padded_sequence(z(4, 2, 5), [1, 3]),
        "OptionError",
        "pack_padded_sequence: with enforce_sorted=True the lengths must fall, but "
        "sequence 0 has 1 steps and sequence 1 has 3; say enforce_sorted=False",
    ),
    "pack too long": (
        lambda: rnn.pack_padded_sequence(z(4, 2, 5), [6, 3]),
        "DataError",
        "pack_padded_sequence: length 6 of sequence 0 is not in 1 … 4, the steps of "
        "the padded input; pad the input to 6 steps, or give at most 4 (the second "
        "axis is time with batch_first=True, else the first)",
    ),
    "pack one": (
        lambda: rnn.pack_padded_sequence(z(4), [3]),
        "ShapeError",
        "pack_padded_sequence expects (T, N, *), got (4,); a single sequence needs no packing",
    ),
    "pad nothing": (
        lambda: rnn.pad_sequence([]),
        "DataError",
        "pad_sequence: there are no sequences",
    ),
    "pad widths": (
        lambda: rnn.pad_sequence([z(2, 3), z(2, 4)]),
        "ShapeError",
        "pad_sequence: sequence 1 is float32[2, 4], sequence 0 is float32[2, 3]; they "
        "may differ in their first axis only, the steps",
    ),
    "empty sequence": (
        lambda: rnn.pack_sequence([z(2, 3), z(0, 3)]),
        "DataError",
        "pack_padded_sequence: length 0 of sequence 1 is not in 1 … 2, the steps of "
        "the padded input; leave empty sequences out",
    ),
    "total length": (
        lambda: rnn.pad_packed_sequence(packed, total_length=2),
        "OptionError",
        "pad_packed_sequence: total_length=2 is shorter than the longest sequence, 3 steps",
    ),
    "not packed": (
        lambda: rnn.pad_packed_sequence(z(3)),
        "OptionError",
        "pad_packed_sequence expects a PackedSequence, got Tensor",
    ),
    "lengths in compile": (
        lambda: cr.compile(lambda x, n: rnn.pack_padded_sequence(x, n).data)(
            z(4, 2, 5), cr.tensor([3, 1])
        ),
        "CompileError",
        "pack_padded_sequence: the lengths are not known inside a compiled or "
        "vectorized function, and how many packed rows there are depends on them. Keep "
        "the sequences padded and give the layer lengths=, or make the lengths a list "
        "or a NumPy array",
    ),
    "ctc blank": (
        lambda: F.ctc_loss(lp, [[0, 1], [1, 2]], [4, 4], [2, 2]),
        "DataError",
        "ctc_loss: label 0 at position 0 of target 0 is the blank; labels of the "
        "targets are the other classes",
    ),
    "ctc label": (
        lambda: F.ctc_loss(lp, [[1, 2], [1, 3]], [4, 4], [2, 2]),
        "DataError",
        "ctc_loss: label 3 at position 1 of target 1 is not in 0 … 2; log_probs have "
        "too few classes, or padding lies within target_lengths",
    ),
    "ctc steps": (
        lambda: F.ctc_loss(lp, [[1, 2], [1, 2]], [4, 5], [2, 2]),
        "DataError",
        "ctc_loss: input_lengths[1] = 5 is not in 0 … 4, the steps of log_probs",
    ),
    "ctc labels": (
        lambda: F.ctc_loss(lp, [[1, 2], [1, 2]], [4, 4], [3, 2]),
        "DataError",
        "ctc_loss: target_lengths[0] = 3 is not in 0 … 2, the labels of the padded targets",
    ),
    "ctc joined": (
        lambda: F.ctc_loss(lp, [1, 2, 1], [4, 4], [2, 2]),
        "ShapeError",
        "ctc_loss: target_lengths sum to 4, targets have 3 labels",
    ),
    "ctc rows": (
        lambda: nn.CTCLoss()(lp, [[1, 2]], [4, 4], [2, 2]),
        "ShapeError",
        "ctc_loss: targets (1, 2) have 1 sequences, log_probs have 2; padded targets "
        "are (N, S), all in one row (sum of target_lengths,)\n    in CTCLoss "
        "(file:line), called with float32[4, 2, 3]",
    ),
    "ctc lengths": (
        lambda: F.ctc_loss(lp, [[1, 2], [1, 2]], [4], [2, 2]),
        "ShapeError",
        "ctc_loss: input_lengths has shape (1,), log_probs have N=2 sequences: expected (2,)",
    ),
    "ctc floats": (
        lambda: F.ctc_loss(lp, z(2, 2), [4, 4], [2, 2]),
        "DTypeError",
        "ctc_loss: targets are integer labels, got float32; convert them with .long()",
    ),
    "ctc blank class": (
        lambda: F.ctc_loss(lp, [[1, 2], [1, 2]], [4, 4], [2, 2], blank=3),
        "OptionError",
        "ctc_loss: blank must be an integer ≥ 0 and ≤ 2, got 3",
    ),
    "tuple to linear": (
        lambda: nn.Sequential(nn.LSTM(5, 8), nn.Linear(8, 2))(z(4, 2, 5)),
        "ShapeError",
        "Linear(8, 2) `model[1]` (file:line) expects one tensor, got a tuple of 2\n    "
        "a recurrent layer returns (outputs, last state): take the first, as in x, _ = "
        "layer(x)",
    ),
    "tuple to linear gru": (
        lambda: nn.Sequential(nn.GRU(5, 8), nn.Linear(8, 2))(z(4, 2, 5)),
        "ShapeError",
        "Linear(8, 2) `model[1]` (file:line) expects one tensor, got a tuple of 2\n    "
        "a recurrent layer returns (outputs, last state): take the first, as in x, _ = "
        "layer(x)",
    ),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_message(mistake: str) -> None:
    make, kind, message = MISTAKES[mistake]
    with pytest.raises(errors.ChainruleError) as caught:
        make()
    assert type(caught.value).__name__ == kind
    assert re.sub(r"\(\w+\.py:\d+\)", "(file:line)", str(caught.value)) == message


@pytest.mark.parametrize("length", [9, 0])
def test_lengths_that_are_traced_are_checked_when_the_program_has_run(length: int) -> None:
    call = cr.compile(lambda x, n: gru(x, lengths=n)[0])
    with pytest.raises(errors.OutOfRangeError, match=f"length {length} of a sequence is not in 1"):
        call(cr.ones(2, 3, 5), cr.tensor([length, 2]))


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(5, 8, batch_first=True), nn.Linear(16, 2)

    def forward(self, x: Any) -> Any:
        out, _ = self.rnn(x)
        return self.out(out)


def test_a_linear_layer_names_the_recurrent_layer_before_it() -> None:
    tagger = Tagger()
    with pytest.raises(errors.ShapeError) as caught:
        tagger(z(2, 7, 5))
    assert re.sub(r"\(\w+\.py:\d+\)", "(file:line)", str(caught.value)) == (
        "Linear(16, 2) `model.out` (file:line) expects 16 features, got 8\n    from LSTM(5, 8) "
        "`model.rnn`, input (batch, 7, 5)\n    set in_features=8"
    )
