"""Processes that are started import nothing from the current folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from chainrule.bench import processes
from chainrule.data import read_table
from chainrule.runtime.isolated import isolated_python

ROOT = Path(__file__).parent.parent.parent
PLANTED = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()\n"


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules that say when they were imported."""
    for name in ("polars", "modes", "numpy", "importlib", "json", "sitecustomize", "site"):
        (tmp_path / f"{name}.py").write_text(PLANTED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    return tmp_path


def ran(folder: Path) -> list[str]:
    return [p.name for p in folder.glob("*.ran")]


def test_a_process_that_is_not_isolated_would_import_them(planted: Path) -> None:
    subprocess.run([sys.executable, "-c", "import polars"], check=True)
    assert ran(planted) == ["polars.ran"]


def test_an_isolated_process_does_not(planted: Path) -> None:
    subprocess.run(isolated_python("import numpy, json"), check=True)
    assert ran(planted) == []


def test_a_parquet_file_beside_a_module_named_polars(planted: Path) -> None:
    pl.DataFrame({"a": [1.0, 2.0]}).write_parquet(planted / "t.parquet")
    assert read_table("t.parquet").columns["a"].tolist() == [1.0, 2.0]
    assert ran(planted) == []


def test_workers_of_the_benchmark(planted: Path) -> None:
    processes.packages_of.cache_clear()
    assert {"chainrule", "numpy"} <= processes.packages_of(sys.executable)
    assert processes.versions(None)[0].startswith("chainrule ")
    for mode in ("numpy", "chainrule"):
        workload = processes.Workload("small", (2, 3, 1), 4, "tanh", "sgd", "mse", "float32")
        worker = processes.Process(sys.executable, mode, workload, 1, planted)
        assert len(worker.ask("check", steps=2)["losses"]) == 2
        worker.close()
    assert ran(planted) == []


@pytest.mark.parametrize("folder", ["src", "benchmarks"])
def test_every_process_is_started_isolated(folder: str) -> None:
    """No command for `subprocess` is made in another way."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.List) and any(
                isinstance(e, ast.Constant) and e.value in ("-c", "-m", "--serve")
                for e in node.elts
            ):
                words = [e.value for e in node.elts if isinstance(e, ast.Constant)]
                assert "-I" in words, f"{path}:{node.lineno}"
