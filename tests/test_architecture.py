"""The folders' order: what is left may never import what is right of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "chainrule"
PAGE = PACKAGE.parents[1] / "docs" / "architecture.md"
ROOT = ("errors.py", "habits.py")  # the files beside the folders that have a place
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.name in ROOT)


def order_of(first: str) -> dict[str, int]:
    """The rank of each name in the page's line `first < … < { … | … } < …`."""
    text = re.search(rf"^    {first} <.*\n(?:    +<.*\n)*", PAGE.read_text("utf-8"), re.MULTILINE)
    assert text is not None
    floors = [re.findall(r"\w+", floor) for floor in text[0].split("<")]
    return {name: i for i, floor in enumerate(floors) for name in floor}


ENGINE = ("core", "autodiff", "compiler", "backends", "runtime")
RANK = order_of("errors")
ROOMS = order_of("llvm")  # of the backend
TRAIN = order_of("rows")  # of train/


def imported_modules(path: Path) -> set[str]:
    """Absolute names of the package's modules and what is in them that a file imports, anywhere."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found |= {f"{module}.{a.name}" for a in node.names} | {module}
    return {name for name in found if name.startswith("chainrule.")}


def imported(path: Path) -> set[str]:
    """Names of the package's folders that a file imports."""
    return {n.split(".")[1] for n in imported_modules(path)} & RANK.keys()


def test_every_folder_has_its_place():
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= set(RANK), "give the new folder a place in docs/architecture.md"


def test_every_room_has_a_row_on_the_page_that_names_its_files():
    rows = re.findall(r"^\| (`.*`) \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    said = {
        name.rstrip("/"): text for names, text in rows for name in re.findall(r"`(.+?)`", names)
    }
    listed = ("nn", "experiments", "bench/modes", "cli", "estimators", "backends/llvm/elementary")
    for room in {p.parent for p in FILES if p.parent != PACKAGE}:
        name = room.relative_to(PACKAGE).as_posix()
        files = {p.stem for p in room.glob("*.py")} - {"__init__"}
        if name in listed:  # one file for each layer, experiment, library, command or kind
            assert name in said or name.rsplit("/", 1)[0] in said, name
            continue
        missing = files - set(re.findall(r"\w+", said[name]))
        assert not missing, f"docs/architecture.md does not say what {name} has {missing} for"


