"""Model files: weights in safetensors, and in the metadata everything else that a model needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_bytes

from ..core.host.whole_file import whole_file
from ..core.node import Array
from ..errors import ChainruleError, CheckpointError, DataError

KINDS = {
    "table": "TableModel",
    "image": "ImageModel",
    "sequence": "SequenceModel",
    "text": "TextModel",
}
"""The class of each kind of model."""
DAMAGE = (
    ChainruleError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)
"""What a description that is damaged can raise."""
VERSION = 1
"""Of the format; files of another one are refused."""


def write_model(
    path: str | Path, kind: str, description: Mapping[str, Any], weights: Mapping[str, Array]
) -> Path:
    """A file with these weights, whole or not there; ``description``: JSON values."""
    path = Path(path)
    arrays = {k: np.ascontiguousarray(v) for k, v in weights.items()}
    text = json.dumps(description, default=lambda v: v.item())
    whole = json.dumps(json.loads(text) | {"checksum": _checksum(text, arrays)})
    # One entry of metadata: safetensors writes several in any order, and equal models shall be
    # equal files.
    content = safetensors_bytes(arrays, {_key(kind): whole})
    with whole_file(path) as file:
        file.write(content)
    return path


def kind_of(path: str | Path) -> str:
    """The kind of model in a file. Raises CheckpointError for what is no model file."""
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path}: a folder; a model file is expected")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(str(path), framework="numpy") as file:
            held = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise CheckpointError(f"{path}: damaged, or not a model file ({error})") from None
    for kind in KINDS:
        if _key(kind) in held:
            return kind
    raise CheckpointError(
        f"{path}: a safetensors file, but not a model written by `chainrule train`"
    )


def read_model(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """The description and the weights in a file.

    Raises CheckpointError with the reason for what is damaged, of another kind, or of a version
    that is not read here.
    """
    path, found = Path(path), kind_of(path)
    if found != kind:
        raise CheckpointError(
            f"{path}: a model of the kind {found!r}; {KINDS[found]}.load reads it, "
            f"{KINDS[kind]} does not"
        )
    try:
        with safe_open(str(path), framework="numpy") as file:
            text = (file.metadata() or {})[_key(kind)]
            names = list(file.keys())
            for k in names:
                dtype = file.get_slice(k).get_dtype()
                if dtype not in ("F16", "F32", "F64"):
                    raise CheckpointError(
                        f"{path}: {k} has dtype {dtype}; weights are F16, F32 or F64"
                    )
            weights = {k: file.get_tensor(k) for k in names}
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise CheckpointError(f"{path}: damaged, or not a model file ({error})") from None
    try:
        held = json.loads(text)
        json.dumps(held, ensure_ascii=False).encode()  # no halves of characters in names
        if held["version"] != VERSION:
            raise CheckpointError(
                f"{path}: written in version {held['version']!r} of the format; this program "
                f"reads {VERSION}"
            )
        said = held.pop("checksum", None)
        true = _checksum(json.dumps(held), weights)
    except CheckpointError:
        raise
    except DAMAGE as error:
        raise damaged(path, error) from None
    if said != true and (said is not None or kind != "table"):
        raise CheckpointError(f"{path}: damaged: its checksum does not match its contents")
    for k, v in weights.items():
        if not np.isfinite(v).all():
            raise CheckpointError(f"{path}: {k} has values that are not finite numbers")
    return held, weights


def damaged(path: str | Path, error: BaseException) -> CheckpointError:
    """The error for a description that nothing can be made of."""
    return CheckpointError(f"{path}: the description of the model is damaged ({error!s})")


def options_in(held: Any) -> dict[str, Any]:
    """Options of the training, as they were written."""
    kinds = (str, int, float, type(None))
    found = {str(k): v for k, v in dict(held).items()}
    for k, v in found.items():
        listed = v if isinstance(v, list) else [v]
        if not all(isinstance(x, kinds) for x in listed):
            raise DataError(f"the option {k!r} of the training is {v!r}")
    return found


def numbers_in(name: str, held: Any) -> dict[str, float]:
    """Measures by name; NaN where one was not defined."""
    found = dict(held)
    for k, v in found.items():
        if isinstance(v, bool) or not isinstance(v, int | float):
            raise DataError(f"{k!r} of the {name} is {v!r}; a number is expected")
    return {str(k): float(v) for k, v in found.items()}


def words_in(name: str, held: Any) -> tuple[str, ...]:
    """Names, each once."""
    words = tuple(held)
    if not all(isinstance(w, str) for w in words) or len(set(words)) < len(words):
        raise DataError(f"the {name} are {held!r}; words that differ are expected")
    return words


def _key(kind: str) -> str:
    return f"chainrule_{kind}_model"


def _checksum(text: str, weights: Mapping[str, Array]) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(weights):
        a = weights[name]
        digest.update(f"{name} {a.dtype.name} {a.shape}".encode())
        digest.update(np.ascontiguousarray(a).tobytes())
    return digest.hexdigest()


def misfit(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The first name whose shapes differ, and how; "" if there is none."""
    for k in sorted(expected.keys() | found.keys()):
        if expected.get(k) != found.get(k):
            return f"{k} is {found.get(k, 'missing')}, expected {expected.get(k, 'none')}"
    return ""
