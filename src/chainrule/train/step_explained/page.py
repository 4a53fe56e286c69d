"""An explanation as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ...plot import POSITIVE
from .drawing import backward_drawing, forward_drawing
from .records import Block, Equation, Row, Step
from .text import filled, number, row_name, span

STYLE = f"""
:root {{ --ink: #22221f; --quiet: #6d6d66; --line: #e4e4de; --ground: #f7f7f4;
  --plus: {POSITIVE}; --minus: #c26a00; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 1240px; padding: 28px 24px 60px; color: var(--ink);
  background: var(--ground); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }}
h1 {{ font-size: 26px; margin: 0 0 2px; font-weight: 650; }}
h2 {{ font-size: 17px; margin: 0 0 8px; font-weight: 650; }}
p {{ margin: 4px 0 12px; color: var(--quiet); }}
section {{ background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 16px 18px; margin: 14px 0; overflow-x: auto; }}
.pair {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(520px, 1fr)); gap: 14px; }}
.pair section {{ margin: 0; }}
.row {{ display: none; margin: 14px 0; }}
input[name=row] {{ position: absolute; opacity: 0; }}
.tab {{ display: inline-block; padding: 5px 12px; margin: 10px 6px 0 0; border-radius: 8px;
  border: 1px solid var(--line); background: #fff; cursor: pointer; }}
input[name=row]:checked + .tab {{ border-color: var(--plus); color: var(--plus); }}
input[name=row]:focus-visible + .tab {{ outline: 2px solid var(--plus); }}
svg {{ display: block; width: 100%; margin: 4px auto 14px; }}
svg text {{ text-anchor: middle; font: 12.5px system-ui, "DejaVu Sans", sans-serif; }}
svg .edge {{ paint-order: stroke; stroke: #fff; stroke-width: 5px; stroke-linejoin: round;
  font-weight: 600; }}
svg .number {{ fill: var(--quiet); font-size: 11px; }}
svg .value {{ font-weight: 600; }}
table {{ border-collapse: collapse; font: 15px/1.55 "STIX Two Text", Cambria, "DejaVu Serif",
  Georgia, serif; font-variant-numeric: tabular-nums; }}
td {{ padding: 1px 0; vertical-align: top; }}
td.left {{ white-space: nowrap; font-style: italic; }}
td.is {{ padding: 1px 7px; color: var(--quiet); }}
td.value {{ font-weight: 650; white-space: nowrap; }}
.rule {{ color: var(--quiet); font-style: italic; }}
.plus {{ color: var(--plus); }} .minus {{ color: var(--minus); }} .zero {{ color: var(--quiet); }}
"""


def html_page(step: Step, digits: int) -> str:
    """The whole page."""
    many = len(step.rows) > 1
    tabs = "".join(_tab(i, row) for i, row in enumerate(step.rows)) if many else ""
    chosen = "".join(
        f"#row{i}:checked ~ .row{i} {{ display: block; }}\n" for i in range(len(step.rows))
    )
    style = STYLE + (chosen if many else ".row { display: block; }\n")
    body = [
        "<h1>One step of back-propagation</h1>",
        f"<p>{escape(step.title.split(': ', 1)[1])}. {_units(step)}. "
        f"{escape('; '.join(step.legend))}. "
        'Numbers: <b class="plus">blue +</b>, <b class="minus">orange −</b>.</p>',
        tabs,
        *(_row(step, i, row, digits) for i, row in enumerate(step.rows)),
        section(Block("The error", (step.total,)), digits),
        section(step.gradients, digits),
        section(step.updates, digits, step.update_rule),
    ]
    return whole_page(step.title, style, body)


def whole_page(title: str, style: str, body: Sequence[str]) -> str:
    """A page of HTML that loads nothing."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{style}</style></head><body>",
            *body,
            "</body></html>",
            "",
        ]
    )


def _units(step: Step) -> str:
    first = f"{span(range(1, len(step.rows[0].inputs) + 1))}: inputs"
    return escape("; ".join([first, *(f"{span(c.units)}: {c.name}" for c in step.columns)]))


def _tab(i: int, row: Row) -> str:
    checked = " checked" if i == 0 else ""
    name = escape(f"row {i + 1}: {row_name(row.inputs, row.targets)}")
    return (
        f'<input type="radio" name="row" id="row{i}"{checked}>'
        f'<label class="tab" for="row{i}">{name}</label>'
    )


def _row(step: Step, i: int, row: Row, digits: int) -> str:
    return "\n".join(
        [
            f'<div class="row row{i}"><div class="pair"><section>',
            f"<h2>{escape(row.forward.title)}</h2>",
            forward_drawing(step, row),
            _table([*row.forward.equations, *row.error.equations], digits),
            "</section><section>",
            f"<h2>{escape(row.backward.title)}</h2>",
            backward_drawing(step, row),
            _table(row.backward.equations, digits),
            "</section></div></div>",
        ]
    )


def section(block: Block, digits: int, words: str = "") -> str:
    """A block with its heading."""
    said = f"<p>{escape(words)}</p>" if words else ""
    table = _table(block.equations, digits)
    return f"<section><h2>{escape(block.title)}</h2>{said}{table}</section>"


def _table(equations: Sequence[Equation], digits: int) -> str:
    return "\n".join(["<table>", *(_line(q, digits) for q in equations), "</table>"])


def _line(q: Equation, digits: int) -> str:
    result = number(q.value, digits)
    middle = [f'<span class="rule">{escape(q.rule)}</span>'] if q.rule else []
    if q.template and filled(q, digits) != result:
        middle.append(filled(q, digits, _coloured))
    shown = _coloured(result, q.value)
    cells = " = ".join(middle) + " = " if middle else ""
    return (
        f'<tr><td class="left">{escape(q.left)}</td><td class="is">{q.relation}</td>'
        f"<td>{cells}<b>{shown}</b></td></tr>"
    )


def _coloured(shown: str, value: float) -> str:
    sign = "plus" if value > 0 else "minus" if value < 0 else "zero"
    return f'<span class="{sign}">{shown}</span>'