def test_no_room_of_the_engine_is_overfull():
    """A folder is one idea, and what it holds can be seen at a glance."""
    for room in {p.parent for name in (*ENGINE, "tensor") for p in (PACKAGE / name).rglob("*.py")}:
        files = [p.stem for p in room.glob("*.py") if p.name != "__init__.py"]
        assert len(files) <= 14, f"{room.relative_to(PACKAGE)} has {len(files)}: give some a room"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_left(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imported(path):
        assert name == own or RANK[name] < RANK[own], (
            f"{path.name} imports {name}, which is not left of {own}"
        )


def room_of(parts: Sequence[str]) -> str | None:
    """The backend's room that a module of these parts is in."""
    return next((p for p in parts if p in ROOMS), None) if "backends" in parts else None


@pytest.mark.parametrize("path", sorted((PACKAGE / "backends").rglob("*.py")), ids=lambda p: p.stem)
def test_imports_between_the_rooms_of_the_backend_point_left(path):
    own = room_of(path.relative_to(PACKAGE).parts[:-1])
    rooms = {room_of(name.split(".")[1:]) for name in imported_modules(path)} - {None, own}
    if own is not None:
        assert all(ROOMS[room] < ROOMS[own] for room in rooms), f"{own} imports {sorted(rooms)}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "train").rglob("*.py")), ids=lambda p: p.stem)
def test_imports_between_the_rooms_of_training_point_left(path):
    """Rooms, and the files beside them; those that have no place there may import any."""
    own = path.relative_to(PACKAGE / "train").parts[0].removesuffix(".py")
    names = [n.split(".") for n in imported_modules(path) if n.startswith("chainrule.train.")]
    rooms = {n[2] for n in names} & TRAIN.keys() - {own}
    if own in TRAIN:
        assert all(TRAIN[room] < TRAIN[own] for room in rooms), f"{own} imports {sorted(rooms)}"


def test_every_room_of_training_has_its_place():
    rooms = {p.parent.name for p in (PACKAGE / "train").glob("*/__init__.py")}
    assert rooms - {"step_explained"} <= set(TRAIN), "give the room a place in architecture.md"


def test_within_the_package_imports_are_relative():
    for path in sorted(PACKAGE.rglob("*.py")):
        if "modes" in path.parts:  # programs of the comparison, written as a user would
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += (
                [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            )
            assert not any(n.split(".")[0] == "chainrule" for n in names), f"{path.name}: {names}"


# Imports where they are needed: LLVM, the code generator, the loop program and the display are slow
# to load; files are locked by what a system has.
LATE = {
    "train/listeners/progress.py",
    "train/state/lock.py",
    "backends/base.py",
    "backends/interpreter.py",
    "backends/cpu/backend.py",
    "backends/cpu/machine/library.py",
    "backends/cpu/machine/target.py",
    "backends/cpu/threads/native.py",
    "backends/cpu/threads/pool.py",
    "backends/cpu/program/compiled.py",
    "backends/cpu/program/step_loop.py",
}


# A tensor has the functions of tensors as methods, and its class is known below them by its name.
NAMED_BELOW = {"tensor/value.py", "tensor/view.py", "tensor/capture.py"}


def imports_are_plain(path: Path) -> bool:
    """Whether all imports of a file count, also those for type checkers only."""
    place = path.relative_to(PACKAGE).as_posix()
    return place.split("/")[0] in (*ENGINE, "tensor", "train") and place not in NAMED_BELOW


def test_the_engine_imports_at_the_top():
    """Neither in functions nor for type checkers only: each hides a circle, or could be plain."""
    for path in FILES:
        place = path.relative_to(PACKAGE).as_posix()
        if not imports_are_plain(path) or place in LATE:
            continue
        tree = ast.parse(path.read_text())
        late = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
        late = [n for n in late if n not in tree.body]
        assert not late, f"{place} imports within: {ast.unparse(late[0])}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_llvmlite_only_in_the_cpu_backend(path):
    if "backends/cpu" not in path.as_posix():
        tree = ast.walk(ast.parse(path.read_text()))
        names = [a.name for n in tree if isinstance(n, ast.Import) for a in n.names]
        assert not any(n.split(".")[0] == "llvmlite" for n in names)


def imported_files(path: Path) -> set[Path]:
    """Files of the package that a file imports when it is loaded; in the engine's rooms and
    in train/ also those that it imports later, or for type checkers only."""
    found: set[Path] = set()
    engine = imports_are_plain(path)
    tree = ast.parse(path.read_text())
    waiting = list(ast.walk(tree)) if engine else list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not engine:
            continue
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef) and not engine:
            waiting += [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for name in (folder / a.name for a in node.names):
                options = (name.with_suffix(".py"), name / "__init__.py")
                options += (folder.with_suffix(".py"), folder / "__init__.py")
                found |= {next(f for f in options if f.exists())} - {path}
    return found


def test_no_circle_of_imports():
    waiting = {p: imported_files(p) - {PACKAGE / "__init__.py"} for p in PACKAGE.rglob("*.py")}
    assert sum(map(len, waiting.values())) > 500
    while ready := {p for p, needs in waiting.items() if not needs & waiting.keys()}:
        waiting = {p: needs for p, needs in waiting.items() if p not in ready}
    assert not [str(p.relative_to(PACKAGE)) for p in waiting], "these import each other"


def test_the_page_names_files_there_are():
    """The table of folders in docs/architecture.md, file by file."""
    page = PAGE.read_text("utf-8")
    named = 0
    for row in re.findall(r"^\| (`.*?)\|(.*)\|$", page, re.MULTILINE):
        folders = [PACKAGE / f for f in re.findall(r"`(.+?)/`", row[0])]
        assert all(f.is_dir() for f in folders), row[0]
        for name in re.findall(r"`([a-z_]+)/?`", row[1]) if folders else ():
            there = any((f / name).is_dir() or (f / f"{name}.py").exists() for f in folders)
            assert there or name in ("grad", "vmap", "scan", "remat", "assign"), f"{row[0]}: {name}"
            named += there
    assert named > 20


# Where primitives are known by name: their table, and what says of each of them how it is made,
# differentiated, mapped, simplified, turned into loops and into instructions. Everything else asks
# a row of the table.
PLACES = {
    "core/primitives/table.py",
    "core/graph.py",
    "core/interval.py",  # what range a primitive's values have
    "autodiff/vjps.py",
    "autodiff/reverse.py",  # slopes of neighbouring slices are put side by side
    "autodiff/recurrence.py",  # sums over all steps go through sums and products
    "autodiff/batching.py",
    "compiler/rewrites/simplify.py",
    "compiler/rewrites/merge_axes.py",
    "compiler/rewrites/layout.py",
    "compiler/rewrites/few_rows.py",
    "compiler/rewrites/matrices.py",  # how each solution and decomposition is written out
    "compiler/views.py",
    "compiler/rewrites/legalize.py",
    "compiler/gathered.py",
    "compiler/lowering/group.py",
    "compiler/lowering/contractions.py",
    "compiler/lowering/own_kernels.py",
    "backends/cpu/emit/reduction.py",  # sums are added in blocks
    "backends/llvm/primitives.py",
    "backends/llvm/elementary/__init__.py",
    "backends/cpu/emit/whole_step/primitives.py",
    "backends/cpu/emit/whole_step/indices.py",
    "backends/cpu/emit/whole_step/records.py",
}


def primitives_named(source: str, names: set[str]) -> set[str]:
    """Names of primitives that a text compares with an operation's, or collects."""

    def strings(nodes: Iterable[ast.AST]) -> set[str]:
        return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}

    def is_name(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in ("op", "combine", "name")

    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(map(is_name, [node.left, *node.comparators])):
            found |= strings(ast.walk(node))
        elif isinstance(node, ast.Match) and is_name(node.subject):
            found |= strings(n for case in node.cases for n in ast.walk(case.pattern))
        elif isinstance(node, ast.Set | ast.Tuple | ast.List) and len(node.elts) > 1:
            together = strings(node.elts)
            found |= together if len(together) == len(node.elts) and together <= names else set()
        elif isinstance(node, ast.Dict):
            keys = strings(filter(None, node.keys))
            found |= keys if keys and keys <= names else set()
    return found & (names - {"input", "constant"})  # with these every graph begins


def test_primitives_are_named_in_their_tables_only():
    """What the compiler may assume of a primitive is a column of its row, not a list elsewhere."""
    from chainrule.core.primitives.table import TABLE

    for path in sorted(p for folder in ENGINE for p in (PACKAGE / folder).rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        named = primitives_named(path.read_text(), set(TABLE))
        assert place in PLACES or not named, (
            f"{place} knows {sorted(named)} by name: make what it assumes a column of the table"
        )
    assert all((PACKAGE / place).exists() for place in PLACES)


@pytest.mark.parametrize(
    "text",
    [
        'if node.op == "dot": pass',
        'if node.op in ("dot", "gather"): pass',
        'CHEAP = frozenset({"add", "neg"})',
        'COST = {"exp": 10}',
        'match node.op:\n    case "dot" | "pad": pass',
    ],
)
def test_a_list_of_primitives_is_seen(text):
    assert primitives_named(text, {"dot", "gather", "add", "neg", "exp", "pad"})
