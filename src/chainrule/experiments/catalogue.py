"""The list of all experiments, and `reproduce`."""

from __future__ import annotations

from pathlib import Path

from ..errors import OptionError
from . import (
    addition,
    autoencoder,
    basins,
    dbn,
    encoder,
    family_trees,
    feedback_alignment,
    finetuning,
    forecasting,
    gpt_large,
    initialization,
    intermediate_values,
    iterative_nets,
    lenet,
    lstm,
    lstm1997,
    negation,
    parity,
    perceptron,
    resnet,
    sequence_completion,
    shift_register,
    signals,
    symmetry,
    t_c,
    text,
    transformer,
    translation,
    xor,
)
from .base import Experiment, Result, Watch, run_experiment

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        perceptron,
        xor,
        symmetry,
        family_trees,
        iterative_nets,
        parity,
        encoder,
        intermediate_values,
        addition,
        negation,
        t_c,
        shift_register,
        sequence_completion,
        lenet,
        dbn,
        autoencoder,
        feedback_alignment,
        initialization,
        basins,
        lstm,
        lstm1997,
        text,
        gpt_large,
        finetuning,
        transformer,
        translation,
        resnet,
        signals,
        forecasting,
    )
}


def reproduce(
    name: str,
    seeds: int | None = None,
    watch: Watch | None = None,
    full: bool = False,
    checkpoint: str | Path | None = None,
    minutes: float | None = None,
) -> Result:
    """Repeat the experiment ``name`` over many seeds, at once, and compare with what was reported.

    ``seeds``: how many (None: as many as its criteria speak of). ``watch(what, sweeps, of, solved,
    seeds)`` is told of the progress. ``full``: experiments on images take MNIST (see
    `data.load_mnist`) and the paper's sizes, not the bundled digits: minutes.
    ``checkpoint``: a folder where ``translation`` and ``gpt-large`` keep their state: a run that
    was cut off goes on. ``minutes``: each of their trainings ends after so many, and is measured as
    far as it came; run again with the same folder, it goes on.

    >>> from chainrule.experiments import reproduce
    >>> result = reproduce("intermediate-values", seeds=10)
    >>> result.passed
    True
    >>> print(result.measurements[1].system, "| in the book:", result.measurements[1].reported)
    activity of the single unit, sorted | in the book: 0, 0.2, 0.6, 1
    """
    if name not in EXPERIMENTS:
        raise OptionError(f"reproduce: no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return run_experiment(EXPERIMENTS[name], seeds, watch, None, full, checkpoint, minutes)
