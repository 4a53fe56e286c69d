"""Processes of Python that import nothing from the current folder.

``python -c`` and ``python -m`` look for modules in the current folder first, and tables are read in
the folders of other people: a ``polars.py`` beside a table would be run. Every process that
Chainrule starts is isolated (``-I``): it sees the installed packages of its interpreter, no folder
of ``PYTHONPATH`` and not the current one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def isolated_python(
    code: str,
    *arguments: str,
    python: str = sys.executable,
    options: Sequence[str] = (),
    folders: Sequence[Path] = (),
) -> list[str]:
    """The command that runs ``code`` with ``arguments``, for `subprocess`.

    ``folders``: where to look for packages after the installed ones, such as the folder from which
    this process has a package that the other one needs too.

    >>> isolated_python("print(1)", python="python3")
    ['python3', '-I', '-c', 'print(1)']
    """
    if folders:
        code = f"import sys; sys.path += {[str(f.resolve()) for f in folders]!r}\n{code}"
    return [python, "-I", *options, "-c", code, *arguments]
