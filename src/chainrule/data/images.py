"""Images of any kind that is read here: folders, archives, IDX, CIFAR and NPZ files, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError, OptionError
from .arrays_npz import read_npz
from .cifar import CIFAR10_CLASSES, read_cifar
from .idx import read_idx
from .image_folder import (
    ENDINGS,
    ImageFolder,
    images_in,
    items_in,
    load_image_folder,
    sizes_of,
)
from .labels import class_numbers, labels_in

Size = int | tuple[int, int]
LIMIT = 64
"""Images of unequal or large sizes are scaled to no more pixels in height and width."""
_X = ("x", "images", "data")
_Y = ("y", "labels", "targets", "target")


def load_images(
    path: str | Path,
    part: str = "train",
    *,
    size: Size | None = None,
    mode: str | None = None,
    classes: Sequence[str] | None = None,
) -> ImageFolder:
    """Images with their classes, from whatever ``path`` is.

    ``x`` uint8 (N, channels, height, width), labels ``y`` (N,), the names of the classes, and those
    of the files (or "row 1", ...).

    ``path``: a folder (or .zip file) of one folder a class; a folder with the IDX files of MNIST's
    family or CIFAR-10's, or one of these files (IDX: that of the images; its labels lie beside it);
    an NPZ file with ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test``, ``y_test`` (uint8,
    channels first or last, or none). ``part``: "train" or "test", where there are two.

    Pictures are scaled to ``size`` (height, width); without it they keep the size they have, or, if
    that differs or is more than 64 x 64, are scaled to no more than this. ``mode``: "L" (grey) or
    "RGB"; None: grey if all are. ``classes``: names in the order of their numbers, as those of a
    model. Raises DataError for what is none of this.

    >>> import tempfile
    >>> import numpy as np
    >>> from chainrule.data import load_images
    >>> with tempfile.NamedTemporaryFile(suffix=".npz") as file:
    ...     np.savez(file, x=np.zeros((4, 8, 8), np.uint8), y=["a", "b", "a", "b"])
    ...     file.flush()
    ...     found = load_images(file.name)
    >>> found.x.shape, found.y, found.classes
    ((4, 1, 8, 8), array([0, 1, 0, 1]), ('a', 'b'))
    """
    if part not in ("train", "test"):
        raise OptionError(f'load_images: part is "train" or "test", got {part!r}')
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    arrays = _arrays(path, part)
    if arrays is None:
        found = _pictures(path, size, mode, classes)
    else:
        found = images_of(*arrays, classes, str(path))
        if mode is not None and found.x.shape[1] != {"L": 1, "RGB": 3}[mode]:
            raise DataError(f"{path}: images of {found.x.shape[1]} channels; the mode is {mode}")
        if size is not None and found.x.shape[2:] != as_size(size):
            high, wide = found.x.shape[2:]
            wanted = " x ".join(map(str, as_size(size)))
            raise DataError(f"{path}: arrays of {high} x {wide} pixels are not scaled to {wanted}")
    return found


def load_image_files(
    paths: str | Path | Sequence[str | Path], size: Size, mode: str
) -> tuple[Array, tuple[str, ...]]:
    """Images without classes: uint8 (N, channels, height, width) scaled to ``size``; and names.

    ``paths``: pictures, folders (all pictures in them, at any depth), .zip files, or arrays as in
    `load_images`, of that size. Raises DataError for a file that is none, and where there are none.
    """
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    parts: list[Array] = []
    names: list[str] = []
    for given in map(Path, listed):
        if given.is_dir() and _arrays(given, "test", peek=True) is None:
            files = sorted(p for p in given.rglob("*") if p.suffix.lower() in ENDINGS)
            files = [p for p in files if not any(q.startswith(".") for q in p.parts[-2:])]
            if not files:
                raise DataError(f"{given}: no images in it")
            items = [(PurePosixPath(p.as_posix()), p.read_bytes) for p in files]
            parts.append(images_in("", items, mode, as_size(size)))
            names += [p.as_posix() for p in files]
        elif given.suffix.lower() == ".zip":
            items = [item for held in items_in(given).values() for item in held]
            if not items:
                raise DataError(f"{given}: no images in it")
            parts.append(images_in(f"{given}/", items, mode, as_size(size)))
            names += [str(p) for p, _ in items]
        elif given.suffix.lower() in ENDINGS:
            if not given.is_file():
                raise DataError(f"{given}: no such file")
            item = (PurePosixPath(given.as_posix()), given.read_bytes)
            parts.append(images_in("", [item], mode, as_size(size)))
            names.append(given.as_posix())
        else:
            if not given.exists():
                raise DataError(f"{given}: no such file or folder")
            arrays = _arrays(given, "test", labels=False)
            if arrays is None:
                raise DataError(f"{given}: no image ({', '.join(ENDINGS)}), folder or array")
            x = as_images(arrays[0], str(given))
            if x.shape[1:] != ({"L": 1, "RGB": 3}[mode], *as_size(size)):
                raise DataError(
                    f"{given}: images of {x.shape[1:]} (channels, height, width); the model takes "
                    f"{({'L': 1, 'RGB': 3}[mode], *as_size(size))}"
                )
            parts.append(x)
            names += [f"row {i + 1}" for i in range(len(x))]
    if not parts:
        raise DataError("no images were named")
    return np.concatenate(parts), tuple(names)


def as_size(size: Size) -> tuple[int, int]:
    """(height, width)."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def as_images(x: Any, name: str = "x") -> Array:
    """Images (N, channels, height, width), uint8, of arrays with the channels first, last or none.

    Raises DataError unless they are whole numbers from 0 to 255, of 1 or 3 channels.
    """
    array = np.asarray(x)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or not len(array):
        raise DataError(
            f"{name}: images (N, height, width) or (N, channels, height, width) are expected, got "
            f"the shape {array.shape}"
        )
    if array.shape[1] not in (1, 3):
        if array.shape[3] not in (1, 3):
            raise DataError(f"{name}: 1 or 3 channels are expected, got the shape {array.shape}")
        array = array.transpose(0, 3, 1, 2)
    if array.dtype != np.uint8:
        real = array.dtype.kind in "iufb"
        if not real or not ((array >= 0) & (array <= 255) & (array == np.round(array))).all():
            raise DataError(
                f"{name}: pixels are whole numbers from 0 to 255, got {array.dtype} numbers that "
                "are not; scale them: (255 * x).round()"
            )
        array = array.astype(np.uint8)
    return np.ascontiguousarray(array)


