"""How much does the outcome depend on the first weights? Gain, depth, activation, layer norm.

The first criticism of back-propagation. Errors sent back through many layers vanish or explode
unless the weights start at an edge (`first_errors`): here it is measured where that edge is, and
thousands of nets are trained from weights on both sides of it, with and without layer norm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import COLOURS
from .base import Experiment, Lab, Report
from .first_errors import (
    ACTIVATIONS,
    edge,
    expected_errors,
    measured_errors,
)
from .gains import FULL, QUICK, Plan, trained

EDGES = {"tanh": 1.0, "ReLU": 2**0.5}
MARKS = {"nn.Linear": 3**-0.5, "Xavier": 1.0, "Kaiming": 2**0.5}  # gains in square layers
SMALL = 0.1  # the size of inputs for which tanh is all but linear


# -- the experiment --------------------------------------------------------------------------------
Maps = dict[tuple[str, bool], Array]  # by activation and layer norm


def run(lab: Lab) -> Report:
    """The maps of `QUICK`, or in full of `FULL`."""
    return study(lab, FULL if lab.full else QUICK)


def study(lab: Lab, plan: Plan) -> Report:
    """Errors at the start, and training."""
    report = Report()
    ratios, learned, losses = Maps(), Maps(), Maps()
    seeds, steps = lab.seeds(plan.seeds), lab.epochs(plan.steps)
    kinds = [(a, norm) for norm in (False, True) for a in ACTIVATIONS]
    for a, norm in kinds:
        ratios[a, norm] = errors(report, plan, seeds, a, norm)
    for i, (a, norm) in enumerate(kinds):
        lab.tell("training", i, len(kinds))
        both = [trained(plan, seeds, steps, depth, a, norm) for depth in plan.depths]
        learned[a, norm], losses[a, norm] = (np.stack(m) for m in zip(*both, strict=True))
    training(report, plan, seeds, learned)
    report.figures["initialization"] = lambda figure: draw(figure, plan, ratios, learned, losses)
    return report


def errors(report: Report, plan: Plan, seeds: int, activation: str, norm: bool) -> Array:
    """Where the error neither vanishes nor explodes, beside theory; the map of unit inputs."""
    gains, layers = plan.gains, plan.layers
    found = measured_errors(gains, seeds, activation, norm, 1.0, layers)
    wanted = expected_errors(gains, activation, norm, 1.0, layers)
    if norm:
        spread = np.ptp(found[:, -1])
        report.add(
            f"{activation} with layer norm: error of layer 1 over layer {layers}",
            f"10^{np.median(found[:, -1]):.2f} at every gain (they differ by 10^{spread:.2f})",
            bool(spread < 0.1),
            reported=f"10^{wanted[0, -1]:.2f} at every gain (mean field)",
            criterion="differ by less than 10^0.1",
            log_ratio=float(np.median(found[:, -1])),
        )
        return found
    if activation in EDGES:
        small = edge(gains, measured_errors(gains, seeds, activation, norm, SMALL, layers)[:, -1])
        report.add(
            f"{activation}, inputs of size {SMALL:g}: gain at which the errors of layers 1 and "
            f"{layers} are equal",
            f"{small:.3f}",
            bool(abs(small / EDGES[activation] - 1) <= 0.1),
            reported=f"{EDGES[activation]:.3f} (theory)",
            criterion="within 10 %",
            edge=small,
        )
    depths = [d for d in plan.depths if 2 < d <= layers] or [layers]
    edges = [(edge(gains, found[:, d - 1]), edge(gains, wanted[:, d - 1])) for d in depths]
    report.add(
        f"{activation}, inputs of size 1: the same for layer {', '.join(map(str, depths))}",
        ", ".join(f"{e:.2f}" for e, _ in edges),
        all(abs(e / t - 1) <= 0.1 for e, t in edges),
        reported=f"{', '.join(f'{t:.2f}' for _, t in edges)} (mean field)",
        criterion="within 10 %",
        edges=[e for e, _ in edges],
    )
    return found


def training(report: Report, plan: Plan, seeds: int, learned: Maps) -> None:
    """Who learns the images: near the edge and far from it, with layer norm and without."""
    gains, depth = plan.gains, plan.depths[-1]
    for activation in ACTIVATIONS:
        at = edge(gains, expected_errors(gains, activation, False, 1.0, depth)[:, -1])
        plain, normed = learned[activation, False][-1], learned[activation, True][-1]
        centre = 2 ** np.average(np.log2(gains), weights=plain) if plain.any() else np.nan
        middle = f"{centre:.2f}" if plain.any() else "none"
        judged = activation in EDGES
        report.add(
            f"{activation}, {depth} layers: the middle of the gains from which nets learn (edge: "
            f"{at:.2f}); share that learns at the best gain, at 1/4, at 16",
            f"{middle}; {plain.max():.2f}, {plain[0]:.2f}, {plain[-1]:.2f} ({seeds} seeds a gain)",
            bool(abs(np.log2(centre / at)) <= 0.5 and max(plain[0], plain[-1]) < plain.max() / 4)
            if judged
            else None,
            criterion="within half an octave of the edge; at the ends less than a quarter of the "
            "best"
            if judged
            else "",
            middle=None if np.isnan(centre) else float(centre),
            best=float(plain.max()),
        )
        widths = [float((m >= 0.5).sum() / plan.fineness) for m in (plain, normed)]
        report.add(
            f"{activation}, {depth} layers: octaves of gain at which most nets learn, of 6",
            f"{widths[0]:g}; with layer norm {widths[1]:g}",
            widths[1] > widths[0] if judged else None,
            criterion="more with layer norm" if judged else "",
            octaves=widths,
        )
        every = learned[activation, False].mean(1)
        depths = ", ".join(map(str, plan.depths))
        report.add(
            f"{activation}: share of the nets of all gains that learn, {depths} layers",
            ", ".join(f"{s:.2f}" for s in every),
            bool(every[-1] < every[0]) if len(every) > 1 else None,
            criterion="smaller in the deepest" if len(every) > 1 else "",
            shares=[float(s) for s in every],
        )


# -- the figure ------------------------------------------------------------------------------------
def draw(figure: Any, plan: Plan, ratios: Maps, learned: Maps, losses: Maps) -> None:
    """Errors at the start; who learns, without and with layer norm; the losses."""
    figure.set_size_inches(15, 10)
    panels = figure.subplots(3, 4)
    gains, names = plan.gains, [str(d) for d in plan.depths]
    for column, a in enumerate(ACTIVATIONS):
        axes = panels[0, column]
        image = axes.pcolormesh(
            gains, np.arange(1, plan.layers + 1), ratios[a, False].T, vmin=-6, vmax=6, cmap="PuOr"
        )
        wanted = expected_errors(gains, a, False, 1.0, plan.layers)
        line = [edge(gains, wanted[:, k]) for k in range(1, plan.layers)]
        axes.plot(line, range(2, plan.layers + 1), "k-", lw=1.5, label="edge, mean field")
        axes.legend(fontsize=7, loc="upper right")
        axes.set_yticks(range(5, plan.layers + 1, 5))
        axes.set_ylabel("layer l")
        axes.set_title(f"{a}: log₁₀ |δ of layer 1| / |δ of layer l| at the start", fontsize=8)
        figure.colorbar(image, ax=axes, extend="both")
        for row, norm in ((1, False), (2, True)):
            axes = panels[row, column]
            image = axes.pcolormesh(
                gains, range(len(names)), learned[a, norm], vmin=0, vmax=1, cmap="Blues"
            )
            axes.set_yticks(range(len(names)), names)
            axes.set_ylabel("hidden layers")
            title = f"{a}{' with layer norm' if norm else ''}: share of nets that learn"
            axes.set_title(title, fontsize=8)
            figure.colorbar(image, ax=axes)
    for axes in panels[:, :3].flat:
        gain_axis(axes, dict(MARKS))
    for axes, a in zip(panels[:, 3], ACTIVATIONS, strict=True):
        for norm, style in ((False, "-"), (True, "--")):
            loss = losses[a, norm][-1]
            loss = np.where(np.isfinite(loss), np.minimum(loss, 1e3), np.nan)
            axes.plot(
                gains, loss, style, color=COLOURS[norm], label="layer norm" if norm else "plain"
            )
        axes.set(yscale="log", ylabel="median loss in the end")
        axes.set_title(f"{a}, {names[-1]} hidden layers: loss (gaps: not finite)", fontsize=8)
        axes.legend(fontsize=7)
        gain_axis(axes, {})


def gain_axis(axes: Any, marks: dict[str, float]) -> None:
    """Gains in octaves, and the usual ones marked."""
    axes.set_xscale("log", base=2)
    axes.set_xlabel("gain")
    octaves = [2.0**k for k in range(-2, 5)]
    axes.set_xticks(octaves, [f"{g:g}" for g in octaves])
    for name, gain in marks.items():
        axes.axvline(gain, color="#444444", lw=0.8, ls="--")
        place = {"rotation": 90, "fontsize": 6, "va": "top", "ha": "center"}
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(gain, axes.get_ylim()[1], name, **place, bbox=paper)


EXPERIMENT = Experiment(
    "initialization",
    "The first weights of deep nets",
    "Glorot & Bengio 2010; He et al. 2015; Poole et al. 2016; Schoenholz et al. 2017",
    run,
)
