"""Estimators: the classes for scikit-learn, and models of tables, images, sequences and texts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..habits import answers_of

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
    from .image_model import ImageModel as ImageModel
    from .sequence_model import SequenceModel as SequenceModel
    from .sklearn import BackpropClassifier as BackpropClassifier
    from .sklearn import BackpropRegressor as BackpropRegressor
    from .table_model import TableModel as TableModel
    from .text_model import TextModel as TextModel
else:
    # Each is loaded when it is asked for: scikit-learn is an extra, and a classifier of tables
    # needs no images.
    _FILES = {
        "BackpropClassifier": "sklearn",
        "BackpropRegressor": "sklearn",
        "ImageModel": "image_model",
        "SequenceModel": "sequence_model",
        "TableModel": "table_model",
        "TextModel": "text_model",
    }

    def __getattr__(name: str) -> Any:
        if name not in _FILES:
            return _missing(name)
        found = globals()[name] = getattr(import_module(f".{_FILES[name]}", __name__), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
