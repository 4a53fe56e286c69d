"""compile: a Python function of tensors becomes one program.

The function runs once, on placeholders, for every new combination of argument shapes and plain
values; what it computes, assigns and back-propagates is captured as a graph and built into a
program. Later calls run the program. Tensors from outside (parameters, moments) are its state.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...backends.base import Program
from ...core.signature import Signature
from ...errors import CompileError, OptionError
from ...runtime.program import build
from ..capture import active
from ..pytree import flatten
from ..value import Value, array_of
from .rounds import every
from .trace import Trace, key_of, trace

MANY_TRACES = 32
KEPT_TRACES = 8
"""Programs kept for one kind of arguments: the last ones used."""


class Compiled:
    """A function with its traces. Call it like the function."""

    _watched_ = ("function",)

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        roots: Callable[[], Iterable[Any]] | None = None,
        build: Callable[[Signature], Program] = build,
    ) -> None:
        """``roots``: what it reads from outside, instead of what its code names. ``build`` makes
        its programs."""
        self.function, self.roots, self.build = function, roots, build
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.traces: dict[Any, list[Trace]] = {}
        self._made = 0  # traces, those that are not kept any more included
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the program for these arguments (tracing and building it the first time)."""
        if active.capture is not None or active.transforms:
            return self.function(*args, **options)
        found, leaves = self._find(args, options)
        return found.run(leaves, 1)

    def repeat(self, n: int, *args: Any, record: int | None = None, **options: Any) -> Any:
        """``n`` calls with the same arguments in one native run; returns what the last returns.

        With ``record`` = k: what each k-th call returns, its tensors stacked along a new first axis
        of ⌊n / k⌋ rows. (A last few calls of fewer than k leave no row.)

        Raises OptionError if ``n`` or ``record`` is no positive integer, or k > n.

        >>> import chainrule as cr
        >>> total = cr.zeros(())
        >>> @cr.compile
        ... def step(x):
        ...     return total.assign(total + x)
        >>> step.repeat(10, cr.tensor(2.0))
        tensor(20.)
        >>> step.repeat(7, cr.tensor(1.0), record=3)
        tensor([23., 26.])
        """
        self._check_count("the number of calls", n)
        if record is None:
            return self._repeat(int(n), args, options)
        self._check_count("record, the calls from one record to the next,", record)
        k = int(record)
        if k > n:
            raise OptionError(f"{self.name}.repeat: record={k} is more than the {n} calls")
        if active.capture is not None or active.transforms:
            raise OptionError(f"{self.name}.repeat: record= is not for use inside of a program")
        found, leaves = self._find(args, options)
        rows = every(k, n // k, found, leaves)
        if n % k:
            found.run(leaves, n % k)
        return rows

    def _check_count(self, what: str, n: Any) -> None:
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
            raise OptionError(f"{self.name}.repeat: {what} is a positive integer, got {n!r}")

    def _repeat(self, n: int, args: Any, options: Any) -> Any:
        if active.capture is not None or active.transforms:
            for _ in range(n - 1):
                self.function(*args, **options)
            return self.function(*args, **options)
        found, leaves = self._find(args, options)
        return found.run(leaves, n)

    def program(self, *args: Any, **options: Any) -> Trace:
        """The trace for these arguments (``.signature``, ``.program``), without running it."""
        return self._find(args, options)[0]

    def __getstate__(self) -> dict[str, Any]:
        """The function without its programs: a copy makes its own."""
        return {**self.__dict__, "traces": {}, "_made": 0}

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method, with ``self`` as a plain first argument."""
        return self if instance is None else BoundCompiled(self, instance)

    def __getattr__(self, name: str) -> Any:
        """What the function has (a compiled module's ``parameters()``, …)."""
        if name.startswith("__") or name == "function":
            raise AttributeError(name)
        return getattr(self.function, name)

    def __repr__(self) -> str:
        return f"<compiled {self.name}>"

    def known(self, *args: Any, **options: Any) -> Trace | None:
        """The trace for these arguments, if there is one that holds."""
        leaves, structure = flatten((args, options))
        keys = tuple([key_of(x) for x in leaves])
        return self._known((structure, keys, active.grad_enabled), leaves)

    def _known(self, key: Any, leaves: Sequence[Any]) -> Trace | None:
        try:
            known = self.traces.get(key)
        except TypeError:
            self._explain_unhashable(leaves)
            raise
        for i, found in enumerate(known or ()):
            if found.holds():
                if i and known:  # the latest first
                    known.insert(0, known.pop(i))
                return found
        return None

    def _find(self, args: Any, options: Any) -> tuple[Trace, list[Any]]:
        leaves, structure = flatten((args, options))
        keys = tuple([key_of(x) for x in leaves])
        key = (structure, keys, active.grad_enabled)
        found = self._known(key, leaves)
        if found is not None:
            return found, leaves
        leaves = [_known_dtype(x) for x in leaves]
        title = f"compiled {self.name}"
        new = trace(self.function, title, key, keys, structure, leaves, self.roots, self.build)
        kept = self.traces.setdefault(key, [])
        kept.insert(0, new)
        del kept[KEPT_TRACES:]
        self._warn_if_many()
        return new, leaves

    def _explain_unhashable(self, leaves: Sequence[Any]) -> None:
        for x in leaves:
            if not isinstance(x, Value | np.ndarray):
                try:
                    hash(x)
                except TypeError:
                    raise CompileError(
                        f"{self.name}: an argument of type {type(x).__name__} is neither a tensor, "
                        "an array, a number nor hashable; convert it with cr.tensor, or pass its "
                        "parts"
                    ) from None

    def _warn_if_many(self) -> None:
        self._made += 1
        if self._made == MANY_TRACES:
            warnings.warn(
                f"{self.name} was traced {MANY_TRACES} times: its arguments change shape, or a "
                "plain argument, a global or an attribute that it reads changes at every call. "
                "Keep shapes constant, and pass changing numbers as floats or tensors",
                RuntimeWarning,
                stacklevel=4,
            )


def _known_dtype(leaf: Any) -> Any:
    return array_of(leaf) if isinstance(leaf, np.ndarray) else leaf


class BoundCompiled:
    """A compiled method of one object."""

    _watched_ = ("compiled", "instance")

    def __init__(self, compiled: Compiled, instance: Any) -> None:
        self.compiled, self.instance = compiled, instance

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `Compiled.__call__`."""
        return self.compiled(self.instance, *args, **options)

    def repeat(self, n: int, *args: Any, record: int | None = None, **options: Any) -> Any:
        """See `Compiled.repeat`."""
        return self.compiled.repeat(n, self.instance, *args, record=record, **options)

    def program(self, *args: Any, **options: Any) -> Trace:
        """See `Compiled.program`."""
        return self.compiled.program(self.instance, *args, **options)


def compile(function: Callable[..., Any] | None = None, *, name: str | None = None) -> Any:
    """Decorator: the function becomes one native program for each kind of arguments.

    Tensors, NumPy arrays and floats are inputs. Integers, bools, strings and other hashable values
    are constants of the program: another value means another program. Tensors made outside and
    assigned inside (parameters, optimizer state, random numbers) are updated in place.

    Inside, nobody can ask for a number: `CompileError` says on which line it was tried.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> @cr.compile
    ... def step(x, lr):
    ...     loss = ((w - x) ** 2).sum()
    ...     w.grad = None
    ...     loss.backward()
    ...     w.assign(w - lr * w.grad)
    ...     return loss
    >>> step(cr.zeros(2), 0.25), step(cr.zeros(2), 0.25), w
    (tensor(5.), tensor(1.25), tensor([0.25, 0.5 ], requires_grad=True))
    """
    if function is None:
        return functools.partial(compile, name=name)
    if not callable(function):
        raise OptionError(f"compile takes a function or a module, got {type(function).__name__}")
    return Compiled(function, name)
