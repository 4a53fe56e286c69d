"""Keyword arguments as an object that has a field for each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from ..habits import HYPERPARAMETERS


@dataclass(frozen=True)
class Keywords:
    """Options with their defaults; a subclass has a field for each of them."""

    @classmethod
    def of(cls, who: str, options: Mapping[str, Any]) -> Self:
        """From keyword arguments; TypeError, with the nearest name, for one that is none."""
        known = [f.name for f in fields(cls)]
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                if HYPERPARAMETERS.get(name) in known:
                    more = f"write {HYPERPARAMETERS[name]}="
                elif close:
                    more = f"did you mean {close[0]!r}?"
                else:
                    more = f"there are {', '.join(known)}"
                raise TypeError(f"{who} has no option {name!r}; {more}")
        return cls(**options)

    @classmethod
    def described_in(cls, held: Mapping[str, Any]) -> Self:
        """From a description that has them among others."""
        return cls(**{f.name: held[f.name] for f in fields(cls) if f.name in held})
