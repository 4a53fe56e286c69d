"""Chainrule: neural networks trained by back-propagation, the whole training loop one native
program."""

from __future__ import annotations

import importlib
from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi
from typing import TYPE_CHECKING, Any

from .core.device import cuda as cuda
from .core.device import device as device
from .core.dtypes import bool_ as bool_
from .core.dtypes import float32 as float32
from .core.dtypes import float64 as float64
from .core.dtypes import int8 as int8
from .core.dtypes import int16 as int16
from .core.dtypes import int32 as int32
from .core.dtypes import int64 as int64
from .core.dtypes import uint8 as uint8
from .core.dtypes import uint16 as uint16
from .core.dtypes import uint32 as uint32
from .core.dtypes import uint64 as uint64
from .habits import answers_of as _answers_of
from .tensor import autograd as autograd
from .tensor import linalg as linalg
from .tensor.compiled import compile as compile
from .tensor.functions import Generator as Generator
from .tensor.functions import abs as abs
from .tensor.functions import absolute as absolute
from .tensor.functions import acos as acos
from .tensor.functions import acosh as acosh
from .tensor.functions import add as add
from .tensor.functions import addmm as addmm
from .tensor.functions import all as all
from .tensor.functions import allclose as allclose
from .tensor.functions import amax as amax
from .tensor.functions import amin as amin
from .tensor.functions import any as any
from .tensor.functions import arange as arange
from .tensor.functions import arccos as arccos
from .tensor.functions import arccosh as arccosh
from .tensor.functions import arcsin as arcsin
from .tensor.functions import arcsinh as arcsinh
from .tensor.functions import arctan as arctan
from .tensor.functions import arctan2 as arctan2
from .tensor.functions import arctanh as arctanh
from .tensor.functions import argmax as argmax
from .tensor.functions import argmin as argmin
from .tensor.functions import argsort as argsort
from .tensor.functions import array_equal as array_equal
from .tensor.functions import as_tensor as as_tensor
from .tensor.functions import asarray as asarray
from .tensor.functions import asin as asin
from .tensor.functions import asinh as asinh
from .tensor.functions import astype as astype
from .tensor.functions import atan as atan
from .tensor.functions import atan2 as atan2
from .tensor.functions import atanh as atanh
from .tensor.functions import bernoulli as bernoulli
from .tensor.functions import bincount as bincount
from .tensor.functions import bitwise_and as bitwise_and
from .tensor.functions import bitwise_invert as bitwise_invert
from .tensor.functions import bitwise_left_shift as bitwise_left_shift
from .tensor.functions import bitwise_or as bitwise_or
from .tensor.functions import bitwise_right_shift as bitwise_right_shift
from .tensor.functions import bitwise_xor as bitwise_xor
from .tensor.functions import bmm as bmm
from .tensor.functions import broadcast_arrays as broadcast_arrays
from .tensor.functions import broadcast_shapes as broadcast_shapes
from .tensor.functions import broadcast_tensors as broadcast_tensors
from .tensor.functions import broadcast_to as broadcast_to
from .tensor.functions import can_cast as can_cast
from .tensor.functions import cat as cat
from .tensor.functions import cdist as cdist
from .tensor.functions import ceil as ceil
from .tensor.functions import choice as choice
from .tensor.functions import chunk as chunk
from .tensor.functions import clip as clip
from .tensor.functions import concat as concat
from .tensor.functions import concatenate as concatenate
from .tensor.functions import conj as conj
from .tensor.functions import copysign as copysign
from .tensor.functions import cos as cos
from .tensor.functions import cosh as cosh
from .tensor.functions import count_nonzero as count_nonzero
from .tensor.functions import cummax as cummax
from .tensor.functions import cummin as cummin
from .tensor.functions import cumprod as cumprod
from .tensor.functions import cumsum as cumsum
from .tensor.functions import cumulative_prod as cumulative_prod
from .tensor.functions import cumulative_sum as cumulative_sum
from .tensor.functions import default_generator as default_generator
from .tensor.functions import diag as diag
from .tensor.functions import diagonal as diagonal
from .tensor.functions import diff as diff
from .tensor.functions import divide as divide
from .tensor.functions import dot as dot
from .tensor.functions import dropout_mask as dropout_mask
from .tensor.functions import einsum as einsum
from .tensor.functions import empty as empty
from .tensor.functions import empty_like as empty_like
from .tensor.functions import equal as equal
from .tensor.functions import erf as erf
from .tensor.functions import exp as exp
from .tensor.functions import exp2 as exp2
from .tensor.functions import expand_dims as expand_dims
from .tensor.functions import expm1 as expm1
from .tensor.functions import exponential as exponential
from .tensor.functions import eye as eye
from .tensor.functions import finfo as finfo
from .tensor.functions import flatten as flatten
from .tensor.functions import flip as flip
from .tensor.functions import floor as floor
from .tensor.functions import floor_divide as floor_divide
from .tensor.functions import from_dlpack as from_dlpack
from .tensor.functions import from_numpy as from_numpy
from .tensor.functions import full as full
from .tensor.functions import full_like as full_like
from .tensor.functions import gather as gather
from .tensor.functions import get_default_dtype as get_default_dtype
from .tensor.functions import greater as greater
from .tensor.functions import greater_equal as greater_equal
from .tensor.functions import hstack as hstack
from .tensor.functions import hypot as hypot
from .tensor.functions import iinfo as iinfo
from .tensor.functions import imag as imag
from .tensor.functions import index_select as index_select
from .tensor.functions import is_tensor as is_tensor
from .tensor.functions import isdtype as isdtype
from .tensor.functions import isfinite as isfinite
from .tensor.functions import isinf as isinf
from .tensor.functions import isnan as isnan
from .tensor.functions import lerp as lerp
from .tensor.functions import less as less
from .tensor.functions import less_equal as less_equal
from .tensor.functions import linspace as linspace
from .tensor.functions import log as log
from .tensor.functions import log1p as log1p
from .tensor.functions import log2 as log2
from .tensor.functions import log10 as log10
from .tensor.functions import log_softmax as log_softmax
from .tensor.functions import logaddexp as logaddexp
from .tensor.functions import logcumsumexp as logcumsumexp
from .tensor.functions import logical_and as logical_and
from .tensor.functions import logical_not as logical_not
from .tensor.functions import logical_or as logical_or
from .tensor.functions import logical_xor as logical_xor
from .tensor.functions import logsumexp as logsumexp
from .tensor.functions import manual_seed as manual_seed
from .tensor.functions import matmul as matmul
from .tensor.functions import matrix_transpose as matrix_transpose
from .tensor.functions import max as max
from .tensor.functions import maximum as maximum
from .tensor.functions import mean as mean
from .tensor.functions import median as median
from .tensor.functions import meshgrid as meshgrid
from .tensor.functions import min as min
from .tensor.functions import minimum as minimum
from .tensor.functions import mm as mm
from .tensor.functions import moveaxis as moveaxis
from .tensor.functions import multinomial as multinomial
from .tensor.functions import multiply as multiply
from .tensor.functions import negative as negative
from .tensor.functions import nextafter as nextafter
from .tensor.functions import nonzero as nonzero
from .tensor.functions import norm as norm
from .tensor.functions import normal as normal
from .tensor.functions import not_equal as not_equal
from .tensor.functions import one_hot as one_hot
from .tensor.functions import ones as ones
from .tensor.functions import ones_like as ones_like
from .tensor.functions import outer as outer
from .tensor.functions import pad as pad
from .tensor.functions import permutation as permutation
from .tensor.functions import permute as permute
from .tensor.functions import permute_dims as permute_dims
from .tensor.functions import positive as positive
from .tensor.functions import pow as pow
from .tensor.functions import power as power
from .tensor.functions import prod as prod
from .tensor.functions import quantile as quantile
from .tensor.functions import rand as rand
from .tensor.functions import rand_like as rand_like
from .tensor.functions import randint as randint
from .tensor.functions import randn as randn
from .tensor.functions import randn_like as randn_like
from .tensor.functions import randperm as randperm
from .tensor.functions import ravel as ravel
from .tensor.functions import real as real
from .tensor.functions import reciprocal as reciprocal
from .tensor.functions import relu as relu
from .tensor.functions import remainder as remainder
from .tensor.functions import repeat as repeat
from .tensor.functions import repeat_interleave as repeat_interleave
from .tensor.functions import reshape as reshape
from .tensor.functions import result_dtype as result_dtype
from .tensor.functions import result_type as result_type
from .tensor.functions import roll as roll
from .tensor.functions import round as round
from .tensor.functions import rsqrt as rsqrt
from .tensor.functions import scatter as scatter
from .tensor.functions import scatter_add as scatter_add
from .tensor.functions import searchsorted as searchsorted
from .tensor.functions import seed as seed
from .tensor.functions import set_default_dtype as set_default_dtype
from .tensor.functions import set_printoptions as set_printoptions
from .tensor.functions import sigmoid as sigmoid
from .tensor.functions import sign as sign
from .tensor.functions import signbit as signbit
from .tensor.functions import sin as sin
from .tensor.functions import sinh as sinh
from .tensor.functions import softmax as softmax
from .tensor.functions import softplus as softplus
from .tensor.functions import sort as sort
from .tensor.functions import split as split
from .tensor.functions import sqrt as sqrt
from .tensor.functions import square as square
from .tensor.functions import squeeze as squeeze
from .tensor.functions import stack as stack
from .tensor.functions import std as std
from .tensor.functions import subtract as subtract
from .tensor.functions import sum as sum
from .tensor.functions import swapaxes as swapaxes
from .tensor.functions import take as take
from .tensor.functions import take_along_axis as take_along_axis
from .tensor.functions import tan as tan
from .tensor.functions import tanh as tanh
from .tensor.functions import tensor as tensor
from .tensor.functions import tensordot as tensordot
from .tensor.functions import tile as tile
from .tensor.functions import topk as topk
from .tensor.functions import trace as trace
from .tensor.functions import transpose as transpose
from .tensor.functions import tril as tril
from .tensor.functions import triu as triu
from .tensor.functions import trunc as trunc
from .tensor.functions import unbind as unbind
from .tensor.functions import uniform as uniform
from .tensor.functions import unique as unique
from .tensor.functions import unique_all as unique_all
from .tensor.functions import unique_counts as unique_counts
from .tensor.functions import unique_inverse as unique_inverse
from .tensor.functions import unique_values as unique_values
from .tensor.functions import unsqueeze as unsqueeze
from .tensor.functions import unstack as unstack
from .tensor.functions import use_deterministic_algorithms as use_deterministic_algorithms
from .tensor.functions import var as var
from .tensor.functions import vecdot as vecdot
from .tensor.functions import vstack as vstack
from .tensor.functions import where as where
from .tensor.functions import zeros as zeros
from .tensor.functions import zeros_like as zeros_like
from .tensor.kinds import array_namespace_info as __array_namespace_info__  # noqa: F401
from .tensor.loops import remat as remat
from .tensor.loops import scan as scan
from .tensor.tensor import Tensor as Tensor
from .tensor.transform import check_grads as check_grads
from .tensor.transform import custom_vjp as custom_vjp
from .tensor.transform import grad as grad
from .tensor.transform import hessian as hessian
from .tensor.transform import jacobian as jacobian
from .tensor.transform import jvp as jvp
from .tensor.transform import stop_gradient as stop_gradient
from .tensor.transform import value_and_grad as value_and_grad
from .tensor.transform import vjp as vjp
from .tensor.transform import vmap as vmap
from .tensor.value import enable_grad as enable_grad
from .tensor.value import inference_mode as inference_mode
from .tensor.value import is_grad_enabled as is_grad_enabled
from .tensor.value import no_grad as no_grad
from .tensor.value import set_grad_enabled as set_grad_enabled

