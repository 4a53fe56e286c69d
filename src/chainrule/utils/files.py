"""Files of tensors: `save` and `load`, in the safetensors format, which holds no code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from ..core.host.whole_file import whole_file
from ..core.node import Array
from ..errors import CheckpointError, DTypeError
from ..tensor.ops.create import check_device
from ..tensor.tensor import Tensor
from ..tensor.value import Value, stored

_KEY = "chainrule_tree"
_PICKLES = (b"\x80", b"PK\x03\x04")  # of pickle, and of the zip archive that torch.save writes


def save(obj: Any, path: str | os.PathLike[str]) -> Path:
    """Write a state dict, or nested dicts and lists of tensors, arrays, numbers and texts.

    The file is in the safetensors format and is written whole or not at all; a flat dict of tensors
    is what other libraries read. Raises DTypeError for anything else: an ``nn.Module`` is code, its
    ``state_dict()`` is data. A whole training with all that belongs to it: `Trainer.save`.

    >>> import chainrule as cr, tempfile
    >>> from chainrule import nn
    >>> layer = nn.Linear(2, 1)
    >>> path = cr.save(layer.state_dict(), tempfile.mkdtemp() + "/layer.safetensors")
    >>> layer.load_state_dict(cr.load(path))
    IncompatibleKeys(missing_keys=[], unexpected_keys=[])
    """
    arrays: dict[str, Array] = {}
    tree = _tree(obj, "", arrays)
    flat = isinstance(obj, Mapping) and all(
        isinstance(k, str) and isinstance(v, Value | np.ndarray) for k, v in obj.items()
    )
    target = Path(path)
    with whole_file(target) as file:
        file.write(to_bytes(arrays, None if flat else {_KEY: json.dumps(tree)}))
    return target


def _tree(obj: Any, at: str, arrays: dict[str, Array]) -> Any:
    """``obj`` as JSON values; its arrays go to ``arrays``, by their place."""
    if isinstance(obj, Value | np.ndarray | np.generic):
        array = np.asarray(obj._read() if isinstance(obj, Value) else obj)
        if array.dtype.kind not in "biuf":
            raise DTypeError(f"save: {at or 'the object'} has dtype {array.dtype}, not numbers")
        name = at or "tensor"
        arrays[name] = np.array(array, order="C")
        return {"tensor": name}
    if obj is None or isinstance(obj, bool | int | float | str):
        return {"value": obj}
    if isinstance(obj, Mapping):
        for key in obj:
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise DTypeError(f"save: a key of {at or 'the dict'} is {key!r}; text or integers")
        pairs = [[k, _tree(v, f"{at}.{k}" if at else str(k), arrays)] for k, v in obj.items()]
        return {"dict": pairs}
    if isinstance(obj, list | tuple):
        items = [_tree(v, f"{at}.{i}" if at else str(i), arrays) for i, v in enumerate(obj)]
        return {"tuple" if isinstance(obj, tuple) else "list": items}
    hint = "; write cr.save(model.state_dict(), path)" if hasattr(obj, "state_dict") else ""
    raise DTypeError(
        f"save: {at or 'the object'} is a {type(obj).__name__}, which is no tensor, number, text,"
        f" dict or list{hint}"
    )


def load(path: str | os.PathLike[str], map_location: Any = None, weights_only: bool = True) -> Any:
    """What `save` wrote, or the tensors by name of any safetensors file.

    A pickle, such as a file of ``torch.save``, is a program: it is refused with CheckpointError, as
    is a damaged file.

    >>> import chainrule as cr, tempfile
    >>> path = cr.save({"epoch": 3, "best": [cr.ones(2)]}, tempfile.mkdtemp() + "/run.safetensors")
    >>> cr.load(path)
    {'epoch': 3, 'best': [tensor([1., 1.])]}
    """
    check_device(map_location)
    source = Path(path)
    try:
        with safe_open(source, framework="np") as f:
            info = f.metadata() or {}
            tensors = {k: _tensor(f.get_tensor(k)) for k in f.keys()}
        return _object(json.loads(info[_KEY]), tensors) if _KEY in info else tensors
    except FileNotFoundError:
        raise CheckpointError(f"{source} does not exist") from None
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, SafetensorError) and _is_pickle(source):
            raise CheckpointError(
                f"{source} is a pickle, which is a program and is not run; write the weights with"
                " safetensors.torch.save_file(model.state_dict(), path) in PyTorch"
            ) from None
        what = str(error).splitlines()[0] if str(error) else repr(error)
        raise CheckpointError(f"{source} is damaged or no safetensors file: {what}") from error


def _is_pickle(path: Path) -> bool:
    """Whether a file that is no safetensors file, some of which begin so too, looks like one."""
    with open(path, "rb") as file:
        return file.read(4).startswith(_PICKLES)


def _tensor(array: Array) -> Tensor:
    wide = array.astype(np.float32) if array.dtype == np.float16 else array
    return stored(np.array(wide, order="C"))


def _object(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    ((kind, inside),) = tree.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "dict":
        return {k: _object(v, tensors) for k, v in inside}
    if kind in ("list", "tuple"):
        items = [_object(v, tensors) for v in inside]
        return tuple(items) if kind == "tuple" else items
    return inside
