"""`import chainrule`: what it brings, and what it must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule as cr

HEAVY = [
    "llvmlite",
    "click",
    "rich",
    "matplotlib",
    "polars",
    "sklearn",
    "pandas",
    "chainrule.nn",
    "chainrule.train",
    "chainrule.compiler.loops",
]


def test_import_is_light() -> None:
    code = f"import chainrule, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_training_loads_nothing_of_tables() -> None:
    heavy = ["chainrule.data.reading", "chainrule.compiler.loops", "llvmlite"]
    heavy += ["subprocess", "socket"]
    code = f"import chainrule.train, sys; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_folders_and_names_load_when_used() -> None:
    assert cr.nn.Linear
    assert cr.optim.Adam
    assert cr.Trainer is cr.train.Trainer
    assert {"nn", "Trainer", "tensor"} <= set(dir(cr))
    with pytest.raises(AttributeError, match="module 'chainrule' has no attribute 'nothing'"):
        cr.nothing  # noqa: B018


def test_every_public_name_is_listed_once_in_one_place() -> None:
    assert cr.cat is cr.concat is cr.concatenate
    assert cr.tensor([1]).dtype == cr.int64
    assert isinstance(cr.__version__, str)


def test_type_checkers_and_editors_see_names_and_mistakes() -> None:
    """What is loaded late is listed for them, and a ``__getattr__`` of a module is not."""
    for path in Path(cr.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        shown = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
        targets = [t for n in tree.body if isinstance(n, ast.Assign) for t in n.targets]
        assert "__getattr__" not in [*shown, *map(ast.unparse, targets)], path.name
    listed = ast.parse(Path(cr.__file__).read_text()).body
    text = "\n".join(ast.unparse(n) for n in listed if isinstance(n, ast.If))
    for name in (*cr._LAZY_MODULES, *cr._LAZY_NAMES):
        assert f" {name} as {name}" in text


def test_the_names_of_data_are_those_that_are_loaded_late() -> None:
    shown = ast.parse(Path(cr.data.__file__).read_text())
    listed = {
        (node.module, node.names[0].name)
        for part in shown.body
        if isinstance(part, ast.If)
        for node in part.body
        if isinstance(node, ast.ImportFrom)
    }
    assert listed == {(file, name) for name, file in cr.data._FILE_OF.items()}
    files = {p.stem for p in Path(cr.data.__file__).parent.glob("*.py")}
    assert not files & set(cr.data.__all__), "the name of a file would hide it"
    assert all(getattr(cr.data, name) is not None for name in cr.data.__all__)
