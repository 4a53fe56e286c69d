"""Problems that are made, not collected: each a function of a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import OptionError

REBER_SYMBOLS = "BTPSXVE"
_REBER = {
    1: (("T", 2), ("P", 3)),
    2: (("S", 2), ("X", 4)),
    3: (("T", 3), ("V", 5)),
    4: (("X", 3), ("S", 6)),
    5: (("P", 4), ("V", 6)),
}


def make_parity(
    bits: int, n: int | None = None, random_state: int | None = 0
) -> tuple[Array, Array]:
    """x (2^bits, bits), all patterns of 0 and 1, and y (2^bits, 1): is the number of ones odd?

    Or ``n`` patterns drawn at random. Both float32.

    >>> from chainrule.data import make_parity
    >>> make_parity(2)[1].ravel()
    array([0., 1., 1., 0.], dtype=float32)
    """
    at_least("make_parity", bits=bits)
    if n is None:
        if bits > 20:
            raise OptionError(f"make_parity: 2^{bits} patterns are too many; say n=")
        x = np.arange(2**bits)[:, None] >> np.arange(bits)[::-1] & 1
    else:
        at_least("make_parity", n=n)
        x = np.random.default_rng(random_state).integers(0, 2, (n, bits))
    return x.astype(np.float32), (x.sum(1, keepdims=True) % 2).astype(np.float32)


def make_spirals(
    n: int = 97, noise: float = 0.0, random_state: int | None = 0
) -> tuple[Array, Array]:
    """Two spirals of three turns, ``n`` points each (Lang & Witbrock, 1988).

    x float32 (2n, 2), y int64 (2n,).

    Point i of the first is r (sin a, cos a), with a = π i / 16 and r = 6.5 (104 - i) / 104 for i
    from 0 to 96; the second is its mirror image through 0. ``noise``: a standard deviation.

    >>> from chainrule.data import make_spirals
    >>> x, y = make_spirals()
    >>> x.shape, x[0], y.sum()
    ((194, 2), array([0. , 6.5], dtype=float32), np.int64(97))
    """
    at_least("make_spirals", n=n)
    i = np.linspace(0, 96, n)
    angle, radius = i * np.pi / 16, 6.5 * (104 - i) / 104
    one = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    x = np.concatenate([one, -one])
    x = x + noise * np.random.default_rng(random_state).normal(size=x.shape)
    return x.astype(np.float32), np.repeat(np.arange(2), n)


def make_reber(n: int, embedded: bool = False, random_state: int | None = 0) -> list[str]:
    """Strings of Reber's grammar (1967), over `REBER_SYMBOLS`.

    ``embedded``: within B T ... T E or B P ... P E, where the end depends on the second symbol.

    >>> from chainrule.data import make_reber
    >>> make_reber(2)
    ['BPVVE', 'BTSSSSSXSE']
    """
    at_least("make_reber", n=n)
    rng = np.random.default_rng(random_state)
    strings = [_reber(rng) for _ in range(n)]
    if not embedded:
        return strings
    sides = ["TP"[int(i)] for i in rng.integers(0, 2, n)]
    return [f"B{side}{s}{side}E" for s, side in zip(strings, sides, strict=True)]


def _reber(rng: Any) -> str:
    text, state = "B", 1
    while state != 6:
        symbol, state = _REBER[state][int(rng.integers(2))]
        text += symbol
    return text + "E"


def reber_next(text: str, embedded: bool = False) -> list[str]:
    """The symbols that may follow after each symbol of a string of the grammar, but the last.

    Raises OptionError for what is no such string.

    >>> from chainrule.data import reber_next
    >>> reber_next("BTXSE")
    ['TP', 'SX', 'XS', 'E']
    """
    wrong = OptionError(f"{text!r} is no string of {'the embedded' if embedded else 'the'} grammar")
    if embedded:
        if len(text) < 9 or text[0] != "B" or text[1] not in "TP" or text[-2:] != text[1] + "E":
            raise wrong
        return ["TP", "B", *reber_next(text[2:-2]), text[1], "E"]
    if text[:1] != "B" or text[-1:] != "E":
        raise wrong
    state, found = 1, []
    for symbol in text[1:-1]:
        options = dict(_REBER.get(state, ()))
        if symbol not in options:
            raise wrong
        found.append("".join(options))
        state = options[symbol]
    if state != 6:
        raise wrong
    return [*found, "E"]


def make_copy(
    n: int, length: int = 10, symbols: int = 10, task: str = "copy", random_state: int | None = 0
) -> tuple[Array, Array]:
    """x int64 (n, length), symbols 1 ... ``symbols`` at random, and y, the same in an order.

    As it is ("copy"), from the end ("reverse"), or ascending ("sort"). 0 is left for a start or for
    padding.

    >>> from chainrule.data import make_copy
    >>> x, y = make_copy(1, 4, task="sort")
    >>> x, y
    (array([[9, 7, 6, 3]]), array([[3, 6, 7, 9]]))
    """
    at_least("make_copy", n=n, length=length, symbols=symbols)
    x = np.random.default_rng(random_state).integers(1, symbols + 1, (n, length))
    tasks = {"copy": x.copy, "reverse": x[:, ::-1].copy, "sort": lambda: np.sort(x, axis=1)}
    if task not in tasks:
        raise OptionError(f"make_copy: task is one of {', '.join(tasks)}, got {task!r}")
    return x, tasks[task]()


def make_sums(
    n: int, digits: int = 3, held_out: bool = False, random_state: int | None = 0
) -> tuple[list[str], list[str]]:
    """Sums to be written: "12+7=" and "91", the digits of 19 with the least first.

    Both numbers have 1 to ``digits`` digits.

    5 % of all pairs of numbers, always the same, are ``held_out``; the others are for training.

    >>> from chainrule.data import make_sums
    >>> make_sums(2, digits=2)
    (['81+91=', '60+7='], ['271', '76'])
    """
    at_least("make_sums", n=n, digits=digits)
    rng = np.random.default_rng(random_state)
    pairs = np.zeros((0, 2), np.int64)
    while len(pairs) < n:
        below = 10 ** rng.integers(1, digits + 1, (2 * n, 2))
        drawn = (rng.random(below.shape) * below).astype(np.int64)
        pairs = np.concatenate([pairs, drawn[_held_out(*drawn.T) == held_out]])
    found = [(int(a), int(b)) for a, b in pairs[:n]]
    return [f"{a}+{b}=" for a, b in found], [str(a + b)[::-1] for a, b in found]


def _held_out(a: Array, b: Array) -> Array:
    """Whether each pair of numbers is among one in twenty, by a multiplicative hash."""
    mixed = (a.astype(np.uint64) << np.uint64(32) | b.astype(np.uint64)) + np.uint64(1)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(factor)
    return np.asarray((mixed >> np.uint64(32)) % np.uint64(20) == 0)


def at_least(where: str, **values: int) -> None:
    """Raise OptionError unless every value is at least 1."""
    for name, value in values.items():
        if value < 1:
            raise OptionError(f"{where}: {name} is at least 1, got {value}")
