"""The wheel, as it is built, in an environment that has nothing but what it requires."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
COMMAND = (
    "import sys; from importlib.metadata import entry_points;"
    "(e,) = entry_points(group='console_scripts', name='chainrule'); sys.exit(e.load()())"
)
XOR = """
import sys
import numpy as np
import chainrule as cr
from chainrule import nn, optim

cr.manual_seed(0)
x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
y = np.array([0, 1, 1, 0])
model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
cr.Trainer(model, "cross_entropy", optim.Adam(model.parameters(), lr=0.1)).fit(x, y, epochs=100)
print(model(cr.tensor(x)).argmax(1).tolist(), cr.__file__)
extras = {"matplotlib", "sklearn", "polars", "narwhals", "PIL", "pandas", "scipy"}
assert not extras & sys.modules.keys()
"""
TABLE = """
import sys
from chainrule.cli.main import main

with open("t.csv", "w") as file:
    file.write(sys.argv[1])
code = main(["train", "t.csv", "--target", "y", "--epochs", "20"])
print("predicted:", flush=True)
sys.exit(code or main(["predict", "t.safetensors", "t.csv"]))
"""
MISSING = """
import sys
from pathlib import Path
from chainrule.cli.main import main

Path("no.csv").write_text("a,y\\n" + "1,2\\n3,4\\n" * 50)
Path("no.xlsx").write_bytes(b"PK" + bytes(60))
for c in "ab":
    Path("pictures", c).mkdir(parents=True)
    for i in range(9):
        Path("pictures", c, f"{i}.png").write_bytes(b"\\x89PNG")
for what in (["no.csv", "--target", "y"], ["no.xlsx", "--target", "y"], ["pictures"]):
    print("====", file=sys.stderr, flush=True)
    assert main(["train", *what]) not in (0, None)
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def required(name: str) -> set[str]:
    """A distribution and all that it requires, without extras."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        here = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if here in found:
            continue
        found.add(here)
        for line in importlib.metadata.requires(here) or []:
            needed, _, marker = line.partition(";")
            if "extra" not in marker and not ("sys_platform" in marker or "os_name" in marker):
                waiting.append(re.match(r"[\w.-]+", needed.strip())[0])
    return found


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the environment's Python: the wheel is unpacked there, and what it requires is linked
    from here."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: pip install hatchling")
    if os.name == "nt":
        pytest.skip("packages are linked, which Windows does not allow to all")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # what is built is not built in the checkout
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-c", BUILD, str(folder)]
    built = subprocess.run(build, cwd=source, check=True, capture_output=True, text=True)
    venv.create(folder / "env", with_pip=False)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(folder / built.stdout.split()[-1]) as wheel:
        wheel.extractall(packages)
    wanted = (re.match(r"[\w.-]+", line)[0] for line in _requirements(packages))
    _link(set().union(*map(required, wanted)), packages)
    if importlib.util.find_spec("polars") is not None:
        _link(required("polars") | required("narwhals"), folder / "data")
    python, work = folder / "env" / "bin" / "python", folder / "work"
    work.mkdir()
    cache = {"CHAINRULE_CACHE": str(folder / "cache"), "HOME": str(folder), "COLUMNS": "100"}

    def run(code: str, *arguments: str, extra: bool = False) -> subprocess.CompletedProcess[str]:
        more = f"import sys; sys.path.append({str(folder / 'data')!r})\n" if extra else ""
        command = [str(python), "-I", "-W", "error", "-c", more + code, *arguments]
        return subprocess.run(command, cwd=work, env=cache, capture_output=True, text=True)

    return run


def _link(distributions: set[str], packages: Path) -> None:
    packages.mkdir(exist_ok=True)
    for name in distributions:
        found = importlib.metadata.distribution(name)
        for top in {f.parts[0] for f in found.files or [] if f.parts[0] != ".."}:
            if not (packages / top).exists():
                (packages / top).symlink_to(found.locate_file(top))


def _requirements(packages: Path) -> list[str]:
    (metadata,) = packages.glob("chainrule-*.dist-info/METADATA")
    lines = metadata.read_text("utf-8").splitlines()
    found = [n.removeprefix("Requires-Dist: ") for n in lines if n.startswith("Requires-Dist: ")]
    return [n for n in found if "extra ==" not in n]


def test_a_net_learns_with_nothing_else_installed(clean: Run) -> None:
    done = clean(XOR)
    assert done.returncode == 0, done.stderr
    assert "[0, 1, 1, 0]" in done.stdout and "site-packages" in done.stdout


@pytest.mark.slow
def test_the_demo_says_first_how_to_get_figures_and_ends_well(clean: Run) -> None:
    done = clean(COMMAND, "demo", "--out", "demo")
    assert done.returncode == 0, done.stderr
    hint = "no figure: figures need matplotlib: pip install 'chainrule[figures]'"
    said = " ".join(done.stderr.split())
    assert hint in said and said.index(hint) < said.index("XOR")
    assert "digits.safetensors" in done.stdout


@pytest.mark.slow
def test_a_table_is_learned_with_the_extra_for_data(clean: Run) -> None:
    pytest.importorskip("polars")
    rows = "\n".join(f"{i % 7},{i % 5},{(i % 7) + 2 * (i % 5)}" for i in range(210))
    done = clean(TABLE, f"a,b,y\n{rows}\n", extra=True)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    hint = "pip install 'chainrule[figures]'"
    assert hint in said and said.index(hint) < said.index("epoch")
    assert len(done.stdout.split("predicted:")[1].strip().splitlines()) == 211


def test_a_missing_extra_is_said_before_any_work(clean: Run) -> None:
    done = clean(MISSING)
    for extra, said in zip(("data", "excel", "images"), done.stderr.split("====")[1:], strict=True):
        assert f"pip install 'chainrule[{extra}]'" in " ".join(said.split())
        assert "epoch" not in said and "Traceback" not in said
