"""Watch: whether what a captured function named from outside is still what it was.

A `Watch` compares objects by identity and plain values by value. Modules and optimizers say
themselves when they change (`changes`), so that a call need not look at each of their attributes.
What is compared, `follow` finds.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import numpy as np

from .changes import Changes, Versioned
from .value import Value

PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type(...),
    range,
    slice,
    np.generic,
    np.dtype,
)
"""Kinds of values that are compared by value."""

Get = Callable[[Any], Any]
Place = tuple[Any, Any]  # the owner's id, and a name in it; where a value was found


class Found:
    """Values found in places, and how to read them again.

    A value is ``get(key)``, or one of the items of a container; an end mark stands behind the
    items of each, so that the flat sequence of all items says how many each container has.
    """

    def __init__(self) -> None:
        self.gets: list[Get] = []
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.views: list[Any] = []
        self.items: list[Any] = []
        self.places: list[tuple[Place, str]] = []  # of the values
        self.containers: list[tuple[Place, str]] = []

    def value(self, get: Get, key: Any, value: Any, place: Place, label: str) -> None:
        """Note a value."""
        self.gets.append(get)
        self.keys.append(key)
        self.values.append(value)
        self.places.append((place, label))

    def container(self, view: Any, place: Place, label: str) -> None:
        """Note the items of a container (of a dict: of one of its views)."""
        self.views += [view, _END]
        self.items += [*view, *_END]
        self.containers.append((place, label))

    def identical(self) -> bool:
        """Whether all are the same objects; AttributeError, ValueError: one cannot be read."""
        return all(
            map(operator.is_, map(operator.call, self.gets, self.keys), self.values)
        ) and all(map(operator.is_, chain.from_iterable(self.views), self.items))

    def differing(self) -> list[tuple[Place, str]]:
        """The places of what is another now, and its name; equal plain values are taken over."""
        found = []
        for i, (get, key, before) in enumerate(zip(self.gets, self.keys, self.values, strict=True)):
            try:
                now = get(key)
            except (AttributeError, ValueError):
                found.append(self.places[i])
                continue
            if same(now, before):
                self.values[i] = now
            else:
                found.append(self.places[i])
        items: list[Any] = []
        at = 0
        for view, noted in zip(self.views[::2], self.containers, strict=True):
            end = next(i for i in range(at, len(self.items)) if self.items[i] is _END[0])
            now, before = [*view], self.items[at:end]
            if len(now) != len(before) or not all(map(same, now, before)):
                found.append(noted)
                now = before
            items += [*now, *_END]
            at = end + 1
        self.items = items
        return found


_END = (object(),)
_GOES_ON = (
    ": the program goes on with those it was captured with. Make it a tensor, or pass it as an "
    "argument"
)


def same(a: Any, b: Any) -> bool:
    """Whether a captured program cannot tell ``a`` from ``b``: one object, or equal plain values.

    >>> same(0.0, -0.0), same(1, True), same((1, "a"), (1, "a")), same([1], [1])
    (False, False, True, False)
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    return isinstance(a, (*PLAIN, frozenset)) and bool(a == b)


class Watch:
    """All that a captured function named from outside, as it was; ``told``: in modules and
    optimizers."""

    def __init__(
        self,
        found: Found,
        told: Found,
        own: set[Place],
        long: list[tuple[str, int]],
        large: list[Any],
    ) -> None:
        """``own``: places in globals, closures and objects of the user's classes; ``long``,
        ``large``: containers and arrays that are not watched."""
        self.found, self.told, self.own, self.long, self.large = found, told, own, long, large
        self._seen: object = None

    def also(self, guards: Iterable[tuple[object, str, object]]) -> Watch:
        """With attributes that were read: owner, name, value (the first one counts)."""
        known = set()
        for owner, name, value in guards:
            if (id(owner), name) not in known:
                known.add((id(owner), name))
                noted = self.told if isinstance(owner, Versioned | Value) else self.found
                noted.value(operator.attrgetter(name), owner, value, (id(owner), name), name)
        return self

    def unwatched(self, read: Iterable[Any]) -> list[str]:
        """What cannot be watched, in words; of the large arrays those that were ``read``."""
        wanted = set()
        for array in read:
            while array is not None:  # of a view, what it is a view of
                wanted.add(id(array))
                array = getattr(array, "base", None)
        found = [
            f"{label} has {count} items, which are not watched{_GOES_ON}"
            for label, count in self.long
        ]
        found += [
            f"a NumPy array of shape {array.shape} is read, whose numbers are not watched{_GOES_ON}"
            for array in self.large
            if id(array) in wanted
        ]
        return found + [
            f"{counter} was changed while the function was captured: that happens once, not at "
            "each call, and it is not watched. Keep it in a tensor that is assigned, or change it "
            "outside"
            for counter in self._counters()
        ]

    def unchanged(self) -> bool:
        """Whether all is as it was."""
        now = Changes.now
        return self._same(self.found) and (now is self._seen or self._quiet(now))

    def _quiet(self, now: object) -> bool:
        """Whether modules and optimizers are as they were, although some changed."""
        if not self._same(self.told):
            return False
        self._seen = now
        return True

    @staticmethod
    def _same(found: Found) -> bool:
        try:
            if found.identical():
                return True
        except (AttributeError, ValueError, RuntimeError):  # a slot or a cell is empty now
            return False
        return not found.differing()

    def _counters(self) -> list[str]:
        """The names of numbers of the user's that are others now."""
        found = []
        entries = [
            entry
            for noted in (self.found, self.told)
            for entry in zip(noted.gets, noted.keys, noted.values, noted.places, strict=True)
        ]
        for get, key, before, (place, label) in entries:
            if place in self.own and type(before) in (int, float):
                try:
                    now = get(key)
                except (AttributeError, ValueError):
                    continue
                if type(now) in (int, float) and not same(now, before):
                    found.append(label)
        return found

    def outdated(self) -> bool:
        """Whether more changed than modules going to training or evaluation mode."""
        return any(place[1] != "_training" for place, _ in self.differing())

    def differing(self) -> list[tuple[Place, str]]:
        """The places of what is another now, and its name."""
        return self.found.differing() + self.told.differing()
