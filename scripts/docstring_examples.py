"""For the API reference: examples in docstrings become code blocks, else Markdown sees quotes."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^( *)>>> .*\n?(?:\1(?!\s*$).*\n?)*", re.MULTILINE)


def fence(docstring: str) -> str:
    """Every example (from ``>>>`` to the next empty line) between the marks of a code block."""
    return EXAMPLE.sub(lambda m: f"{m[1]}```pycon\n{m[0].rstrip()}\n{m[1]}```\n", docstring)


class Doctests(Extension):
    """Rewrites docstrings as they are collected."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Every module, class, function and attribute passes here."""
        if obj.docstring is not None:
            obj.docstring.value = fence(obj.docstring.value)
