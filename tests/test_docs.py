"""Nothing in the documentation is unexecuted: docstrings; code blocks of README.md and docs/."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import chainrule

ROOT = Path(__file__).parent.parent
PAGES = sorted(p for p in [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")] if p.exists())
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules() -> list[str]:
    found = pkgutil.walk_packages(chainrule.__path__, "chainrule.")
    return ["chainrule", *sorted(m.name for m in found if not m.name.endswith("__main__"))]


@pytest.fixture(autouse=True)
def same_start() -> object:
    """Every example starts from the same random numbers, and leaves no mode behind."""
    generator_state = chainrule.default_generator.get_state()
    chainrule.manual_seed(0)
    with np.printoptions(precision=8):
        yield
    chainrule.default_generator.set_state(generator_state)


@pytest.mark.parametrize("name", modules())
def test_docstrings(name: str) -> None:
    if name.startswith("chainrule.bench.modes."):
        pytest.importorskip(
            name.rsplit(".", 1)[1].removesuffix("_mode"), reason="the peer is not installed"
        )
    module = importlib.import_module(name)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        result = doctest.testmod(module, optionflags=OPTIONS)
    assert result.failed == 0, output.getvalue()


def test_public_functions_have_docstrings() -> None:
    public = {n: v for n, v in vars(chainrule).items() if callable(v) and not n.startswith("_")}
    assert len(public) > 100
    assert not [n for n, v in public.items() if not (v.__doc__ or "").strip()]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run, one after the other, in one namespace and an empty
    folder."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    if (
        page.parent.name == "docs"
    ):  # the README's first block shows the imports; later pages need not
        names |= {"cr": chainrule, "np": np, "nn": chainrule.nn, "optim": chainrule.optim}
    for block in python_blocks(page):
        if ">>>" in block:
            parsed = doctest.DocTestParser().get_doctest(block, names, page.name, str(page), 0)
            output = io.StringIO()
            runner = doctest.DocTestRunner(optionflags=OPTIONS)
            runner.run(parsed, out=output.write, clear_globs=False)
            names.update(parsed.globs)
            assert runner.failures == 0, output.getvalue()
        else:
            exec(compile(ast.parse(block), str(page), "exec"), names)
