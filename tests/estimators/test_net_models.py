"""Models of images, sequences and texts: what they learn, their files, and how runs go on."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

import chainrule as cr
from chainrule.errors import ChainruleError, CheckpointError, DataError, OptionError
from chainrule.estimators import ImageModel, SequenceModel, TableModel, TextModel
from chainrule.estimators.net_model import NetModel
from chainrule.train import Callback

RNG = np.random.default_rng(0)
CLASSES = np.array(["dark", "light"])
LABELS = np.arange(60) % 2
IMAGES = (RNG.random((60, 8, 8)) * 90 + 80 * LABELS[:, None, None]).astype(np.uint8)
STEPS = [(i % 2 - 0.5) * np.arange(10.0 + i % 5) + RNG.normal(size=10 + i % 5) for i in range(40)]
NAMES = ["down", "up"] * 20
TEXT = "the cat sat on the mat. " * 40

Fit = Callable[..., NetModel]


def image_model(**options: Any) -> NetModel:
    given = {"model": "linear", "lr": 0.01, "epochs": 4, "batch_size": 27, "augment": ("shift:1",)}
    return ImageModel.fit(IMAGES, CLASSES[LABELS], **(given | options))


def sequence_model(**options: Any) -> NetModel:
    given = {"width": 8, "layers": 1, "epochs": 9, "lr": 0.03, "batch_size": 8, "model": "gru"}
    return SequenceModel.fit(STEPS, NAMES, **(given | options))


def text_model(**options: Any) -> NetModel:
    given = {"model": "gpt", "width": 8, "layers": 1, "heads": 2, "length": 8, "batch_size": 4}
    return TextModel.fit(TEXT, **(given | {"epochs": 3, "lr": 0.02, "dropout": 0.1} | options))


MAKE: dict[str, Fit] = {"image": image_model, "sequence": sequence_model, "text": text_model}


@pytest.fixture(scope="module")
def models() -> dict[str, NetModel]:
    return {name: make() for name, make in MAKE.items()}


@pytest.fixture(params=list(MAKE))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answers(model: Any) -> Any:
    if isinstance(model, TextModel):
        return model.sample(length=20)
    return model.predict_proba(IMAGES if isinstance(model, ImageModel) else STEPS).tolist()


# -- files -----------------------------------------------------------------------------------------
def test_a_file_has_all_that_is_needed(kind: str, models: Any, tmp_path: Path) -> None:
    model = models[kind]
    path = model.save(tmp_path / "m.safetensors")
    again = type(model).load(path)
    assert answers(again) == answers(model)
    assert again.describe() == model.describe() and repr(again) == repr(model)
    assert again.save(tmp_path / "n.safetensors").read_bytes() == path.read_bytes()
    other = next(m for k, m in models.items() if k != kind)
    with pytest.raises(CheckpointError, match=f"a model of the kind '{kind}'; "):
        type(other).load(path)
    with pytest.raises(CheckpointError, match=f"{type(model).__name__}.load reads it"):
        TableModel.load(path)


def test_the_same_run_is_the_same_file_and_leaves_the_generator(
    kind: str, models: Any, tmp_path: Path
) -> None:
    cr.manual_seed(3)
    wanted = cr.rand(2).tolist()
    cr.manual_seed(3)
    again = MAKE[kind]()
    assert cr.rand(2).tolist() == wanted
    paths = [m.save(tmp_path / f"{i}") for i, m in enumerate((models[kind], again))]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert any((MAKE[kind](seed=1).weights[k] != v).any() for k, v in again.weights.items())


def test_a_damaged_file_is_refused(kind: str, models: Any, tmp_path: Path) -> None:
    path = models[kind].save(tmp_path / "m")
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:40], whole[:-9] + b"\x01" + whole[-8:], b"no model"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            type(models[kind]).load(path)


ODD = [None, True, -1, 0, 3, 1 << 40, 1e308, float("nan"), "", "x", [], {}, [None], [1], "\ud800"]


def places(held: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = held.items() if isinstance(held, dict) else enumerate(held)
    for key, value in items:
        yield (*way, key)
        if isinstance(value, dict | list):
            yield from places(value, (*way, key))


def changed(held: Any, way: tuple[Any, ...], value: Any) -> Any:
    held = copy.deepcopy(held)
    at = held
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = value
    return held


def harmful(model: NetModel, folder: Path, seed: int, count: int) -> int:
    """How many of so many changed descriptions, with a right checksum, are refused; the others
    must answer, or say what is wrong."""
    from chainrule.estimators.model_file import write_model

    rng, refused = random.Random(seed), 0
    held = json.loads(json.dumps(model.describe()))
    for _ in range(count):
        way = rng.choice(list(places(held)))
        path = write_model(folder / "m", model.kind, changed(held, way, rng.choice(ODD)),
                           model.weights)  # fmt: skip
        try:
            read = type(model).load(path)
        except CheckpointError as error:
            assert str(path) in str(error)
            refused += 1
            continue
        try:
            answers(read)
        except ChainruleError:
            pass
    return refused


def test_odd_descriptions_are_refused_or_harmless(kind: str, models: Any, tmp_path: Path) -> None:
    assert 2 < harmful(models[kind], tmp_path, 0, 12) <= 12


@pytest.mark.slow
def test_many_odd_descriptions_are_refused_or_harmless(
    kind: str, models: Any, tmp_path: Path
) -> None:
    assert harmful(models[kind], tmp_path, 1, 400) > 100


def test_huge_sizes_are_refused_before_a_net_is_made(
    kind: str, models: Any, tmp_path: Path
) -> None:
    from chainrule.estimators.model_file import write_model

    model = models[kind]
    held = model.describe()
    ways = {
        "image": [("shape", 1), ("shape", 2)],
        "sequence": [("net", "width"), ("net", "layers"), ("net", "channels")],
        "text": [("net", "width"), ("net", "layers"), ("net", "length")],
    }[kind]
    for way in ways:
        path = write_model(tmp_path / "m", kind, changed(held, way, 50_000), model.weights)
        with pytest.raises(CheckpointError, match="do not fit"):
            type(model).load(path)


def test_files_written_by_others_are_refused(models: Any, tmp_path: Path) -> None:
    path = models["text"].save(tmp_path / "m")
    with safe_open(path, "np") as file:
        held = json.loads(file.metadata()["chainrule_text_model"])
    for change, said in (
        ({"version": 9}, "written in version 9 of the format; this program reads 1"),
        ({"checksum": "0"}, "damaged: its checksum does not match its contents"),
        ({"unit": "words"}, "its checksum does not match"),
    ):
        metadata = {"chainrule_text_model": json.dumps(held | change)}
        path.write_bytes(save_tensors(models["text"].weights, metadata))
        with pytest.raises(CheckpointError, match=said):
            TextModel.load(path)


# -- runs ------------------------------------------------------------------------------------------
class Press(Callback):
    """Ctrl-C after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_goes_on_after_ctrl_c_to_the_same_bits(
    kind: str, models: Any, tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.warns(UserWarning, match="interrupted by user, after 2 of "):
            part = MAKE[kind](checkpoint=tmp_path / "run", callbacks=Press(2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert part.interrupted and len(part.history) == 2
    whole = MAKE[kind](checkpoint=tmp_path / "run", callbacks=Press(-1))
    assert not whole.interrupted
    for name, value in models[kind].weights.items():
        np.testing.assert_array_equal(whole.weights[name], value)
    assert whole.metrics == models[kind].metrics


def test_figures(kind: str, models: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert models[kind].draw(tmp_path / "f.png").read_bytes()[:4] == b"\x89PNG"
    loaded = type(models[kind]).load(models[kind].save(tmp_path / "m"))
    with pytest.raises(OptionError, match="loaded"):
        loaded.draw(tmp_path / "g.png")


def test_options_that_are_unknown_or_wrong(kind: str) -> None:
    for options, error, said in (
        ({"epoch": 3}, TypeError, "has no option 'epoch'; did you mean 'epochs'?"),
        ({"lr": 0.0}, OptionError, "lr must be a number > 0"),
        ({"model": "resnet"}, OptionError, "resnet"),
        ({"dropout": 1.0}, OptionError, "dropout must be a number in \\[0, 1\\)"),
        ({"optimizer": "adan"}, OptionError, "adan"),
    ):
        with pytest.raises(error, match=said):
            MAKE[kind](**options)


# -- images ----------------------------------------------------------------------------------------
def test_images_are_told_apart(models: Any) -> None:
    model = models["image"]
    assert model.classes == ("dark", "light") and model.shape == (1, 8, 8)
    assert (model.predict(IMAGES) == CLASSES[LABELS]).mean() > 0.9
    assert model.evaluate(IMAGES, CLASSES[LABELS])["accuracy"] > 0.9
    assert model.baseline["accuracy"] == 0.5
    alone = [model.predict_proba(IMAGES[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(alone, model.predict_proba(IMAGES[:3]), rtol=1e-6)


@pytest.mark.parametrize("name", ["conv", "lenet5", "lenet4", "lenet1", "mlp", "linear"])
def test_every_net_takes_images(name: str) -> None:
    from chainrule.estimators.image_nets import net_of, pixels_of

    one = np.ones((1, 1, 1), np.float32)
    net = net_of(name, (1, 28, 28), 4, 0.1, pixels_of(name, 33 * one, 79 * one))
    assert net(cr.zeros(2, 1, 28, 28, dtype="uint8")).shape == (2, 4)
    if name.startswith("lenet"):  # background and ink are those of 1998
        np.testing.assert_allclose(
            net[0](cr.tensor([0, 255], dtype="uint8").reshape(2, 1, 1, 1)).numpy().ravel(),
            [-0.1, 1.175], rtol=1e-5,
        )  # fmt: skip
        with pytest.raises(OptionError, match="reads grey images of at most"):
            net_of(name, (3, 32, 32), 4, 0.0, pixels_of(name, one, one))


def test_colours_channels_last_and_mistakes_of_images() -> None:
    from chainrule.data.images import as_images

    rgb = RNG.integers(0, 255, (4, 6, 5, 3))
    np.testing.assert_array_equal(as_images(rgb), rgb.transpose(0, 3, 1, 2))
    assert as_images(rgb).dtype == np.uint8
    for x, said in (
        (IMAGES / 255, "pixels are whole numbers from 0 to 255"),
        (IMAGES[0], "expected, got the shape \\(8, 8\\)"),
        (np.zeros((2, 5, 4, 4), np.uint8), "1 or 3 channels are expected"),
    ):
        with pytest.raises(DataError, match=said):
            as_images(x)
    for labels, said in (
        (["a"] * 60, "all examples are of one class; .* at least two"),
        (["a"] * 59, "60 images and labels of the shape"),
        (None, "give the labels"),
    ):
        with pytest.raises((DataError, OptionError), match=said):
            ImageModel.fit(IMAGES, labels)
    with pytest.raises(OptionError, match="augment: 'spin' is unknown; there are shift, rotate"):
        image_model(augment=("spin",))
    with pytest.raises(OptionError, match="RandomMixup: alpha is above 0, got -1"):
        image_model(augment=("mixup:-1",))


def test_what_does_not_fit_a_model_of_images(models: Any) -> None:
    model = models["image"]
    with pytest.raises(DataError, match=re.escape("the model takes (1, 8, 8)")):
        model.predict(np.zeros((2, 9, 8), np.uint8))
    with pytest.raises(DataError, match="the class 'grey' is none of dark, light"):
        model.evaluate(IMAGES, ["grey"] * 60)


# -- sequences -------------------------------------------------------------------------------------
def test_sequences_of_unequal_length_are_told_apart(models: Any) -> None:
    model = models["sequence"]
    assert model.evaluate(STEPS, NAMES)["accuracy"] > 0.9
    assert model.predict(STEPS[:2]).tolist() == NAMES[:2]
    longer = np.pad(STEPS[0], (0, 3), constant_values=np.nan)  # what is beyond the end is not read
    alone, together = model.predict_proba([STEPS[0]]), model.predict_proba([STEPS[0], longer])
    np.testing.assert_allclose(alone[0], together[0], rtol=1e-5)


@pytest.mark.parametrize("net", ["conv", "gru", "lstm"])
def test_padding_changes_nothing(net: str) -> None:
    from chainrule.estimators.sequence_nets import net_of

    cr.manual_seed(0)
    layers = net_of(net, 2, 3, 5, 2, 0.0).eval()
    x = cr.randn(2, 9, 2)
    wide = cr.cat([x[:, :6], 100 * cr.ones(2, 3, 2)], 1)
    lengths = cr.tensor([6, 4])
    np.testing.assert_allclose(
        layers(x[:, :6], lengths).numpy(), layers(wide, lengths).numpy(), rtol=1e-5, atol=1e-6
    )


def test_values_are_predicted_in_their_unit(tmp_path: Path) -> None:
    x = RNG.normal(size=(80, 6, 1)).astype(np.float32)
    y = 1000 + 50 * x.sum((1, 2))
    model = SequenceModel.fit(x, y, model="conv", width=16, layers=1, epochs=30, lr=0.02)
    assert model.metrics["r2"] > 0.8 and abs(model.predict(x).mean() - 1000) < 30
    assert abs(model.baseline["r2"]) < 0.3
    again = SequenceModel.load(model.save(tmp_path / "m"))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    with pytest.raises(OptionError, match="probabilities need classes"):
        again.predict_proba(x)
    assert repr(again).startswith("SequenceModel(conv, 1 channel, values, rmse ")


def test_mistakes_of_sequences(models: Any) -> None:
    for x, y, said in (
        ([np.zeros((3, 2)), np.zeros((3, 1))], [0, 1], "sequence 2 has 1 channels, those before 2"),
        ([np.zeros(3), np.zeros(0)], [0, 1], "sequence 2 has the shape"),
        ([np.zeros(3)] * 2, [0], "2 sequences and labels of the shape \\(1,\\)"),
        ([np.zeros(3)] * 4, [1] * 4, "all examples are of one class"),
        ([np.array([1, np.inf])], [1], "sequence 1 has infinite values"),
    ):
        with pytest.raises(DataError, match=said):
            SequenceModel.fit(x, y)
    with pytest.raises(DataError, match="sequences of 2 channels; the model reads 1 of them"):
        models["sequence"].predict(np.zeros((2, 4, 2)))


# -- texts -----------------------------------------------------------------------------------------
def test_a_text_is_learned_and_measured(models: Any) -> None:
    model = models["text"]
    assert model.metrics["loss"] < 0.6 < 2 < model.baseline["loss"]
    assert model.metrics["bits_per_character"] == pytest.approx(
        model.metrics["loss"] / np.log(2), rel=1e-6
    )
    found = model.evaluate("the cat sat on the mat")["loss"]
    tokens = model.corpus.encode("the cat sat on the mat").astype(np.int64)
    losses, length = [], model.shape["length"]
    starts = [0, 8, len(tokens) - 1 - length]  # each token once, the last in a piece of its own
    for start, skipped in zip(starts, (0, 0, 16 - starts[2]), strict=True):
        piece = tokens[start : start + length + 1]
        z = model.net(cr.tensor(piece[None, :-1])).numpy()[0].astype(float)
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        losses += list(-np.log(p[np.arange(length), piece[1:]]))[skipped:]
    assert len(losses) == len(tokens) - 1
    assert found == pytest.approx(np.mean(losses), rel=1e-5)


def test_samples_are_streamed_by_seed_and_prompt(models: Any) -> None:
    model = models["text"]
    pieces = list(model.stream("the ", 12, temperature=0))
    assert len(pieces) == 13 and "".join(pieces) == model.sample("the ", 12, temperature=0)
    texts = [model.sample(length=30, temperature=2.0, seed=s) for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(model.sample(length=40, temperature=5.0, top_k=1, seed=None))) > 3
    with pytest.raises(DataError, match="'Z' at 0 is not in the vocabulary of 11 characters"):
        model.sample("Z")


@pytest.mark.parametrize("tokens", ["bytes", "words", "bpe"])
def test_other_tokens(tokens: str, tmp_path: Path) -> None:
    size = {"vocabulary": {"words": 6, "bpe": 264}[tokens]} if tokens != "bytes" else {}
    text = ("löwe, tier\nder " * 60).strip()
    model = TextModel.fit(
        text,
        tokens=tokens,
        model="lstm",
        width=16,
        length=4,
        batch_size=4,
        lr=0.03,
        epochs=1,
        **size,
    )
    again = TextModel.load(model.save(tmp_path / "m"))
    whole = "".join(again.stream("", 60, temperature=0.2))
    assert whole == model.sample(length=60, temperature=0.2) and isinstance(whole, str)
    assert ("bits_per_character" in model.metrics) == (tokens != "words")
    if tokens == "words":
        assert again.corpus.decode(again.corpus.encode("tier der zebra")) == "tier der <unk>"
    else:
        assert "ö" in whole  # put together from two bytes


def test_mistakes_of_texts(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\x89PNG\r\n")
    for text, options, said in (
        ("short", {}, "the text has 5 tokens; a net that reads 64 at once needs at least 130"),
        ("", {}, "the text is empty"),
        (tmp_path / "b", {}, "byte 0 is 0x89, which is not utf-8"),
        (tmp_path / "c", {}, "no such file"),
        (TEXT, {"vocabulary": 9}, "vocabulary is for words and bpe"),
        (TEXT, {"tokens": "letters"}, "tokens must be 'chars', 'bytes', 'words' or 'bpe'"),
        (TEXT, {"heads": 3}, "width=128 is no multiple of heads=3"),
    ):
        with pytest.raises((DataError, OptionError), match=said):
            TextModel.fit(text, **options)
