"""Panels: neighbouring vectors of columns, which one register tile computes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Columns:
    """One vector of a panel: columns ``offset .. offset + lanes``, of which ``count`` exist."""

    offset: int
    lanes: int
    count: int


@dataclass(frozen=True)
class Panel:
    """Neighbouring vectors of columns; ``width`` elements to a row where it is packed."""

    vectors: tuple[Columns, ...]

    @property
    def width(self) -> int:
        return self.vectors[-1].offset + self.vectors[-1].lanes

    @property
    def count(self) -> int:
        return self.vectors[-1].offset + self.vectors[-1].count


def panel_of(columns: int, lanes: int, minimum: int) -> Panel:
    """``columns`` cut into full vectors and one for the rest; a single column is a scalar.

    A rest that is alone takes the narrowest vector (of at least ``minimum`` lanes) that holds it.
    Beside full vectors it is one of theirs: LLVM spills where a broadcast serves two widths.
    """
    full, rest = divmod(columns, lanes)
    vectors = [Columns(v * lanes, lanes, lanes) for v in range(full)]
    if columns == 1:
        vectors.append(Columns(0, 1, 1))
    elif rest:
        narrow = lanes if full else max(minimum, 1 << (rest - 1).bit_length())
        vectors.append(Columns(full * lanes, narrow, rest))
    return Panel(tuple(vectors))
