"""Programs in memory: a step takes none."""

from __future__ import annotations

import resource

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.cpu.threads import native

ALLOCATORS = (b"malloc", b"calloc", b"realloc", b"memalign", b"mmap", b"brk", b"_Znwm")


@pytest.mark.parametrize("sizes", [(2, 2, 1), (61, 203, 17)], ids=["registers", "loops"])
def test_a_step_allocates_nothing(sizes: tuple[int, int, int]) -> None:
    """Its code names no allocator, and 500 steps touch no page that one step has not touched."""
    features, hidden, classes = sizes
    model = nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, classes))
    optimizer = optim.Adam(model.parameters())
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, features)).astype(np.float32)
    y = rng.normal(size=(16, classes)).astype(np.float32)

    @cr.compile
    def step(x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step.repeat(3, x, y)
    program = step.program(x, y).program
    assert isinstance(program, CompiledProgram)
    assert program.artifact.whole_loop == (hidden == 2)
    for code in (*program.artifact.objects, *native.objects()):
        assert not [name for name in ALLOCATORS if name in code]

    def faults(steps: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        step.repeat(steps, x, y)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert min(faults(500) for _ in range(10)) == 0  # the process has other things to do as well
