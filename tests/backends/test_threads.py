"""The thread pool: many barriers, busy machines, several callers, fork, exit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from driver_harness import expected, toy

from chainrule.backends.cpu.machine.compiler import optimized_ir
from chainrule.backends.cpu.machine.target import host
from chainrule.backends.cpu.program.step_loop import StepLoop
from chainrule.backends.cpu.threads import pool as threads
from chainrule.backends.cpu.threads.pool_ir import code_ir
from chainrule.errors import OptionError


@pytest.fixture
def own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_chosen", None)
    threads._default_threads.cache_clear()


def check(arrays: tuple[np.ndarray, ...], steps: int) -> None:
    x, total = expected(steps)
    np.testing.assert_array_equal(arrays[0], x)
    assert arrays[2][0] == total


def test_barrier_stress() -> None:
    loop, arrays = toy()
    for n in range(20):
        loop.run(500, 2 + n % 2)  # also changes the pool's size
    check(arrays, 10_000)


def test_many_short_jobs_with_pauses_between() -> None:
    loop, arrays = toy()
    for n in range(600):
        loop.run(1, 2)
        if n % 50 == 0:
            time.sleep(0.002)  # long enough for the worker to fall asleep
    check(arrays, 600)


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or threads.available_cpus() < 2, reason="needs 2 CPUs"
)
def test_a_worker_leaves_the_core_of_its_caller() -> None:
    loop, arrays = toy()
    loop.run(1, 2)
    allowed, pool = os.sched_getaffinity(0), threads._pool
    assert pool is not None and pool.size == 2
    worker = pool._workers[0].native_id
    assert worker is not None
    crowd = {min(allowed)}
    try:
        os.sched_setaffinity(threading.get_native_id(), crowd)
        os.sched_setaffinity(worker, crowd)
        loop.run(1, 2)
        assert pool.cores() == [min(allowed)] * 2
        assert os.sched_getaffinity(worker) == crowd  # what the user allows is kept
        os.sched_setaffinity(worker, allowed)
        for n in range(20):
            loop.run(1, 2)
            assert pool.cores()[0] == min(allowed) != pool.cores()[1], n
            assert os.sched_getaffinity(worker) == allowed
    finally:
        os.sched_setaffinity(threading.get_native_id(), allowed)
        os.sched_setaffinity(worker, allowed)
    check(arrays, 22)


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("processor", ["x86_64", "aarch64", "riscv64"])
def test_the_code_for_other_machines_is_valid(
    system: str, processor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: processor)
    text = code_ir()
    monkeypatch.undo()
    assert "chainrule_dispatch" in optimized_ir(text, host(), 1)


def busy() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


def runs_within(seconds: float, loop: StepLoop, steps: int, num_threads: int) -> int:
    """Run until one run is that quick (others may share the machine); the number of runs."""
    for runs in range(1, 9):
        start = time.perf_counter()
        loop.run(steps, num_threads)
        if time.perf_counter() - start < seconds:
            return runs
    pytest.fail(f"8 runs of {steps} steps, each longer than {seconds} s")


def test_a_machine_busy_with_other_work_does_not_crawl() -> None:
    loop, arrays = toy()
    loop.run(1000, 2)
    hogs = [busy() for _ in range(threads.available_cpus())]
    try:
        time.sleep(0.3)
        # 2000 barriers; when each waits for a time slice of the hog's (3 ms) this takes 6 s
        runs = runs_within(3, loop, 1000, 2)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    check(arrays, 1000 + 1000 * runs)


def test_more_threads_than_cores() -> None:
    loop, arrays = toy()
    runs = runs_within(5, loop, 100, 4 * threads.available_cpus())
    check(arrays, 100 * runs)


def test_two_python_threads_each_run_a_program() -> None:
    programs = [toy() for _ in range(2)]

    def run(loop: StepLoop) -> None:
        for _ in range(100):
            loop.run(50, 2)

    callers = [threading.Thread(target=run, args=(loop,)) for loop, _ in programs]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for _, arrays in programs:
        check(arrays, 5000)


def test_a_second_caller_runs_alone_and_does_not_wait() -> None:
    loop, arrays = toy()
    with threads._lock:
        loop.run(10, 2)
    check(arrays, 10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_gets_a_pool_of_its_own() -> None:
    loop, arrays = toy()
    loop.run(10, 2)
    child = os.fork()
    if child == 0:
        try:
            loop.run(10, 2)
            check(arrays, 20)
            os._exit(0 if threads._pool is not None else 4)
        except BaseException:
            os._exit(3)
    for _ in range(3000):
        if (done := os.waitpid(child, os.WNOHANG)) != (0, 0):
            break
        time.sleep(0.01)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done == (child, 0)
    loop.run(10, 2)
    check(arrays, 20)  # the parent's memory is its own


EXIT = """
import sys, threading
from driver_harness import toy
loop, arrays = toy()
loop.run(100, 3)
{then}
"""


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        (
            "threading.Thread(target=loop.run, args=(2_000_000, 3), daemon=True).start()",
            0,
        ),  # mid-run
        ("import atexit; atexit.register(lambda: loop.run(10, 3))", 0),
        (
            "from chainrule.backends.cpu.threads import pool; "
            "pool._close_at_exit(); loop.run(10, 3)",
            0,
        ),
    ],
)
def test_clean_exit(then: str, code: int) -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", EXIT.format(then=then)],
        cwd=here,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (code, "")


def test_number_of_threads(own_count: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINRULE_NUM_THREADS", raising=False)
    assert threads.get_num_threads() == threads.available_cpus()
    threads.set_num_threads(3)
    assert threads.get_num_threads() == 3
    assert threads.run_parallel  # the pool itself follows on the next run


def test_the_default_has_the_same_bound(own_count: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINRULE_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "available_cpus", lambda: 384)
    assert threads.get_num_threads() == 256
    threads._default_threads.cache_clear()
    monkeypatch.setenv("OMP_NUM_THREADS", "9" * 5000)
    assert threads.get_num_threads() == 256


def test_environment_variable(own_count: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_NUM_THREADS", " 5 ")
    assert threads.get_num_threads() == 5


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "257", "5000", "1" * 5000])
def test_wrong_environment_variable(
    own_count: None, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CHAINRULE_NUM_THREADS", text)
    cpus = threads.available_cpus()
    with pytest.raises(OptionError) as caught:
        threads.get_num_threads()
    assert str(caught.value) == (
        f"CHAINRULE_NUM_THREADS={text!r}: expected a whole number of threads from 1 to 256; "
        f"unset it to use all {cpus} CPUs"
    )


@pytest.mark.parametrize("n", [0, -2, 1.5, "2", True, None, 257, 10**9])
def test_wrong_number_of_threads(n: object) -> None:
    with pytest.raises(OptionError) as caught:
        threads.set_num_threads(n)  # type: ignore[arg-type]
    assert (
        str(caught.value)
        == f"set_num_threads({n!r}): expected a whole number of threads from 1 to 256"
    )


@pytest.mark.parametrize(
    ("files", "own", "expected_quota"),
    [
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),
        ({"cpu.max": "max 100000"}, "0::/", None),
        ({"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, "0::/a/b", 2.0),
        (
            {
                "cpu,cpuacct/d/cpu.cfs_quota_us": "50000\n",
                "cpu,cpuacct/d/cpu.cfs_period_us": "100000\n",
            },
            "4:memory:/d\n3:cpu,cpuacct:/d",
            0.5,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "3:cpu:/", None),
        ({}, "0::/", None),
    ],
)
def test_quota_of_the_control_group(
    tmp_path: Path, files: dict[str, str], own: str, expected_quota: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert threads._cgroup_quota(tmp_path, tmp_path / "own") == expected_quota


def test_asking_for_the_number_of_threads_does_not_load_llvm() -> None:
    code = (
        "import sys; from chainrule.backends.cpu.threads.pool import get_num_threads; "
        "get_num_threads(); assert 'llvmlite' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
