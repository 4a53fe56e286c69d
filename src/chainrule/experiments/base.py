"""What every experiment is made of: a run, its measurements beside those reported, its figures."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..backends.cpu.machine.name import processor_name
from ..core.node import Array
from ..errors import OptionError
from ..plot import Draw, draw_to
from ..runtime.threads import get_num_threads
from .networks import Net
from .replicas import Measure, Replicas, Runs, squared_error

# What, sweeps done, sweeps in all, seeds solved, seeds (0: it is not about solving).
Watch = Callable[[str, int, int, int, int], None]


@dataclass(frozen=True)
class Measurement:
    """One line of the results: a system, what was reported, the criterion, what was measured.

    ``passed`` is None where there is no criterion.
    """

    system: str
    reported: str
    criterion: str
    measured: str
    passed: bool | None
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass
class Report:
    """What an experiment found. ``figures`` maps a name to the function that draws it."""

    measurements: list[Measurement] = field(default_factory=list)
    figures: dict[str, Draw] = field(default_factory=dict)

    def add(
        self,
        system: str,
        measured: str,
        passed: bool | None = None,
        *,
        reported: str = "",
        criterion: str = "",
        **numbers: Any,
    ) -> None:
        """One more measurement. NumPy's numbers and arrays become Python's, for JSON."""
        judged = None if passed is None else bool(passed)
        plain = {name: _plain(value) for name, value in numbers.items()}
        self.measurements.append(Measurement(system, reported, criterion, measured, judged, plain))

    def add_solved(
        self,
        system: str,
        runs: Runs,
        limit: int,
        *,
        share: float | None = None,
        median: tuple[float, float] | None = None,
        reported: str = "",
    ) -> None:
        """How many seeds solved the task within ``limit`` sweeps, at least ``share`` must."""
        s = runs.statistics(limit)
        wanted, passed = [], None
        if share is not None:
            needed = math.ceil(share * s.seeds - 1e-9)
            wanted.append(f"at least {needed} of {s.seeds} in {limit:,} sweeps")
            passed = s.solved >= needed
        if median is not None:
            low, high = median
            wanted.append(
                f"median between {low:,g} and {high:,g}" if low else f"median under {high:,g}"
            )
            passed = passed is not False and low <= s.median <= high
        self.add(
            system,
            str(s),
            passed,
            reported=reported,
            criterion=", ".join(wanted),
            seeds=s.seeds,
            solved=s.solved,
            median=_number(s.median),
            p10=_number(s.p10),
            p90=_number(s.p90),
            seconds=round(runs.seconds, 3),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _number(x: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(x) else x


class Lab:
    """Where an experiment runs: how many seeds were asked for, and who watches.

    ``seeds`` None: as many as the experiment wants. ``sweeps`` limits all training (to try things
    out). ``full``: the sizes of the paper, on MNIST, where an experiment has a smaller one.
    ``checkpoint``: the folder where trainings of minutes keep their state, to be continued;
    ``minutes``: how long each of them may last in this run.
    """

    def __init__(
        self,
        seeds: int | None = None,
        watch: Watch | None = None,
        sweeps: int | None = None,
        full: bool = False,
        checkpoint: str | Path | None = None,
        minutes: float | None = None,
    ) -> None:
        self._seeds, self._watch, self._sweeps, self.full = seeds, watch, sweeps, full
        self.seconds = None if minutes is None else 60 * minutes
        self._checkpoint = None if checkpoint is None else Path(checkpoint)

    def folder(self, name: str) -> Path | None:
        """Where the training ``name`` keeps its checkpoints, if it shall."""
        return None if self._checkpoint is None else self._checkpoint / name.replace(" ", "-")

    def epochs(self, wanted: int) -> int:
        """How many epochs to train where ``wanted`` is the usual number."""
        return wanted if self._sweeps is None else min(wanted, self._sweeps)

    def tell(self, what: str, done: int, of: int) -> None:
        """Tell who watches how many epochs are done."""
        if self._watch is not None:
            self._watch(what, done, of, 0, 0)

    def seeds(self, wanted: int) -> int:
        """How many seeds to run where ``wanted`` is the usual number."""
        return wanted if self._seeds is None else self._seeds

    def train(
        self,
        what: str,
        net: Net,
        inputs: Array,
        targets: Array,
        *,
        seeds: int,
        eps: float,
        alpha: float,
        init: float,
        sweeps: int,
        error: Measure = squared_error,
        solved: Measure | None = None,
        freeze: bool = True,
        own_cases: bool = False,
    ) -> Runs:
        """Train ``net`` from ``seeds`` (or as asked) different weights; see `Replicas`."""
        nets = Replicas(
            net,
            inputs,
            targets,
            seeds=self.seeds(seeds),
            init=init,
            error=error,
            solved=solved,
            freeze=freeze,
            own_cases=own_cases,
        )
        self.go_on(what, nets, sweeps, eps, alpha)
        return nets.runs()

    def go_on(
        self, what: str, nets: Replicas, sweeps: int, eps: float, alpha: float, shrink: float = 0.0
    ) -> None:
        """Train these nets at most ``sweeps`` sweeps more."""
        count = len(nets.solved)

        def progress(done: int, total: int, solved: int) -> None:
            if self._watch is not None:
                self._watch(what, done, total, solved, count)

        sweeps = sweeps if self._sweeps is None else min(sweeps, self._sweeps)
        nets.train(sweeps, eps, alpha, shrink=shrink, progress=progress)


@dataclass(frozen=True)
class Experiment:
    """An experiment of the literature: ``run`` repeats it in a `Lab`."""

    name: str
    title: str
    source: str
    run: Callable[[Lab], Report]


@dataclass(frozen=True)
class Result:
    """What `reproduce` returns."""

    name: str
    title: str
    source: str
    measurements: tuple[Measurement, ...]
    full: bool
    seconds: float
    processor_seconds: float
    drawings: dict[str, Draw] = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether every criterion is met."""
        return all(m.passed is not False for m in self.measurements)

    def save_figures(self, folder: str | Path) -> list[Path]:
        """Draw every figure into ``folder`` as PNG. Needs matplotlib."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        return [draw_to(draw, target / f"{name}.png") for name, draw in self.drawings.items()]

    def to_dict(self) -> dict[str, Any]:
        """All but the figures (their names instead), and with what it was made, ready for JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "full": self.full,
            "passed": self.passed,
            "seconds": round(self.seconds, 2),
            "processor_seconds": round(self.processor_seconds, 2),
            "made_with": made_with(),
            "figures": list(self.drawings),
            "measurements": [asdict(m) for m in self.measurements],
        }

    def __str__(self) -> str:
        lines = [f"{self.title} ({self.source})"]
        for m in self.measurements:
            mark = {True: "pass", False: "MISSED", None: "      "}[m.passed]
            lines.append(f"  {mark:6} {m.system}: {m.measured}")
            lines += [
                f"         {label}: {text}"
                for label, text in (("wanted", m.criterion), ("reported", m.reported))
                if text
            ]
        return "\n".join(lines)


