"""Rounds: programs and copies in one native call do what they do one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.backends.base import Copy, Run
from chainrule.backends.cpu.program import rounds as cpu_rounds
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.cpu.program.rounds import NativeRounds, native_rounds
from chainrule.backends.cpu.threads.pool import get_num_threads, set_num_threads
from chainrule.backends.interpreter import InterpretedRounds
from chainrule.errors import InternalError


@pytest.fixture(params=[1, 2, 3])
def threads(request: Any) -> Any:
    before = get_num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)


def parts(hidden: int, rows: int) -> tuple[list[Run | Copy], list[np.ndarray]]:
    """A step of training and one that only measures, with copies between, and what is written."""
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, hidden), nn.ReLU(), nn.Linear(hidden, 3))
    optimizer = optim.Adam(net.parameters(), lr=1e-2)
    x, y = cr.rand(rows, 20), cr.tensor(np.arange(rows) % 3)
    total = cr.zeros(())

    def loss() -> Any:
        return nn.functional.cross_entropy(net(x), y)

    @cr.compile
    def step() -> None:
        optimizer.zero_grad()
        here = loss()
        here.backward()
        optimizer.step()
        optimizer.zero_grad()
        total.assign(total + here)

    @cr.compile
    def measure() -> Any:
        return loss()

    one, two = step.program(), measure.program()
    (w_in, w_state), (m_in, m_state) = one.bound([]), two.bound([])
    sums, weights = total._storage_for_update(), net[0].weight._storage_for_update()
    record, kept = np.zeros(9, np.float32), np.zeros((9, *weights.shape), np.float32)
    out, measured = np.zeros((), np.float32), np.zeros(9, np.float32)
    start = np.arange(9, dtype=np.float32)
    listed: list[Run | Copy] = [
        Copy(start, sums),
        Run(one.program, w_in, w_state, 3),
        Run(one.program, w_in, w_state, 1),
        Copy(sums, record),
        Run(two.program, m_in, m_state, 2, [out]),
        Copy(out, measured),
        Copy(weights, kept),
    ]
    return listed, [record, measured, kept, *w_state]


@pytest.mark.parametrize("hidden, rows", [(4, 6), (200, 64)])
def test_native_rounds_are_the_parts_one_after_another(
    hidden: int, rows: int, threads: None
) -> None:
    found = []
    make: Callable[[Any], Any]
    for make in (native_rounds, InterpretedRounds):
        listed, written = parts(hidden, rows)
        rounds = make(listed)
        assert isinstance(rounds, NativeRounds) == (make is native_rounds)
        rounds.run(4)
        middle = [a.copy() for a in written]
        rounds.run(9)
        found.append([a.tobytes() for a in (*middle, *written)])
    assert found[0] == found[1]


@pytest.mark.parametrize("make", [native_rounds, InterpretedRounds])
def test_other_inputs_may_be_given(make: Any) -> None:
    total = cr.zeros(3)

    @cr.compile
    def step(x: Any) -> None:
        total.assign(total + x)

    one, two = (np.array(v, np.float32) for v in ([1, 2, 3], [10, 20, 30]))
    trace = step.program(one)
    inputs, state = trace.bound([one])
    rounds = make([Run(trace.program, inputs, state, 2), Run(trace.program, inputs, state, 1)])
    rounds.run(2)
    assert total.tolist() == [6, 12, 18]
    rounds.give(())
    rounds.give([[two], [two]])
    rounds.run(1)
    assert total.tolist() == [36, 72, 108]
    if make is native_rounds:
        with pytest.raises(InternalError, match="two sets"):
            rounds.give([[one], [two]])


def test_others_may_run_the_programs_between_two_runs() -> None:
    listed, written = parts(4, 6)
    rounds = native_rounds(listed)
    rounds.run(2)
    run = listed[1]
    assert isinstance(run, Run)
    others = [np.zeros_like(a) for a in run.state]
    run.program.run(run.inputs, others, 1)  # elsewhere
    rounds.run(2)
    again, wanted = parts(4, 6)
    InterpretedRounds(again).run(2)
    InterpretedRounds(again).run(2)
    assert [a.tobytes() for a in written] == [a.tobytes() for a in wanted]


def test_of_long_rounds_single_steps_find_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(listed: list[Run | Copy], written: list[np.ndarray], make: Any) -> list[bytes]:
        rounds = make(listed)
        for count in (4, 9):
            rounds.run(count)
        return [a.tobytes() for a in written]

    wanted = run(*parts(200, 64), InterpretedRounds)
    before = get_num_threads()
    set_num_threads(2)
    try:
        listed, written = parts(200, 64)
        step = listed[1]
        assert isinstance(step, Run) and isinstance(step.program, CompiledProgram)
        step.program.run(step.inputs, [a.copy() for a in step.state], 2)
        pace = step.program.loop.pace
        pace.per_step, pace.due, pace.turns = 1e-3, 0.0, []  # each turn of a trial is one step
        pace.ended = pace.clock()
        monkeypatch.setattr(cpu_rounds, "TURN", 0.0)  # any round is long
        used: list[tuple[int, int]] = []
        loop_run = step.program.loop._run

        def counted(entry: int, steps: int, threads: int) -> None:
            used.append((steps, threads))
            loop_run(entry, steps, threads)

        monkeypatch.setattr(step.program.loop, "_run", counted)
        assert run(listed, written, native_rounds) == wanted
        assert {threads for _, threads in used} == {1, 2}
        assert max(steps for steps, _ in used) <= 3
    finally:
        set_num_threads(before)


def test_what_cannot_be_is_refused() -> None:
    listed, _ = parts(4, 6)
    run = listed[1]
    assert isinstance(run, Run)
    elsewhere = run._replace(state=[a.copy() for a in run.state])
    with pytest.raises(InternalError, match="two sets"):
        native_rounds([run, elsewhere])
    with pytest.raises(InternalError, match="cannot copy"):
        native_rounds([run, Copy(np.zeros(3), np.zeros((5, 2)))])
    with pytest.raises(InternalError, match="cannot copy"):
        native_rounds([run, Copy(np.zeros((4, 6))[:, ::2], np.zeros((4, 3)))])
