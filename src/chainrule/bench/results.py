"""Results: what a run of the comparison measured, kept in files with the machine it ran on."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backends.cpu.machine.name import processor_name
from ..errors import OptionError
from .compare import Comparison, Measured, median_ratio
from .machine import barrier_ns

STEP, FIRST, MEMORY = 1.05, 1.25, 1.1
"""From which ratio on a time of a step, of a first step, or a memory counts as more than before."""


@dataclass
class Results:
    """The comparisons of one run."""

    machine: dict[str, Any]
    """``processor``, ``platform``, ``threads``, and ``barrier_ns`` (None: one thread): how long
    these threads need to meet, which small nets wait for."""
    versions: str
    rounds: int
    comparisons: list[Comparison]

    @property
    def version(self) -> str:
        """Chainrule's own."""
        return self.versions.split(",")[0].removeprefix("chainrule").strip()

    @property
    def about(self) -> str:
        """Where and how, as a line."""
        m = self.machine
        barrier = "" if m["barrier_ns"] is None else f", {m['barrier_ns']:.0f} ns a barrier"
        return (
            f"{m['processor']}, {m['threads']} threads{barrier}, medians of {self.rounds} "
            f"interleaved rounds, {self.versions}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "machine": self.machine,
            "rounds": self.rounds,
            "versions": self.versions,
            "comparisons": [c.to_dict() for c in self.comparisons],
        }

    @classmethod
    def read(cls, path: Path) -> Results:
        """From a file that ``chainrule bench --json`` or ``--save`` wrote.

        Raises:
            OptionError: it is another kind of file.
        """
        try:
            held = json.loads(path.read_text("utf-8"))
            machine = held["machine"]
            [machine[k] for k in ("processor", "platform", "threads", "barrier_ns")]
            comparisons = [Comparison.from_dict(c) for c in held["comparisons"]]
            return cls(machine, str(held["versions"]), int(held["rounds"]), comparisons)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptionError(
                f"{path}: expected a file that `chainrule bench --json` wrote, got "
                f"{type(error).__name__}: {error}"
            ) from None


def gone_on(kept: Results, now: Results, where: str) -> Results:
    """``kept``, to be added to; OptionError unless it was measured as ``now`` will be."""
    for what, old, new in (
        ("processor", kept.machine["processor"], now.machine["processor"]),
        ("threads", kept.machine["threads"], now.machine["threads"]),
        ("rounds", kept.rounds, now.rounds),
        ("versions", kept.versions, now.versions),
    ):
        if old != new:
            raise OptionError(
                f"--save {where}: it was measured with {what} {old}, this run with {new}; "
                "name another file"
            )
    return kept


def machine_now(threads: int) -> dict[str, Any]:
    """This machine, for `Results`."""
    return {
        "processor": processor_name(),
        "platform": platform.platform(),
        "threads": threads,
        "barrier_ns": barrier_ns(threads),
    }


def check_comparable(before: Results, threads: int, workloads: Sequence[str], where: str) -> None:
    """Raise OptionError if nothing that is about to be measured can be compared with ``before``."""
    there = (before.machine["processor"], before.machine["threads"])
    if there != (processor_name(), threads):
        raise OptionError(
            f"--against {where}: measured on {there[0]} with {there[1]} threads, this is "
            f"{processor_name()} with {threads}; times of different machines tell nothing about "
            "a change"
        )
    known = [c.workload.name for c in before.comparisons]
    if not set(known) & set(workloads):
        raise OptionError(
            f"--against {where}: it has {', '.join(known) or 'nothing'}, this run measures "
            f"{', '.join(workloads)}"
        )


@dataclass(frozen=True)
class Change:
    """One number of Chainrule's, before and now."""

    workload: str
    mode: str
    what: str
    before: float
    now: float
    more: bool
    """Whether it is more than before by more than chance explains."""

    @property
    def ratio(self) -> float:
        """Now in terms of before."""
        return self.now / self.before if self.before else float("inf")


def changes(before: Results, now: Results) -> list[Change]:
    """Chainrule's numbers that both runs have."""
    found = []
    for c in now.comparisons:
        earlier = next((b for b in before.comparisons if b.workload == c.workload), None)
        for m in c.measured if earlier is not None else ():
            same = next((b for b in earlier.measured if b.mode == m.mode), None)  # type: ignore[union-attr]
            if m.is_ours and same is not None:
                per_floor = median_ratio(m.rounds, c.floor_rounds) if m.rounds else 0.0
                then = median_ratio(same.rounds, earlier.floor_rounds) if same.rounds else 1.0  # type: ignore[union-attr]
                numbers = _numbers(same, m, per_floor > STEP * then)
                found += [Change(c.workload.name, m.mode, *of) for of in numbers]
    return found


def _numbers(
    before: Measured, now: Measured, slower: bool
) -> Iterator[tuple[str, float, float, bool]]:
    """``slower``: beside the machine's peak in the same rounds."""
    if before.microseconds and now.microseconds:
        # A slow spell of the machine makes some rounds longer, a slower program all of them.
        apart = _quartile(now.rounds, 0) > _quartile(before.rounds, 2)
        more = slower and apart and now.microseconds > STEP * before.microseconds
        yield "µs a step", before.microseconds, now.microseconds, more
    pairs = {
        "first step s": (before.first_cold_seconds, now.first_cold_seconds, FIRST),
        "warm cache s": (before.first_warm_seconds, now.first_warm_seconds, FIRST),
        "peak bytes": (before.peak_bytes, now.peak_bytes, MEMORY),
    }
    for what, (old, new, much) in pairs.items():
        if old is not None and new is not None:
            yield what, old, new, new > much * old


def _quartile(rounds: Sequence[float], number: int) -> float:
    return statistics.quantiles(rounds, n=4)[number] if len(rounds) > 1 else rounds[0]
