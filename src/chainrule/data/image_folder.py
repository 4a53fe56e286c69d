"""Images in folders, a folder a class."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from ..core.node import Array
from ..errors import DataError, MissingExtraError, OptionError
from .unpacking import check_member

ENDINGS = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jfif",
    ".bmp",
    ".gif",
    ".webp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
)
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MOST_PIXELS = 1 << 26
"""The most pixels of one image: a small file can unpack to very many."""
ORIENTATION = 274
"""The EXIF tag that says how a camera was held; from 5 on, height and width change places."""
MOST_BYTES = 1 << 28
"""The most bytes of one file in an archive."""

Item = tuple[PurePosixPath, Callable[[], bytes]]


class ImageFolder(NamedTuple):
    """Images ``x`` uint8 (N, channels, height, width) and labels ``y`` int64 (N,).

    With the name of each class and the file of each image.
    """

    x: Array
    y: Array
    classes: tuple[str, ...]
    files: tuple[str, ...]


def load_image_folder(
    path: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    mode: str = "RGB",
    classes: Sequence[str] | None = None,
    channels: str = "first",
) -> ImageFolder:
    """The images in ``path``, a folder (or a .zip file) of one folder a class, in memory as uint8.

    Classes are the folders' names, sorted as words ("10" before "2"): ``classes`` of the result
    says which has which number. Give the training set's to a validation folder, so that labels go
    by name although a class is missing there. Names that begin with a dot, and files that are no
    images, are left out. What is transparent is white. ``size``: (height, width) all images are
    scaled to; without it they must be equal. ``mode``: "RGB", or "L" for grey;
    ``channels="last"``: (N, height, width, channels). Needs Pillow:
    ``pip install 'chainrule[images]'``.

    Raises DataError for a class without images, one not in ``classes``, a damaged image, images of
    unequal size or of more than 64 million pixels, and names that lead out of an archive.
    """
    if mode not in ("RGB", "L"):
        raise OptionError(f'load_image_folder: mode is "RGB" or "L", got {mode!r}')
    if channels not in ("first", "last"):
        raise OptionError(f'load_image_folder: channels is "first" or "last", got {channels!r}')
    scaled = (size, size) if isinstance(size, int) else size
    path = Path(path)
    found = items_in(path)
    named = _classes(path, found, classes)
    items = [(parts, read) for name in sorted(found) for parts, read in found[name]]
    labels = np.array([named.index(parts.parts[0]) for parts, _ in items], np.int64)
    x = images_in(f"{path}/", items, mode, scaled)
    if channels == "last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    return ImageFolder(x, labels, named, tuple(str(parts) for parts, _ in items))


def items_in(path: Path) -> dict[str, list[Item]]:
    """The images in a folder or .zip file of one folder a class, by the name of the class."""
    return _in_archive(path) if path.suffix.lower() == ".zip" else _in_folder(path)


def images_in(place: str, items: Sequence[Item], mode: str, size: tuple[int, int] | None) -> Array:
    """The images, uint8 (N, channels, height, width).

    Raises DataError, with the name of the image behind ``place``, for a damaged one and for
    unequal sizes.
    """
    images: list[Array] = []
    for parts, read in items:
        image = _decoded(read(), f"{place}{parts}", mode, size)
        if images and image.shape != images[0].shape:
            raise DataError(
                f"{place}{parts} has {image.shape[0]} x {image.shape[1]} pixels, "
                f"{place}{items[0][0]} {images[0].shape[0]} x {images[0].shape[1]}; say "
                "size=(height, width) to scale all to one size"
            )
        images.append(image)
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


def sizes_of(path: Path) -> list[tuple[int, int]]:
    """(height, width) of each image, as its head says; what has no head is left out here."""
    image = _pillow()
    found: list[tuple[int, int]] = []
    for items in items_in(path).values():
        for _, read in items:
            with suppress(Exception), warnings.catch_warnings():  # said when they are decoded
                warnings.simplefilter("ignore")
                with image.open(io.BytesIO(read()), formats=FORMATS) as opened:
                    wide, high = opened.size
                    turned = opened.getexif().get(ORIENTATION, 1) >= 5
                found.append((wide, high) if turned else (high, wide))
    return found


def _classes(
    path: Path, found: dict[str, list[Item]], classes: Sequence[str] | None
) -> tuple[str, ...]:
    if not found:
        raise DataError(f"{path}: no folders of classes in it")
    empty = sorted(name for name, items in found.items() if not items)
    if classes is None:
        if empty:
            raise DataError(
                f"{path}: no images in the folder{'s' * (len(empty) > 1)} {', '.join(empty)}; "
                "remove what is no class, or name the classes: classes=[...]"
            )
        return tuple(sorted(found))
    unknown = sorted(found.keys() - set(classes))
    if unknown:
        raise DataError(
            f"{path}: the folder {unknown[0]!r} is none of the classes {', '.join(classes)}"
        )
    if len(empty) == len(found):
        raise DataError(f"{path}: no images in it")
    return tuple(classes)


def _is_image(parts: PurePosixPath) -> bool:
    hidden = any(p.startswith(".") or p == "__MACOSX" for p in parts.parts)
    return not hidden and parts.suffix.lower() in ENDINGS


def _in_folder(path: Path) -> dict[str, list[Item]]:
    if not path.is_dir():
        raise DataError(f"{path}: {'no folder' if path.exists() else 'no such folder'}")
    found: dict[str, list[Item]] = {}
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        items = found[entry.name] = []
        for folder, inner, files in os.walk(entry):
            inner.sort()
            for name in sorted(files):
                file = Path(folder, name)
                parts = PurePosixPath(file.relative_to(path).as_posix())
                if _is_image(parts):
                    items.append((parts, file.read_bytes))
    return found


def _in_archive(path: Path) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda m: m.filename)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a whole .zip file ({error})") from None

    def reader(member: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise DataError(f"{path}: {member.filename} has more than {MOST_BYTES:,} bytes")
            return data

        return read

    for member in members:
        parts = check_member(path, member.filename)
        if not member.is_dir() and len(parts.parts) > 1 and _is_image(parts):
            found.setdefault(parts.parts[0], []).append((parts, reader(member)))
    return found


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError(
            "reading images needs Pillow: pip install 'chainrule[images]'"
        ) from None
    return Image


def _on_white(image: Any) -> Any:
    """What is transparent has a colour too, often black as the strokes; nobody sees it."""
    if not image.has_transparency_data:
        return image
    white = _pillow().new("RGBA", image.size, "white")
    return _pillow().alpha_composite(white, image.convert("RGBA"))


def _decoded(data: bytes, name: str, mode: str, size: tuple[int, int] | None) -> Array:
    """An image (height, width, channels), uint8."""
    image_of = _pillow()
    try:
        from PIL import ImageOps

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes: they are looked at below
            with image_of.open(io.BytesIO(data), formats=FORMATS) as opened:
                width, height = opened.size
                if width * height > MOST_PIXELS:
                    raise DataError(
                        f"{name}: {width} x {height} pixels, more than the {MOST_PIXELS:,} that "
                        "are read; scale it down first"
                    )
                if opened.mode[:1] in ("I", "F"):
                    raise DataError(
                        f"{name}: more than 8 bits a channel (mode {opened.mode}); save it with 8"
                    )
                image: Any = _on_white(ImageOps.exif_transpose(opened)).convert(mode)
                if size is not None:
                    image = image.resize((size[1], size[0]), image_of.Resampling.BILINEAR)
    except DataError:
        raise
    except Exception as error:  # decoders raise errors of every kind
        why = "none of the formats that are read" if "BytesIO" in str(error) else error
        raise DataError(f"{name}: not a whole image ({why}); take it out of the folder") from None
    array = np.asarray(image, np.uint8)
    return array[:, :, None] if array.ndim == 2 else array
