"""The list of all experiments, and `reproduce`."""

from __future__ import annotations

from ..errors import OptionError
from . import symmetry, xor
from .base import Experiment, Result, Watch, run_experiment

EXPERIMENTS: dict[str, Experiment] = {m.EXPERIMENT.name: m.EXPERIMENT for m in (xor, symmetry)}


def reproduce(name: str, seeds: int | None = None, watch: Watch | None = None) -> Result:
    """Repeat the experiment ``name`` over many seeds, trained at once, and compare with what was reported.

    ``seeds``: how many (None: as many as its criteria speak of). ``watch(what, sweeps, of, solved, seeds)``
    is told of the progress.

    >>> from chainrule.experiments import reproduce
    >>> result = reproduce("xor", seeds=10)
    >>> print(result.measurements[0].system, "|", result.measurements[0].measured)
    published weights, Figure 3 (2-1-1) | outputs 0.103, 0.877, 0.877, 0.109
    """
    if name not in EXPERIMENTS:
        raise OptionError(f"reproduce: no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return run_experiment(EXPERIMENTS[name], seeds, watch)
