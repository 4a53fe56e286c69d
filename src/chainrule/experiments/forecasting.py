"""Passengers, sunspots and cold nights: is a net better than to say that all goes on as before?

Two baselines need no net: the last value goes on (naive), and what was a season ago comes again
(seasonal naive). Errors are in the data's units, over a part later than all that is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import load_series
from ..plot import COLOURS, GREY
from ..tensor import functions as f
from ..train import EarlyStopping, Trainer
from .base import Experiment, Lab, Report, spread


@dataclass(frozen=True)
class Series:
    """How a series is read.

    Steps of a season, of the past that is seen and of the future that is forecast, the last steps
    for testing, and whether its logarithm is forecast.
    """

    title: str
    unit: str
    season: int
    seen: int
    ahead: int
    tested: int
    log: bool = False


SERIES = {
    "airline": Series("airline passengers", "thousands a month", 12, 24, 12, 36, True),
    "sunspots": Series("sunspots", "sunspots", 132, 132, 12, 600),
    "temperatures": Series("coldest of the night, Melbourne", "°C", 365, 28, 7, 730),
}
QUICK, FULL = (100, 1), (400, 5)  # passes, seeds
HIDDEN, BATCH, SHOWN = 32, 32, 120


Windows = tuple[Array, Array]  # x (N, seen + 2) and what follows, y (N, ahead)


def windows_of(values: Array, series: Series, starts: Array) -> Windows:
    """What is seen, with the season as sine and cosine, and what follows ``starts`` (N,)."""
    seen = np.stack([values[s - series.seen : s] for s in starts])
    angle = 2 * np.pi * starts / series.season
    place = np.stack([np.sin(angle), np.cos(angle)], 1)
    ahead = np.stack([values[s : s + series.ahead] for s in starts])
    return np.concatenate([seen, place], 1), ahead


@dataclass(frozen=True)
class Split:
    """Windows for training, validation and testing, of scaled values, and how to undo that."""

    train: Windows
    val: Windows
    test: Windows
    start: Array  # of the future of each test window
    mean: float
    deviation: float


def split(values: Array, series: Series) -> Split:
    """Later windows for testing, those just before for validation; the training part's scale."""
    used = np.log(values) if series.log else values
    cut = len(values) - series.tested
    before = cut - max(series.tested // 3, 2 * series.ahead)
    mean, deviation = float(used[:before].mean()), float(used[:before].std())
    scaled = (used - mean) / deviation

    ends = ((series.seen, before), (before, cut), (cut, len(values)))
    starts = [np.arange(first, end - series.ahead + 1) for first, end in ends]
    train, val, test = (windows_of(scaled, series, s) for s in starts)
    return Split(train, val, test, starts[-1], mean, deviation)


class Forecaster(nn.Module):
    """Changes from the last value, by a straight way and a hidden layer.

    x (N, seen + 2) -> (N, ahead).
    """

    def __init__(self, series: Series) -> None:
        super().__init__()
        inputs = series.seen + 2
        self.last = series.seen - 1
        self.straight = nn.Linear(inputs, series.ahead)
        self.hidden, self.out = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, series.ahead)

    def forward(self, x: Any) -> Any:
        """The values ahead."""
        level = x[:, self.last : self.last + 1]
        x = f.concatenate([x[:, : self.last + 1] - level, x[:, self.last + 1 :]], 1)
        return level + self.straight(x) + self.out(f.tanh(self.hidden(x)))


def forecast(lab: Lab, name: str, parts: Split, passes: int, seed: int) -> Array:
    """What a net says of the test windows."""
    f.manual_seed(seed)
    net = Forecaster(SERIES[name])
    trainer = Trainer(net, nn.L1Loss(), optim.AdamW(net.parameters()), seed=seed)
    epochs = lab.epochs(passes)
    trainer.fit(
        *parts.train,
        epochs,
        min(BATCH, len(parts.train[0])),
        validation_data=parts.val,
        early_stopping=EarlyStopping(patience=passes // 4, restore_best=True),
        progress=False,
        diagnose=False,
        callbacks=lambda t, epoch, logs: lab.tell(name, epoch + 1, epochs),
    )
    return np.asarray(trainer.predict(parts.test[0]))


@dataclass
class Forecast:
    """Of the test windows: what came (N, ahead) and each forecast, in the units of the data."""

    values: Array
    start: Array
    truth: Array
    said: dict[str, Array]

    def errors(self, name: str) -> Array:
        """Mean absolute error by steps ahead (ahead,)."""
        return np.asarray(np.abs(self.said[name] - self.truth).mean(0))


def forecasts(lab: Lab, report: Report, name: str) -> Forecast:
    """All ways of one series, compared."""
    series, (passes, seeds) = SERIES[name], FULL if lab.full else QUICK
    _, values = load_series(name)
    parts = split(values, series)
    start = parts.start
    steps = start[:, None] + np.arange(series.ahead)
    found = Forecast(values, start, values[steps], {})
    trained = []
    for seed in range(lab.seeds(seeds)):
        said = forecast(lab, name, parts, passes, seed)
        said = said * parts.deviation + parts.mean
        found.said["net"] = np.exp(said) if series.log else said
        trained.append(float(found.errors("net").mean()))
    found.said["naive"] = np.repeat(values[start - 1][:, None], series.ahead, 1)
    found.said["seasonal naive"] = values[steps - series.season]
    others = {kind: float(found.errors(kind).mean()) for kind in ("naive", "seasonal naive")}
    report.add(
        f"{series.title}: mean absolute error, 1 to {series.ahead} steps ahead",
        f"net {spread(trained)} {series.unit}, "
        + ", ".join(f"{kind} {error:.2f}" for kind, error in others.items()),
        bool(np.mean(trained) < min(others.values())),
        criterion="the net's is the smallest",
        errors={"net": trained, **others},
    )
    return found


def run(lab: Lab) -> Report:
    """Each series."""
    report = Report()
    found = {name: forecasts(lab, report, name) for name in SERIES}
    report.figures["forecasting"] = lambda figure: draw(figure, found)
    return report


def draw(figure: Any, found: dict[str, Forecast]) -> None:
    """The end of each series with forecasts one after the other, and errors by steps ahead."""
    figure.set_size_inches(14, 7)
    ways = dict(zip(("net", "naive", "seasonal naive"), COLOURS, strict=False))
    places = figure.subplots(2, len(found)).T
    for (name, c), (above, below) in zip(found.items(), places, strict=True):
        series = SERIES[name]
        first = max(0, len(c.values) - SHOWN)
        above.plot(range(first, len(c.values)), c.values[first:], color=GREY, lw=1)
        for k in range(len(c.start) - 1, -1, -series.ahead):
            if c.start[k] >= first:
                at = range(c.start[k], c.start[k] + series.ahead)
                above.plot(at, c.said["net"][k], color=ways["net"], lw=1.5)
        for kind, colour in ways.items():
            below.plot(range(1, series.ahead + 1), c.errors(kind), ".-", color=colour, label=kind)
        above.set(title=series.title, ylabel=series.unit, xlabel="step")
        below.set(xlabel="steps ahead", ylabel=f"mean error, {series.unit}", ylim=(0, None))
        below.grid(alpha=0.3)
    below.legend(fontsize=8)


EXPERIMENT = Experiment(
    "forecasting",
    "Passengers, sunspots and cold nights",
    "small time series; baselines as in Hyndman & Athanasopoulos, Forecasting, 2021, section 5.2",
    run,
)