__version__ = "0.2.0.dev0"
__array_api_version__ = "2024.12"
bool, float, double = bool_, float32, float64  # noqa: A001 - PyTorch's names of dtypes
short, int, long = int16, int32, int64  # noqa: A001
newaxis = None  # x[:, newaxis]: a new axis, as in NumPy

# Loaded when first used: `import chainrule` stays quick. Type checkers and editors see them below.
_LAZY_MODULES = (
    "data",
    "estimators",
    "experiments",
    "func",
    "models",
    "nn",
    "optim",
    "train",
    "utils",
)
_LAZY_NAMES: dict[str, str] = {
    "Trainer": "train",
    "explain": "train.explain",
    "explain_step": "train.step_explained",
    "get_num_threads": "runtime.threads",
    "load": "utils.files",
    "save": "utils.files",
    "set_num_threads": "runtime.threads",
}
_missing = _answers_of(__name__)

if TYPE_CHECKING:
    from . import data as data
    from . import estimators as estimators
    from . import experiments as experiments
    from . import func as func
    from . import models as models
    from . import nn as nn
    from . import optim as optim
    from . import train as train
    from . import utils as utils
    from .runtime.threads import get_num_threads as get_num_threads
    from .runtime.threads import set_num_threads as set_num_threads
    from .train import Trainer as Trainer
    from .train.explain import explain as explain
    from .train.step_explained import explain_step as explain_step
    from .utils.files import load as load
    from .utils.files import save as save
else:

    def __getattr__(name: str) -> Any:
        if name in _LAZY_MODULES:
            return importlib.import_module(f".{name}", __name__)
        if name in _LAZY_NAMES:
            return getattr(importlib.import_module(f".{_LAZY_NAMES[name]}", __name__), name)
        return _missing(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES, *_LAZY_NAMES})
