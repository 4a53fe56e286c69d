"""What the reference is made of: every public name has a docstring that says enough, and a place.

Examples themselves run in test_docs.py.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
MODULES = [
    "chainrule",
    "chainrule.nn",
    "chainrule.nn.functional",
    "chainrule.nn.init",
    "chainrule.nn.utils",
    "chainrule.models",
    "chainrule.optim",
    "chainrule.optim.lr_scheduler",
    "chainrule.optim.swa_utils",
    "chainrule.train",
    "chainrule.data",
    "chainrule.utils",
    "chainrule.utils.data",
    "chainrule.tensor.autograd",
    "chainrule.estimators",
    "chainrule.experiments",
    "chainrule.errors",
    "chainrule.func",
]

# Where a formula or a shape would say nothing.
NO_FORMULA = set(
    """
    Buffer Identity Module ModuleDict ModuleList Optimizer Parameter ParameterDict ParameterList
    Sequential ChainedScheduler SequentialLR LRScheduler Metric Accuracy TopKAccuracy Unflatten
    UninitializedBuffer UninitializedParameter
    """.split()
)
NO_EXAMPLE = {"Optimizer", "LRScheduler"}  # bases, for those who write one
FORMULA = re.compile(
    r"[=←→·√Σ²≤≥|]|\w ?/ ?[\w(]|\b(ln|max|min)\b|ˣ|‖|[(< -]x[) ]|\((N|\*|\.\.\.), "
)


def public(name: str) -> Iterator[tuple[str, Any]]:
    """Public classes and functions of a module that were written in this package."""
    module = importlib.import_module(name)
    inside = "chainrule" if name == "chainrule" else name
    for key in dir(module):
        value = getattr(module, key)
        if key.startswith("_") or not (inspect.isclass(value) or callable(value)):
            continue
        where = getattr(value, "__module__", "") or ""
        if where == inside or where.startswith(f"{inside}."):
            yield key, value


def described(name: str) -> list[tuple[str, Any]]:
    """Layers, losses, optimizers, schedules or metrics of a module."""
    found = [(k, v) for k, v in public(name) if inspect.isclass(v)]
    if name == "chainrule.train":
        return [(k, v) for k, v in found if v.__module__.endswith(".metrics")]
    return found


DESCRIBED = [
    pytest.param(key, value, id=f"{name.removeprefix('chainrule.')}.{key}")
    for name in (
        "chainrule.nn",
        "chainrule.optim",
        "chainrule.optim.lr_scheduler",
        "chainrule.train",
    )
    for key, value in described(name)
]


def text_of(value: Any) -> str:
    """The docstring of an object itself, not an inherited one."""
    return inspect.cleandoc(value.__doc__) if "__doc__" in vars(value) and value.__doc__ else ""


def without_examples(text: str) -> str:
    return re.sub(r"^>>>.*?(?:\n\s*\n|\Z)", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name: str) -> None:
    found = list(public(name))
    assert found
    assert not [k for k, v in found if not (v.__doc__ or "").strip()]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_method_has_a_docstring(name: str) -> None:
    lacking = []
    for key, value in public(name):
        if not inspect.isclass(value):
            continue
        for method, function in vars(value).items():
            of_class = isinstance(function, classmethod | staticmethod)
            function = function.__func__ if of_class else function
            written = inspect.isfunction(function) or isinstance(function, property)
            if written and not method.startswith("_") and not (function.__doc__ or "").strip():
                inherited = any(
                    getattr(getattr(b, method, None), "__doc__", None) for b in value.__mro__[1:]
                )
                if not inherited:
                    lacking.append(f"{key}.{method}")
    assert not lacking


@pytest.mark.parametrize(("name", "value"), DESCRIBED)
def test_there_is_an_example(name: str, value: Any) -> None:
    if name not in NO_EXAMPLE:
        assert ">>> " in text_of(value), f"{name}: add an example to its docstring"


@pytest.mark.parametrize(("name", "value"), DESCRIBED)
def test_there_is_a_formula_or_a_shape(name: str, value: Any) -> None:
    if name not in NO_FORMULA:
        assert FORMULA.search(without_examples(text_of(value))), (
            f"{name}: add its formula, or the shapes it takes, to its docstring"
        )


# -- the reference ---------------------------------------------------------------------------------
def listed() -> list[tuple[str, str, str]]:
    """(page, module, name) of all members that the pages of the reference list."""
    found = []
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        blocks = re.findall(
            r"^::: (\S+)\n(?:    [^\n]*\n)*?\s+members: \[([^\]]*)\]",
            page.read_text("utf-8"),
            re.MULTILINE,
        )
        for module, members in blocks:
            found += [(page.name, module, m.strip()) for m in members.split(",") if m.strip()]
    return found


def test_what_the_reference_lists_exists() -> None:
    found = listed()
    assert len(found) > 300
    gone = [
        f"{page}: {module}.{name}"
        for page, module, name in found
        if not hasattr(importlib.import_module(module), name)
    ]
    assert not gone, "take them out of docs/reference"


@pytest.mark.parametrize("name", MODULES)
def test_the_reference_lists_everything(name: str) -> None:
    shown = {id(getattr(importlib.import_module(m), n, None)) for _, m, n in listed()}
    missing = [f"{name}.{k}" for k, v in public(name) if id(v) not in shown]
    assert not missing, "add them to the `members` of a page in docs/reference"


def test_the_reference_says_which_of_several_names_is_the_name() -> None:
    """All public functions and methods that are one object by several names."""
    text = (ROOT / "docs" / "reference" / "functions.md").read_text("utf-8")
    functions, methods = re.findall(r"\n\| (?:name|method) \| aliases \|\n((?:\|.*\n)+)", text)
    cr = importlib.import_module("chainrule")
    own = {k: v for k, v in vars(cr).items() if inspect.isfunction(v)}
    of_tensors = {k: v for k, v in inspect.getmembers_static(cr.Tensor) if inspect.isfunction(v)}
    for owner, table in ((own, functions), (of_tensors, functions + methods)):
        said = set(re.findall(r"`(\w+)`", table)) & owner.keys()
        names = [k for k in owner if not k.startswith("_")]
        several = {k for k in names if any(owner[n] is owner[k] for n in names if n != k)}
        assert several <= said
    for line in functions.splitlines():
        firsts = re.findall(r"`(\w+)`", line.split("|")[1])
        assert all(own[n].__name__ == n for n in firsts), line


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = [p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").glob("**/*.md")]
    assert not [p for p in pages if not re.search(rf"[ :-] {re.escape(p)}$", navigation, re.M)]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install -e '.[docs]'")
    import os
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == ""
    page = (tmp_path / "reference" / "nn" / "index.html").read_text("utf-8")
    assert 'id="chainrule.nn.Linear"' in page and "y = x Wᵀ + b" in page
    assert "&gt;&gt;&gt;" in page and "<blockquote>" not in page  # examples are code
