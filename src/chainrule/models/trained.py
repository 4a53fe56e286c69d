"""Trained nets by name: some come with the package, others are trained here by one command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from .. import nn
from ..errors import CheckpointError, DataError, OptionError
from ..runtime.cache import users_folder
from ..tensor.value import Value
from ..utils.files import load as load_file
from .lenet import LeNet5
from .text import GPT, CharLSTM

LETTERS = 65  # characters of Tiny Shakespeare


@dataclass(frozen=True)
class Card:
    """What is known of a trained net: what it is, what it learned from, and how well it does.

    ``score`` is of data it did not learn from, where there are some; ``vocabulary``: of a net that
    reads text, the characters in the order of their tokens.
    """

    name: str
    net: str
    inputs: str
    data: str
    licence: str
    seed: int
    score: str
    version: str
    vocabulary: str = ""

    def __str__(self) -> str:
        rows = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name != "vocabulary"]
        if self.vocabulary:
            rows.append(("vocabulary", repr(self.vocabulary)))
        return "\n".join(f"{name:10} {value}" for name, value in rows)


def _logistic(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n, m in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(n, m), nn.Sigmoid()]
    return nn.Sequential(*layers)


NETS: dict[str, Callable[[], nn.Module]] = {
    "xor": lambda: _logistic(2, 2, 1),
    "symmetry": lambda: _logistic(6, 2, 1),
    "digits": lambda: nn.Sequential(nn.Linear(64, 30), nn.Tanh(), nn.Linear(30, 10)),
    "dbn-digits": lambda: _logistic(64, 100, 100, 200, 10)[:-1],
    "dbn-mnist": lambda: _logistic(784, 500, 500, 2000, 10)[:-1],
    "autoencoder-mnist": lambda: nn.Sequential(
        _logistic(784, 1000, 500, 250, 30)[:-1], _logistic(30, 250, 500, 1000, 784)[:-1]
    ),
    "lenet5-mnist": lambda: LeNet5("softmax"),
    "char-lstm-names": lambda: CharLSTM(27, 64),  # a to z, and the end of a line
    "char-lstm-shakespeare": lambda: CharLSTM(LETTERS, 128),
    "gpt-shakespeare": lambda: GPT(LETTERS, 64, 128, heads=4, layers=4, tie=True),
}
"""The nets, by the names of their weights."""

SHIPPED = Path(__file__).parent / "weights"


def built_folder() -> Path:
    """Where ``chainrule models --build`` puts what does not come with the package."""
    return users_folder() / "models"


def found(name: str, folder: str | Path | None = None) -> Path | None:
    """The file of a trained net, if it is there: in ``folder``, or with the package, or built."""
    if name not in NETS:
        raise OptionError(f"models.load: no trained net {name!r}; there are {', '.join(NETS)}")
    places = (SHIPPED, built_folder()) if folder is None else (Path(folder),)
    files = (place / f"{name}.safetensors" for place in places)
    return next((file for file in files if file.is_file()), None)


def card(name: str, folder: str | Path | None = None) -> Card:
    """The `Card` of a trained net. Errors as `load`.

    >>> from chainrule import models
    >>> print(models.card("xor").net)
    2-2-1, logistic units
    """
    return _read(name, folder)[0]


def load(name: str, folder: str | Path | None = None) -> nn.Module:
    """A trained net, ready to use (``eval()``); what it reads stands on its `card`.

    ``name``: one of those that ``chainrule models`` lists. ``folder``: where to look, instead of
    the package and what ``chainrule models NAME --build`` made. Raises OptionError for another
    name, DataError for a net that has to be built first, CheckpointError for a damaged file.

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> xor = models.load("xor")
    >>> (xor(cr.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])) > 0.5).flatten().tolist()
    [False, True, True, False]
    """
    weights = _read(name, folder)[1]
    net = NETS[name]()
    net.load_state_dict(weights)
    return net.eval()


def _read(name: str, folder: str | Path | None) -> tuple[Card, dict[str, Value]]:
    path = found(name, folder)
    if path is None:
        where = "" if folder is None else f" in {folder}"
        raise DataError(
            f"models.load: {name!r} is not there{where}; `chainrule models {name} --build` "
            "trains it"
        )
    held = load_file(path)
    if not isinstance(held, dict) or set(held) != {"card", "weights"}:
        raise CheckpointError(f"{path} is no trained net of `chainrule models`")
    return Card(**held["card"]), held["weights"]
