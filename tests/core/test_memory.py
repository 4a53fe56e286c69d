"""Arrays that begin at a cache line."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.core.host.memory import CACHE_LINE, aligned


def begins_at_line(array: np.ndarray) -> bool:
    return array.ctypes.data % CACHE_LINE == 0


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (7, 5), (3, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool"])
def test_a_copy_in_c_order(shape, dtype):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    for source in (array, array.T, array[..., ::-1] if shape else array):
        copy = aligned(source)
        assert copy.dtype == source.dtype and copy.shape == source.shape
        np.testing.assert_array_equal(copy, source)
        assert copy.flags.c_contiguous and copy.flags.writeable
        assert not np.shares_memory(copy, source)
        assert begins_at_line(copy) or copy.size == 0


def test_what_a_program_updates_begins_at_a_line():
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))
    net[0].weight.assign(np.ones((5, 3), "float32"))
    optimizer = optim.Adam(net.parameters())

    @cr.compile
    def step(x):
        loss = (net(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step(cr.ones(4, 3))
    optimizer.load_state_dict(optimizer.state_dict())
    step(cr.ones(4, 3))
    moments = [optimizer.state[p][k] for p in net.parameters() for k in ("exp_avg", "exp_avg_sq")]
    for tensor in [*net.parameters(), *moments]:
        assert begins_at_line(tensor._storage())
