"""Parquet files, first read through by a process of its own.

polars trusts the lengths that a Parquet file states; in a damaged file such a length can end the
whole process, and a small file can unpack to more than the machine's memory. So a helper process,
with half of the memory, reads the file before this one does: if it comes through, so will we.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ..errors import DataError
from ..runtime.isolated import isolated_python
from .source import BATCH, FrameSource
from .tables import extra

_READ_THROUGH = f"""
import os, sys
try:
    import resource
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    most = max(memory // 2, {4 << 30})
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
except (ImportError, OSError, ValueError):
    pass
import polars as pl
try:
    frame = pl.scan_parquet(sys.argv[1], glob=False)
    for i in range(0, frame.select(pl.len()).collect().item(), {4 * BATCH}):
        frame.slice(i, {4 * BATCH}).collect()
except BaseException as error:
    print(str(error).splitlines()[0])
    sys.exit(1)
"""


def open_parquet(path: Path) -> FrameSource:
    """A Parquet file; DataError with the reason if it is not a whole one."""
    nw = extra("narwhals", f"reading {path.name}")
    pl = extra("polars", f"reading {path.name}")
    with path.open("rb") as file:
        ends = [file.read(4)]
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        ends.append(file.read(4))
    if ends != [b"PAR1", b"PAR1"]:
        raise DataError(f"{path}: not a whole Parquet file (it must begin and end with PAR1)")
    done = subprocess.run(
        isolated_python(_READ_THROUGH, str(path), folders=[Path(pl.__file__).parent.parent]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        reason = done.stdout.strip() or "a length in it is impossible, or larger than memory"
        raise DataError(f"{path}: not a whole Parquet file ({reason})")
    return FrameSource(nw.from_native(pl.scan_parquet(path, glob=False)), str(path), True)
