"""Nets for whole sequences: recurrent ones, and convolutions over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn
from ..errors import OptionError
from ..tensor import functions as f
from ..tensor.tensor import Tensor
from ..tensor.value import stored


class Recurrent(nn.Module):
    """Layers of a GRU or LSTM; the scores are made of the mean of their outputs and the last."""

    def __init__(
        self, kind: type[Any], channels: int, outputs: int, width: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.rnn = kind(channels, width, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * width, outputs)

    def forward(self, x: Any, lengths: Any) -> Tensor:
        """(N, T, channels) -> (N, outputs)."""
        out, last = self.rnn(x, lengths=lengths)
        last = last[0] if isinstance(last, tuple) else last
        mean = out.sum(1) / lengths.unsqueeze(1)  # behind the end it is 0
        scores: Tensor = self.output(self.dropout(f.cat([mean, last[-1]], 1)))
        return scores


class Convolutional(nn.Module):
    """Convolutions over 7, 5 and 3 steps, then mean and largest of each map over time.

    Without the normalization of Wang, Yan & Oates (2017), which would mix what is padding.
    """

    def __init__(
        self, channels: int, outputs: int, width: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        sizes = [channels] + [width] * max(layers, 1)
        taps = [7, 5] + [3] * layers
        self.convs = nn.ModuleList(
            [
                nn.Conv1d(n, m, k, padding=k // 2)
                for n, m, k in zip(sizes, sizes[1:], taps, strict=False)
            ]
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * width, outputs)

    def forward(self, x: Any, lengths: Any) -> Tensor:
        """(N, T, channels) -> (N, outputs)."""
        there = (f.arange(x.shape[1]) < lengths.unsqueeze(1)).unsqueeze(1)  # (N, 1, T)
        maps = f.where(there, x.movedim(-1, 1), 0.0)
        for conv in self.convs:
            maps = f.where(there, nn.functional.relu(conv(maps)), 0.0)
        mean = maps.sum(-1) / lengths.unsqueeze(1)
        scores: Tensor = self.output(self.dropout(f.cat([mean, maps.amax(-1)], 1)))
        return scores


NETS: dict[str, Callable[[int, int, int, int, float], nn.Module]] = {
    "gru": lambda *sizes: Recurrent(nn.GRU, *sizes),
    "lstm": lambda *sizes: Recurrent(nn.LSTM, *sizes),
    "conv": Convolutional,
}
"""By name, from channels, outputs, width, layers and dropout."""
LAYERS = {"gru": 1, "lstm": 1, "conv": 3}


class Standardized(nn.Module):
    """A net that reads (x - mean) / std of each channel."""

    def __init__(self, net: nn.Module, mean: Any, std: Any) -> None:
        super().__init__()
        self.mean, self.std = nn.Buffer(stored(mean)), nn.Buffer(stored(std))
        self.net = net

    def forward(self, x: Any, lengths: Any) -> Tensor:
        """What the net says."""
        said: Tensor = self.net((x - self.mean) / self.std, lengths)
        return said


def net_of(name: str, *sizes: Any) -> nn.Module:
    """The net called ``name``."""
    if name not in NETS:
        raise OptionError(f"model {name!r} is unknown; there are {', '.join(NETS)}")
    return NETS[name](*sizes)
