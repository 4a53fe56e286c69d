"""ImageModel: a net that tells classes of images apart, with all it needs, in one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..core.node import Array
from ..data import Batches, load_image_files, load_images
from ..data.augment import (
    RandomBrightness,
    RandomContrast,
    RandomFlip,
    RandomMixup,
    RandomNoise,
    RandomRotation,
    RandomShift,
)
from ..data.image_folder import ImageFolder
from ..data.images import as_images, images_of
from ..data.split import split_rows
from ..errors import DataError, OptionError
from ..nn import CrossEntropyLoss
from ..nn.options import check, choice, number
from ..train import Trainer
from .image_drawing import draw
from .image_nets import net_of, pixels_of
from .learning import (
    Answers,
    LearningOptions,
    check_classes,
    class_scores,
    learn,
    seeded,
    share_scores,
)
from .model_file import words_in
from .net_model import NetModel, check_shapes
from .network import MAX_SIZE, softmax

Data = str | Path | Array | Sequence[Any]


def _range(amount: float) -> tuple[float, float]:
    return 1 - amount, 1 + amount


AUGMENTATIONS: dict[str, tuple[float, Callable[[float, int], Any]]] = {
    "shift": (2, lambda n, _: RandomShift(int(n))),
    "rotate": (10, lambda degrees, _: RandomRotation(degrees)),
    "flip": (0.5, lambda p, _: RandomFlip(p)),
    "noise": (8, lambda std, _: RandomNoise(std)),
    "brightness": (0.2, lambda a, _: RandomBrightness(_range(a))),
    "contrast": (0.2, lambda a, _: RandomContrast(_range(a))),
    "mixup": (0.2, RandomMixup),
}
"""By name the usual amount and what it makes, of that and the number of classes: moved by up to so
many pixels; rotated by up to so many degrees; turned left to right with that probability; noise of
that deviation (of 255); brighter or darker, more or less contrast, by up to that share; mixed with
another image, by a share from Beta(α, α)."""


@dataclass(frozen=True)
class ImageOptions(LearningOptions):
    """What net to train on which images, and how.

    ``model``: a name of `image_nets.NETS`. ``augment``: names of `AUGMENTATIONS`, each perhaps with
    an amount, as ("flip", "shift:3"). ``size``, ``mode``: of pictures, see `data.load_images`.
    """

    model: str = "conv"
    augment: Sequence[str] = ()
    size: int | tuple[int, int] | None = None
    mode: str | None = None
    dropout: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = {"dropout": number(0, 1, "[)"), "mode": choice(None, "L", "RGB")}
        check("ImageOptions", limits, {k: getattr(self, k) for k in limits})
        augmentations(self.augment)


def augmentations(names: Sequence[str], classes: int = 1) -> list[Any]:
    """The functions of one image, or of one and another, that these names mean."""
    found = []
    for text in names:
        name, _, amount = text.partition(":")
        if name not in AUGMENTATIONS:
            raise OptionError(
                f"augment: {name!r} is unknown; there are {', '.join(AUGMENTATIONS)}, each with an "
                "amount or not, as shift:3"
            )
        usual, make = AUGMENTATIONS[name]
        try:
            value = float(amount) if amount else usual
        except ValueError:
            raise OptionError(f"augment: {amount!r} of {text!r} is no number") from None
        found.append(make(value, classes))
    return found


class ImageModel(NetModel):
    """A trained net for images, with their size, colours and classes.

    >>> import numpy as np
    >>> from chainrule.estimators import ImageModel
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> x = (rng.random((60, 8, 8)) * 90 + 80 * y[:, None, None]).astype(np.uint8)
    >>> model = ImageModel.fit(x, np.array(["dark", "light"])[y], model="linear", lr=0.01, epochs=5)
    >>> model.predict(x[:4]).tolist()
    ['dark', 'light', 'dark', 'light']
    >>> model
    ImageModel(linear, 1 x 8 x 8 pixels, 2 classes, accuracy 1)
    """

    kind = "image"
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    """Channels, height and width of the images."""

    def __init__(self, name: str, shape: tuple[int, int, int], classes: Sequence[str]) -> None:
        """A model without weights; `fit` and `load` make one that has some."""
        super().__init__()
        self.name, self.shape, self.classes = name, shape, tuple(classes)
        self._last: tuple[ImageFolder, Array, str] | None = None

    @classmethod
    def fit(
        cls,
        data: Data,
        labels: Any = None,
        *,
        progress: bool | None = False,
        callbacks: Any = None,
        checkpoint: Any = None,
        **options: Any,
    ) -> Self:
        """Train on images.

        A path (see `data.load_images`), or an array (N, height, width), (N, channels, height,
        width) or channels last, of pixels from 0 to 255, and their ``labels``.

        The other options, with their defaults, are those of `ImageOptions`. A share ``validation``
        of the images is held out, stratified by class; training stops when their loss has not
        improved for ``patience`` epochs, and the best weights are kept. ``checkpoint``: a folder
        (or a `Checkpoint`) that the state of the training is written into; a run found there is
        continued, to the same bits. Ctrl-C ends the training, with a warning, and keeps what was
        learned. Raises DataError, OptionError or TypeError for what cannot be.
        """
        chosen = ImageOptions.of(cls.__name__, options)
        found = _given(data, labels, None, chosen.size, chosen.mode)
        where = str(data) if isinstance(data, str | Path) else "fit"
        check_classes(where, found.y, len(found.classes))
        kept, held = split_rows(len(found.x), chosen.validation, chosen.seed, found.y)
        model = cls(chosen.model, found.x.shape[1:], found.classes)
        x, y = found.x[kept], found.y[kept]
        with seeded(chosen.seed):
            pixels = pixels_of(chosen.model, *_moments(x))
            model._make(chosen.dropout, pixels)
            trainer = model._trainer(chosen)
            augment = augmentations(chosen.augment, len(found.classes))
            chosen = replace(chosen, batch_size=min(chosen.batch_size, len(x)))
            batches = Batches(x, y, chosen.batch_size, augment=augment)
            interrupted = learn(
                trainer, chosen, (batches, None), (found.x[held], found.y[held]),
                progress=progress, callbacks=callbacks, checkpoint=checkpoint,
            )  # fmt: skip
        z = model._scores(found.x[held])
        files = tuple(found.files[i] for i in held)
        model._last = (
            ImageFolder(found.x[held], found.y[held], found.classes, files),
            z,
            "validation images",
        )
        model.metrics = class_scores(found.y[held], z)
        model.baseline = share_scores(y, found.y[held], len(found.classes))
        model._learned(trainer, chosen, interrupted)
        model.training |= {"images": len(x), "validation_images": len(held)}
        return model

    def _make(self, dropout: float, pixels: Any) -> None:
        self._dropout = dropout
        self.net = net_of(self.name, self.shape, len(self.classes), dropout, pixels)
        self._scores = Answers(self.net)

    def _trainer(self, options: ImageOptions) -> Trainer:
        adam = options.make_optimizer(self.net)
        return Trainer(self.net, CrossEntropyLoss(), adam, metrics=["accuracy"], seed=options.seed)

    def example_step(self) -> tuple[Trainer, Array, Array]:
        """A Trainer as in the training, and a batch of black images, which nothing augments."""
        options = ImageOptions.described_in(self.training)
        n = options.batch_size
        return self._trainer(options), np.zeros((n, *self.shape), np.uint8), np.zeros(n, np.int64)

    def __repr__(self) -> str:
        name, value = next(iter(self.metrics.items()), ("no measure", float("nan")))
        return (
            f"{type(self).__name__}({self.name}, {' x '.join(map(str, self.shape))} pixels, "
            f"{len(self.classes)} classes, {name} {value:.4g})"
        )

    # -- using -------------------------------------------------------------------------------------
    def read(self, data: Data) -> tuple[Array, tuple[str, ...]]:
        """Images as the model takes them, uint8, and their names.

        Of paths of pictures, folders and files of arrays, or of an array.
        """
        paths: Any = [data] if isinstance(data, str | Path) else data
        if all(isinstance(p, str | Path) for p in paths):
            mode = "L" if self.shape[0] == 1 else "RGB"
            return load_image_files(paths, self.shape[1:], mode)
        x = as_images(data)
        self._check(x)
        return x, tuple(f"row {i + 1}" for i in range(len(x)))

    def predict(self, data: Data) -> Array:
        """The class of each image (N,), in words."""
        return np.asarray(np.array(self.classes)[self.predict_proba(data).argmax(1)])

    def predict_proba(self, data: Data) -> Array:
        """The probability of each class, float64 (N, classes)."""
        return softmax(self._scores(self.read(data)[0]).astype(np.float64))

    def evaluate(self, data: Data, labels: Any = None) -> dict[str, float]:
        """Accuracy, log loss and F1 of images with their classes.

        A path (of two parts, the one for tests), or arrays. They are what `draw` shows then.
        """
        mode = "L" if self.shape[0] == 1 else "RGB"
        path = isinstance(data, str | Path)
        arrays = path and Path(str(data)).suffix in (".npz", ".bin", ".gz", ".idx")
        size = None if arrays else self.shape[1:]
        found = _given(data, labels, self.classes, size if path else None, None if arrays else mode)
        self._check(found.x)
        z = self._scores(found.x)
        self._last = found, z, "images"
        return class_scores(found.y, z)

    def draw(self, path: str | Path) -> Path:
        """Draw into a file what people look at.

        The course of the training, the confusion matrix, the filters of the first layer, and images
        that are taken for others, of the validation images or those of the last `evaluate`. Needs
        matplotlib.
        """
        if self._last is None:
            raise OptionError("draw: a model that was loaded needs images: call evaluate first")
        found, z, rows = self._last
        return draw(path, self.net, found, z.argmax(1), self.history, rows)

    def _check(self, x: Array) -> None:
        if x.shape[1:] != self.shape:
            raise DataError(
                f"images of {x.shape[1:]} (channels, height, width); the model takes {self.shape}"
            )

    # -- file --------------------------------------------------------------------------------------
    def _description(self) -> dict[str, Any]:
        return {
            "net": self.name,
            "shape": list(self.shape),
            "dropout": self._dropout,
            "classes": list(self.classes),
        }

    @classmethod
    def _described(cls, held: Mapping[str, Any], weights: Mapping[str, Array]) -> Self:
        c, h, w = shape = tuple(held["shape"])
        classes = words_in("classes", held["classes"])
        if not all(isinstance(n, int) and 1 <= n <= MAX_SIZE for n in shape) or c not in (1, 3):
            raise DataError(f"the shape of the images is {held['shape']!r}")
        check_shapes(weights, net__output__bias=(len(classes),), pixels__mean=(c, 1, 1))
        if held["net"] in ("mlp", "linear"):
            first, units = ("hidden1", 300) if held["net"] == "mlp" else ("output", len(classes))
            check_shapes(weights, **{f"net__{first}__weight": (units, c * h * w)})
        elif held["net"] == "conv":  # as many weights as pixels, divided by those that are pooled
            size = weights["net.hidden.weight"].size
            if c * h * w > 256 * max(size, 1):
                raise DataError(f"{c} x {h} x {w} pixels do not fit the weights")
        model = cls(str(held["net"]), shape, classes)
        model._make(held["dropout"], pixels_of("", weights["pixels.mean"], weights["pixels.std"]))
        return model


def _given(
    data: Data, labels: Any, classes: Sequence[str] | None, size: Any, mode: str | None
) -> ImageFolder:
    """Images and labels of a path or of arrays."""
    if isinstance(data, str | Path):
        if labels is not None:
            raise OptionError("the labels of a path are in its files; give none")
        part = "train" if classes is None else "test"
        return load_images(data, part, size=size, mode=mode, classes=classes)
    if labels is None:
        raise OptionError("give the labels of the images: fit(x, labels)")
    return images_of(data, labels, None, classes, "fit" if classes is None else "evaluate")


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and deviation of each channel, float32 (C, 1, 1); a deviation of 0 is 1."""
    levels = np.arange(256.0)
    share = [np.bincount(x[:, c].ravel(), minlength=256) / x[:, c].size for c in range(x.shape[1])]
    mean = np.array([s @ levels for s in share])
    std = np.sqrt(np.maximum([s @ (levels - m) ** 2 for s, m in zip(share, mean, strict=True)], 0))
    std[std == 0] = 1
    return tuple(a.astype(np.float32)[:, None, None] for a in (mean, std))  # type: ignore[return-value]
