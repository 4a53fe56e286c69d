"""SequenceModel: a net that tells a class or a value of whole sequences, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..core.node import Array
from ..data import Sequences, load_sequences, pad_sequences
from ..data.labels import labels_in
from ..data.sequence_files import labels_of, sequences_of
from ..data.split import split_rows
from ..errors import DataError, OptionError
from ..nn import CrossEntropyLoss, MSELoss
from ..nn.options import check, integer, number, optional
from ..train import Trainer
from .learning import (
    Answers,
    LearningOptions,
    check_classes,
    class_scores,
    learn,
    number_scores,
    seeded,
    share_scores,
)
from .model_file import words_in
from .net_model import NetModel, check_shapes
from .network import softmax
from .sequence_drawing import draw
from .sequence_nets import LAYERS, Standardized, net_of

EXAMPLE = 128
"""The length of made-up sequences: a model is of sequences of any length."""
Data = str | Path | Array | Sequence[Any]


@dataclass(frozen=True)
class SequenceOptions(LearningOptions):
    """What net to train on sequences, and how.

    ``model`` "gru", "lstm" or "conv", in ``layers`` (None: 1, of convolutions 3) of ``width``
    units.
    """

    validation: float = 0.2
    patience: int | None = 25
    lr: float = 3e-3
    batch_size: int = 16
    epochs: int = 100
    model: str = "conv"
    width: int = 64
    layers: int | None = None
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = {
            "width": integer(1),
            "layers": optional(integer(1)),
            "dropout": number(0, 1, "[)"),
        }
        check("SequenceOptions", limits, {k: getattr(self, k) for k in limits})
        if self.layers is None:
            object.__setattr__(self, "layers", LAYERS.get(self.model, 1))


class SequenceModel(NetModel):
    """A trained net for sequences (T, channels) of equal or unequal length.

    >>> import numpy as np
    >>> from chainrule.estimators import SequenceModel
    >>> t = np.arange(20)
    >>> x = [np.sin(t * (1 + i % 2) + i) for i in range(40)]
    >>> y = ["slow", "quick"] * 20
    >>> model = SequenceModel.fit(x, y, width=8, layers=1, epochs=30, lr=0.02, batch_size=8)
    >>> model.predict(x[:2]).tolist()
    ['slow', 'quick']
    >>> model
    SequenceModel(conv, 1 channel, 2 classes, accuracy 1)
    """

    kind = "sequence"
    classes: tuple[str, ...]
    """None where values are predicted."""

    def __init__(self, shape: Mapping[str, Any], classes: Sequence[str]) -> None:
        """A model without weights; `fit` and `load` make one that has some."""
        super().__init__()
        self.shape, self.classes = dict(shape), tuple(classes)
        self._last: tuple[Sequences, Array, str] | None = None

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
        """Train on sequences.

        A path (see `data.load_sequences`), or a list of arrays (T,) or (T, channels), or one array
        (N, T) or (N, T, channels), and their ``labels``: words or whole numbers (classes), or
        floats (values).

        The other options, with their defaults, are those of `SequenceOptions`. Channels are
        standardized; a value that is missing (NaN) becomes the mean of its channel. ``validation``,
        ``patience``, ``checkpoint`` and Ctrl-C are as in `ImageModel.fit`. Raises DataError,
        OptionError or TypeError for what cannot be.
        """
        chosen = SequenceOptions.of(cls.__name__, options)
        found = _given(data, labels, None)
        where = str(data) if isinstance(data, str | Path) else "fit"
        if found.classes:
            check_classes(where, found.y, len(found.classes))
        elif len(found) < 4:
            raise DataError(f"{where}: {len(found)} sequences are too few; give at least 4")
        by_class = found.y if found.classes else None
        kept, held = split_rows(len(found), chosen.validation, chosen.seed, by_class)
        train, asked = _rows(found, kept), _rows(found, held)
        longest = int(found.lengths.max())
        shape = {
            "model": chosen.model,
            "channels": found.x[0].shape[1],
            "width": chosen.width,
            "layers": chosen.layers,
            "dropout": chosen.dropout,
            "target": [] if found.classes else _moments([train.y[:, None]]),
        }
        model = cls(shape, found.classes)
        with seeded(chosen.seed):
            model._make(*(np.array(v, np.float32) for v in _moments(train.x)))
            trainer = model._trainer(chosen)
            interrupted = learn(
                trainer, chosen, (model._padded(train.x, longest), model._targets(train.y)),
                (model._padded(asked.x, longest), model._targets(asked.y)),
                progress=progress, callbacks=callbacks, checkpoint=checkpoint,
            )  # fmt: skip
        model.metrics = model._measured(asked, "validation sequences")
        if found.classes:
            model.baseline = share_scores(train.y, asked.y, len(found.classes))
        else:
            constant = np.full((len(asked), 1), train.y.mean(dtype=np.float64))
            model.baseline = number_scores(asked.y[:, None], constant)
        model._learned(trainer, chosen, interrupted)
        model.training |= {"sequences": len(train), "validation_sequences": len(asked)}
        return model

    def _make(self, mean: Array, std: Array) -> None:
        s = self.shape
        outputs = len(self.classes) or 1
        sizes = (s["channels"], outputs, s["width"], s["layers"], s["dropout"])
        self.net = Standardized(net_of(s["model"], *sizes), mean, std)
        self._outputs = Answers(self.net)

    def _trainer(self, options: SequenceOptions) -> Trainer:
        return Trainer(
            self.net,
            CrossEntropyLoss() if self.classes else MSELoss(),
            options.make_optimizer(self.net),
            metrics=["accuracy"] if self.classes else ["mae"],
            seed=options.seed,
            clip_norm=1.0,
        )

    def example_step(self) -> tuple[Trainer, dict[str, Array], Array]:
        """A Trainer as in the training, and a batch of sequences of 0, `EXAMPLE` steps long."""
        options = SequenceOptions.described_in(self.training)
        x = [np.zeros((EXAMPLE, self.shape["channels"]), np.float32)] * options.batch_size
        return self._trainer(options), self._padded(x), self._targets(np.zeros(len(x), np.int64))

    def __repr__(self) -> str:
        name, value = next(iter(self.metrics.items()), ("no measure", float("nan")))
        channels = self.shape["channels"]
        what = f"{len(self.classes)} classes" if self.classes else "values"
        return (
            f"{type(self).__name__}({self.shape['model']}, {channels} "
            f"channel{'s' * (channels != 1)}, {what}, {name} {value:.4g})"
        )

    # -- using -------------------------------------------------------------------------------------
    def predict(self, data: Data) -> Array:
        """The class of each sequence in words (N,), or its value, float64."""
        said = self._said(self._read(data))
        return np.asarray(np.array(self.classes)[said.argmax(1)] if self.classes else said[:, 0])

    def predict_proba(self, data: Data) -> Array:
        """Class probabilities, float64 (N, classes). Raises OptionError if it predicts values."""
        if not self.classes:
            raise OptionError("probabilities need classes; this model predicts values")
        return np.asarray(self._said(self._read(data)))

    def evaluate(self, data: Data, labels: Any = None) -> dict[str, float]:
        """Accuracy, log loss and F1, or RMSE, MAE and R², of sequences with their labels.

        A path (of two parts, the one for tests), or sequences. They are what `draw` shows then.
        """
        return self._measured(_given(data, labels, self.classes))

    def draw(self, path: str | Path) -> Path:
        """Draw into a file the course of the training, answers beside the truth, and the worst.

        Of the validation sequences or those of the last `evaluate`. Needs matplotlib.
        """
        if self._last is None:
            raise OptionError("draw: a model that was loaded needs sequences: call evaluate first")
        return draw(path, *self._last, self.history)

    def _read(self, data: Data) -> list[Array]:
        if isinstance(data, str | Path):
            return load_sequences(data, "test", classes=self.classes or None, labels=False).x
        return sequences_of(data)

    def _padded(self, x: Sequence[Array], length: int | None = None) -> dict[str, Array]:
        """Sequences side by side, and their lengths; what is missing is the mean."""
        channels = self.shape["channels"]
        if x[0].shape[1] != channels:
            raise DataError(
                f"sequences of {x[0].shape[1]} channels; the model reads {channels} of them"
            )
        padded, lengths = pad_sequences(x, 0.0, length)
        mean = np.asarray(self.net.get_buffer("mean").numpy())
        return {"x": np.where(np.isnan(padded), mean, padded), "lengths": lengths}

    def _targets(self, y: Array) -> Array:
        if self.classes:
            return y
        (mean,), (std,) = self.shape["target"]
        return np.asarray((y - mean) / std, np.float32)[:, None]

    def _said(self, x: Sequence[Array]) -> Array:
        """Probabilities, or values (N, 1)."""
        z = self._outputs(*self._padded(x).values()).astype(np.float64)
        if self.classes:
            return softmax(z)
        (mean,), (std,) = self.shape["target"]
        return np.asarray(z * std + mean)

    def _measured(self, found: Sequences, rows: str = "sequences") -> dict[str, float]:
        said = self._said(found.x)
        self._last = found, said, rows
        if not self.classes:
            return number_scores(found.y[:, None].astype(np.float64), said)
        return class_scores(found.y, np.log(np.maximum(said, 1e-300)))

    # -- file --------------------------------------------------------------------------------------
    def _description(self) -> dict[str, Any]:
        return {"net": self.shape, "classes": list(self.classes)}

    @classmethod
    def _described(cls, held: Mapping[str, Any], weights: Mapping[str, Array]) -> Self:
        given, classes = held["net"], words_in("classes", held["classes"])
        sizes = {k: given[k] for k in ("channels", "width", "layers")}
        check("the net", dict.fromkeys(sizes, integer(1, 1 << 16)), sizes)
        width, channels = sizes["width"], sizes["channels"]
        target = [[float(v) for v in part] for part in given["target"]]
        if [len(part) for part in target] != ([] if classes else [1, 1]):
            raise DataError(f"the units of the target are {given['target']!r}")
        outputs = len(classes) or 1
        gates = {"gru": 3, "lstm": 4}.get(given["model"])
        own: dict[str, tuple[int, ...]] = {"mean": (channels,), "std": (channels,)}
        own["net__output__weight"] = (outputs, 2 * width)
        if gates:
            own["net__rnn__weight_ih_l0"] = (gates * width, channels)
            own["net__rnn__weight_hh_l0"] = (gates * width, width)
        else:
            own["net__convs__0__weight"] = (width, channels, 7)
        check_shapes(weights, **own)
        if sizes["layers"] > len(weights) or (not gates and sizes["layers"] > 1 and
            weights["net.convs.1.weight"].shape != (width, width, 5)):  # fmt: skip
            raise DataError(f"{sizes['layers']} layers do not fit the weights")
        more = {"dropout": float(given["dropout"]), "target": target}
        model = cls({"model": given["model"], **sizes, **more}, classes)
        model._make(weights["mean"], weights["std"])
        return model


def _given(data: Data, labels: Any, classes: Sequence[str] | None) -> Sequences:
    """Sequences and labels of a path, or as they are given."""
    if isinstance(data, str | Path):
        if labels is not None:
            raise OptionError("the labels of a path are in its file; give none")
        found = load_sequences(
            data, "train" if classes is None else "test", classes=classes or None
        )
        if classes is not None and bool(found.classes) != bool(classes):
            what = ("classes", "values") if found.classes else ("values", "classes")
            raise DataError(f"{data}: its labels are {what[0]}, the model predicts {what[1]}")
        return found
    if labels is None:
        raise OptionError("give the labels of the sequences: fit(x, labels)")
    x = sequences_of(data)
    if classes is not None and not classes and labels_in(labels).dtype.kind in "iu":
        labels = labels_in(labels).astype(np.float32)  # whole numbers are values where values are
    y, named = labels_of(labels, len(x), classes or None, "labels")
    return Sequences(x, y, named, "x")


def _rows(found: Sequences, rows: Array) -> Sequences:
    return Sequences([found.x[i] for i in rows], found.y[rows], found.classes, found.name)


def _moments(x: Sequence[Array]) -> list[list[float]]:
    """Mean and deviation of each channel, without what is missing; a deviation of 0 is 1."""
    steps = np.concatenate(list(x)).astype(np.float64)
    known = ~np.isnan(steps)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, steps, 0).sum(0) / count
    std = np.sqrt((np.where(known, steps - mean, 0) ** 2).sum(0) / count)
    differ = np.nanmax(steps, 0, initial=-np.inf) > np.nanmin(steps, 0, initial=np.inf)
    return [mean.tolist(), np.where((std > 0) & differ, std, 1.0).tolist()]
