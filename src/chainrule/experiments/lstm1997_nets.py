"""The nets of `lstm1997`: memory cells by two rules, and a plain net beside them."""

from __future__ import annotations

from typing import Any

from .. import models, nn
from ..tensor import functions as f
from .lstm1997_tasks import Task

RULE, FULL_GRADIENT, PLAIN = KINDS = ("rule of 1997", "full gradient", "plain net")


class Plain(nn.Module):
    """A recurrent net of tanh units, as many as a net of memory cells has gates and cells."""

    def __init__(
        self, inputs: int, blocks: int, size: int, outputs: int, linear: bool = False, **_: Any
    ) -> None:
        super().__init__()
        self.linear, self.rnn = linear, nn.RNN(inputs, blocks * (2 + size))
        self.head = nn.Linear(self.rnn.hidden_size, outputs)

    def forward(self, x: Any) -> Any:
        """Outputs after each step."""
        out = self.head(self.rnn(x)[0])
        return out if self.linear else f.sigmoid(out)


def net_of(task: Task, kind: str, seed: int) -> nn.Module:
    """The net of a task, with the weights of a seed."""
    f.manual_seed(seed)
    if kind == PLAIN:
        return Plain(**task.net)
    return models.LSTM1997(**task.net, truncated=kind == RULE)
