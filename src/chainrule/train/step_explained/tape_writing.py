"""From a tape to equations: for each value one element or a few, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ...core.node import Array, Node
from ...nn.module import Module
from ...optim.optimizer import Optimizer
from ...plot import matplotlib_of, save_figure, signs
from ...tensor.ops.create import asarray
from . import updates
from .activations import LEGEND
from .explained import Explained, checked_digits
from .expression import Index, Writer, Written
from .page import STYLE, section, whole_page
from .records import Block, Equation
from .tape import Tape
from .text import block, wide

FEW = 4
"""A value of so many numbers is written whole; of a larger one, the element that matters most."""

ACROSS = 7
"""Modules beside one another in a picture."""


class ExplainedTape(Explained):
    """One step of back-propagation in any model; ``print`` it, save it as a page, or ``draw`` it.

    ``loss``; ``gradients`` and ``updated``: the gradient and the new value of each parameter, by
    name; ``blocks``: the equations, forward and backward, under the names of the modules.
    ``values`` and ``slopes``: what each module made, and ∂E/∂ of it.
    """

    def __init__(
        self,
        title: str,
        blocks: Sequence[Block],
        loss: float,
        gradients: dict[str, Array],
        updated: dict[str, Array],
        values: dict[str, Array],
        slopes: dict[str, Array],
    ) -> None:
        """Of the records; see `explain_step`."""
        self.title, self.blocks, self._loss = title, tuple(blocks), loss
        self.gradients, self.updated = gradients, updated
        self.values, self.slopes = values, slopes

    @property
    def loss(self) -> float:
        """The error E over the rows, before the step."""
        return self._loss

    def text(self, digits: int = 4, width: int = 110) -> str:
        """Everything as plain text, numbers with ``digits`` significant digits."""
        digits = checked_digits(type(self), digits)
        lines = [self.title, "=" * wide(self.title), *self._legend()]
        for b in self.blocks:
            lines += ["", *block(b.title, b.equations, digits, width)]
        return "\n".join(line.rstrip() for line in lines)

    def html(self, digits: int = 4) -> str:
        """A page that needs nothing else, with every formula."""
        digits = checked_digits(type(self), digits)
        said = [f"<p>{escape(line.strip())}</p>" for line in self._legend()]
        body = [f"<h1>{escape(self.title)}</h1>", *said]
        return whole_page(self.title, STYLE, [*body, *(section(b, digits) for b in self.blocks)])

    def draw(self, path: str | Path) -> Path:
        """What each module made of the first row, above; ∂E/∂ of it, below.

        Blue is positive, orange negative. Needs matplotlib.
        """
        return _draw(self, path)

    def _legend(self) -> list[str]:
        text = " ".join(q.rule for b in self.blocks for q in b.equations)
        words = [meaning for sign, meaning in LEGEND.items() if sign in text]
        large = "of larger ones the element with the largest |∂E/∂|"
        return [f"  {w}" for w in [*words, f"values of at most {FEW} numbers are whole; {large}"]]

    def __repr__(self) -> str:
        return f"ExplainedTape({self.title}; loss {self.loss:.4g})"


def write_tape(model: Module, tape: Tape, optimizer: Optimizer, title: str) -> ExplainedTape:
    """All equations, and the optimizer's step."""
    forward = list(_forward(tape))
    backward, gradients = _backward(tape)
    steps, after = _update(model, tape, optimizer)
    numbers = tape.numbers
    shown = {name: n for name, n in tape.results.items() if n in tape.slopes}
    return ExplainedTape(
        title,
        [
            *forward,
            Block("Backward: ∂E/∂ of each value, the last first", tuple(backward)),
            Block("Gradients of the parameters", tuple(gradients)),
            Block(f"The update: {updates.optimizer_name(optimizer)}", tuple(steps)),
        ],
        float(numbers[tape.error]),
        {
            n: np.array(numbers[tape.slopes[p]])
            for n, p in tape.parameters.items()
            if p in tape.slopes
        },
        after,
        {name: np.array(numbers[node]) for name, node in shown.items()},
        {name: np.array(numbers[tape.slopes[node]]) for name, node in shown.items()},
    )


def _chosen(tape: Tape, node: Node) -> list[Index]:
    """Which elements are written."""
    if node.size <= FEW:
        return [tuple(i) for i in np.ndindex(node.shape)]
    measure = tape.numbers[tape.slopes[node] if node in tape.slopes else node]
    return [_largest(measure)]


def _largest(values: Array) -> Index:
    at = np.unravel_index(int(np.nanargmax(np.abs(values))), values.shape)
    return tuple(int(i) for i in at)


def _equation(left: str, found: Written | None, value: float) -> Equation:
    if found is None or not found.rule:
        return Equation(left, value)
    template = "" if "…" in found.template else found.template
    return Equation(left, value, found.rule, template, found.numbers if template else ())


