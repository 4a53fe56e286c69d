"""Which nodes become one kernel.

A group has a *frame*: the shape of its outer loops. Every member is computed row by row: at one
iteration of the frame it needs other members at the same iteration only. So a chain of elementwise
operations is one group (frame: the whole shape), softmax with its cross-entropy is one (frame: the
rows; maximum, sum and quotient are inner loops), and an optimizer's update joins the contraction
that makes the gradient (frame: the contraction's rows and columns).

Nodes are taken in topological order; each joins the latest group of its inputs that it may join
without making two groups wait for each other, or starts one of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.loop import family
from ..core.node import Node, Shape, reachable
from ..core.signature import Signature
from .gathered import is_gather, read_by_rows
from .views import Bind, base_of, is_computed, is_merge, push_bind

TINY = 256  # elements up to which a whole group may run on one thread
FEWEST_ROWS = 8  # outer iterations below which a group is not narrowed further
LONG = 1024  # elements in an outer iteration that threads should rather share
FEWEST_COLUMNS = 129  # the same where they lie side by side, and so are few vectors
MOST_MOVED = 4  # formulas in a row that each user computes for itself


@dataclass
class Group:
    """Nodes that become one kernel."""

    number: int
    frame: Shape
    members: list[Node] = field(default_factory=list)
    bind: dict[Node, Bind] = field(default_factory=dict)
    waits_for: int = 0  # bit set of the groups that must run before, transitively
    level: int = 0  # the longest chain of groups that must run before

    @property
    def head(self) -> Node:
        return self.members[0]

    @property
    def is_contraction(self) -> bool:
        return self.head.primitive.kind == "contract"

    @property
    def is_loop(self) -> bool:
        return self.head.primitive.kind == "control"


def _in_memory_anyway(
    order: Sequence[Node], roots: Sequence[Node], by_rows: set[Node]
) -> set[Node]:
    """Results, and what is read at computed addresses."""
    needed = set(roots)
    for node in order:
        if node in by_rows:
            needed.add(base_of(node.inputs[1])[0])
        own = node.primitive.own_kernel and not node.primitive.by_parts
        if own or node.primitive.in_memory:
            needed.update(base_of(x)[0] for x in node.inputs)
        if is_merge(node):
            needed.add(node.inputs[0])
        if node.primitive.copies and not is_computed(base_of(node.inputs[0])[0]):
            needed.add(node)
    return needed - by_rows


def _inlined(order: Sequence[Node], needed: set[Node]) -> set[Node]:
    """Cheap formulas of leaves only (a one-hot, a cast): each kernel computes its own."""
    result: set[Node] = set()
    for node in order:
        if node.primitive.is_cheap and node not in needed:
            below = [base_of(x)[0] for x in node.inputs]
            if all(b in result or not is_computed(b) for b in below):
                result.add(node)
    return result


def fuse(graph: Signature) -> list[Group]:
    """The groups of a legal graph; see the module's text."""
    order = reachable(graph.roots)
    fuser = _Fuser(order, graph)
    for node in order:
        if is_computed(node) and node not in fuser.inlined:
            fuser.place(node)
    fuser.inline_late()
    return fuser.groups


