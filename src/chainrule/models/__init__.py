"""Nets that have a name, each in the layers of `chainrule.nn`."""

import typing as _typing

from ..habits import answers_of as _answers_of
from .text import GPT as GPT
from .text import CharLSTM as CharLSTM
from .text import generate as generate

if not _typing.TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.models")
