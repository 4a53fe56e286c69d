"""The net as a drawing (SVG): units, and edges blue where positive, orange where negative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from ...plot import NEGATIVE, POSITIVE
from .records import Row, Step, Weight
from .text import number

NOTHING = "#b9b9b4"
RADIUS = 27.0
LABEL = 14.0  # height of a line of text
LABELLED = 60  # edges that can be labelled before nothing can be read


@dataclass(frozen=True)
class Place:
    """Where a unit is drawn."""

    x: float
    y: float


def forward_drawing(step: Step, row: Row) -> str:
    """Edges: weights; units: what they give."""
    sizes = {(w.source, w.target): w.value for w in step.weights}
    return _drawing(step, row.values, sizes, "forward: weights, and what each unit gives")


def backward_drawing(step: Step, row: Row) -> str:
    """Edges: gradients (over all rows); units: δ in this row."""
    sizes = {(w.source, w.target): w.gradient for w in step.weights if w.gradient is not None}
    return _drawing(step, row.deltas, sizes, "backward: gradients, and δ of each unit")


def colour(value: float) -> str:
    """Blue +, orange −, grey 0."""
    return POSITIVE if value > 0 else NEGATIVE if value < 0 else NOTHING


def _short(value: float) -> str:
    """Three digits, or fewer where that would be long."""
    shown = (number(value, digits) for digits in (3, 2))
    return next((text for text in shown if len(text) <= 6), number(value, 1))


def _drawing(
    step: Step,
    units: Mapping[int, float],
    edges: Mapping[tuple[int | None, int], float | None],
    title: str,
) -> str:
    columns = [tuple(range(1, len(step.rows[0].inputs) + 1)), *(c.units for c in step.columns)]
    places, width, height = _places(step, columns)
    known = [abs(v) for v in edges.values() if v is not None]
    largest = max(known, default=0.0) or 1.0
    lines = [
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}"'
        f' style="max-width:{width:.0f}px">'
    ]
    labelled = sum(w.source is not None for w in step.weights) <= LABELLED
    labels: list[str] = []
    for w in step.weights:
        size = edges.get((w.source, w.target))
        if w.source is None:
            continue
        line, label = _edge(step, w, size, largest, places)
        lines.append(line)
        labels += [label] if labelled and size is not None else []
    for column in (c for c in step.columns if not c.linear):
        lines += [_plain_edge(places, j, step) for j in column.units]
    lines += labels
    biggest = max(map(abs, units.values()), default=0.0) or 1.0
    for j, place in places.items():
        bias = edges.get((None, j))
        lines.append(_unit(j, place, units.get(j), biggest, bias))
    return "\n".join([*lines, "</svg>"])


def _places(step: Step, columns: list[tuple[int, ...]]) -> tuple[dict[int, Place], float, float]:
    """A place for each unit; far enough apart that no label of an edge meets another."""
    tallest = max(map(len, columns))
    fans = [len(c.units) if c.linear else 1 for c in step.columns]
    apart = max(2 * RADIUS + 40, LABEL * 1.25 * (min(max(fans), 7) + 1))
    height = (tallest - 1) * apart + 2 * RADIUS + 44
    places: dict[int, Place] = {}
    x = RADIUS + 14
    for i, column in enumerate(columns):
        if i:
            x += min(max(74 * (fans[i - 1] + 1), 190), 420)
        top = height / 2 - (len(column) - 1) * apart / 2
        places |= {j: Place(x, top + k * apart) for k, j in enumerate(column)}
    return places, x + RADIUS + 14, height


def _edge(
    step: Step, w: Weight, size: float | None, largest: float, places: Mapping[int, Place]
) -> tuple[str, str]:
    assert w.source is not None
    a, b = places[w.source], places[w.target]
    value = size or 0.0
    thick = 0.8 + 4.2 * abs(value) / largest
    dashed = "" if size is not None else ' stroke-dasharray="3 4"'
    line = (
        f'<line x1="{a.x:.1f}" y1="{a.y:.1f}" x2="{b.x:.1f}" y2="{b.y:.1f}"'
        f' stroke="{colour(value)}" stroke-width="{thick:.2f}" stroke-linecap="round"{dashed}>'
        f"<title>{w.symbol}: {number(value, 6)}</title></line>"
    )
    fan = next(len(c.units) for c in step.columns if w.target in c.units)
    t = 1 / (fan + 1)  # labels of one layer then stand in one column, equally spaced
    x, y = a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)
    label = (
        f'<text class="edge" x="{x:.1f}" y="{y + 4:.1f}" fill="{colour(value)}">'
        f"{_short(value)}</text>"
    )
    return line, label


def _plain_edge(places: Mapping[int, Place], j: int, step: Step) -> str:
    column = next(i for i, c in enumerate(step.columns) if j in c.units)
    before = step.columns[column - 1].units if column else range(1, len(step.rows[0].inputs) + 1)
    a, b = places[before[step.columns[column].units.index(j)]], places[j]
    return (
        f'<line x1="{a.x:.1f}" y1="{a.y:.1f}" x2="{b.x:.1f}" y2="{b.y:.1f}"'
        f' stroke="{NOTHING}" stroke-width="1.5"/>'
    )


def _unit(j: int, at: Place, value: float | None, biggest: float, bias: float | None) -> str:
    shade = 0.0 if value is None else 0.12 + 0.55 * abs(value) / biggest
    fill = "#ffffff" if value is None else colour(value)
    inside = "" if value is None else _short(value)
    parts = [
        f'<circle cx="{at.x:.1f}" cy="{at.y:.1f}" r="{RADIUS}" fill="#ffffff"/>',
        f'<circle cx="{at.x:.1f}" cy="{at.y:.1f}" r="{RADIUS}" fill="{fill}"'
        f' fill-opacity="{shade:.2f}" stroke="#33332f" stroke-width="1.3"/>',
        f'<text class="value" x="{at.x:.1f}" y="{at.y + 4.5:.1f}">{inside}</text>',
        f'<text class="number" x="{at.x:.1f}" y="{at.y - RADIUS - 6:.1f}">{j}</text>',
    ]
    if bias is not None:
        parts.append(
            f'<text class="edge" x="{at.x:.1f}" y="{at.y + RADIUS + 14:.1f}"'
            f' fill="{colour(bias)}">b {_short(bias)}</text>'
        )
    return "".join(parts)
