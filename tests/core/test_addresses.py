"""Where arrays lie in memory."""

from __future__ import annotations

import numpy as np

from chainrule.core.host.memory import CACHE_LINE, address, aligned


def test_an_address_is_that_of_the_first_element() -> None:
    frozen = np.arange(6, dtype=np.int16)
    frozen.setflags(write=False)
    rows = np.zeros((5, 4), np.float32)
    for array in (rows, rows[2:], np.array(3.0), np.zeros((0, 3)), frozen, np.ones(3, bool)):
        assert address(array) == array.ctypes.data
    assert address(aligned(rows)) % CACHE_LINE == 0
