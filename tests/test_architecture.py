"""The folders' order: what is left may never import what is right of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "chainrule"
ORDER = [
    {"errors"},
    {"core"},
    {"autodiff", "compiler"},
    {"backends"},
    {"runtime"},
    {"tensor"},
    {"nn", "data"},
    {"optim"},
    {"train"},
    {"estimators", "experiments", "dashboard"},
    {"bench"},
    {"cli"},
]
RANK = {name: i for i, group in enumerate(ORDER) for name in group}
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.name == "errors.py")


def imported(path: Path) -> set[str]:
    """Names of the package's folders that a file imports, anywhere in it."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found |= {f"{module}.{a.name}" for a in node.names} | {module}
    return {
        n.split(".")[1] for n in found if n.startswith("chainrule.") and n.split(".")[1] in RANK
    }


def test_every_folder_has_its_place():
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= set(RANK), "give the new folder a place in ORDER and in docs/architecture.md"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_left(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imported(path):
        assert name == own or RANK[name] < RANK[own], (
            f"{path.name} imports {name}, which is not left of {own}"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_llvmlite_only_in_the_cpu_backend(path):
    if "backends/cpu" not in path.as_posix():
        tree = ast.walk(ast.parse(path.read_text()))
        names = [a.name for n in tree if isinstance(n, ast.Import) for a in n.names]
        assert not any(n.split(".")[0] == "llvmlite" for n in names)
