"""Nets that have a name, in the ordinary words of `nn`."""

import typing as _typing

from ..habits import answers_of as _answers_of
from .convnet import ConvNet as ConvNet
from .lenet import LeNet1 as LeNet1
from .lenet import LeNet4 as LeNet4
from .lenet import LeNet5 as LeNet5
from .lenet import PartialConv2d as PartialConv2d
from .lenet import Radial as Radial
from .lenet import ScaledTanh as ScaledTanh
from .lenet import Subsampling as Subsampling
from .lenet import map_loss as map_loss
from .lstm1997 import LSTM1997 as LSTM1997
from .resnet import ResNet as ResNet
from .text import GPT as GPT
from .text import CharLSTM as CharLSTM
from .text import Writer as Writer
from .text import generate as generate
from .trained import Card as Card
from .trained import card as card
from .trained import load as load
from .transformer import END as END
from .transformer import PAD as PAD
from .transformer import START as START
from .transformer import Seq2SeqTransformer as Seq2SeqTransformer
from .transformer import beam_search as beam_search

if not _typing.TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.models")