def _pictures(
    path: Path, size: Size | None, mode: str | None, classes: Sequence[str] | None
) -> ImageFolder:
    scaled = None if size is None else as_size(size)
    if scaled is None:
        sizes = sizes_of(path)
        high, wide = (sorted(n)[len(n) // 2] for n in zip(*sizes, strict=True)) if sizes else (0, 0)
        if len(set(sizes)) > 1 or max(high, wide) > LIMIT:
            most = LIMIT / max(high, wide, LIMIT)
            scaled = max(round(high * most), 1), max(round(wide * most), 1)
    found = load_image_folder(path, size=scaled, mode=mode or "RGB", classes=classes)
    grey = (found.x == found.x[:, :1]).all()
    return found._replace(x=np.ascontiguousarray(found.x[:, :1])) if not mode and grey else found


def images_of(
    x: Any, y: Any, named: Sequence[str] | None, classes: Sequence[str] | None, name: str
) -> ImageFolder:
    """Arrays of images and labels as a folder of them.

    ``named``: what the numbers in ``y`` mean; ``classes``: names in the order of their numbers, as
    those of a model.
    """
    images, labels = as_images(x, name), labels_in(y)
    if named is not None and labels.dtype.kind in "iu":
        outside = labels[(labels < 0) | (labels >= len(named))]
        if len(outside):
            raise DataError(
                f"{name}: the label {outside[0]} is no number of the {len(named)} classes; they "
                f"are 0 to {len(named) - 1}"
            )
        labels = np.array(named)[labels]
    known = classes if classes is not None else named
    numbers, found = class_numbers(labels, len(images), known, name, "images")
    return ImageFolder(images, numbers, found, tuple(f"row {i + 1}" for i in range(len(images))))


def _arrays(
    path: Path, part: str, *, labels: bool = True, peek: bool = False
) -> tuple[Any, Any, Sequence[str] | None] | None:
    """Images and labels that lie in files of arrays; None for other files.

    With the names of the classes where they are known. ``peek``: only whether it is one.
    """
    if path.is_dir():
        idx = [p for p in sorted(path.iterdir()) if "-images-idx3-ubyte" in p.name]
        cifar = [p for p in sorted(path.glob("*_batch*.bin"))]
        wanted = "t10k" if part == "test" else "train"
        if idx:
            chosen = [p for p in idx if p.name.startswith(wanted)] or idx
            return (0, 0, None) if peek else _idx(chosen[0], labels)
        if cifar:
            chosen = [p for p in cifar if p.name.startswith("test") == (part == "test")] or cifar
            if peek:
                return 0, 0, None
            x, y = zip(*map(read_cifar, chosen), strict=True)
            return np.concatenate(x), np.concatenate(y), CIFAR10_CLASSES
        return None
    name = path.name.lower()
    if "-images-idx3" in name or name.removesuffix(".gz").endswith((".idx", ".idx3")):
        return _idx(path, labels)
    if name.endswith(".bin"):
        return (*read_cifar(path), CIFAR10_CLASSES)
    return _npz(path, part, labels) if name.endswith(".npz") else None


def _idx(path: Path, labels: bool) -> tuple[Any, Any, None]:
    x = read_idx(path)
    if not labels:
        return x, None, None
    beside = path.name.replace("images-idx3", "labels-idx1").removesuffix(".gz")
    for name in (beside, f"{beside}.gz"):
        if name != path.name and (path.parent / name).is_file():
            return x, read_idx(path.parent / name), None
    raise DataError(f"{path}: the labels belong beside it, as {beside} (or with .gz)")


def _npz(path: Path, part: str, labels: bool) -> tuple[Any, Any, Sequence[str] | None]:
    held = read_npz(path)
    x = _named(held, _X, part)
    y = _named(held, _Y, part)
    if x is None or (y is None and labels):
        raise DataError(
            f"{path}: it holds {', '.join(held) or 'nothing'}; expected are x and y (or x_train, "
            "y_train)"
        )
    names = held.get("classes")
    return x, y, None if names is None else [str(n) for n in names]


def _named(held: dict[str, Array], names: Sequence[str], part: str) -> Array | None:
    for name in names:
        for key in (f"{name}_{part}", f"{part}_{name}", name):
            if key in held:
                return held[key]
    return None
