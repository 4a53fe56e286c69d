"""Utilities by PyTorch's and Keras' names: `utils.data`, and a seed for everything."""

import random
import typing as _typing

import numpy as np

from ..data.categorical import to_categorical as to_categorical
from ..habits import answers_of as _answers_of
from ..tensor.ops.random import manual_seed as _manual_seed
from . import data as data


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and Chainrule's default generators; see `cr.manual_seed`.

    >>> import chainrule as cr
    >>> cr.utils.set_random_seed(0)
    """
    random.seed(seed)
    np.random.seed(seed)
    _manual_seed(seed)


if not _typing.TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.utils")
