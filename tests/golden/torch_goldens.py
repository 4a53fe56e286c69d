"""The numbers PyTorch computed (tests/golden/make_torch_goldens.py), and how near they must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nn_cases as cases
import numpy as np
import optim_cases

import chainrule as cr

__all__ = ["agree", "cases", "converted", "goldens", "optim_cases"]

goldens = dict(np.load(Path(__file__).with_name("torch_nn.npz")))
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def agree(actual: Any, name: str, dtype: str, slack: float = 1.0) -> None:
    """Compare with a golden array, relative to its largest finite element."""
    actual, expected = np.asarray(actual, np.float64), goldens[name]
    assert actual.shape == expected.shape, name
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    finite = np.abs(expected[np.isfinite(expected)])
    scale = max(float(finite.max(initial=0)), 1e-3)
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0, np.abs(actual - expected) / scale)
    assert not error.size or np.nanmax(error) <= slack * TOLERANCE[dtype], (
        name,
        error.max(),
        actual,
        expected,
    )
    assert not np.isnan(error).any(), name


def converted(x: Any, dtype: str) -> Any:
    """A tensor; floats as ``dtype``."""
    x = np.asarray(x)
    return cr.tensor(x.astype(dtype) if x.dtype.kind == "f" else x)
