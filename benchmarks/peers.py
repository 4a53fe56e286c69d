"""Another library in a process of its own, asked for steps in turns with ours."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

Run = Callable[[int], float]  # so many steps; the last one's loss
Timed = Callable[[int], tuple[float, float]]  # so many steps; seconds, the last one's loss

# Isolated, so the folder of the script is not looked into by itself.
_START = """
import os, runpy, sys
sys.argv.pop(0)
sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def timed(run: Run, clock: Callable[[], float] = time.perf_counter) -> Timed:
    """``run`` with its seconds by ``clock``."""

    def steps(count: int) -> tuple[float, float]:
        start = clock()
        loss = run(count)
        return clock() - start, loss

    return steps


def serve(run: Run, clock: Callable[[], float] = time.perf_counter) -> None:
    """The peer's side: for every number of steps read, a line of JSON."""
    ask = timed(run, clock)
    for line in sys.stdin:
        print(json.dumps(ask(int(line))), flush=True)


def peer(python: str, mode: str, threads: int) -> tuple[subprocess.Popen[str], Timed]:
    """The process of this script with ``--serve mode``, and how to ask it for steps."""
    count = str(threads)
    process = subprocess.Popen(
        [python, "-I", "-W", "ignore", "-c", _START, *sys.argv, "--serve", mode],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count},
    )
    assert process.stdin and process.stdout
    put, get = process.stdin, process.stdout

    def run(steps: int) -> tuple[float, float]:
        put.write(f"{steps}\n")
        put.flush()
        line = get.readline()
        if not line:
            raise SystemExit(f"{mode}: the process ended with code {process.wait()}")
        seconds, loss = json.loads(line)
        return seconds, loss

    return process, run


def in_turns(runs: dict[str, Timed], steps: dict[str, int], rounds: int) -> dict[str, list[float]]:
    """Milliseconds a step of each, in each of the rounds; one more goes before them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            seconds, _ = run(steps[name])
            if turn:
                times[name].append(seconds / steps[name] * 1e3)
    return times


def ratio(times: list[float], ours: list[float]) -> float:
    """How many times as long as ours, in the median of the rounds."""
    return statistics.median(t / o for t, o in zip(times, ours, strict=True))