def run_experiment(
    experiment: Experiment,
    seeds: int | None,
    watch: Watch | None,
    sweeps: int | None = None,
    full: bool = False,
    checkpoint: str | Path | None = None,
    minutes: float | None = None,
) -> Result:
    """Run ``experiment`` once, with the clock on."""
    if seeds is not None and (not isinstance(seeds, int) or isinstance(seeds, bool) or seeds < 1):
        raise OptionError(f"reproduce: the number of seeds is a positive integer, got {seeds!r}")
    if minutes is not None and not minutes > 0:
        raise OptionError(f"reproduce: minutes is a number above 0, got {minutes!r}")
    name = f"{experiment.name}{'-full' if full else ''}-time.json"
    with _clock(None if checkpoint is None else Path(checkpoint) / name) as spent:
        report = experiment.run(Lab(seeds, watch, sweeps, full, checkpoint, minutes))
    return Result(
        experiment.name,
        experiment.title,
        experiment.source,
        tuple(report.measurements),
        full,
        spent[0],
        spent[1],
        report.figures,
    )


@contextmanager
def _clock(file: Path | None) -> Iterator[list[float]]:
    """Seconds, and those of the processor, of this block.

    With a file, of all runs that it was kept for, also those that were cut off by Ctrl-C.
    """
    spent = json.loads(file.read_text()) if file is not None and file.exists() else [0.0, 0.0]
    start, worked = time.perf_counter(), time.process_time()
    try:
        yield spent
    finally:
        spent[0] += time.perf_counter() - start
        spent[1] += time.process_time() - worked
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(spent))


def made_with() -> dict[str, Any]:
    """The versions, the processor and the threads of this process."""
    return {
        "chainrule": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": processor_name(),
        "threads": get_num_threads(),
    }


# -- data that several experiments use -------------------------------------------------------------
def bits(count: int) -> Array:
    """All 2ⁿ vectors of n bits, the first bit the highest: (2ⁿ, n)."""
    numbers = np.arange(2**count)[:, None]
    return (numbers >> np.arange(count)[::-1] & 1).astype(np.float64)


def spread(values: Sequence[float] | Array, digits: int = 2) -> str:
    """Mean and range in words."""
    v = np.asarray(values, float)
    if not len(v):
        return "none"
    return f"mean {v.mean():.{digits}f} ({v.min():.{digits}f} to {v.max():.{digits}f})"
