"""The comparison: every mode of a workload in a process of its own, timed in turns."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .modes.workload import Workload
from .processes import Process, WorkerError, close_all, interpreter_of

CHECKED_STEPS = 8
"""Steps whose losses must agree with the first mode's."""
TRIAL_SECONDS = 0.2
"""A trial that says which of two ways to run is the quicker here."""
REST_SECONDS = 0.4
"""Before each turn: other libraries' threads spin on after their work (OpenBLAS's so long,
that the next mode's step seemed a seventh longer)."""
BEHIND = 1.1
"""A workload that takes so many times the time of the best peer is named."""
TOLERANCE = {"float32": 2e-4, "float64": 1e-8}
"""How far losses may differ from the first mode's, relatively, over the checked steps."""

Progress = Callable[[str], None]


@dataclass
class Measured:
    """One mode on one workload. Times are medians over the rounds; None where not measured."""

    mode: str
    microseconds: float | None = None
    rounds: list[float] = field(default_factory=list)
    first_cold_seconds: float | None = None
    first_warm_seconds: float | None = None
    import_seconds: float | None = None
    peak_bytes: int | None = None
    losses: list[float] = field(default_factory=list)
    agrees: bool | None = None
    error: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it is Chainrule."""
        return self.mode.startswith("chainrule")


@dataclass
class Comparison:
    """All modes of one workload."""

    workload: Workload
    threads: int
    floor_rounds: list[float]
    measured: list[Measured]

    @property
    def ours(self) -> Measured | None:
        """Chainrule's quickest mode."""
        return quickest(m for m in self.measured if m.is_ours)

    @property
    def best_peer(self) -> Measured | None:
        """The quickest mode of another library."""
        return quickest(m for m in self.measured if not m.is_ours)

    @property
    def floor_microseconds(self) -> float:
        """What the machine would need for a step's contractions; the median over the rounds."""
        return statistics.median(self.floor_rounds)

    @property
    def over_floor(self) -> float | None:
        """Our time in floors; the median over rounds of the ratio within each round."""
        return median_ratio(self.ours.rounds, self.floor_rounds) if self.ours else None

    @property
    def speedup(self) -> float | None:
        """The best peer's time in ours; the median over rounds of the ratio within each round."""
        if not self.ours or not self.best_peer:
            return None
        return median_ratio(self.best_peer.rounds, self.ours.rounds)

    @classmethod
    def from_dict(cls, held: dict[str, Any]) -> Comparison:
        """From JSON."""
        measured = [Measured(**m) for m in held["modes"]]
        return cls(
            Workload.from_dict(held["workload"]),
            held["threads"],
            held["floor_rounds"],
            measured,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        best = self.best_peer
        return {
            "workload": asdict(self.workload),
            "threads": self.threads,
            "floor_microseconds": self.floor_microseconds,
            "floor_rounds": self.floor_rounds,
            "over_floor": self.over_floor,
            "ours": self.ours.mode if self.ours else None,
            "best_peer": best.mode if best else None,
            "speedup": self.speedup,
            "modes": [asdict(m) for m in self.measured],
        }


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over rounds of the ratio within each: slow spells of the machine hit both."""
    return statistics.median(a / b for a, b in zip(above, below, strict=False))


def quickest(measured: Iterable[Measured]) -> Measured | None:
    """The one with the least time; None where none has a time."""
    timed = [m for m in measured if m.microseconds]
    return min(timed, key=lambda m: m.microseconds or math.inf, default=None)


def floor_microseconds(workload: Workload, peak: float) -> float:
    """The time of a step's contractions at ``peak`` flops a second."""
    return workload.flops / peak * 1e6


@dataclass(frozen=True)
class Spread:
    """The ratios of the best peer's time to ours over several workloads."""

    median: float
    least: float
    least_of: str
    """The workload that has the least one."""
    behind: list[str]
    """Workloads for which we need `BEHIND` times the time of the best peer, or more."""

    @classmethod
    def of(cls, comparisons: Sequence[Comparison]) -> Spread | None:
        """None where fewer than two workloads have a ratio."""
        ratios = [(c.speedup, c.workload.name) for c in comparisons if c.speedup is not None]
        if len(ratios) < 2:
            return None
        behind = [name for ratio, name in ratios if ratio * BEHIND < 1]
        return cls(statistics.median(r for r, _ in ratios), *min(ratios), behind)


def compare(
    workload: Workload,
    modes: Sequence[str],
    threads: int,
    peak: Callable[[], float],
    rounds: int = 7,
    seconds: float = 0.3,
    peers_python: str | None = None,
    progress: Progress = lambda text: None,
) -> Comparison:
    """Measure those of ``modes`` that suit the ``workload``.

    Each mode is a process. A first process, with empty caches, tells the first step's time; a
    second one finds what the first left in the caches and is then timed, ``rounds`` times about
    ``seconds``, in turns with the other modes and with ``peak``, which measures the flops a second
    that the threads can reach.
    """
    found = [Measured(m) for m in modes if workload.suits(m)]
    floors: list[float] = []
    running: list[tuple[Measured, Process]] = []
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        try:
            for m in found:
                progress(f"{workload.name}: {m.mode}, first step")
                python = interpreter_of(m.mode, peers_python)
                if python is None:
                    m.error = "not installed"
                    continue
                try:
                    process = _first_steps(m, python, workload, threads, Path(folder) / m.mode)
                    running.append((m, process))
                except WorkerError as error:
                    m.error = str(error)
            rest = 0.0 if all(m.is_ours for m, _ in running) else REST_SECONDS
            for turn in range(rounds + 1):  # the first turn finds the number of steps
                if turn:
                    time.sleep(rest)
                    floors.append(floor_microseconds(workload, peak()))
                for m, process in running:
                    if m.error:
                        continue
                    progress(f"{workload.name}: {m.mode}, round {turn} of {rounds}")
                    time.sleep(rest)
                    try:
                        answer = process.ask("run", seconds=seconds)
                    except WorkerError as error:
                        m.error, m.rounds = str(error), []
                        continue
                    if turn:
                        m.rounds.append(answer["seconds"] / answer["steps"] * 1e6)
            for m, process in running:
                if not m.error:
                    _finish(m, process)
        finally:
            close_all([process for _, process in running])
    _agree(found, workload.dtype)
    return Comparison(workload, threads, floors, found)


def _first_steps(
    m: Measured, python: str, workload: Workload, threads: int, caches: Path
) -> Process:
    caches.mkdir()
    cold = Process(python, m.mode, workload, threads, caches)
    try:
        m.first_cold_seconds = _first(cold)
    finally:
        cold.close()
    warm = Process(python, m.mode, workload, threads, caches)
    other: Process | None = None
    try:
        m.import_seconds = warm.import_seconds
        m.first_warm_seconds = _first(warm)
        if not m.mode.startswith("torch"):
            return warm
        # Spinning OpenMP threads are quicker on a quiet machine, and a hundred times slower on a
        # busy one.
        other = Process(python, m.mode, workload, threads, caches, passive=True)
        _first(other)
        pace = [p.ask("run", seconds=TRIAL_SECONDS) for p in (warm, other)]
        if pace[0]["seconds"] / pace[0]["steps"] <= pace[1]["seconds"] / pace[1]["steps"]:
            warm, other = other, warm
        warm.close()
        return other
    except BaseException:
        close_all([p for p in (warm, other) if p is not None])
        raise


def _first(process: Process) -> float:
    """Seconds of the first step: of ``steps`` steps, less the others' at their later pace."""
    first = process.ask("first")
    if first["steps"] == 1:
        return float(first["seconds"])
    later = (process.ask("run", seconds=0.0) for _ in range(3))
    pace = min(r["seconds"] / r["steps"] for r in later)
    return float(max(first["seconds"] - (first["steps"] - 1) * pace, 0.0))


def _finish(m: Measured, process: Process) -> None:
    """Memory before the check, because a check may compile something else."""
    try:
        m.peak_bytes = process.ask("memory")["peak_bytes"]
        m.losses = list(process.ask("check", steps=CHECKED_STEPS)["losses"])
    except WorkerError as error:
        m.error, m.rounds = str(error), []
    else:
        m.microseconds = statistics.median(m.rounds)


def _agree(found: Sequence[Measured], dtype: str) -> None:
    """Compare every mode's losses with those of the first mode that has any."""
    reference = next((m.losses for m in found if m.losses), None)
    for m in found:
        if m.losses and reference:
            m.agrees = all(
                math.isclose(a, b, rel_tol=TOLERANCE[dtype], abs_tol=1e-6)
                for a, b in zip(m.losses, reference, strict=True)
            )
