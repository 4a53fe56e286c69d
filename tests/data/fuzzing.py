"""Damage for fuzz tests: a valid file, changed by a seed."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

ROWS = 40
_BITS = [b'"', b"\0", b"\r", b"\n", b",", b"\xff", b"\xc3", b"1e999", b'""', b"\n\n", b"NaN", b"\t"]


def _table() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.normal(size=ROWS).round(3)
    return {
        "a": a,
        "b": rng.choice(np.array(["red", "blue", "gr,een"]), ROWS),
        "y": np.where(a > 0, "p", "q"),
    }


def _csv() -> bytes:
    return pl.DataFrame(_table()).write_csv().encode()


def _parquet() -> bytes:
    held = io.BytesIO()
    pl.DataFrame(_table()).write_parquet(held, row_group_size=16)
    return held.getvalue()


def _npz(save: Callable[..., None]) -> bytes:
    held = io.BytesIO()
    save(held, **_table(), x=np.arange(2.0 * ROWS).reshape(ROWS, 2))
    return held.getvalue()


VALID = {
    "t.csv": _csv(),
    "plain.csv": _csv().replace(b'"gr,een"', b"green"),
    "t.csv.gz": gzip.compress(_csv()),
    "t.parquet": _parquet(),
    "t.npz": _npz(np.savez),
    "packed.npz": _npz(np.savez_compressed),
}


def damaged(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """``count`` files near ``content``: cut, with bytes changed, removed, doubled or put in."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        held = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, len(held) + 1))
            size = int(rng.integers(1, 20))
            kind = rng.integers(0, 6)
            if kind == 0:
                del held[at:]
            elif kind == 1:
                del held[at : at + size]
            elif kind == 2:
                held[at:at] = held[at : at + size]
            elif kind == 3:
                held[at:at] = _BITS[rng.integers(0, len(_BITS))]
            else:
                held[at : at + 1] = bytes([int(rng.integers(0, 256))])
        yield bytes(held)
