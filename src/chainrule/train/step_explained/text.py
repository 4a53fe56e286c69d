"""An explanation as plain text: equations in columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from .records import Equation, Step


def number(value: float, digits: int) -> str:
    """``value`` with ``digits`` significant digits and a true minus sign."""
    return f"{value:.{digits}g}".replace("-", "−")


def filled(
    equation: Equation, digits: int, dress: Callable[[str, float], str] = lambda shown, _: shown
) -> str:
    """The template with its numbers; a negative one in parentheses where a sign would mislead.

    ``dress`` puts a number into its final form.
    """
    pieces = equation.template.split("{}")
    text = pieces[0]
    for value, after in zip(equation.numbers, pieces[1:], strict=True):
        shown = number(value, digits)
        opens = (not text or text.endswith(("(", ", "))) and not after.startswith(("²", "^"))
        dressed = dress(shown, value)
        text += (dressed if opens or not shown.startswith("−") else f"({dressed})") + after
    return text


def wide(text: str) -> int:
    """The columns a text takes: combining marks take none."""
    return sum(not unicodedata.combining(c) for c in text)


def padded(text: str, width: int) -> str:
    """``text`` with blanks at its end."""
    return text + " " * (width - wide(text))


def as_text(step: Step, digits: int, width: int) -> str:
    """The whole explanation."""
    lines = [step.title, "=" * wide(step.title), "", *_units(step)]
    lines += [f"  {line}" for line in step.legend]
    lines.append("")
    for i, row in enumerate(step.rows):
        equations = [*row.forward.equations, *row.error.equations]
        lines += block(row.forward.title, equations, digits, width)
        lines += [""] if i + 1 < len(step.rows) else []
    lines += ["", *block("The error", [step.total], digits, width), ""]
    for row in step.rows:
        lines += [*block(row.backward.title, row.backward.equations, digits, width), ""]
    lines += [*block(step.gradients.title, step.gradients.equations, digits, width), ""]
    lines += [step.updates.title, *([f"  {step.update_rule}"] if step.update_rule else [])]
    lines += _aligned(step.updates.equations, digits, width)
    return "\n".join(line.rstrip() for line in lines)


def _units(step: Step) -> list[str]:
    first = len(step.rows[0].inputs)
    spans = [(span(range(1, first + 1)), "inputs x")]
    spans += [(span(c.units), c.name) for c in step.columns]
    width = max(wide(span) for span, _ in spans)
    return [f"  {padded(span, width)}  {name}" for span, name in spans]


def span(units: Sequence[int]) -> str:
    """``units 3–4``."""
    many = len(units) > 1
    return f"units {units[0]}–{units[-1]}" if many else f"unit {units[0]}"


def block(title: str, equations: Sequence[Equation], digits: int, width: int) -> list[str]:
    """A heading and equations."""
    return [title, *_aligned(equations, digits, width)]


def _aligned(equations: Sequence[Equation], digits: int, width: int) -> list[str]:
    """Equations under one another: left sides, rules and numbers each in a column."""
    lefts = max((wide(q.left) for q in equations), default=0)
    rules = max((wide(q.rule) for q in equations if wide(q.rule) <= 40), default=0)
    return [line for q in equations for line in _lines(q, lefts, rules, digits, width)]


def _lines(q: Equation, lefts: int, rules: int, digits: int, width: int) -> Iterator[str]:
    head = f"  {padded(q.left, lefts)} {q.relation} "
    result = number(q.value, digits)
    parts = [q.rule] if q.rule else []
    if q.template and filled(q, digits) != result:
        parts.append(filled(q, digits))
    if len(parts) == 2:
        parts[0] = padded(parts[0], rules)
    whole = head + " = ".join([*parts, result])
    if wide(whole) <= width:
        yield whole
        return
    indent = " " * (lefts + 3)
    before = head.rstrip(" ").removesuffix(q.relation) + q.relation
    for part in [*(p.rstrip() for p in parts), result]:
        pieces = _broken(part, width - lefts - 5)
        yield f"{before} {pieces[0]}"
        yield from (f"{indent}  {piece}" for piece in pieces[1:])
        before = f"{indent}="


def _broken(text: str, width: int) -> list[str]:
    """A long sum, cut before plus signs."""
    lines = [""]
    for piece in re.split(r" (?=[+] )", text):
        if lines[-1] and wide(lines[-1]) + 1 + wide(piece) > width:
            lines.append(piece)
        else:
            lines[-1] = f"{lines[-1]} {piece}".strip()
    return lines


def row_name(inputs: Sequence[float], targets: Sequence[float]) -> str:
    """``x = (0, 1), t = (1)``."""
    x, t = (", ".join(number(v, 4) for v in values) for values in (inputs, targets))
    return f"x = ({x}), t = ({t})"
