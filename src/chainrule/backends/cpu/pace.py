"""Pace: how many threads a program runs on, found out while it runs.

The bits are the same at any number of threads, so the number may change between any two steps. A
small program can be slower on two threads than on one; and where another process wants a core, or
two processors turn out to be one core's two threads, so can a larger one. Nothing says so before,
and it changes while training goes on. So now and then a few steps run on twice and on half as many
threads as at present, side by side with steps on the present number, and the quickest goes on.

    present  trial                                      present                        trial
    ───────  present half double present half double …  ─────────────────────────────  …

What a trial lost sets when the next one is due, so that trials take at most ``SHARE`` of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

TURN = 300e-6  # seconds of steps on one number of threads
TURNS = 3  # of each number in a trial
SHARE = 0.01  # of the time that trials may cost
EARLIEST, LATEST = 0.05, 2.0  # seconds between two trials
LONGEST = 5e-3  # seconds of a step; longer ones gain from threads wherever there are any
MARGIN = 0.97  # quicker than this share of the present time is worth a change

Run = Callable[[int, int], None]


class Pace:
    """The number of threads of one program. ``clock`` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.most = 0
        self.threads = 0
        self.per_step = 0.0
        self.due = 0.0

    def run(self, steps: int, most: int, run: Run) -> None:
        """``run(n, threads)`` until ``steps`` steps are done, on at most ``most`` threads."""
        if most != self.most:
            self.most = self.threads = most
            self.per_step, self.due = 0.0, 0.0
        if most == 1:
            run(steps, 1)
            return
        if not self.per_step:  # the first step finds cold caches and workers asleep
            run(1, self.threads)
            steps -= 1
            if steps:
                steps -= self._timed(1, self.threads, run)[0]
        while steps:
            now = self.clock()
            if now >= self.due and self.per_step <= LONGEST and steps >= self._turn() * TURNS:
                steps -= self._trial(run, steps)
                continue
            wait = max(self.due - now, TURN) if self.per_step <= LONGEST else LATEST
            n = min(steps, max(int(wait / self.per_step), 1))
            steps -= self._timed(n, self.threads, run)[0]

    def _turn(self) -> int:
        return max(int(TURN / self.per_step), 1)

    def _timed(self, n: int, threads: int, run: Run) -> tuple[int, float]:
        """The steps done and the seconds of one."""
        start = self.clock()
        run(n, threads)
        each = max(self.clock() - start, 1e-9) / n
        if threads == self.threads:
            self.per_step = each
        return n, each

    def _trial(self, run: Run, steps: int) -> int:
        """Compare numbers of threads, take the quickest; returns the steps that were done."""
        n, present = self._turn(), self.threads
        others = {max(present // 2, 1), min(present * 2, self.most)} - {present}
        numbers = [present, *sorted(others)][: max(steps // (n * TURNS), 1)]
        times: dict[int, list[float]] = {t: [] for t in numbers}
        for _ in range(TURNS):
            for t in numbers:
                times[t].append(self._timed(n, t, run)[1])
        usual = {t: median(found) for t, found in times.items()}
        best = min(usual, key=lambda t: usual[t])
        if usual[best] < MARGIN * usual[present]:
            self.threads = best  # and go on from there at once
            self.per_step = usual[best]
            return n * TURNS * len(numbers)
        self.per_step = usual[present]
        lost = sum(max(usual[t] - self.per_step, 0.0) for t in numbers) * n * TURNS
        self.due = self.clock() + min(max(lost / SHARE, EARLIEST), LATEST)
        return n * TURNS * len(numbers)
