"""TableModel as an estimator of scikit-learn: X and y apart instead of a table and a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.host.plain import plain
from ..core.node import Array
from ..data import source_of
from ..data.tables import Table, table_of_columns
from ..errors import DataError, MissingExtraError


@dataclass(frozen=True)
class Labels:
    """The classes as the user wrote them, by their words."""

    by_word: dict[str, Any]
    dtype: Any

    @staticmethod
    def are(target: Any, data: Any) -> bool:
        """Whether these are the target's values, and no names of columns of ``data``."""
        if target is None or isinstance(target, str | int | np.integer):
            return False
        if hasattr(target, "dtype") or hasattr(target, "iloc") or hasattr(target, "to_numpy"):
            return True
        listed = isinstance(target, list | tuple)
        return listed and any(not isinstance(t, str | int) for t in target)

    def of(self, words: Any) -> Array:
        """The classes of these words."""
        found = np.empty(len(words), object)
        found[:] = [self.by_word.get(w, w) for w in words]
        return found.astype(self.dtype) if self.dtype.kind != "O" else found


def joined(x: Any, y: Any, name: str | None = None) -> tuple[Table, str, Labels]:
    """One table of both, the target's name in it, and the labels."""
    if isinstance(x, np.ndarray) and x.ndim == 2:
        x = {f"x{i}": x[:, i] for i in range(x.shape[1])}
    raw: Any = source_of(x)
    raw = getattr(raw, "raw", raw)
    columns = dict(raw.table().columns)
    values = plain(y, "y")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(f"y has shape {values.shape}; one value a row is expected")
    name = name or str(getattr(y, "name", None) or "target")
    while name in columns:
        name += "_"
    rows = len(next(iter(columns.values()), []))
    if rows != len(values):
        raise DataError(f"X has {rows} rows, y has {len(values)}")
    target = table_of_columns({name: values}, "y")
    words = target.words(name)
    labels = {w: v for w, v in zip(words.tolist(), values.tolist(), strict=True) if w is not None}
    return Table({**columns, name: target.columns[name]}), name, Labels(labels, values.dtype)


def estimator_tags(task: str) -> Any:
    """What scikit-learn asks of an estimator."""
    try:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags
    except ImportError:
        raise MissingExtraError(
            "this needs scikit-learn: pip install 'chainrule[sklearn]'"
        ) from None
    kind = {"auto": None, "regression": "regressor"}.get(task, "classifier")
    return Tags(
        estimator_type=kind,
        target_tags=TargetTags(required=True),
        classifier_tags=ClassifierTags() if kind == "classifier" else None,
        regressor_tags=RegressorTags() if kind == "regressor" else None,
        input_tags=InputTags(categorical=True, string=True, allow_nan=True),
    )
