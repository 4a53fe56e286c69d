"""The command line: help without imports, exit codes, errors as one message, JSON on stdout."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from chainrule import __version__
from chainrule.cli import registry
from chainrule.cli.main import chainrule, main
from chainrule.errors import DataError


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chainrule", *args], capture_output=True, text=True, timeout=300
    )


def test_version_and_help_as_a_module() -> None:
    assert run("--version").stdout == f"chainrule, version {__version__}\n"
    code = (
        "import sys\nfrom chainrule.cli import main\n"
        "assert main(['--help']) == 0\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('llvmlite', 'rich', 'matplotlib', "
        "'polars')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    for name, (_, text) in registry.COMMANDS.items():
        assert name in done.stdout and text.split(";")[0].split(",")[0] in done.stdout
    assert done.stdout.endswith("[]\n")  # help waits for no library


@pytest.mark.parametrize("name", registry.COMMANDS)
def test_every_command_exists_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"chainrule {name}" in capsys.readouterr().out


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 2
    assert main(["doctor", "--nonsense"]) == 2
    assert main(["bench", "nonsense"]) == 2
    assert main(["bench", "--peers", "nonsense"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "No such command 'nonsense'" in captured.err
    assert (
        "no workload 'nonsense'; there are xor, digits, tabular, mnist, wide, lenet, "
        in captured.err
    )
    assert "peers: 'nonsense' is not known; known are all, none, " in captured.err


def failing(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("x has NaN in row 3"), 1, "error: x has NaN in row 3\n"),
        (
            FileNotFoundError(2, "No such file", "a.csv"),
            1,
            "error: [Errno 2] No such file: 'a.csv'\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_are_one_message(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(type(chainrule), "get_command", lambda *_: failing(error))
    assert main(["doctor"]) == code
    captured = capsys.readouterr()
    assert captured.err.endswith(message)
    assert captured.out == ""


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(chainrule), "get_command", lambda *_: failing(DataError("bad")))
    with pytest.raises(DataError):
        main(["--debug", "doctor"])


def test_our_own_faults_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(chainrule), "get_command", lambda *_: failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_a_closed_pipe_is_no_traceback() -> None:
    text = f"{sys.executable} -m chainrule explain --sizes 3,2 --asm | head -1"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert done.stdout.startswith("3-2 batch 32: ")


def test_explain_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--sizes", "5,4,3", "--batch", "6", "--json", "--ir"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["name"] == "5-4-3 batch 6"
    assert found["microseconds"] > 0 and len(found["kernels"]) >= 1
    assert [p["name"] for p in found["passes"]] == ["as captured", "simplify", "legalize", "fuse"]
    assert "define void" in found["ir"]


def test_explain_needs_something_to_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 2
    assert "name a model file or a workload" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["minst"], "minst: no such file, and no workload of this name"),
        ([__file__, "--batch", "5"], "--batch means nothing for a model file"),
        (["--sizes", "5"], "expected at least two positive numbers like 61,203,17"),
        (["--sizes", "5,x"], "expected at least two positive numbers"),
        (["--batch", "5"], "--batch goes with --sizes"),
        (["--sizes", "5,2", "--batch", "0"], "0 is not in the range x>=1"),
        (["--sizes", "5,2", "--optimizer", "lamb"], "'lamb' is not one of"),
    ],
)
def test_net_options(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *options]) == 2
    assert message in capsys.readouterr().err
