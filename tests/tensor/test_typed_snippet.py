"""What type checkers and editors see of a user's code: every function and method, with its type."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import chainrule as cr

SNIPPET = """
import chainrule as cr

x = cr.tensor([[1.0, 2.0]], requires_grad=True)
reveal_type(x)
reveal_type(cr.exp(x).sum(0).reshape(2).mT)
reveal_type((x @ x.T + 1).max(dim=1))
reveal_type(cr.mean(x, axis=0, keepdims=True))
reveal_type(x.mean(dim=0, keepdim=True))
reveal_type(x.clamp(0, 1).mul(2).softmax(-1).backward())
reveal_type(cr.as_tensor([1.0]))
reveal_type(cr.manual_seed(0))
cr.Tensor.nothing
cr.nothing
cr.mean(x, axes=0)
"""
TENSOR = "chainrule.tensor.tensor.Tensor"
SEEN = [
    f'note: Revealed type is "{TENSOR}"',
    f'note: Revealed type is "{TENSOR}"',
    'note: Revealed type is "Any"',
    f'note: Revealed type is "{TENSOR}"',
    f'note: Revealed type is "{TENSOR}"',
    'note: Revealed type is "None"',
    f'note: Revealed type is "{TENSOR}"',
    'note: Revealed type is "chainrule.tensor.ops.random.Generator"',
    'error: "type[Tensor]" has no attribute "nothing"  [attr-defined]',
    'error: Module has no attribute "nothing"  [attr-defined]',
    'error: Unexpected keyword argument "axes" for "mean"  [call-arg]',
    'note: "mean" defined in "chainrule.tensor.ops.reductions.reduce"',
]


def names(value: object) -> list[str]:
    return [n for n in dir(value) if not n.startswith("_")]


def test_every_method_and_function_has_a_text() -> None:
    assert len(names(cr.Tensor)) > 200
    for owner in (cr, cr.Tensor):
        for name in names(owner):
            value = getattr(owner, name)
            assert not callable(value) or (value.__doc__ or "").strip(), name


@pytest.mark.slow
def test_a_users_snippet(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: pip install -e '.[dev]'")
    plain = {"Any", "TYPE_CHECKING", "annotations"}
    seen = [f"cr.Tensor.{n}" for n in names(cr.Tensor) if n != "name"]
    loaded = {n for n, v in vars(cr).items() if isinstance(v, types.ModuleType)}
    seen += [f"cr.{n}" for n in names(cr) if n not in plain | loaded]
    seen += [f"cr.{n}" for n in cr._LAZY_MODULES]
    file = tmp_path / "snippet.py"
    file.write_text("\n".join([SNIPPET.strip(), *seen, ""]))
    options = ["--strict", "--hide-error-context", "--no-error-summary", "--cache-dir"]
    command = [sys.executable, "-m", "mypy", *options, str(tmp_path / "cache"), str(file)]
    places = os.pathsep.join([str(Path(cr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    told = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "MYPYPATH": places}
    )
    found = [line.split(": ", 1)[1] for line in told.stdout.splitlines()]
    assert found == SEEN, told.stdout + told.stderr
