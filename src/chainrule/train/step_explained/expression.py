"""One element of a node, written out: symbols, and the same with numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...core.node import Node
from .tape import SEEN_THROUGH, VIEWS, Tape

Index = tuple[int, ...]
SHOWN = 6
"""So many terms of a sum are written; of a longer one, the three largest."""
MANY = 40
"""Terms of a longer sum are chosen by their numbers before any is written."""
LONGEST = 24
"""An expression of more numbers is not written."""

ATOM, PRODUCT, SUM = 0, 1, 2


@dataclass(frozen=True)
class Written:
    """An expression: ``rule`` in symbols, and its ``value``.

    ``template`` has {} for each of ``numbers``; ``level`` says how tightly it binds.
    """

    rule: str
    template: str
    numbers: tuple[float, ...]
    value: float
    level: int = ATOM

    def within(self, level: int) -> Written:
        """In parentheses, where it would be read wrongly beside something of ``level``."""
        if self.level <= level:
            return self
        return Written(f"({self.rule})", f"({self.template})", self.numbers, self.value)

    def is_number(self, value: float) -> bool:
        """Whether it is this number whatever the weights are."""
        return not self.rule and self.value == value


_FUNCTIONS = {
    "exp": "exp({})", "log": "log({})", "log1p": "log(1 + {})", "expm1": "exp({}) − 1",
    "sqrt": "√({})", "tanh": "tanh({})", "sigmoid": "σ({})", "sin": "sin({})", "cos": "cos({})",
    "erf": "erf({})", "abs": "abs({})", "sign": "sign({})",
}  # fmt: skip
_PAIRS = {"max": "max({}, {})", "min": "min({}, {})"}


class Writer:
    """Writes elements of nodes in terms of the nodes that have names."""

    def __init__(self, tape: Tape, names: Mapping[Node, str]) -> None:
        self.names, self.numbers, self.layouts = names, tape.numbers, tape.layouts

    def symbol(self, node: Node, at: Index, name: str = "") -> str:
        """``v3[0, 1]``, on the axes of what the module returned; of a single number its name."""
        name = name or self.names[node]
        if node.size == 1:
            return name
        layout = self.layouts.get(node)
        if layout is not None:
            flat = int(np.ravel_multi_index(at, node.shape))
            at = tuple(int(i) for i in np.argwhere(layout == flat)[0])
        return f"{name}[{', '.join(map(str, at))}]"

    def equation(self, node: Node, at: Index) -> Written | None:
        """How ``node[at]`` is computed; None where that cannot be said in one line."""
        found = self._computed(node, at)
        return None if found is None or len(found.numbers) > LONGEST else found

    def element(self, node: Node, at: Index) -> Written:
        """``node[at]``: its name where it has one."""
        name = self.names.get(node)
        if name is not None:
            return self._number(node, at, self.symbol(node, at))
        if node.op == "constant":
            return self._number(node, at, "")
        return self._computed(node, at) or self._number(node, at, "")

    def _number(self, node: Node, at: Index, rule: str) -> Written:
        value = float(self.numbers[node][at])
        return Written(rule, "{}", (value,), value)

    def _computed(self, node: Node, at: Index) -> Written | None:
        kind = node.op
        if kind in VIEWS:
            return self.element(node.inputs[0], view_index(node, at))
        if kind in SEEN_THROUGH or kind == "cast":
            return self.element(node.inputs[0], at)
        rule = _RULES.get(kind)
        if rule is not None:
            return rule(self, node, at)
        if kind in _FUNCTIONS or kind in _PAIRS:
            return self._called(node, at, _FUNCTIONS.get(kind) or _PAIRS[kind])
        return None

    def _called(self, node: Node, at: Index, form: str) -> Written:
        given = [self.element(i, at) for i in node.inputs]
        if not any(g.rule for g in given):
            return self._number(node, at, "")
        rule = form.format(*(shown(g) for g in given))
        template = form.format(*(g.template for g in given))
        numbers = tuple(n for g in given for n in g.numbers)
        return Written(rule, template, numbers, float(self.numbers[node][at]))

    def total(self, terms: list[Written], value: float, more: int = 0) -> Written:
        """The sum of these terms, and of ``more`` that are not written."""
        terms = [t for t in terms if not t.is_number(0.0)]
        if not terms:
            return Written("", "{}", (value,), value)
        if len(terms) == 1 and not more:
            return terms[0]
        counts = {t: terms.count(t) for t in terms}
        if len(counts) == 1 and not more:
            return product(
                Written("", "{}", (float(len(terms)),), float(len(terms))), terms[0], value
            )
        parts = [terms[0], *map(_second, terms[1:])]
        numbers = tuple(n for t in parts for n in t.numbers)
        tail = f" + … ({more} more)" if more else ""
        rule = " + ".join([shown(parts[0]), *map(_beside, parts[1:])]) + tail
        return Written(rule, " + ".join(t.template for t in parts) + tail, numbers, value, SUM)


def shown(w: Written) -> str:
    """The rule; of a plain number, the number."""
    return w.rule or f"{w.value:.4g}".replace("-", "−")


def _second(w: Written) -> Written:
    """In parentheses, if its sign would stand behind another."""
    return w.within(-1) if shown(w).startswith("−") and w.rule else w


def _beside(w: Written) -> str:
    return shown(w) if w.rule or w.value >= 0 else f"({shown(w)})"


def view_index(node: Node, at: Index) -> Index:
    """Where the element ``at`` of a view lies in what it is a view of."""
    source = node.inputs[0]
    places = np.arange(source.size).reshape(source.shape)
    flat = int(node.primitive.meaning(node.params, places)[at])
    return tuple(int(i) for i in np.unravel_index(flat, source.shape))


# -- rules -----------------------------------------------------------------------------------------
def product(a: Written, b: Written, value: float) -> Written:
    """a·b; without a factor 1."""
    if a.is_number(0.0) or b.is_number(0.0):
        return Written("", "{}", (0.0,), 0.0)
    for one, other in ((a, b), (b, a)):
        if one.is_number(1.0):
            return other
    if a == b and a.rule:
        a = a.within(ATOM)
        return Written(f"{a.rule}²", f"{a.template}²", a.numbers, value)
    a, b = a.within(PRODUCT), _second(b.within(PRODUCT))
    rule = f"{shown(a)}·{_beside(b)}"
    return Written(rule, f"{a.template}·{b.template}", a.numbers + b.numbers, value, PRODUCT)


def _binary(sign: str) -> Callable[[Writer, Node, Index], Written]:
    def write(w: Writer, node: Node, at: Index) -> Written:
        a, b = (w.element(i, at) for i in node.inputs)
        value = float(w.numbers[node][at])
        if not (a.rule or b.rule):
            return Written("", "{}", (value,), value)
        if sign == "·":
            return product(a, b, value)
        if sign == "+":
            return w.total([a, b], value)
        if b.is_number(0.0) and sign == "−":
            return a
        if b.is_number(1.0) and sign == "/":
            return a
        if sign == "−":
            b = _second(b.within(PRODUCT))
            rule, form = f"{shown(a)} − {_beside(b)}", f"{a.template} − {b.template}"
            return Written(rule, form, a.numbers + b.numbers, value, SUM)
        a, b = a.within(PRODUCT), _second(b.within(ATOM))
        rule, form = f"{shown(a)}/{_beside(b)}", f"{a.template}/{b.template}"
        return Written(rule, form, a.numbers + b.numbers, value, PRODUCT)

    return write


def _neg(w: Writer, node: Node, at: Index) -> Written:
    a = w.element(node.inputs[0], at)
    value = float(w.numbers[node][at])
    if not a.rule:
        return Written("", "{}", (value,), value)
    a = a.within(ATOM)
    return Written(f"−{a.rule}", f"−{a.template}", a.numbers, value, PRODUCT)


def _pow(w: Writer, node: Node, at: Index) -> Written:
    a, b = (w.element(i, at).within(ATOM) for i in node.inputs)
    value = float(w.numbers[node][at])
    rule, form = f"{shown(a)}^{shown(b)}", f"{a.template}^{b.template}"
    return Written(rule, form, a.numbers + b.numbers, value, PRODUCT)


def _where(w: Writer, node: Node, at: Index) -> Written:
    condition, yes, no = node.inputs
    return w.element(yes if w.numbers[condition][at] else no, at)


def _pad(w: Writer, node: Node, at: Index) -> Written:
    (x,) = node.inputs
    inside = tuple(i - low for i, low in zip(at, node.params["low"], strict=True))
    if all(0 <= i < n for i, n in zip(inside, x.shape, strict=True)):
        return w.element(x, inside)
    value = float(w.numbers[node][at])
    return Written("", "{}", (value,), value)


def _concat(w: Writer, node: Node, at: Index) -> Written:
    axis, place = node.params["axis"], at[node.params["axis"]]
    for x in node.inputs:
        if place < x.shape[axis]:
            return w.element(x, (*at[:axis], place, *at[axis + 1 :]))
        place -= x.shape[axis]
    raise AssertionError("an index outside of its axis")


def _gather(w: Writer, node: Node, at: Index) -> Written:
    x, index = node.inputs
    rows = w.numbers[index]
    row = int(np.clip(rows[at[: rows.ndim]], 0, x.shape[0] - 1))
    return w.element(x, (row, *at[rows.ndim :]))


def _sum(w: Writer, node: Node, at: Index) -> Written:
    (x,) = node.inputs
    axes = node.params["axes"]
    kept = iter(at)
    places = [range(n) if a in axes else (next(kept),) for a, n in enumerate(x.shape)]
    found: list[Index] = list(itertools.product(*places))
    return _few(
        w, node, at, [float(w.numbers[x][i]) for i in found], lambda k: w.element(x, found[k])
    )


def _dot(w: Writer, node: Node, at: Index) -> Written:
    a, b = node.inputs
    *batch, m, n = at
    pairs = [((*batch, m, k), (*batch, k, n)) for k in range(a.shape[-1])]
    return _products(w, node, at, pairs)


def _conv(w: Writer, node: Node, at: Index) -> Written:
    """Σ x[n, t·stride − low + k·dilation, g, c] w[k, c, g, o], without the holes of x."""
    x, taps = node.inputs
    p, rank = node.params, x.ndim - 3
    n, *t, group, o = at
    pairs = []
    for *k, c in np.ndindex(*taps.shape[:rank], taps.shape[rank]):
        places = []
        for axis in range(rank):
            place = t[axis] * p["strides"][axis] - p["low"][axis] + k[axis] * p["dilation"][axis]
            inside, gap = divmod(place, p["hole"][axis])
            if gap or not 0 <= inside < x.shape[axis + 1]:
                break
            places.append(inside)
        else:
            pairs.append(((n, *places, group, c), (*k, c, group, o)))
    return _products(w, node, at, pairs)


def _products(w: Writer, node: Node, at: Index, pairs: list[tuple[Index, Index]]) -> Written:
    a, b = node.inputs
    left, right = w.numbers[a], w.numbers[b]
    sizes = [float(left[i]) * float(right[j]) for i, j in pairs]

    def term(k: int) -> Written:
        return product(w.element(a, pairs[k][0]), w.element(b, pairs[k][1]), sizes[k])

    return _few(w, node, at, sizes, term)


def _few(
    w: Writer, node: Node, at: Index, sizes: list[float], term: Callable[[int], Written]
) -> Written:
    """A sum; of many terms only the three largest are written."""
    order = range(len(sizes))
    if len(order) > MANY:
        order = sorted(order, key=lambda k: -abs(sizes[k]))[:3]  # type: ignore[assignment]
    terms = {k: term(k) for k in sorted(order)}
    terms = {k: t for k, t in terms.items() if not t.is_number(0.0)}
    more = max(0, len(sizes) - MANY) and len(sizes) - len(terms)
    if len(terms) > SHOWN:
        kept = sorted(sorted(terms, key=lambda k: -abs(terms[k].value))[:3])
        more, terms = len(terms) - 3, {k: terms[k] for k in kept}
    return w.total(list(terms.values()), float(w.numbers[node][at]), more)


_RULES: dict[str, Callable[[Writer, Node, Index], Written]] = {
    "add": _binary("+"),
    "sub": _binary("−"),
    "mul": _binary("·"),
    "div": _binary("/"),
    "neg": _neg,
    "pow": _pow,
    "where": _where,
    "pad": _pad,
    "concat": _concat,
    "gather": _gather,
    "sum": _sum,
    "dot": _dot,
    "conv": _conv,
}
