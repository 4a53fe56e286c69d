"""Pytrees: tuples, lists, dicts and named tuples, nested, with anything else as leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple


class Structure(NamedTuple):
    """What is left of a pytree without its leaves; hashable. A leaf has kind None."""

    kind: Any
    keys: tuple[Any, ...]
    children: tuple[Structure, ...]


LEAF = Structure(None, (), ())
NOTHING = Structure(type(None), (), ())
_INNER = (tuple, list, dict, type(None))


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of ``tree``, in order, and its structure. None has no leaves.

    >>> flatten({"a": [1, 2], "b": 3})[0]
    [1, 2, 3]
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    kind = type(tree)
    if kind is tuple or kind is list or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        return Structure(kind, (), _all(tree, leaves))
    if isinstance(tree, dict):
        return Structure(kind, tuple(tree), _all(tree.values(), leaves))
    if tree is None:
        return NOTHING
    leaves.append(tree)
    return LEAF


def _all(trees: Iterable[Any], leaves: list[Any]) -> tuple[Structure, ...]:
    found = []
    for tree in trees:
        if isinstance(tree, _INNER):
            found.append(_flatten(tree, leaves))
        else:
            leaves.append(tree)
            found.append(LEAF)
    return tuple(found)


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The pytree of this structure with these leaves."""
    return leaves[0] if structure is LEAF else _unflatten(structure, iter(leaves))


def _unflatten(structure: Structure, leaves: Iterator[Any]) -> Any:
    kind, keys, children = structure
    if kind is None:
        return next(leaves)
    if kind is type(None):
        return None
    parts = [_unflatten(c, leaves) for c in children]
    if issubclass(kind, dict):
        return dict(zip(keys, parts, strict=True))
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)


def broadcast_prefix(prefix: Any, tree: Any) -> list[Any]:
    """For every leaf of ``tree``, the leaf of ``prefix`` at or above its place (None is a leaf).

    >>> broadcast_prefix((0, None), ([1, 2], 3))
    [0, 0, None]
    """
    if (
        isinstance(prefix, tuple | list)
        and isinstance(tree, tuple | list)
        and len(prefix) == len(tree)
    ):
        return [x for p, t in zip(prefix, tree, strict=True) for x in broadcast_prefix(p, t)]
    if isinstance(prefix, dict) and isinstance(tree, dict) and set(prefix) == set(tree):
        return [x for k in tree for x in broadcast_prefix(prefix[k], tree[k])]
    if isinstance(prefix, tuple | list | dict):
        raise ValueError(f"{prefix!r} does not fit {tree!r}")
    return [prefix] * len(flatten(tree)[0])
