"""How much the training of a net depends on its first weights: gains and seeds, all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import OptionError, ShapeError
from ..nn.functional_call import functional_call
from ..nn.module import Module
from ..nn.options import check, integer
from ..optim import SGD
from ..plot import matplotlib_of, save_figure
from ..tensor.compiling.compiled import compile as compile_function
from ..tensor.tensor import Tensor
from ..tensor.transform import vmap
from ..tensor.value import array_of, as_tensor, stored
from .names import loss_of
from .seeds.first import first_states, times_gain

GAINS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.4, 2.0, 2.8, 4.0)
"""A quarter to four times the first weights, in steps of √2."""


class Sensitivity:
    """What `sensitivity` found.

    ``gains`` (G,), ``first`` and ``last`` loss (G, seeds), and ``gradients``, the norm of the
    gradient of every weight at the start, (G, seeds) by name.
    """

    def __init__(
        self, gains: Array, first: Array, last: Array, gradients: dict[str, Array]
    ) -> None:
        """Arrays with gains and seeds as axes."""
        self.gains, self.first, self.last, self.gradients = gains, first, last, gradients

    @property
    def best(self) -> float:
        """The gain with the lowest median of the last losses (what is not finite is infinite)."""
        return float(self.gains[np.argmin(self._medians())])

    def _medians(self) -> Array:
        return np.median(np.where(np.isfinite(self.last), self.last, np.inf), axis=1)

    def to_dict(self) -> dict[str, Any]:
        """The numbers."""
        return {
            "gains": self.gains.tolist(),
            "first": self.first.tolist(),
            "last": self.last.tolist(),
            "gradients": {k: g.tolist() for k, g in self.gradients.items()},
            "best": self.best,
        }

    def table(self) -> str:
        """A line a gain, medians of the seeds.

        Losses before and after, and the gradients of the first and last weight.
        """
        names = list(self.gradients)
        ends = [names[0], names[-1]] if len(names) > 1 else names
        heads = ["gain", "first loss", "last loss", "worst seed", *(f"|grad {n}|" for n in ends)]
        worst = np.where(np.isfinite(self.last), self.last, np.inf).max(1)
        columns = [self.gains, np.median(self.first, 1), self._medians(), worst]
        columns += [np.median(self.gradients[n], 1) for n in ends]
        wide = [max(len(h), 10) for h in heads]
        lines = ["  ".join(f"{h:>{w}}" for h, w in zip(heads, wide, strict=True))]
        for row in zip(*columns, strict=True):
            mark = "  <-" if row[0] == self.best else ""
            numbers = "  ".join(f"{v:>{w}.4g}" for v, w in zip(row, wide, strict=True))
            lines.append(numbers + mark)
        return "\n".join(lines)

    def plot(self, path: str | Path) -> Path:
        """Draw the last losses by gain, and the gradients at the start, into a file.

        Needs matplotlib.
        """
        figure = matplotlib_of().figure.Figure(figsize=(10, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        low, middle, high = (
            np.quantile(np.where(np.isfinite(self.last), self.last, np.nan), q, axis=1)
            for q in (0, 0.5, 1)
        )
        left.plot(self.gains, np.median(self.first, 1), ":", color="gray", label="first loss")
        left.fill_between(self.gains, low, high, alpha=0.25, label="all seeds")
        left.plot(self.gains, middle, "o-", label="last loss, median")
        left.axvline(self.best, ls="--", color="gray", label=f"gain {self.best:.3g}")
        left.set(xlabel="gain (1: as the net is made)", ylabel="loss", yscale="log")
        left.legend(fontsize=8)
        norms = np.log10([np.median(g, 1) + 1e-45 for g in self.gradients.values()])
        image = right.pcolormesh(self.gains, range(len(norms)), norms, cmap="viridis")
        right.set_yticks(range(len(norms)), list(self.gradients), fontsize=7)
        right.invert_yaxis()
        right.set(xlabel="gain", title="log₁₀ of the norm of the gradient at the start")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_xticks(self.gains, [f"{g:.3g}" for g in self.gains], fontsize=8)
            axes.minorticks_off()
        figure.colorbar(image, ax=right)
        return save_figure(figure, path)

    def __repr__(self) -> str:
        gains, seeds = self.last.shape
        return f"Sensitivity({gains} gains, {seeds} seeds, best gain {self.best:.3g})"


def sensitivity(
    model: Module | Callable[[], Module],
    x: Any,
    y: Any,
    loss: Any,
    *,
    gains: Sequence[float] = GAINS,
    seeds: int = 10,
    steps: int = 200,
    optimizer: Callable[[list[Tensor]], Any] | None = None,
) -> Sensitivity:
    """Train the net from many first weights, side by side in one program, and compare.

    Seed s makes the net anew: by ``model()`` after ``manual_seed(s)``, or, of a module, by
    ``reset_parameters`` of all its parts (the module itself stays as it is). A gain multiplies all
    weights of two or more axes; 1 leaves them as they are made. Then ``steps`` steps on all rows of
    ``x`` and ``y`` at once (a few hundred are enough) by ``optimizer(parameters)``, SGD with rate
    0.05 and momentum 0.9 unless given; it sees the parameters of all the nets stacked, so that what
    looks at their common norm (clipping) is not the same as for each alone. ``loss``: a name as the
    Trainer's, or ``loss(outputs, targets)``.

    Raises OptionError for a gain that is not positive, or a module whose parameters cannot be made
    anew. Gradients that vanish or explode show in ``gradients``.

    >>> from chainrule import data, nn, train
    >>> x, y = data.load_digits()
    >>> net = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    >>> found = train.sensitivity(
    ...     net, x[:100] / 16, y[:100], "cross_entropy", gains=[0.01, 1, 2], seeds=3, steps=50
    ... )
    >>> found.last.shape, found.best > 0.01
    ((3, 3), True)
    """
    check(
        "sensitivity", {"seeds": integer(1), "steps": integer(1)}, {"seeds": seeds, "steps": steps}
    )
    factors = np.asarray(gains, float)
    if factors.ndim != 1 or not len(factors) or not (factors > 0).all():
        raise OptionError(f"sensitivity: gains are positive numbers, got {gains!r}")
    if not np.isfinite(factors).all():
        raise OptionError(f"sensitivity: gains are finite, got {gains!r}")
    cases, targets = as_tensor(x), as_tensor(y)
    if not cases.ndim or not targets.ndim or len(cases) != len(targets):
        raise ShapeError(
            f"sensitivity: x and y have a row for each case, got {cases.shape} and {targets.shape}"
        )
    objective = loss_of("sensitivity", loss)
    first = first_states("sensitivity", model, range(seeds))
    rows = {k: np.repeat(a, len(factors), axis=0) for k, a in first.tensors.items()}
    parameters = dict(first.net.named_parameters())
    times_gain(rows, np.tile(factors, seeds), list(parameters))
    stacked = {k: stored(a) for k, a in rows.items()}
    buffers = {k: t for k, t in stacked.items() if k not in parameters}
    weights = {k: stacked[k].requires_grad_(p.requires_grad) for k, p in parameters.items()}
    learning = (optimizer or (lambda p: SGD(p, lr=0.05, momentum=0.9)))(list(weights.values()))

    def one(w: dict[str, Tensor], b: dict[str, Tensor]) -> Any:
        return objective(functional_call(first.net, (w, b), cases), targets)

    @compile_function
    def step(learn: bool) -> Any:
        losses = vmap(one, randomness="different")(weights, buffers)
        learning.zero_grad()
        losses.sum().backward()
        if learn:
            learning.step()
        return losses

    def grid(values: Any) -> Array:
        return np.asarray(values, float).reshape(seeds, -1).T

    before = grid(array_of(step(False)))
    gradients = {}
    for name, w in weights.items():
        if w.ndim > 2 and w.grad is not None:
            flat = np.asarray(array_of(w.grad), float).reshape(len(factors) * seeds, -1)
            gradients[name] = grid(np.linalg.norm(flat, axis=1))
    step.repeat(steps, True)
    return Sensitivity(factors, before, grid(array_of(step(False))), gradients)
