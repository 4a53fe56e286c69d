"""TextModel: a net that reads a text and writes on, with its vocabulary, in one file."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from .. import nn
from ..core.node import Array
from ..data import TextCorpus, load_text
from ..data.corpus import UNKNOWN
from ..errors import DataError, OptionError
from ..models import GPT, CharLSTM, Writer
from ..nn.options import check, choice, integer, number, optional
from ..optim import AdamW
from ..optim.lr_scheduler import WarmupCosineLR
from ..tensor import functions as f
from ..train import Batch, Trainer
from .learning import Answers, LearningOptions, learn, seeded
from .net_model import NetModel, check_shapes
from .text_drawing import draw

UNITS = {"chars": "characters", "bytes": "bytes", "words": "words", "bpe": "pairs"}
"""What a token can be, and what `TextCorpus` calls it."""
WORDS = 10_000
"""So many different words are kept, if nothing is said."""
UPDATES = 2000
"""A training has at least so many, if the epochs are not said, and an epoch `LEAST`."""
LEAST = 100
MEASURED = 1 << 16
"""Tokens that are looked at after each epoch; `evaluate` looks at all."""
LONGEST_NAME = 256
"""A text that is longer is no path, and no system is asked about it."""
RATES = {"gpt": 1e-3, "lstm": 4e-3}


@dataclass(frozen=True)
class TextOptions(LearningOptions):
    """What a token is, what net reads them, and how it is trained.

    ``tokens``: "chars", "bytes", "words" (the ``vocabulary`` most frequent ones, 10,000 if None) or
    "bpe" (byte pairs, ``vocabulary`` of them, 1,024 if None). ``model``: "gpt" or "lstm". The net
    reads ``length`` tokens at once, in ``layers`` of ``width`` units (a GPT with ``heads``).
    ``lr``: the largest one; None: 1e-3 for a GPT, 4e-3 for an LSTM. It rises over the first
    updates and falls as a cosine to a tenth. ``epochs``: passes over the text, of at least 100
    updates each; None: as many as make 2,000 updates. ``encoding``: of a file.
    """

    lr: float | None = None  # type: ignore[assignment]
    epochs: int | None = None  # type: ignore[assignment]
    weight_decay: float = 0.1
    batch_size: int = 32
    tokens: str = "chars"
    vocabulary: int | None = None
    model: str = "gpt"
    length: int = 64
    width: int = 128
    layers: int | None = None
    heads: int = 4
    dropout: float = 0.0
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        limits = {
            "tokens": choice(*UNITS),
            "model": choice(*RATES),
            "optimizer": choice("adamw"),
            "schedule": choice("cosine"),
            "length": integer(2),
            "width": integer(1),
            "heads": integer(1),
            "layers": optional(integer(1)),
            "vocabulary": optional(integer(2)),
            "dropout": number(0, 1, "[)"),
        }
        check("TextOptions", limits, {k: getattr(self, k) for k in limits})
        if self.lr is None:
            object.__setattr__(self, "lr", RATES[self.model])
        if self.layers is None:
            object.__setattr__(self, "layers", 4 if self.model == "gpt" else 1)
        if self.epochs is None:
            object.__setattr__(self, "epochs", 1)
            object.__setattr__(self, "_counted", True)
        super().__post_init__()

    def for_steps(self, steps: int) -> TextOptions:
        """The same, with as many epochs of so many updates as are usual, if none were asked for."""
        usual = -(-UPDATES // steps)
        return replace(self, epochs=usual) if hasattr(self, "_counted") else self


class _Reading(Trainer):
    """Trains on pieces of a text: each time another part of a row.

    Rows are twice as long as what is read at once.
    """

    def __init__(self, net: Any, length: int, **options: Any) -> None:
        super().__init__(net, **options)
        self.length = length

    def forward(self, x: Any) -> Any:
        """Scores (N, vocabulary, length) of what follows the first tokens of rows (N, 2 length)."""
        return self.model(x[:, : self.length]).movedim(-1, 1)

    def training_step(self, batch: Batch) -> Any:
        """The loss; in training of tokens from a random place of each row on."""
        if self.model.training:
            first = f.randint(0, self.length, (batch.rows, 1))
            piece = f.take_along_axis(batch.x, first + f.arange(self.length + 1), 1)
            batch = batch.replace(piece[:, :-1], piece[:, 1:].long())
        return super().training_step(batch)


class TextModel(NetModel):
    """A trained net for texts, with its vocabulary.

    >>> from chainrule.estimators import TextModel
    >>> text = "the cat sat on the mat. " * 60
    >>> model = TextModel.fit(
    ...     text, model="lstm", width=32, length=16, batch_size=8, epochs=3, lr=0.02
    ... )
    >>> model
    TextModel(lstm, 11 different characters, ... nats a token)
    >>> model.sample("the cat ", 16, temperature=0)
    'sat on the mat. '
    """

    kind = "text"
    corpus: TextCorpus
    """The vocabulary: `TextCorpus.encode` and `TextCorpus.decode`."""
    shape: dict[str, Any]
    """What net it is: its name, length, width, layers, heads and dropout."""

    def __init__(self, shape: Mapping[str, Any], corpus: TextCorpus) -> None:
        """A model without weights; `fit` and `load` make one that has some."""
        super().__init__()
        self.shape, self.corpus = dict(shape), corpus
        self.net = _net_of(self.shape, len(corpus.vocabulary)).eval()
        self._writers: dict[tuple[int | None, float | None], Writer] = {}  # by top_k, top_p
        self._losses = Answers(self.net, self._losses_of)

    @classmethod
    def fit(
        cls,
        text: str | bytes | Path,
        *,
        progress: bool | None = False,
        callbacks: Any = None,
        checkpoint: Any = None,
        **options: Any,
    ) -> Self:
        """Train on a text, or on the file at a ``Path`` (also with gzip).

        Each token is to be told from those before it.

        The other options, with their defaults, are those of `TextOptions`. The last share
        ``validation`` of the text is held out and measured after each epoch; training stops when it
        has not improved for ``patience`` epochs, and the best weights are kept. ``checkpoint`` and
        Ctrl-C are as in `ImageModel.fit`. Callbacks find the model that is trained in
        ``trainer.text_model``. Raises DataError for what is no text, or too short, OptionError or
        TypeError for options that cannot be.
        """
        chosen = TextOptions.of(cls.__name__, options)
        corpus = _corpus(text, chosen)
        train, held = _split(corpus, chosen)
        x, y = _rows(train.tokens, chosen.length, chosen.batch_size)
        chosen = chosen.for_steps(len(x) // chosen.batch_size)
        named = ("model", "length", "width", "layers", "heads", "dropout")
        with seeded(chosen.seed):
            model = cls({k: getattr(chosen, k) for k in named}, _vocabulary_of(corpus))
            steps = len(x) // chosen.batch_size
            trainer = model._trainer(chosen, steps * (chosen.epochs or 1))
            interrupted = learn(
                trainer, chosen, (x, y), _measured_rows(held.tokens, chosen.length),
                progress=progress, callbacks=callbacks, checkpoint=checkpoint,
            )  # fmt: skip
            model.metrics = model._measures(held)
        model.baseline = _counted(train, held)
        model._learned(trainer, chosen, interrupted)
        model.training |= {"tokens_read": len(train), "validation_tokens": len(held)}
        return model

    def _trainer(self, options: TextOptions, updates: int) -> Trainer:
        rate = options.lr or RATES[options.model]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.net.parameters() if p.ndim > 1]},
            {"params": [p for p in self.net.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        adam = AdamW(groups, lr=rate, betas=(0.9, 0.99), weight_decay=options.weight_decay)
        warm = min(100, max(updates // 10, 1))
        course = WarmupCosineLR(adam, warm, max(updates, warm + 1), rate / 10)
        trainer = _Reading(
            self.net,
            options.length,
            loss=nn.CrossEntropyLoss(),
            optimizer=adam,
            scheduler=course,
            scheduler_interval="step",
            clip_norm=1.0,
            seed=options.seed,
        )
        trainer.text_model = self  # type: ignore[attr-defined]
        return trainer

    def example_step(self) -> tuple[Trainer, Array, Array]:
        """A Trainer as in the training, and a batch of rows that repeat the first token."""
        options = TextOptions.described_in(self.training)
        x = np.zeros((options.batch_size, 2 * options.length), np.int64)
        return self._trainer(options, UPDATES), x, x[:, 1 : options.length + 1]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.shape['model']}, {len(self.corpus.vocabulary)} different "
            f"{'byte pairs' if self.corpus.unit == 'pairs' else self.corpus.unit}, "
            f"{self.metrics.get('loss', float('nan')):.4g} nats a token)"
        )

    # -- using -------------------------------------------------------------------------------------
    def stream(
        self,
        prompt: str = "",
        length: int = 500,
        *,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = 0,
    ) -> Iterator[str]:
        """What the net writes behind the prompt, ``length`` tokens, each when it is drawn.

        Without a prompt it begins a line. ``temperature`` 0 takes the best token always; ``top_k``:
        only among the k best; ``top_p``: only among the fewest of the most probable that together
        have this probability. ``seed``: None draws another one each time. Raises DataError for a
        prompt with characters that the model has never read.
        """
        tokens = self._prompt(prompt)
        if (top_k, top_p) not in self._writers:
            self._writers[top_k, top_p] = Writer(self.net, top_k=top_k, top_p=top_p)
        writer = self._writers[top_k, top_p].like(temperature, f.Generator(seed))
        return self._pieces(tokens, writer, length)

    def _pieces(self, tokens: Array, writer: Writer, length: int) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        unit, last = self.corpus.unit, tokens[-1:]
        for token in writer(tokens, length):
            if unit == "bytes":
                text = decoder.decode(bytes(token.astype(np.uint8)))
            elif unit == "pairs":
                text = decoder.decode(self.corpus.vocabulary[int(token[0])])
            elif unit == "words":  # spaces between words depend on both
                both = self.corpus.decode(np.concatenate([last, token]))
                text, last = both[len(self.corpus.decode(last)) :], token
            else:
                text = self.corpus.decode(token)
            yield text
        yield decoder.decode(b"", True)

    def sample(self, prompt: str = "", length: int = 500, **options: Any) -> str:
        """What the net writes behind the prompt; options as of `stream`."""
        return "".join(self.stream(prompt, length, **options))

    def evaluate(
        self, text: str | bytes | Path, *, encoding: str | None = None
    ) -> dict[str, float]:
        """How well each token is foretold: ``loss``, the mean of -ln p in nats a token.

        And ``bits_per_character`` (not of words), and the ``perplexity`` exp(loss). ``encoding``:
        of a file; None: that of the file that was trained on.

        Pieces of ``length`` tokens are read, each token once; characters that were never read raise
        a DataError, unknown words are ``<unk>``. Each token is counted but the first.
        """
        encoding = encoding or str(self.training.get("encoding", "utf-8"))
        like = self.corpus
        return self._measures(_read(text, like.unit, encoding, vocabulary=like.vocabulary))

    def draw(self, path: str | Path) -> Path:
        """Draw the course of training, what the net writes, where a GPT looks. Needs matplotlib."""
        self._needs_history()
        sample = self.sample(length=400)
        return draw(path, self.net, self.history, self.corpus, sample, self.baseline["loss"])

    def _prompt(self, prompt: str) -> Array:
        if prompt:
            return self.corpus.encode(prompt).astype(np.int64)
        try:
            return self.corpus.encode("\n").astype(np.int64)
        except DataError:
            return np.zeros(1, np.int64)

    # -- measures ----------------------------------------------------------------------------------
    def _losses_of(self, x: Any, y: Any) -> Any:
        scores = self.net(x).movedim(-1, 1)
        return nn.functional.cross_entropy(scores, y, reduction="none")

    def _measures(self, corpus: TextCorpus) -> dict[str, float]:
        tokens, length = corpus.tokens.astype(np.int64), int(self.shape["length"])
        if len(tokens) < 2:
            raise DataError(f"{corpus.name}: {len(tokens)} tokens; at least 2 are needed")
        length = min(length, len(tokens) - 1)
        starts = np.arange(0, len(tokens) - length, length)
        rest = (len(tokens) - 1) % length
        if rest:
            starts = np.append(starts[: (len(tokens) - 1) // length], len(tokens) - 1 - length)
        place = starts[:, None] + np.arange(length)
        losses = self._losses(tokens[place], tokens[place + 1]).astype(np.float64)
        total = losses.sum() if not rest else losses[:-1].sum() + losses[-1, -rest:].sum()
        return _of_loss(total / (len(tokens) - 1), corpus)

    # -- file --------------------------------------------------------------------------------------
    def _description(self) -> dict[str, Any]:
        words = self.corpus.vocabulary
        if self.corpus.unit == "pairs":
            words = tuple(w.decode("latin-1") for w in words)
        listed = None if self.corpus.unit == "bytes" else list(words)
        return {"net": self.shape, "unit": self.corpus.unit, "vocabulary": listed}

    @classmethod
    def _described(cls, held: Mapping[str, Any], weights: Mapping[str, Array]) -> Self:
        unit, words = held["unit"], held["vocabulary"]
        if unit == "bytes":
            words = range(256)
        elif not all(isinstance(w, str) for w in words):
            raise DataError("the vocabulary has entries that are no texts")
        elif unit == "characters" and any(len(w) != 1 for w in words):
            raise DataError("the vocabulary has entries that are no characters")
        elif unit == "words" and UNKNOWN not in words:
            raise DataError(f"the vocabulary has no {UNKNOWN}")
        elif unit == "pairs":
            words = [w.encode("latin-1") for w in words]
        shape: dict[str, Any] = {
            "model": str(held["net"]["model"]),
            **{k: _count(held["net"][k], k) for k in ("length", "width", "layers", "heads")},
            "dropout": float(held["net"]["dropout"]),
        }
        width, layers = shape["width"], shape["layers"]
        own = {"gpt": "blocks__0__up__weight", "lstm": "lstm__weight_hh_l0"}[shape["model"]]
        check_shapes(weights, embedding__weight=(len(words), width), **{own: (4 * width, width)})
        if shape["model"] == "gpt":
            check_shapes(weights, position__weight=(shape["length"], width))
        if layers > len(weights):
            raise DataError(f"{layers} layers do not fit {len(weights)} weights")
        return cls(shape, TextCorpus("", unit, vocabulary=words, name="the prompt"))


def _net_of(shape: Mapping[str, Any], size: int) -> Any:
    width, layers, dropout = shape["width"], shape["layers"], shape["dropout"]
    if shape["model"] == "lstm":
        return CharLSTM(size, width, layers, dropout)
    return GPT(size, shape["length"], width, shape["heads"], layers, dropout)


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1 << 20:
        raise DataError(f"{name} is {value!r}")
    return value


def _corpus(text: str | bytes | Path, options: TextOptions) -> TextCorpus:
    unit, size = UNITS[options.tokens], options.vocabulary
    if size is not None and options.tokens not in ("words", "bpe"):
        raise OptionError(f"vocabulary is for words and bpe; {options.tokens} are as many as occur")
    size = WORDS if options.tokens == "words" and size is None else size
    return _read(text, unit, options.encoding, size=size)


def _read(text: str | bytes | Path, unit: str, encoding: str, **options: Any) -> TextCorpus:
    if isinstance(text, Path):
        return load_text(text, unit, encoding=encoding, **options)
    if isinstance(text, str) and _names_file(text):
        raise DataError(f"the text {text!r} is the name of a file; write Path({text!r})")
    return TextCorpus(text, unit, **options)


def _names_file(text: str) -> bool:
    with suppress(OSError, ValueError):
        return len(text) < LONGEST_NAME and Path(text).is_file()
    return False


def _vocabulary_of(corpus: TextCorpus) -> TextCorpus:
    return TextCorpus("", corpus.unit, vocabulary=corpus.vocabulary, name="the prompt")


def _split(corpus: TextCorpus, options: TextOptions) -> tuple[TextCorpus, TextCorpus]:
    """The first part of the text and the last, with enough tokens in both."""
    held = max(int(len(corpus) * options.validation), 2)
    least = 2 * options.length + held
    if len(corpus) < least:
        raise DataError(
            f"{corpus.name} has {len(corpus):,} tokens; a net that reads {options.length} at once "
            f"needs at least {least:,}: give more text, or a smaller length"
        )
    return corpus.split(1 - held / len(corpus))


def _rows(tokens: Array, length: int, batch: int) -> tuple[Array, Array]:
    """Rows (N, 2 length) that cover the text evenly, and what follows the first tokens of each.

    The latter (N, length); N is a multiple of the batch.
    """
    steps = max(-(-len(tokens) // (length * batch)), LEAST)
    starts = np.linspace(0, len(tokens) - 2 * length, steps * batch).astype(np.int64)
    x = tokens[starts[:, None] + np.arange(2 * length)]
    return x, x[:, 1 : length + 1].astype(np.int64)


def _measured_rows(tokens: Array, length: int) -> tuple[Array, Array]:
    """The same of the text that is held out, side by side; of a long one as many as are measured.

    A text that is shorter than a row is filled up with labels that do not count.
    """
    count = max(min((len(tokens) - 1) // length, MEASURED // length), 1)
    last = max(len(tokens) - 1 - length, 0)
    starts = np.linspace(0, last, count).astype(np.int64)
    place = starts[:, None] + np.arange(2 * length)
    x = tokens[np.minimum(place, len(tokens) - 1)]
    y = x[:, 1 : length + 1].astype(np.int64)
    y[place[:, 1 : length + 1] >= len(tokens)] = -100
    return x, y


def _of_loss(loss: float, corpus: TextCorpus) -> dict[str, float]:
    found = {"loss": float(loss), "perplexity": math.exp(min(loss, 700.0))}
    if corpus.unit == "words":  # unknown ones have no characters
        return found
    decoded = corpus.decode(corpus.tokens)
    text = decoded if isinstance(decoded, str) else decoded.decode("utf-8", "replace")
    bits = float(loss) / math.log(2) * len(corpus) / max(len(text), 1)
    return {"loss": float(loss), "bits_per_character": bits} | found


def _counted(train: TextCorpus, held: TextCorpus) -> dict[str, float]:
    """The measures of the share of each token, whatever was before: (count + 1) / (all + V)."""
    size = len(train.vocabulary)
    share = (np.bincount(train.tokens, minlength=size) + 1) / (len(train) + size)
    return _of_loss(float(-np.log(share[held.tokens[1:]]).mean()), held)
