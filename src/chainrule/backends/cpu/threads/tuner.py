"""Pace: how many threads a program runs on, found out while it runs.

The bits are the same at any number of threads, so the number may change between any two steps. A
small program can be slower on two threads than on one; and where another process wants a core, or
two processors turn out to be one core's two threads, so can a larger one. Nothing says so before,
and it changes while training goes on. So now and then a few steps run on twice and on half as many
threads as at present, side by side with steps on the present number, and the quickest goes on.

    present  trial                                      present                        trial
    ───────  present half double present half double …  ─────────────────────────────  …

Fewer threads that are far slower in their first turn get no other.
What a trial lost sets when the next one is due, so that trials take at most ``SHARE`` of the time.
But fewer threads than there are may only have been right for a moment (another library's threads
spin on for a while), so more are tried again soon, and less and less often while they lose.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

TURN = 300e-6  # seconds of steps on one number of threads
TURNS = 3  # of each number in a trial
SHARE = 0.01  # of the time that trials may cost
EARLIEST, LATEST = 0.05, 2.0  # seconds between two trials
LONGEST = 5e-3  # seconds of a step; longer ones gain from threads wherever there are any
HOPELESS = 1.3  # times the present time: fewer threads are then not tried again in this trial
MARGIN = 0.97  # quicker than this share of the present time is worth a change

Run = Callable[[int, int], None]


@dataclass
class Turn:
    """Steps of a trial on one number of threads."""

    threads: int
    steps: int
    left: int
    is_cold: bool  # more threads than at present: in its first step they wake and fetch their data
    seconds: float = 0.0


class Pace:
    """The number of threads of one program. ``clock`` returns seconds.

    ``longest``: seconds of a step from which on there are no trials.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.longest = LONGEST
        self._begin(0)

    def _begin(self, most: int) -> None:
        self.most = self.threads = most
        self.per_step = 0.0  # seconds, as last seen; 0: nothing is known
        self.due = 0.0
        self.patience = EARLIEST  # with fewer threads than there are, until more are tried again
        self.ended = self.clock()
        self.is_cold = True  # the first step finds cold caches and workers asleep
        self.turns: list[Turn] = []  # of the trial that is going on
        self.done: list[Turn] = []

    def run(self, steps: int, most: int, run: Run) -> None:
        """``run(n, threads)`` until ``steps`` steps are done, on at most ``most`` threads.

        A trial may begin in one call and end in another: each may be of a single step.
        """
        if most == 1:
            run(steps, 1)
            return
        self._go_on(most)
        self._run(steps, run)
        self.ended = self.clock()

    def quiet_seconds(self, most: int) -> float:
        """How long its program may run on `threads` threads without `run`; 0: until nothing is to
        be found out, its steps belong to `run`."""
        self._go_on(most)
        return max(self.due - self.clock(), 0.0) if self.per_step and not self.turns else 0.0

    def _go_on(self, most: int) -> None:
        """Nothing learned on another number of threads counts, nor a trial that was left alone."""
        if most != self.most:
            self._begin(most)
        now = self.clock()
        if now - self.ended > EARLIEST:  # who ran meanwhile may be spinning still
            self.turns, self.due = [], max(self.due, now + EARLIEST)

    def _run(self, steps: int, run: Run) -> None:
        """The steps, in pieces between which the number of threads may change."""
        while steps:
            start = self.clock()
            if not self.turns and self.per_step and start >= self.due:
                self._plan_trial()
            turn = self.turns[0] if self.turns else None
            if turn and turn.is_cold:
                run(1, turn.threads)
                turn.is_cold = False
                steps -= 1
                continue
            n = min(steps, turn.left if turn else self._until_due(start))
            run(n, turn.threads if turn else self.threads)
            seconds = max(self.clock() - start, 1e-9)
            steps -= n
            if self.is_cold:
                self.is_cold = False
            elif turn:
                self._note(turn, n, seconds)
            else:
                self.per_step = seconds / n

    def _until_due(self, now: float) -> int:
        """Steps to run before it is time to look again."""
        if not self.per_step:
            return 1
        return max(int(max(self.due - now, TURN) / self.per_step), 1)

    def _plan_trial(self) -> None:
        if self.per_step > self.longest and self.threads == self.most:
            self.due = self.clock() + LATEST
            return
        n, present = max(int(TURN / self.per_step), 1), self.threads
        others = {max(present // 2, 1), min(present * 2, self.most)} - {present}
        numbers = (present, *sorted(others))
        self.turns = [Turn(t, n, n, t > present) for _ in range(TURNS) for t in numbers]
        self.done = []

    def _note(self, turn: Turn, n: int, seconds: float) -> None:
        turn.left -= n
        turn.seconds += seconds
        if not turn.left:
            self.done.append(self.turns.pop(0))
            hopeless = turn.seconds > HOPELESS * self.per_step * turn.steps
            if hopeless and turn.threads < self.threads:
                self.turns = [t for t in self.turns if t.threads != turn.threads]
            if not self.turns:
                self._decide()

    def _decide(self) -> None:
        """Take the quickest number of threads of the trial."""
        times: dict[int, list[float]] = {}
        for turn in self.done:
            times.setdefault(turn.threads, []).append(turn.seconds / turn.steps)
        # the median of few: importing `statistics` would take 5 ms of every first step
        usual = {t: sorted(found)[len(found) // 2] for t, found in times.items()}
        best = min(usual, key=lambda t: usual[t])
        if usual[best] < MARGIN * usual[self.threads]:
            self.threads = best  # and go on from there at once
            self.per_step = usual[best]
            self.patience = EARLIEST
            return
        self.per_step = usual[self.threads]
        lost = sum(max(usual[t.threads] - self.per_step, 0.0) * t.steps for t in self.done)
        rest = min(max(lost / SHARE, EARLIEST), LATEST)
        if self.threads < self.most:
            rest, self.patience = min(rest, self.patience), min(2 * self.patience, LATEST)
        self.due = self.clock() + rest
