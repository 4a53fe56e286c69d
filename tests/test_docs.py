"""Nothing in the documentation is unexecuted: docstrings; code blocks of README.md and docs/.

In a page, a ``python`` block runs, and a ``text`` block right after it is what it prints. A
``console`` block holds commands (after ``$``) and what they print. A python block with the title of
another library is that library's code: it runs where the library is installed.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import importlib.util
import io
import linecache
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule.backends.cpu.threads import pool as threads
from chainrule.cli.main import main

ROOT = Path(__file__).parent.parent
PAGES = sorted(p for p in [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")] if p.exists())
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
OTHERS = {"PyTorch": "torch", "Keras": "keras", "scikit-learn": "sklearn"}
SCRIPT = "train.py"  # what the blocks of a page are called in messages that name a line


def modules() -> list[str]:
    found = pkgutil.walk_packages(chainrule.__path__, "chainrule.")
    return ["chainrule", *sorted(m.name for m in found if not m.name.endswith("__main__"))]


@pytest.fixture(autouse=True)
def same_start(monkeypatch: pytest.MonkeyPatch) -> object:
    """Every example starts from the same random numbers, and leaves no mode behind."""
    monkeypatch.setattr(threads, "_chosen", None)
    generator_state = chainrule.default_generator.get_state()
    chainrule.manual_seed(0)
    with np.printoptions(precision=8):
        yield
    chainrule.default_generator.set_state(generator_state)


# -- docstrings ------------------------------------------------------------------------------------
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


# -- pages -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, title and text, and where the text is."""

    language: str
    title: str
    text: str
    start: int
    end: int


FENCE = re.compile(r'^```(\w*)(?: title="([^"\n]*)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def blocks_of(page: str) -> list[Block]:
    return [
        Block(m[1], m[2] or "", m[3], m.start(3), m.end(3))
        for m in FENCE.finditer(page)
        if m.group(0).count("\n```") == 1
    ]


class Session:
    """The blocks of a page, run one after the other as one script in one namespace and folder."""

    def __init__(self, page: Path, folder: Path, names: dict[str, object]) -> None:
        self.page, self.folder, self.names = page, folder, names
        self.lines: list[str] = []
        self.printed: str | None = None  # by the block before, if that was one that runs

    def run(self, block: Block) -> tuple[str, str] | None:
        """Run a block; what it should have printed and what it did, where it says that."""
        printed, self.printed = self.printed, None
        if block.language == "text":
            return None if printed is None else (block.text, printed)
        if block.language == "console":
            return block.text, self.console(block.text)
        if block.language == "python" and block.title not in OTHERS:
            self.printed = self.doctest(block) if ">>>" in block.text else self.python(block)
        return None

    def python(self, block: Block) -> str:
        first = len(self.lines)
        self.lines += block.text.splitlines(keepends=True)
        linecache.cache[SCRIPT] = (0, None, self.lines, SCRIPT)
        code = compile(ast.parse("\n" * first + block.text), SCRIPT, "exec")
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, self.names)
        return output.getvalue()

    def doctest(self, block: Block) -> None:
        parser = doctest.DocTestParser()
        parsed = parser.get_doctest(block.text, self.names, self.page.name, str(self.page), 0)
        output = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=OPTIONS)
        runner.run(parsed, out=output.write, clear_globs=False)
        self.names.update(parsed.globs)
        assert runner.failures == 0, output.getvalue()

    def console(self, text: str) -> str:
        """Every command and its stdout; ``chainrule`` and ``python`` are those under test."""
        beside = str(Path(sys.executable).parent)
        environment = {
            **os.environ,
            "COLUMNS": "100",
            "PATH": os.pathsep.join([beside, os.environ.get("PATH", "")]),
        }
        shown = []
        for command in re.findall(r"^\$ (.*(?:(?<=\\)\n> .*)*)", text, re.MULTILINE):
            line, given = command.replace("\\\n> ", ""), None
            ours = re.fullmatch(r"chainrule ([^|&<>]*)(2>&1 )?(?:\| (.*))?", line)
            if ours is not None:
                given, line = self.chainrule(ours[1], bool(ours[2])), ours[3] or "cat"
            done = subprocess.run(
                line,
                shell=True,
                cwd=self.folder,
                env=environment,
                input=given,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"$ {command}\n{done.stderr}"
            shown += [f"$ {command}", *(x.rstrip() for x in done.stdout.splitlines())]
        return "\n".join(shown) + "\n"

    @staticmethod
    def chainrule(arguments: str, errors_too: bool) -> str:
        """What the command prints, in this process: it need not start and import everything."""
        output, errors = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            warnings.catch_warnings(),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output if errors_too else errors),
        ):
            warnings.simplefilter("ignore")
            patch.setenv("COLUMNS", "100")
            patch.setattr(threads, "_chosen", None)
            code = main(shlex.split(arguments))
        assert code == 0, f"$ chainrule {arguments}\n{errors.getvalue()}"
        return output.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The blocks of a page run in an empty folder, and print what the page says they print.

    ``--update-golden`` writes what was printed into the page instead.
    """
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    if page.parent.name == "docs":  # the README's first block shows the imports; these need not
        names |= {"cr": chainrule, "np": np, "nn": chainrule.nn, "optim": chainrule.optim}
    session, text = Session(page, tmp_path, names), page.read_text("utf-8")
    changed = []
    for block in blocks_of(text):
        found = session.run(block)
        if found is None or doctest.OutputChecker().check_output(*found, OPTIONS):
            continue
        assert request.config.getoption("--update-golden"), (
            f"{page.name} says:\n{found[0]}\nprinted was:\n{found[1]}"
        )
        changed.append((block, found[1]))
    for block, printed in reversed(changed):
        text = text[: block.start] + printed + text[block.end :]
        page.write_text(text, "utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_code_of_other_libraries(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is Python; and it runs, in one namespace, where the library is installed."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for block in blocks_of(page.read_text("utf-8")):
        if block.language == "python" and block.title in OTHERS:
            code = compile(block.text, f"{page.name}: {block.title}", "exec")
            if importlib.util.find_spec(OTHERS[block.title]) is not None:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(code, names)


def test_fences_are_understood() -> None:
    """No block escapes the tests by a slip of the pen: every fence opens or closes a known one."""
    languages = {"python", "text", "console", "bash", "toml", ""}
    for page in PAGES:
        text = page.read_text("utf-8")
        blocks = blocks_of(text)
        assert 2 * len(blocks) == len(re.findall(r"^\s*```", text, re.MULTILINE)), page
        assert {b.language for b in blocks} <= languages, page
        assert {b.title for b in blocks if b.title} <= {"Chainrule", *OTHERS}, page


# -- these tests can fail --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\nprint(1 + 1)\n```\n```text\n3\n```\n", (["3\n", "2\n"])),
        ("```console\n$ echo hello\nbye\n```\n", ["$ echo hello\nbye\n", "$ echo hello\nhello\n"]),
        (
            "```console\n$ echo a \\\n>   b\n$ echo c\nd\n```\n",
            ["$ echo a \\\n>   b\n$ echo c\nd\n", "$ echo a \\\n>   b\na b\n$ echo c\nc\n"],
        ),
    ],
)
def test_a_wrong_output_is_seen(text: str, complaint: list[str], tmp_path: Path) -> None:
    session = Session(tmp_path / "page.md", tmp_path, {})
    found = [f for b in blocks_of(text) if (f := session.run(b)) is not None]
    assert [list(f) for f in found] == [complaint]
    assert not doctest.OutputChecker().check_output(*found[0], OPTIONS)
