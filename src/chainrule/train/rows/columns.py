"""Names of columns: a table that is predicted has those of the table that was trained on."""

from __future__ import annotations

from typing import Any

from ...errors import DataError

Columns = tuple[str, ...] | None


def columns_of(x: Any) -> Columns:
    """The names of a DataFrame's columns; None of anything else."""
    if not (hasattr(x, "columns") and hasattr(x, "dtypes")):
        return None
    return tuple(str(name) for name in x.columns)


def check_columns(where: str, x: Any, known: Columns, only_order: bool = False) -> None:
    """Raise DataError where ``x`` is a table of other columns than ``known``, or in another order.

    ``only_order``: only for the same ones in another order.
    """
    found = columns_of(x)
    if found is None or known is None or found == known:
        return
    if only_order and sorted(found) != sorted(known):
        return
    i = next((i for i, (a, b) in enumerate(zip(found, known, strict=False)) if a != b), None)
    what = (
        f"{len(found)} columns, the table that was trained on {len(known)}"
        if i is None
        else f"the column {found[i]!r} at place {i}, the table that was trained on {known[i]!r}"
    )
    remedy = "write x[columns], with the columns of the training"
    raise DataError(f"{where}: x has {what}; {remedy}, or x.to_numpy() if it is right as it is")
