"""Estimators: the classes for scikit-learn, and models of tables in one file."""

from __future__ import annotations

from typing import Any

from .table_model import TableModel as TableModel

__all__ = ["BackpropClassifier", "BackpropRegressor", "TableModel"]


def __getattr__(name: str) -> Any:
    # scikit-learn is an extra: a model of a table works without it.
    if name in ("BackpropClassifier", "BackpropRegressor"):
        from . import sklearn

        return getattr(sklearn, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
