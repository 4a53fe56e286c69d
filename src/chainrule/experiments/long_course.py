"""A training of hours of a net that reads: what was measured, and a file from which it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import CheckpointError
from ..train.interrupt import interrupts
from ..utils.files import load, save
from .base import Lab
from .reading import Reader

STRIDE = 5  # updates between two looks at the clock
VALIDATED = 250  # updates between two looks at other text
KEPT = 300.0  # seconds between two states that are written


@dataclass
class Course:
    """What was measured: the loss of each update, and of other text before and after some."""

    losses: list[float] = field(default_factory=list)
    validated: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def updates(self) -> int:
        """How many are done."""
        return len(self.losses)

    @property
    def best(self) -> tuple[int, float]:
        """The least loss on other text, and after how many updates."""
        return min(self.validated, key=lambda pair: pair[1])


def learn(
    lab: Lab, name: str, reader: Reader, updates: int, batches: int, folder: Path | None
) -> Course:
    """Train from the folder's state, to the end or as long as the lab has time.

    Looks at ``batches`` of other text now and then.
    """
    course, file = Course(), None if folder is None else folder / "state.safetensors"
    if file is not None and file.exists():
        course = resumed(file, reader, updates)
    start = written = time.perf_counter()
    before = course.seconds

    def look() -> None:
        if not course.validated or course.validated[-1][0] < course.updates:
            course.validated.append((course.updates, float(reader.loss(batches).mean())))

    with interrupts() as presses:
        presses.deferred = True  # Ctrl-C: after the updates that run
        if not course.updates:
            look()
        while course.updates < updates and not presses.waiting:
            n = min(STRIDE, updates - course.updates)
            course.losses += reader.step.repeat(n, record=1).numpy().tolist()
            course.seconds = before + time.perf_counter() - start
            lab.tell(name, course.updates, updates)
            if course.updates % VALIDATED == 0:
                look()
            over = lab.seconds is not None and time.perf_counter() - start > lab.seconds
            last = over or presses.waiting or course.updates == updates
            if last or time.perf_counter() - written > KEPT:
                written = time.perf_counter()
                keep(file, reader, course, updates)
            if over:
                break
        presses.answer()
    look()
    return course


def keep(file: Path | None, reader: Reader, course: Course, updates: int) -> None:
    """Write all that goes on from here."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        held = {**vars(course), "losses": np.array(course.losses), "updates": updates}
        save({**held, "reader": reader.state_dict()}, file)


def resumed(file: Path, reader: Reader, updates: int) -> Course:
    """The course that was kept there; the reader goes on where it was."""
    held = load(file)
    if not isinstance(held, dict) or held.get("updates") != updates:
        raise CheckpointError(f"{file} is no state of a training of {updates:,} updates")
    reader.load_state_dict(held["reader"])
    return Course(held["losses"].numpy().tolist(), held["validated"], held["seconds"])
