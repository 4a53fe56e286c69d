"""The native step loop: order, barriers, serial calls, threads, timing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from driver_harness import N, addresses, expected, kernel, mirror_ir, toy

from chainrule.backends.cpu.machine.target import host
from chainrule.backends.cpu.program.step_loop import (
    Call,
    Schedule,
    StepLoop,
    program_objects,
)
from chainrule.backends.llvm.builder import Module, i64


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_many_steps_on_any_number_of_threads(num_threads: int) -> None:
    loop, (x, _, total, seen) = toy()
    for steps in (0, 1, 2000, 1):
        loop.run(steps, num_threads)
    want_x, want_total = expected(2002)
    np.testing.assert_array_equal(x, want_x)
    assert total[0] == want_total
    assert list(seen) == [0, 1]  # a serial call is told it is alone


def test_profile_runs_the_same_steps_and_splits_the_time() -> None:
    loop, (x, _, total, _) = toy()
    for num_threads in (1, 2):
        start = time.perf_counter_ns()
        times = loop.profile(500, num_threads)
        assert times.shape == (3, 2)
        assert (times[:, 0] > 0).all()
        assert 500 * times.sum() < 1.1 * (time.perf_counter_ns() - start)
    want_x, want_total = expected(1000)
    np.testing.assert_array_equal(x, want_x)
    assert total[0] == want_total


@pytest.mark.parametrize("serial", [None, 0])
def test_whole_loop_is_called_once_with_the_number_of_steps(serial: int | None) -> None:
    module = Module("whole")
    f = module.function(
        "whole",
        [
            ("ptr noalias", "x"),
            ("ptr", "scratch"),
            ("i64", "tid"),
            ("i64", "nt"),
            ("i64", "nsteps"),
        ],
    )
    at = f.gep(f.args["x"], f.args["tid"], "i64")
    f.store(f.add(f.load("i64", at), f.add(f.args["nsteps"], f.mul(i64(1000), f.args["nt"]))), at)
    f.ret()
    x = np.zeros(4, np.int64)
    schedule = Schedule((Call("whole", (0,), serial=serial),), whole_loop=True)
    loop = StepLoop(
        program_objects([str(module)], schedule, host()), schedule, host(), addresses(x)
    )
    loop.run(7, 2)
    assert list(x) == ([2007, 2007, 0, 0] if serial is None else [1007, 0, 0, 0])
    x[:] = 0
    loop.run(5, 1)
    assert list(x) == [1005, 0, 0, 0]
    assert loop.profile(5, 1).shape == (1, 2)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_what_threads_share_is_written_when_all_have_read_it(threads: int) -> None:
    """Each thread reads the number, very late but for the last; that one writes it, called once
    more."""
    module = Module("whole")
    names = [("ptr noalias", "x"), ("ptr", "scratch"), ("i64", "tid"), ("i64", "nt")]
    f = module.function("whole", [*names, ("i64", "nsteps")])
    x, tid, steps = f.args["x"], f.args["tid"], f.args["nsteps"]
    with f.if_then(f.compare("eq", steps, i64(0))):
        f.store(i64(99), x)
    with f.if_then(f.compare("ne", steps, i64(0))):
        last = f.compare("eq", f.add(tid, i64(1)), f.args["nt"])
        with f.for_range(0, f.select(last, i64(0), i64(100_000))) as i:
            f.store(i, f.args["scratch"])
        f.store(f.load("i64", x), f.gep(x, f.add(tid, i64(1)), "i64"))
    f.ret()
    numbers = np.full(4, 7, np.int64)
    schedule = Schedule((Call("whole", (0,), shared=True),), whole_loop=True)
    loop = StepLoop(
        program_objects([str(module)], schedule, host()),
        schedule,
        host(),
        addresses(numbers),
        scratch_bytes=64,
    )
    loop.run(5, threads)
    assert list(numbers) == [99, *[7] * 3]


def test_each_thread_has_aligned_scratch_of_its_own() -> None:
    module, f = kernel("note", 1)
    address = f.convert("ptrtoint", f.args["scratch"], "i64")
    f.store(address, f.gep(f.args["p0"], f.args["tid"], "i64"))
    with f.for_range(0, 1000) as i:  # writable to the end
        f.store(i64(-1), f.gep(f.args["scratch"], i, "i64"))
    f.ret()
    x = np.zeros(3, np.int64)
    schedule = Schedule((Call("note", (0,)),))
    objects = program_objects([str(module)], schedule, host())
    loop = StepLoop(objects, schedule, host(), addresses(x), scratch_bytes=8000)
    loop.run(1, 1)
    assert x[0] % 64 == 0 and x[1] == 0
    loop.run(1, 3)
    assert (x % 64 == 0).all()
    assert (np.diff(np.sort(x)) >= 8000).all()


def test_pointers_can_be_changed_between_runs() -> None:
    loop, (x, *rest) = toy()
    loop.run(3, 2)
    other = np.arange(N)
    loop.set_pointers(addresses(other, *rest))
    loop.run(5, 2)
    np.testing.assert_array_equal(x, expected(3)[0])
    np.testing.assert_array_equal(other, expected(5)[0])


def test_same_kernel_in_many_calls_costs_no_compile() -> None:
    schedule = Schedule(tuple(Call("mirror", (k % 2, 1 - k % 2)) for k in range(500)))
    x, y = np.arange(N), np.zeros(N, np.int64)
    (payload,) = program_objects([mirror_ir()], schedule, host())
    assert len(payload) < 4000
    StepLoop([payload], schedule, host(), addresses(x, y)).run(2, 2)
    np.testing.assert_array_equal(x, np.arange(N) + 1000)
