"""Data sets and a loader with PyTorch's names, for loops of one's own.

`Trainer.fit` takes a loader as well; it then reads the rows and draws the minibatches in native
code, which is faster.
"""

from __future__ import annotations

import math
import typing as _typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DataError, OptionError
from ..habits import answers_of as _answers_of
from ..tensor.ops.create import asarray
from ..tensor.ops.indexing.index import getitem
from ..tensor.ops.joining import stack
from ..tensor.ops.random import Generator, randperm
from ..tensor.tensor import Tensor
from ..tensor.value import Value


class Dataset:
    """Base of data sets: a subclass has ``__len__`` and ``__getitem__``.

    >>> from chainrule.utils.data import Dataset
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, i):
    ...         return float(i), float(i * i)
    >>> Squares()[3]
    (3.0, 9.0)
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs a method __getitem__(self, index)")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs a method __len__(self)")


class TensorDataset(Dataset):
    """Rows of one or several tensors or arrays of equal length: item i is a tuple of rows i.

    >>> import chainrule as cr
    >>> from chainrule.utils.data import TensorDataset
    >>> TensorDataset(cr.tensor([1.0, 2.0]), cr.tensor([0, 1]))[1]
    (tensor(2.), tensor(1))
    """

    def __init__(self, *tensors: Any) -> None:
        """Raises DataError unless all have as many rows."""
        self.tensors = tuple(t if isinstance(t, Tensor) else asarray(t) for t in tensors)
        lengths = [len(t) for t in self.tensors]
        if not lengths or len(set(lengths)) > 1:
            raise DataError(f"TensorDataset: tensors of equal length are needed, got {lengths}")

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(getitem(t, index) for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset):
    """The items of a data set at some indices.

    >>> from chainrule.utils.data import Subset
    >>> Subset("abc", [2, 0])[0]
    'c'
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        """``indices``: places in ``dataset``."""
        self.dataset, self.indices = dataset, list(indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.dataset, TensorDataset | Subset):
            return self.dataset[np.asarray(self.indices)[index].tolist()]
        if isinstance(index, int | np.integer):
            return self.dataset[self.indices[index]]
        return [self.dataset[i] for i in np.asarray(self.indices)[index]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """The data set in parts of random items.

    ``lengths`` are numbers of items, or shares that add up to 1. Raises OptionError if they do not.

    >>> import chainrule as cr
    >>> from chainrule.utils.data import random_split
    >>> _ = cr.manual_seed(0)
    >>> [len(part) for part in random_split(range(10), [0.8, 0.2])]
    [8, 2]
    """
    total = len(dataset)
    counts = [int(n) for n in lengths]
    if math.isclose(sum(lengths), 1) and sum(counts) != total:
        counts = [math.floor(total * share) for share in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
    if sum(counts) != total or min(counts, default=0) < 0:
        raise OptionError(
            f"random_split: lengths {list(lengths)} add up to {sum(lengths)}; expected {total}, the"
            " number of items, or shares that add up to 1"
        )
    order = randperm(total, generator).tolist()
    ends = np.cumsum(counts).tolist()
    return [Subset(dataset, order[e - n : e]) for n, e in zip(counts, ends, strict=True)]


def default_collate(items: Sequence[Any]) -> Any:
    """A list of items as a batch: numbers, arrays and tensors are stacked.

    Tuples and dicts are taken apart first.

    >>> from chainrule.utils.data import default_collate
    >>> default_collate([(1.0, 0), (2.0, 1)])
    (tensor([1., 2.]), tensor([0, 1]))
    """
    first = items[0]
    if isinstance(first, Value):
        return stack(items)
    if isinstance(first, Mapping):
        return {k: default_collate([item[k] for item in items]) for k in first}
    if isinstance(first, tuple):
        return tuple(default_collate(part) for part in zip(*items, strict=True))
    if isinstance(first, np.ndarray):
        return asarray(np.stack(items))
    if isinstance(first, str | bytes):
        return list(items)
    return asarray(list(items))


class DataLoader:
    """Minibatches of a data set, anew and (with ``shuffle``) in another order in each pass.

    Batch k of ⌈n / batch_size⌉ holds items k·batch_size, …; ``drop_last`` leaves out a smaller last
    one. ``collate_fn`` makes a batch of a list of items. ``generator``: of the order. The options
    that set up worker processes and pinned memory are accepted and change nothing.

    >>> import chainrule as cr
    >>> from chainrule.utils.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(cr.arange(5.0), cr.arange(5)), batch_size=2)
    >>> for x, y in loader:
    ...     print(x, y)
    tensor([0., 1.]) tensor([0, 1])
    tensor([2., 3.]) tensor([2, 3])
    tensor([4.]) tensor([4])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        generator: Generator | None = None,
        persistent_workers: bool = False,
        prefetch_factor: int | None = None,
        worker_init_fn: Any = None,
    ) -> None:
        """Raises OptionError for a batch size below 1."""
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise OptionError(f"DataLoader: batch_size is an integer ≥ 1, got {batch_size!r}")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, bool(shuffle)
        self.drop_last, self.generator, self.collate_fn = bool(drop_last), generator, collate_fn

    def __len__(self) -> int:
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        order = randperm(n, self.generator).tolist() if self.shuffle else list(range(n))
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            chosen = order[start : start + self.batch_size]
            if self.collate_fn is None and _rows_at_once(self.dataset):
                yield self.dataset[chosen]
            else:
                collate = self.collate_fn or default_collate
                yield collate([self.dataset[i] for i in chosen])


def _rows_at_once(dataset: Any) -> bool:
    """Whether ``dataset[list]`` gives the rows of tensors."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return isinstance(dataset, TensorDataset)


if not _typing.TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.utils.data")
