"""Pace: the quickest number of threads, whatever the machine does."""

import pytest

from chainrule.backends.cpu.threads.tuner import LONGEST, SHARE, Pace


class Machine:
    """A clock that runs as steps are done; ``seconds[threads]`` is the time of one."""

    def __init__(self, seconds):
        self.now, self.seconds, self.done, self.used = 0.0, seconds, 0, []

    def run(self, n, threads):
        self.now += n * self.seconds[threads]
        self.done += n
        self.used.append((n, threads))

    def steps_on(self, threads):
        return sum(n for n, t in self.used if t == threads)


def paced(seconds, steps, most, calls=1):
    machine = Machine(seconds)
    pace = Pace(lambda: machine.now)
    for _ in range(calls):
        pace.run(steps, most, machine.run)
    assert machine.done == steps * calls
    return machine, pace


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 23e-6, 2: 30e-6}, 1),
        ({1: 900e-6, 2: 500e-6}, 2),
        ({1: 80e-6, 2: 45e-6, 4: 30e-6, 8: 60e-6}, 4),
        ({1: 20e-6, 2: 30e-6, 4: 50e-6, 8: 90e-6}, 1),
    ],
)
def test_the_quickest_number_of_threads_is_found(seconds, best):
    machine, pace = paced(seconds, 100_000, max(seconds))
    assert pace.threads == best
    assert machine.now <= 100_000 * seconds[best] * (1 + SHARE) + 0.01


@pytest.mark.parametrize("steps", [1, 2, 100])
def test_short_calls_find_it_too(steps):
    machine, pace = paced({1: 20e-6, 2: 30e-6}, steps, 2, calls=20_000 // steps)
    assert pace.threads == 1
    machine, pace = paced({1: 30e-6, 2: 20e-6}, steps, 2, calls=20_000 // steps)
    assert pace.threads == 2


def test_what_changes_is_noticed():
    machine, pace = paced({1: 900e-6, 2: 500e-6}, 1000, 2)
    machine.seconds = {1: 900e-6, 2: 1500e-6}  # another process takes a core
    pace.run(1000, 2, machine.run)
    assert pace.threads == 1
    machine.seconds = {1: 900e-6, 2: 500e-6}
    pace.run(10_000, 2, machine.run)
    assert pace.threads == 2


def test_long_steps_are_not_tried_and_one_thread_is_one_thread():
    machine, _ = paced({1: 2 * LONGEST, 2: LONGEST * 1.1}, 50, 2)
    assert machine.steps_on(1) == 0
    machine, _ = paced({1: 1e-5}, 7, 1)
    assert machine.used == [(7, 1)]


def test_a_wrong_choice_of_one_thread_is_taken_back_also_for_long_steps():
    machine, pace = paced({1: LONGEST * 0.9, 2: LONGEST}, 100, 2)
    assert pace.threads == 1
    machine.seconds = {1: 2 * LONGEST, 2: LONGEST * 1.1}
    pace.run(1000, 2, machine.run)
    assert pace.threads == 2


class WakingMachine(Machine):
    """The first step on more threads than before takes three times as long."""

    def run(self, n, threads):
        if self.used and threads > self.used[-1][1]:
            self.now += 2 * self.seconds[threads]
        super().run(n, threads)


def test_waking_threads_is_not_held_against_them():
    machine = WakingMachine({1: 900e-6, 2: 1500e-6})
    pace = Pace(lambda: machine.now)
    pace.run(1000, 2, machine.run)
    assert pace.threads == 1
    machine.seconds = {1: 900e-6, 2: 500e-6}
    pace.run(10_000, 2, machine.run)
    assert pace.threads == 2
    assert machine.steps_on(2) > 8_000


def test_one_thread_is_left_soon_after_a_burst_of_others():
    machine, pace = paced({1: 900e-6, 2: 500e-6}, 100, 2)
    machine.now += 3.0  # others compute
    machine.seconds = {1: 900e-6, 2: 2000e-6}  # and spin on
    pace.run(200, 2, machine.run)
    assert pace.threads == 1
    machine.seconds, machine.used = {1: 900e-6, 2: 500e-6}, []
    pace.run(300, 2, machine.run)
    assert pace.threads == 2
    assert machine.steps_on(2) > 200


def test_another_most_begins_anew():
    machine, pace = paced({1: 20e-6, 2: 30e-6}, 10_000, 2)
    assert pace.threads == 1
    pace.run(1, 2, machine.run)
    pace.run(5, 1, machine.run)
    assert machine.used[-1] == (5, 1)
