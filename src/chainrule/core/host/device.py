"""Devices: there is the CPU, and what asks about others is told so."""

from __future__ import annotations

from typing import Any, Self

from ...errors import OptionError


class device(str):
    """The name of a device: "cpu". Another is an OptionError.

    >>> import chainrule as cr
    >>> cr.device("cuda" if cr.cuda.is_available() else "cpu")
    device(type='cpu')
    >>> cr.zeros(3).device == "cpu"
    True
    """

    __slots__ = ()

    def __new__(cls, type: str = "cpu", index: int | None = None) -> Self:
        if str(type) not in ("cpu", "cpu:0") or index not in (None, 0):
            raise OptionError(
                f"device {str(type)!r}: Chainrule runs on the CPU; leave the argument out"
            )
        return super().__new__(cls, "cpu")

    @property
    def type(self) -> str:
        """Always "cpu"."""
        return "cpu"

    @property
    def index(self) -> None:  # type: ignore[override]
        """None: there is one CPU."""

    def __repr__(self) -> str:
        return "device(type='cpu')"


class Absent:
    """A kind of device that is not there: what asks is told so, what sets it up does nothing."""

    def __init__(self, name: str) -> None:
        """``name``: for messages."""
        self._name = name

    def is_available(self) -> bool:
        """False."""
        return False

    def device_count(self) -> int:
        """0."""
        return 0

    def manual_seed(self, seed: int) -> None:
        """Nothing, as in PyTorch where there is no such device; see `cr.manual_seed`."""

    manual_seed_all = manual_seed

    def empty_cache(self) -> None:
        """Nothing."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{self._name}.{name}: Chainrule runs on the CPU, in float32 or float64; leave it out"
        )

    def __repr__(self) -> str:
        return f"<{self._name}: not available>"


cuda = Absent("cuda")
mps = Absent("mps")
cudnn = Absent("cudnn")
CPU = device("cpu")
