"""Chainrule: neural networks trained by back-propagation, the training loop one native program."""

from __future__ import annotations

import importlib
from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi
from typing import TYPE_CHECKING, Any

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
from .core.host.device import cuda as cuda
from .core.host.device import device as device
from .habits import answers_of as _answers_of
from .tensor import autograd as autograd
from .tensor.compiling.compiled import compile as compile
from .tensor.functions import *
from .tensor.grad_mode import enable_grad as enable_grad
from .tensor.grad_mode import inference_mode as inference_mode
from .tensor.grad_mode import is_grad_enabled as is_grad_enabled
from .tensor.grad_mode import no_grad as no_grad
from .tensor.grad_mode import set_grad_enabled as set_grad_enabled
from .tensor.ops import linalg as linalg
from .tensor.ops.kinds import array_namespace_info as __array_namespace_info__  # noqa: F401
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
from .tensor.transform.loops import remat as remat
from .tensor.transform.loops import scan as scan

__version__ = "0.2.0.dev0"
__array_api_version__ = "2024.12"
bool, float, double = bool_, float32, float64
short, int, long = int16, int32, int64
newaxis = None  # x[:, newaxis]: a new axis, as in NumPy

# Loaded when first used: `import chainrule` stays quick. Type checkers and editors see them below.
_LAZY_MODULES = (
    "callbacks",
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
    from . import callbacks as callbacks
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