class _Fuser:
    """What is known of the graph, and the groups so far."""

    def __init__(self, order: Sequence[Node], graph: Signature) -> None:
        self.groups: list[Group] = []
        self.of: dict[Node, Group] = {}
        # New values of state, and the state.
        self.updates = {graph.updates[i]: graph.state[i] for i in graph.changed}
        self._note_readers(order)
        by_rows = read_by_rows(order, graph.roots, list(self.updates.values()))
        self.needed = _in_memory_anyway(order, graph.roots, by_rows)
        self.inlined = _inlined(order, self.needed) | by_rows  # computed by whoever reads them
        self.users: dict[Node, list[Node]] = {}
        for node in order:
            if is_computed(node) and node not in self.inlined:
                for base in self._sources(node):
                    self.users.setdefault(base, []).append(node)

    def inline_late(self) -> None:
        """A cheap formula of values that lie in memory anyway, used by other groups only, moves to
        them: the mask of a ReLU is a comparison with the output that is stored in any case."""
        users = self.users

        def stored(node: Node) -> bool:
            return (
                not is_computed(node)
                or node in self.inlined
                or node in self.needed
                or is_gather(node)
                or any(
                    self.of.get(u, self.of[node]) is not self.of[node] for u in users.get(node, ())
                )
            )

        def chain(node: Node, moved: set[Node]) -> set[Node] | None:
            """``moved`` and ``node`` and what only they use, if it can be computed elsewhere."""
            group = self.of[node]
            if not node.primitive.is_cheap or node in self.needed or node is group.head:
                return None
            if any(
                u in self.inlined or (self.of[u] is group and u not in moved)
                for u in users.get(node, ())
            ):
                return None
            moved = moved | {node}
            for x in node.inputs:
                base, _ = base_of(x)
                if base in moved or stored(base):
                    continue
                short = self.of[base] is group and len(moved) < MOST_MOVED
                longer = chain(base, moved) if short else None
                if longer is None:
                    return None
                moved = longer
            return moved

        for group in self.groups:
            for node in group.members[:0:-1]:
                for moving in chain(node, set()) or () if node in self.of else ():
                    group.members.remove(moving)
                    del group.bind[moving], self.of[moving]
                    self.inlined.add(moving)

    # -- placing one node -------------------------------------------------------------------------
    def place(self, node: Node) -> None:
        if node.primitive.kind == "control":  # all results of a loop together
            for group in self.groups:
                if group.is_loop and family(group.head) == family(node):
                    self._add(group, node, (None,) * node.ndim)
                    return
        if node.primitive.kind in ("elementwise", "reduce"):
            above = {self.of[b].number for b in self._sources(node) if b in self.of}
            for group in sorted(
                map(self.groups.__getitem__, above), key=lambda h: (-h.level, -h.number)
            ):
                if (
                    not group.head.primitive.own_kernel
                    and self._can_wait(group, node)
                    and self._join(group, node)
                ):
                    return
            if node.primitive.kind == "reduce" and self._join_beside(node):
                return
        if self._left_to_user(node):
            self.inlined.add(node)
        else:
            self._start(node)

    def _left_to_user(self, node: Node) -> bool:
        """Whether a node that joins no group is a cheap formula which only one other uses, as it
        is: that one computes it too, and may join a group that runs earlier. What is concatenated
        is computed where it is put."""
        users = self.users.get(node, [])
        return (
            node.primitive.is_cheap
            and node not in self.needed
            and len(users) == 1
            and (users[0].primitive.kind == "elementwise" or users[0].primitive.by_parts)
            and users[0].inputs.count(node) == 1
        )

    def _join_beside(self, node: Node) -> bool:
        """A reduction whose rows another group already reads runs in that group's row loop."""
        x = node.inputs[0]
        axes = _reduced_axes(node)
        frame = tuple(n for a, n in enumerate(x.shape) if a not in axes and n != 1)
        sources = set(self._sources(node))
        for group in reversed(self.groups):
            if (
                group.frame == frame
                and not group.is_contraction
                and not group.head.primitive.own_kernel
                and any(
                    m.primitive.kind == "reduce"
                    and m.inputs[0].shape == x.shape
                    and _reduced_axes(m) == axes
                    for m in group.members
                )
                and not all(sources.isdisjoint(self._sources(m)) for m in group.members)
                and self._can_wait(group, node)
                and not any(self.of.get(b) is group for b in sources)
            ):
                loops = iter(range(len(frame)))
                self._add(group, node, tuple(None if n == 1 else next(loops) for n in node.shape))
                return True
        return False

    def _sources(self, node: Node) -> list[Node]:
        """What a node's kernel reads from memory: what lies under the views of its inputs, and
        under formulas that are computed by whoever reads them."""
        found: dict[Node, None] = {}
        for base, _ in map(base_of, node.inputs):
            if base in self.inlined:
                found |= dict.fromkeys(self._sources(base))
            elif base.op != "constant":
                found[base] = None
        return list(found)

    def _start(self, node: Node) -> None:
        shape = node.shape
        frame = tuple(n for n in shape if n != 1)
        group = Group(len(self.groups), frame)
        self.groups.append(group)
        loops = iter(range(len(frame)))
        self._add(group, node, tuple(None if n == 1 else next(loops) for n in shape))

    def _add(self, group: Group, node: Node, bind: Bind) -> None:
        group.members.append(node)
        group.bind[node] = bind
        self.of[node] = group
        group.waits_for |= self._needs(node) & ~(1 << group.number)
        before = group.level
        group.level = max(group.level, self._level_after(group.waits_for))
        for other in self.groups:
            if other.waits_for >> group.number & 1:
                other.waits_for |= group.waits_for
        if group.level > before:
            for other in sorted(self.groups, key=lambda h: h.waits_for.bit_count()):
                if other.waits_for >> group.number & 1:
                    other.level = max(other.level, self._level_after(other.waits_for))

    def _level_after(self, groups: int) -> int:
        return max((h.level + 1 for h in self.groups if groups >> h.number & 1), default=0)

    def _needs(self, node: Node) -> int:
        mask = 0
        for base in self._sources(node):
            if base in self.of:
                group = self.of[base]
                mask |= 1 << group.number | group.waits_for
        return mask

    def _can_wait(self, group: Group, node: Node) -> bool:
        """No input comes from a group that itself waits for this one, and nobody has to wait
        longer: a group may run later for a node's sake only if its members serve nobody else."""
        later = False
        for base in self._sources(node):
            other = self.of.get(base)
            if other is not None and other is not group:
                if other.waits_for >> group.number & 1:
                    return False
                later |= other.level >= group.level
        return not later or all(
            u is node or self.of.get(u) is group
            for m in group.members
            for u in self.users.get(m, ())
        )

    def _note_readers(self, order: Sequence[Node]) -> None:
        """For every state that is updated: its readers, and all that each depends on (bit sets)."""
        self.position = {node: i for i, node in enumerate(order)}
        above: dict[Node, int] = {}
        self.readers: dict[Node, list[tuple[Node, int]]] = {s: [] for s in self.updates.values()}
        for node in order:
            mask = 1 << self.position[node]
            for x in node.inputs:
                mask |= above[x]
            above[node] = mask
            if is_computed(node) and node not in self.updates:
                for base in {base_of(x)[0] for x in node.inputs} & self.readers.keys():
                    self.readers[base].append((node, mask))

    def _would_need_a_copy(self, group: Group, node: Node) -> bool:
        """Whether readers of the old value wait for this group: no update in place then."""
        state = self.updates.get(node)
        if state is None:
            return False
        members = sum(1 << self.position[m] for m in group.members)
        return any(
            mask & members
            for reader, mask in self.readers[state]
            if self.of.get(reader) is not group
        )

    def _join(self, group: Group, node: Node) -> bool:
        if self._would_need_a_copy(group, node):
            return False
        binds: list[Bind] = []
        for x in node.inputs:
            base, views = base_of(x)
            if base in self.inlined and any(self.of.get(b) is group for b in self._sources(base)):
                return False
            if self.of.get(base) is not group:
                continue
            bind: Bind | None = group.bind[base]
            for view in views:
                bind = push_bind(view, bind) if bind is not None else None
            if bind is None:
                return False
            binds.append(bind)
        if any(b != binds[0] for b in binds):
            return False
        if node.primitive.kind == "reduce":
            return self._join_reduction(group, node, binds[0])
        return self._join_elementwise(group, node, binds[0])

    def _join_elementwise(self, group: Group, node: Node, bind: Bind) -> bool:
        inside = math.prod(n for n, b in zip(node.shape, bind, strict=True) if b is None)
        if inside != 1:
            if group.is_contraction:
                return False
            few_rows = math.prod(group.frame) < FEWEST_ROWS
            last_bound = bool(bind) and bind[-1] is not None and bind[-1] == len(group.frame) - 1
            in_order = [b for b in bind if b is not None] == sorted(
                b for b in bind if b is not None
            )
            leading = in_order and all(b is not None for b in bind[: len(group.frame)])
            few_columns = last_bound and math.prod(group.frame) < FEWEST_COLUMNS
            few = few_rows or (few_columns and inside >= LONG)
            if node.size > TINY and (few or not (leading or last_bound)):
                return False
        self._add(group, node, bind)
        return True

    def _join_reduction(self, group: Group, node: Node, bind: Bind) -> bool:
        if group.is_contraction:
            return False
        axes = _reduced_axes(node)
        kept = [b for a, b in enumerate(bind) if a not in axes]
        shape = [n for a, n in enumerate(node.inputs[0].shape) if a not in axes]
        dropped = {bind[a] for a in axes} - {None}
        frame = tuple(n for i, n in enumerate(group.frame) if i not in dropped)
        if any(b is None and n != 1 for b, n in zip(kept, shape, strict=True)):
            return False
        if dropped:
            largest = max(m.size for m in group.members)
            mixed = any(m.primitive.kind == "reduce" for m in group.members)
            if mixed or (largest > TINY and math.prod(frame) < FEWEST_ROWS):
                return False
            renumber = {
                old: new
                for new, old in enumerate(i for i in range(len(group.frame)) if i not in dropped)
            }
            for member, old in group.bind.items():
                group.bind[member] = tuple(renumber.get(b) if b is not None else None for b in old)
            group.frame = frame
            kept = [renumber.get(b) if b is not None else None for b in kept]
        self._add(group, node, tuple(kept))
        return True


def _reduced_axes(node: Node) -> tuple[int, ...]:
    axes: tuple[int, ...] = node.params["axes"] if "axes" in node.params else (node.params["axis"],)
    return axes


def in_order(groups: Sequence[Group], waits: Mapping[int, int] | None = None) -> list[Group]:
    """The groups, each after those it waits for (bit sets by number, if not their own)."""
    if waits is None:
        waits = {group.number: group.waits_for for group in groups}
    done = 0
    rest, result = list(groups), []
    while rest:
        ready = [g_ for g_ in rest if not waits[g_.number] & ~done]
        assert ready, "groups wait for each other"
        for group in ready:
            done |= 1 << group.number
        result += ready
        rest = [g_ for g_ in rest if not done >> g_.number & 1]
    return result
