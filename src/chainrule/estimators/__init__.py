"""Estimators: the classes for scikit-learn, and models of tables, images, sequences and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..habits import answers_of
from .image_model import ImageModel as ImageModel
from .sequence_model import SequenceModel as SequenceModel
from .table_model import TableModel as TableModel
from .text_model import TextModel as TextModel

__all__ = [
    "BackpropClassifier",
    "BackpropRegressor",
    "ImageModel",
    "SequenceModel",
    "TableModel",
    "TextModel",
]

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
