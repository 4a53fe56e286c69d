"""Axes by number: ``axis``, ``keepdims`` (NumPy) are ``dim``, ``keepdim`` (PyTorch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core import graph as g
from ...core.node import Node
from ...errors import OptionError, ShapeError

Axis = int | Sequence[int] | None
Keep = bool | None


def normalize_axis(axis: int, ndim: int, name: str) -> int:
    """``axis`` counted from 0."""
    if not isinstance(axis, int) and not hasattr(axis, "__index__"):
        raise OptionError(f"{name}: an axis is an integer, got {axis!r}")
    axis = int(axis)
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{name}: axis {axis} of a tensor with {ndim} axes")
    return axis % ndim


def normalize_axes(axis: Axis, ndim: int, name: str) -> tuple[int, ...]:
    """All axes for None; otherwise the axes counted from 0, in order."""
    if axis is None:
        return tuple(range(ndim))
    listed = list(axis) if isinstance(axis, Sequence) else [axis]
    axes = tuple(sorted(normalize_axis(a, ndim, name) for a in listed))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: an axis is named twice in {tuple(listed)}")
    return axes


def pick(name: str, axis: Any, dim: Any, keepdims: Keep, keepdim: Keep) -> tuple[Any, bool]:
    """One of ``axis``/``dim`` and one of ``keepdims``/``keepdim``."""
    if axis is not None and dim is not None:
        raise OptionError(f"{name}: axis and dim are the same argument; give one of them")
    return dim if axis is None else axis, bool(keepdims or keepdim)


def keep(node: Node, before: Node, axes: Sequence[int]) -> Node:
    """``node`` with the reduced ``axes`` back, of length 1."""
    return g.reshape(node, [1 if i in axes else n for i, n in enumerate(before.shape)])
