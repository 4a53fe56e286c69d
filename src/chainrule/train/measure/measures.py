"""Measures: what `Trainer.evaluate` gives, a dict that cannot be unpacked by mistake."""

from __future__ import annotations

import dis
import sys
from typing import Any

_UNPACKING = {dis.opmap[n] for n in ("UNPACK_SEQUENCE", "UNPACK_EX")}


class Measures(dict[str, float]):
    """Loss and metrics by name: a dict that cannot be unpacked by mistake.

    ``loss, accuracy = result`` would give a dict's names, and not its numbers: it is a TypeError.

    >>> result = Measures(loss=0.5, accuracy=0.75)
    >>> result["loss"], list(result)
    (0.5, ['loss', 'accuracy'])
    >>> loss, accuracy = result.values()
    """

    def __iter__(self) -> Any:
        caller = sys._getframe(1)
        if caller.f_code.co_code[caller.f_lasti] in _UNPACKING:
            names = ", ".join(self)
            raise TypeError(
                f"evaluate gives a dict, and unpacking it would give the names {names}; write"
                f" {names}{',' if len(self) == 1 else ''} = trainer.evaluate(x, y).values(), or"
                f" result[{next(dict.__iter__(self))!r}]"
            )
        return super().__iter__()
