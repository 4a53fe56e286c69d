"""Estimators: the classes for scikit-learn, and models of tables in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..habits import answers_of
from .table_model import TableModel as TableModel

__all__ = ["BackpropClassifier", "BackpropRegressor", "TableModel"]

_missing = answers_of("chainrule.estimators")

if TYPE_CHECKING:
    from .sklearn import BackpropClassifier as BackpropClassifier
    from .sklearn import BackpropRegressor as BackpropRegressor
else:

    def __getattr__(name: str) -> Any:
        # scikit-learn is an extra: a model of a table works without it.
        if name in ("BackpropClassifier", "BackpropRegressor"):
            from . import sklearn

            return getattr(sklearn, name)
        return _missing(name)
