"""Mode: a way to train a workload, as the worker drives it."""

from __future__ import annotations

from typing import Any

from .layers import Array
from .workload import Workload


def criterion(nn: Any, workload: Workload) -> Any:
    """The loss in the words of a library's ``nn``; of words, over all steps."""
    if workload.loss == "mse":
        return nn.MSELoss()
    if not workload.words:
        return nn.CrossEntropyLoss()

    def of_words(scores: Any, y: Any) -> Any:
        rows = scores.reshape(-1, scores.shape[-1])
        return nn.functional.cross_entropy(rows, y.reshape(-1))

    return of_words


class Mode:
    """One library in one mode. The constructor gets everything into memory, but compiles nothing.

    ``granularity``: `steps` takes multiples of it only (a scan is compiled for one length).
    """

    granularity = 1

    def __init__(self, workload: Workload, threads: int) -> None:
        self.workload = workload
        self.threads = threads
        self.x, self.y = workload.data()
        self.initial: list[Array] = workload.parameters()
        self.epoch = 0

    def reset(self) -> None:
        """Back to the initial weights and moments."""
        raise NotImplementedError

    def steps(self, n: int) -> float:
        """Train n steps on shuffled minibatches; returns the last step's loss when all is done."""
        raise NotImplementedError

    def losses(self, n: int) -> list[float]:
        """From the initial weights: the losses of n steps on minibatches in order."""
        raise NotImplementedError

    def next_batches(self, n: int) -> Array:
        """Row numbers of the next n minibatches (n, batch), shuffled."""
        self.epoch += 1
        return self.workload.epochs_of_batches(n, self.epoch)
