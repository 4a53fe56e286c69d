"""Where in a model a call is, for messages: "Linear(30, 10) `net[3]` (train.py:12) expects ..."

While a model runs, the stack of modules being called and the modules that have returned are kept,
by thread. They are looked at only when an error is to be explained.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..core import dtypes as dt
from ..core.dtypes import DType
from ..errors import ChainruleError, DTypeError
from ..tensor.capture import user_frame
from ..tensor.value import Value

if TYPE_CHECKING:
    from ..tensor.ranges import RangeCheck
    from .module import Module


class _Trail(threading.local):
    def __init__(self) -> None:
        self.stack: list[Module] = []
        # by the id of the result's node
        self.returned: dict[int, tuple[Module, tuple[int, ...]]] = {}


_now = _Trail()


@contextmanager
def entered(module: Module) -> Iterator[None]:
    """``module`` is being called."""
    _now.stack.append(module)
    try:
        yield
    finally:
        _now.stack.pop()
        if not _now.stack:
            _now.returned.clear()


def record(module: Module, args: tuple[Any, ...], result: Any) -> None:
    """``module`` has returned ``result`` (of several, the first counts).

    What returned first is kept: a Sequential adds nothing.
    """
    first = result[0] if isinstance(result, tuple) and result else result
    if isinstance(first, Value) and first._node is not None and args and isinstance(args[0], Value):
        _now.returned.setdefault(first._node.id, (module, args[0].shape))


def where_made() -> str:
    """``file.py:12`` of the innermost frame outside the package."""
    frame: Any = user_frame()
    return f"{frame.f_code.co_filename.replace(chr(92), '/').rsplit('/', 1)[-1]}:{frame.f_lineno}"


def title(module: Module) -> str:
    """``Linear(30, 10) `net[3]` (train.py:12)``: what it is, where in the model, where made."""
    name = path_of(module)
    return f"{headline(module)}{f' `{name}`' if name else ''} ({module._made_at})"


def headline(module: Module) -> str:
    """The module in one line: ``Linear(30, 10)``."""
    text = getattr(module, "headline", None)
    return text() if callable(text) else type(module).__name__


def path_of(module: Module) -> str:
    """The Python expression for ``module`` from the user's variable: ``net[3].norm``."""
    root = _now.stack[0] if _now.stack else module
    variable = _variable(root)
    for path, found in root.named_modules():
        if found is module:
            parts = path.split(".") if path else []
            steps = [f"[{p}]" if p.isdigit() else f".{p}" for p in parts]
            return (variable or "model") + "".join(steps) if variable or steps else ""
    return ""


def _variable(root: Module) -> str:
    """The name of the user's variable that holds ``root``."""
    frame = user_frame()
    for names in (frame.f_locals, frame.f_globals):
        for name, value in names.items():
            if value is root and name != "self" and not name.startswith("_"):
                return str(name)
    return ""


def origin(x: Any) -> str:
    """``from Flatten `net[2]`, input (batch, 3, 188, 188)``: whose result ``x`` is, if any."""
    found = _now.returned.get(x._node.id) if isinstance(x, Value) and x._node is not None else None
    if found is None:
        return ""
    module, shape = found
    name = path_of(module)
    sizes = (
        ", ".join(["batch", *map(str, shape[1:])])
        if len(shape) > 1
        else str(shape[0])
        if shape
        else ""
    )
    return f"from {headline(module)}{f' `{name}`' if name else ''}, input ({sizes})"


def product(x: Any) -> str:
    """`` = 16·47·47`` if ``x`` was flattened from (batch, 16, 47, 47); otherwise nothing."""
    found = _now.returned.get(x._node.id) if isinstance(x, Value) and x._node is not None else None
    if found is None or type(found[0]).__name__ != "Flatten" or len(found[1]) < 3:
        return ""
    return " = " + "·".join(map(str, found[1][1:]))


def name_layer(checks: Sequence[RangeCheck], module: Module) -> None:
    """Tell checks that are made later which module they come from, unless an inner one did."""
    for check in checks:
        check.layer = check.layer or title(module)


def check_dtype(module: Module, x: Value, dtype: DType) -> None:
    """Refuse floats of another dtype than a layer's weights have."""
    if dt.is_float(x.dtype) and x.dtype != dtype:
        raise DTypeError(
            f"{title(module)} has {dtype} weights, got {x.dtype} input: convert the input with "
            f"x.to('{dtype}'), or the model with .to('{x.dtype}')"
        )


def other_channels(x: Any, axis: int, expected: int, option: str) -> str:
    """What to do about an input whose ``axis`` has not the channels a layer expects, in lines."""
    lines = [origin(x)] if origin(x) else []
    if x.ndim > 2 and x.shape[-1] == expected:
        lines.append(f"channels come first: put x.movedim(-1, {axis}) before it")
    else:
        lines.append(f"set {option}={x.shape[axis]}")
    return "".join(f"\n    {line}" for line in lines)


def explain(error: ChainruleError, module: Module, args: tuple[Any, ...]) -> None:
    """Add a line to ``error`` that names the innermost module it came from, unless it has one."""
    if getattr(error, "_module_named", False):
        return
    error._module_named = True  # type: ignore[attr-defined]
    name = title(module)
    if name not in str(error):
        shapes = ", ".join(f"{a.dtype}{list(a.shape)}" for a in args if isinstance(a, Value))
        message = f"{error}\n    in {name}" + (f", called with {shapes}" if shapes else "")
        error.args = (message, *error.args[1:])
