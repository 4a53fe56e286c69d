"""Excel files, through polars' reader: the first sheet."""

from __future__ import annotations

import importlib.util
import logging
import zipfile
from pathlib import Path
from typing import Any

from ..errors import DataError, MissingExtraError
from .source import FrameSource
from .tables import extra

MOST_BYTES = 1 << 30
"""A workbook that unpacks to more is not read."""

# The reader logs that an empty column has no type; a program that asks for logs still gets it.
logging.getLogger("fastexcel").addHandler(logging.NullHandler())


def open_excel(path: Path, header: bool = True) -> FrameSource:
    """The first sheet of a workbook; DataError with the reason if it cannot be read."""
    if importlib.util.find_spec("fastexcel") is None:
        raise MissingExtraError(
            f"reading {path.name} needs fastexcel: pip install 'chainrule[excel]' (or save the "
            "sheet as .csv)"
        )
    nw, pl = extra("narwhals", f"reading {path.name}"), extra("polars", f"reading {path.name}")
    _check_size(path)
    try:
        frame: Any = pl.read_excel(path, engine="calamine", has_header=header)
    except BaseException as error:  # the reader panics at some files
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not a workbook that can be read ({reason})") from None
    names = [
        n if n and not n.startswith("__UNNAMED__") else f"column_{i + 1}"
        for i, n in enumerate(frame.columns)
    ]
    if not header:
        names = [f"column_{i + 1}" for i in range(len(names))]
    frame.columns = names
    return FrameSource(nw.from_native(frame), str(path))


def _check_size(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as held:
            size = sum(info.file_size for info in held.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return  # .xls is no archive; the reader says what else is wrong
    if size > MOST_BYTES:
        raise DataError(
            f"{path}: unpacks to {size >> 20} MB; at most {MOST_BYTES >> 20} are read; save the "
            "sheet as .csv"
        )
