"""Random numbers by counter: element i of step t is a function of (key, i), to be replayed.

`philox` is Philox2x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2,
3", SC 2011). `swap_or_not` is the shuffle of Hoang, Morris & Rogaway (CRYPTO 2012): a permutation
of range(n) computed for one position at a time, without a table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UInt32 = NDArray[np.uint32]
PHILOX_MULTIPLIER = 0xD256D193
PHILOX_WEYL = 0x9E3779B9
PHILOX_ROUNDS = 10


def philox(counter: Any, word: Any, key: Any) -> tuple[UInt32, UInt32]:
    """Two random words for the counter (counter, word) under ``key``; arrays broadcast."""
    # The high word of the product carries on; 64-bit arithmetic holds a 32 x 32 product.
    low = np.asarray(counter, np.uint32).astype(np.uint64)
    high = np.asarray(word, np.uint32).astype(np.uint64)
    key = np.asarray(key, np.uint32).astype(np.uint64)
    low, high, key = np.broadcast_arrays(low, high, key)
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(PHILOX_ROUNDS):
        product = low * np.uint64(PHILOX_MULTIPLIER)
        low, high = ((product >> np.uint64(32)) ^ key ^ high) & mask, product & mask
        key = (key + np.uint64(PHILOX_WEYL)) & mask
    return low.astype(np.uint32), high.astype(np.uint32)


def hash32(x: UInt32) -> UInt32:
    """A 32-bit integer hash with low bias (multiply and xor-shift rounds)."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def shuffle_rounds(n: int) -> int:
    """Rounds of `swap_or_not` for a shuffle of n that tests cannot tell from a random one."""
    return 8 + 4 * max(n - 1, 1).bit_length()


def swap_or_not(position: UInt32, word: UInt32, key: UInt32, n: int) -> UInt32:
    """Where a random permutation of range(n), chosen by (word, key), sends ``position``.

    Round r: partner = (K_r - x) mod n; they change places if a hash of the larger says so.
    """
    x = np.asarray(position, np.uint32)
    if n <= 1:
        return np.zeros_like(x)
    x, word, key = np.broadcast_arrays(x, word, key)
    first, second = philox(np.uint32(0xFFFFFFFF), word, key)
    for r in range(shuffle_rounds(n)):
        step = np.uint32(r * PHILOX_WEYL & 0xFFFFFFFF)
        offset = hash32(first + step) % np.uint32(n)
        partner = np.where(offset >= x, offset - x, offset + (np.uint32(n) - x))
        swap = (hash32(np.maximum(x, partner) ^ hash32(second + step)) >> np.uint32(31)).astype(
            bool
        )
        x = np.where(swap, partner, x)
    return x
