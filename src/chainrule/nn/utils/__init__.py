"""Clipping of gradients, and parameters as one vector."""

import typing as _typing

from ...habits import answers_of as _answers_of
from .clip_grad import clip_grad_norm_ as clip_grad_norm_
from .clip_grad import clip_grad_value_ as clip_grad_value_
from .clip_grad import get_total_norm as get_total_norm
from .convert import parameters_to_vector as parameters_to_vector
from .convert import vector_to_parameters as vector_to_parameters

if not _typing.TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.nn.utils")
