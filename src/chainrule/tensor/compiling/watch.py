"""Watch: whether what a captured function named from outside is still what it was.

A `Watch` compares objects by identity and plain values by value. Modules and optimizers say
themselves when they change (`changes`), so that a call need not look at each of their attributes.
What is compared, `follow` finds.
"""

from __future__ import annotations

import math
import operator
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from itertools import chain
from typing import Any

import numpy as np

from ..changes import Changes, Versioned
from ..value import Value

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
_COMPARED = (*PLAIN, frozenset)

Get = Callable[[Any], Any]
Place = tuple[Any, Any]  # the owner's id, and a name in it; where a value was found


class _Settled:
    """Reads what is made anew at every look, such as the bytes of an array: the same object while
    it is equal, so that the next look is one comparison of identities again."""

    __slots__ = ("get", "last")

    def __init__(self, get: Get, last: Any) -> None:
        self.get, self.last = get, last

    def __call__(self, key: Any) -> Any:
        now = self.get(key)
        if not same(now, self.last):
            self.last = now
        return self.last


class Found:
    """Values found in places, and how to read them again.

    A value is ``get(key)``, or one of the items of a container; an end mark stands behind the
    items of each, so that the flat sequence of all items says how many each container has.
    """

    def __init__(self) -> None:
        self.values: list[tuple[Get, Any, Any]] = []
        self.views: list[Any] = []
        self.items: list[Any] = []
        self.places: list[tuple[Place, str]] = []  # of the values
        self.names: dict[int, frozenset[str]] = {}  # of the entries whose number is a value
        self.containers: list[tuple[Place, str]] = []
        self.sizes: list[int] = []  # of the containers

    def value(self, get: Get, key: Any, value: Any, place: Place, label: str) -> None:
        """Note a value."""
        self.values.append((get, key, value))
        self.places.append((place, label))

    def number(self, entries: Mapping[str, Any], place: Place, label: str) -> None:
        """Note which names a class, a module or an object has, by how many they are."""
        self.names[len(self.values)] = _names(entries)
        self.value(len, entries, len(entries), place, label)

    def container(self, view: Any, place: Place, label: str) -> None:
        """Note the items of a container (of a dict: of one of its views)."""
        self.views += [view, _END]
        self.sizes.append(len(view))
        self.items += [*view, *_END]
        self.containers.append((place, label))

    def identical(self) -> bool:
        """Whether all can be read and are the same objects."""
        try:
            if [get for get, key, value in self.values if get(key) is not value]:
                return False
            return all(map(operator.is_, chain.from_iterable(self.views), self.items))
        except (AttributeError, ValueError, RuntimeError):  # a slot or a cell is empty now
            return False

    def differing(self) -> Iterator[tuple[Place, str]]:
        """The places of what is another now, and its name."""
        if self.identical():
            return
        for i, (get, key, before) in enumerate(self.values):
            try:
                now = get(key)
            except (AttributeError, ValueError):
                yield self.places[i]
                continue
            if i in self.names and _names(key) == self.names[i]:
                self.values[i] = get, key, now
            elif not same(now, before):
                yield self.places[i]
            elif now is not before:
                self.values[i] = _Settled(get, before), key, before
        start = 0
        for view, noted, size in zip(self.views[::2], self.containers, self.sizes, strict=True):
            now, before = [*view], self.items[start : start + size]
            if len(now) != size or not all(map(same, now, before)):
                yield noted
            else:
                self.items[start : start + size] = now
            start += size + 1


def _names(entries: Mapping[str, Any]) -> frozenset[str]:
    """The names of a class, without what Python itself may put there later."""
    return frozenset(n for n, value in entries.items() if n[:2] != "__" or callable(value))


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
    return isinstance(a, _COMPARED) and bool(a == b)


def _drawn(source: Any) -> Any:
    """Where a generator of random numbers stands."""
    if isinstance(source, random.Random):
        return source.getstate()
    if isinstance(source, np.random.Generator):
        return _frozen(source.bit_generator.state)
    return _frozen(source.get_state(legacy=False))


def _frozen(state: Any) -> Any:
    """Dicts and arrays within as what can be compared; to write their numbers out takes 5 ms."""
    if isinstance(state, dict):
        return tuple((name, _frozen(part)) for name, part in state.items())
    return state.tobytes() if isinstance(state, np.ndarray) else state


class Watch:
    """What a captured function named outside, as it was; ``told``: in modules and optimizers."""

    def __init__(
        self,
        found: Found,
        told: Found,
        own: set[Place],
        long: list[tuple[str, int]],
        large: list[Any],
        draws: list[tuple[str, Any]],
        by_text: Set[str],
    ) -> None:
        """``own``: places in globals, closures and objects of the user's classes; ``long``,
        ``large``: containers and arrays that are not watched; ``draws``: generators of random
        numbers that may be drawn from; ``by_text``: functions that read what a text names."""
        self.found, self.told, self.own, self.long, self.large = found, told, own, long, large
        self.draws = [(label, source, _drawn(source)) for label, source in draws]
        self.by_text = by_text
        self._seen: object = None

    def also(self, guards: Iterable[tuple[object, str, object]]) -> Watch:
        """With attributes that were read: owner, name, value (the first one counts)."""
        known = set()
        for owner, name, value in guards:
            if (id(owner), name) not in known:
                known.add((id(owner), name))
                apart = getattr(type(owner), "_unwatched_", ())  # what changes all the time
                told = isinstance(owner, Versioned | Value) and name not in apart
                noted = self.told if told else self.found
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
        found += [
            f"random numbers are drawn from {label}, which happens while the function is captured, "
            "not at each call: every call has the same ones. Draw them with cr.rand, cr.randn, …, "
            "or pass them as an argument"
            for label, source, before in self.draws
            if _drawn(source) != before
        ]
        found += [
            f"{name}(...) is called, and what the text names is not watched{_GOES_ON}"
            for name in sorted(self.by_text)
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
        for _ in self.differing():
            return False
        self._seen = now
        return True

    def _counters(self) -> list[str]:
        """The names of numbers of the user's that are others now."""
        found = []
        entries = [
            entry
            for noted in (self.found, self.told)
            for entry in zip(noted.values, noted.places, strict=True)
        ]
        for (get, key, before), (place, label) in entries:
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

    def differing(self) -> Iterator[tuple[Place, str]]:
        """The places of what is another now, and its name."""
        told = () if Changes.now is self._seen else self.told.differing()
        return chain(self.found.differing(), told)