def _forward(tape: Tape) -> Iterator[Block]:
    """One block for each module's result, and for what comes between."""
    writer = Writer(tape, tape.names)
    waiting: list[Equation] = []
    for node in tape.steps:
        for at in _chosen(tape, node):
            left = writer.symbol(node, at)
            waiting.append(
                _equation(left, writer.equation(node, at), float(tape.numbers[node][at]))
            )
        if node in tape.made_by:
            module = tape.made_by[node]
            shape = " × ".join(map(str, tape.results[module].shape)) or "a number"
            yield Block(f"Forward, {module} → {tape.names[node]} ({shape})", tuple(waiting))
            waiting = []
    yield Block("The error", tuple(waiting))


def _backward(tape: Tape) -> tuple[list[Equation], list[Equation]]:
    """Equations of ∂E/∂v, the last v first, and of the gradients of the parameters."""
    names = dict(tape.names)
    steps, parameters = list[Equation](), list[Equation]()
    order = [*reversed(tape.steps), *tape.parameters.values()]
    for node in order:
        slope = tape.slopes.get(node)
        if slope is None or node is tape.error:
            continue
        writer = Writer(tape, names)
        name = f"∂E/∂{tape.names[node]}"
        into = steps if node in tape.steps else parameters
        for at in _chosen(tape, node):
            known = slope in names
            found = writer.element(slope, at) if known else writer.equation(slope, at)
            left = writer.symbol(node, at, name)
            into.append(_equation(left, found, float(tape.numbers[slope][at])))
        if slope.op != "constant":
            names.setdefault(slope, name)
    return steps, parameters


def _update(
    model: Module, tape: Tape, optimizer: Optimizer
) -> tuple[list[Equation], dict[str, Array]]:
    """The optimizer's step, written for the chosen elements."""
    trained = {id(p) for g in optimizer.param_groups for p in g["params"] if p.requires_grad}
    parameters = dict(model.named_parameters())
    for name, p in parameters.items():
        slope = tape.slopes.get(tape.parameters[name]) if id(p) in trained else None
        p.grad = None if slope is None else asarray(np.array(tape.numbers[slope]))
    old = {p: updates.optimizer_state(optimizer, p) for p in optimizer.state}
    before = {name: np.array(p._read()) for name, p in parameters.items()}
    written = [n for n, p in parameters.items() if p.grad is not None]
    optimizer.step()
    after = {name: np.array(p._read()) for name, p in parameters.items()}
    options = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    found: list[Equation] = []
    writer = Writer(tape, tape.names)
    for name in written:
        p, node = parameters[name], tape.parameters[name]
        gradient = tape.numbers[tape.slopes[node]]
        for at in _chosen(tape, node):
            found += updates.explain_update(
                optimizer,
                options[id(p)],
                writer.symbol(node, at),
                float(before[name][at]),
                float(gradient[at]),
                updates.at(old.get(p, {}), at),
                float(after[name][at]),
            )
    return found, after


# -- the picture -----------------------------------------------------------------------------------
def _draw(found: ExplainedTape, path: str | Path) -> Path:
    mpl = matplotlib_of()
    names = [n for n, v in found.values.items() if v.size > 1] or list(found.values)
    across = min(len(names), ACROSS)
    down = -(-len(names) // across)
    size = (1.5 * across + 0.6, 3.6 * down + 0.4)
    figure = mpl.figure.Figure(figsize=size, layout="constrained")
    figure.suptitle(found.title, fontsize=9)
    both = (("", found.values), ("∂E/∂ of it", found.slopes))
    for k, name in enumerate(names):
        for row, (what, numbers) in enumerate(both):
            place = (2 * (k // across) + row) * across + k % across + 1
            axes = figure.add_subplot(2 * down, across, place)
            sheet = _sheet(numbers[name])
            largest = float(np.nanmax(np.abs(sheet))) or 1.0
            aspect = "auto" if min(sheet.shape) == 1 else "equal"
            axes.imshow(sheet, cmap=signs(), vmin=-largest, vmax=largest, aspect=aspect)
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{what or name.replace(': ', chr(10), 1)}\n±{largest:.2g}", fontsize=7)
    return save_figure(figure, path, dpi=160)


def _sheet(values: Any) -> Array:
    """The first row as a picture: maps beside one another, vectors as columns."""
    first = np.asarray(values, float)
    first = first[0] if first.ndim > 1 else first
    if first.ndim < 3 or min(first.shape[1:]) == 1:
        flat = first.reshape(-1) if first.ndim != 2 else first
        return flat[:, None] if flat.ndim == 1 else flat
    maps, high, wide_ = first.reshape(-1, *first.shape[-2:]).shape
    across = max(1, int(np.ceil(np.sqrt(maps / 2))))
    down = -(-maps // across)
    sheet = np.full((down * (high + 1) - 1, across * (wide_ + 1) - 1), np.nan)
    for k, picture in enumerate(first.reshape(-1, high, wide_)):
        y, x = k // across * (high + 1), k % across * (wide_ + 1)
        sheet[y : y + high, x : x + wide_] = picture
    return sheet
