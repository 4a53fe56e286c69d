"""Compiled = interpreted, on random graphs: values, gradients, state, threads, instruction sets,
memory."""

from __future__ import annotations

import pytest
from compiled import check
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.backends.cpu.machine.target import preset, runs_here

seeds = st.integers(0, 2**31)


@settings(max_examples=75)
@given(seeds)
def test_random_graphs(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@settings(max_examples=1000)
@given(seeds)
def test_many_random_graphs(seed: int) -> None:
    check(seed)


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2"])
@settings(max_examples=20)
@given(seeds)
def test_every_instruction_set(name: str, seed: int) -> None:
    target = preset(name)
    if not runs_here(target):
        pytest.skip(f"this processor has no {name}")
    check(seed, target)
