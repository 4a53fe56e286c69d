"""ExplainedStep: what `explain_step` returns, as text and as a page."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from ...core.host.whole_file import whole_file
from ...core.node import Array
from ...errors import OptionError
from .page import html_page
from .records import Step
from .text import as_text


class Explained(ABC):
    """What can be printed, and saved as a page."""

    gradients: dict[str, Array]
    updated: dict[str, Array]

    @property
    @abstractmethod
    def loss(self) -> float:
        """The error E over the rows, before the step."""

    @abstractmethod
    def text(self, digits: int = 4, width: int = 110) -> str:
        """Everything as plain text, numbers with ``digits`` significant digits."""

    @abstractmethod
    def html(self, digits: int = 4) -> str:
        """A page that needs nothing else: drawings, and every formula."""

    def save(self, path: str | Path, digits: int = 4) -> Path:
        """Write the page (``.html``) or the text (``.txt``); returns the path."""
        target = Path(path)
        name = type(self).__name__
        if target.suffix.lower() not in (".html", ".htm", ".txt"):
            raise OptionError(f"{name}.save: the name ends in .html or .txt, got {target.name!r}")
        page = target.suffix.lower() != ".txt"
        text = self.html(digits) if page else self.text(digits) + "\n"
        with whole_file(target) as file:
            file.write(text.encode())
        return target

    def __str__(self) -> str:
        return self.text()


class ExplainedStep(Explained):
    """One step of back-propagation, explained; ``print`` it, or save it as a page.

    ``loss``; ``gradients`` and ``updated``: the gradient and the new value of each parameter, by
    name; ``step``: every equation with its numbers.
    """

    def __init__(self, step: Step, gradients: dict[str, Array], updated: dict[str, Array]) -> None:
        """Of the records; see `explain_step`."""
        self.step, self.gradients, self.updated = step, gradients, updated

    @property
    def loss(self) -> float:
        """The error E over the rows, before the step."""
        return self.step.total.value

    def text(self, digits: int = 4, width: int = 110) -> str:
        """Everything as plain text, numbers with ``digits`` significant digits."""
        return as_text(self.step, checked_digits(type(self), digits), width)

    def html(self, digits: int = 4) -> str:
        """A page that needs nothing else: drawings of the net, and every formula."""
        return html_page(self.step, checked_digits(type(self), digits))

    def __repr__(self) -> str:
        step = self.step
        return f"ExplainedStep({step.title}; {len(step.weights)} weights, loss {self.loss:.4g})"


def checked_digits(kind: type, digits: int) -> int:
    """How many digits a number has, or OptionError."""
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= 17:
        raise OptionError(f"{kind.__name__}: digits is from 1 to 17, got {digits!r}")
    return digits
