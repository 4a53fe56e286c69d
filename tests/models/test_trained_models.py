"""Trained nets: what is shipped does what its card says; what is not there says how to get it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import models
from chainrule.cli.main import main
from chainrule.errors import CheckpointError, DataError, OptionError
from chainrule.experiments.base import Lab, bits
from chainrule.experiments.images import grey, images, mnist
from chainrule.experiments.trained import RECIPES, accuracy, build
from chainrule.models.trained import NETS, SHIPPED, found

NAMES = sorted(p.stem for p in SHIPPED.glob("*.safetensors"))


def test_every_net_has_a_recipe_and_the_small_ones_are_shipped() -> None:
    assert set(NETS) == set(RECIPES)
    assert {
        "xor",
        "symmetry",
        "digits",
        "dbn-digits",
        "lenet5-mnist",
        "char-lstm-names",
        "char-lstm-shakespeare",
        "gpt-shakespeare",
    } <= set(NAMES)
    assert sum(p.stat().st_size for p in SHIPPED.iterdir()) < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_cards_are_whole(name: str) -> None:
    card = models.card(name)
    assert card.name == name and card.licence and card.data and card.score and card.version
    model = models.load(name)
    assert not model.training and all(np.isfinite(p.numpy()).all() for p in model.parameters())


def test_bits() -> None:
    x = bits(2).astype("f")
    assert (models.load("xor")(x).numpy() > 0.5).ravel().tolist() == [False, True, True, False]
    x = bits(6).astype("f")
    wanted = (x == x[:, ::-1]).all(axis=1)
    net = models.load("symmetry")
    assert ((net(x).numpy()[:, 0] > 0.5) == wanted).all()
    weights = net[0].weight.numpy()
    np.testing.assert_allclose(weights, -weights[:, ::-1], atol=0.02)


@pytest.mark.parametrize("name", ["digits", "dbn-digits"])
def test_scores_on_the_bundled_digits(name: str) -> None:
    assert accuracy(images(Lab()))(models.load(name)) == models.card(name).score


@pytest.mark.slow
@pytest.mark.skipif("CHAINRULE_DATA" not in os.environ, reason="needs MNIST")
def test_the_score_of_lenet() -> None:
    data = mnist()
    assert grey(data.x_test[:1]).shape == (1, 1, 28, 28)
    assert accuracy(data, True)(models.load("lenet5-mnist")) == models.card("lenet5-mnist").score


def test_the_writer_writes_words() -> None:
    net, card = models.load("char-lstm-shakespeare"), models.card("char-lstm-shakespeare")
    start = [card.vocabulary.index(c) for c in "KING "]
    tokens = models.generate(net, start, 60, temperature=0.5, generator=cr.Generator(0)).tolist()
    text = "".join(card.vocabulary[t] for t in tokens)
    assert text.startswith("KING ") and len(set(text.lower().split()) & COMMON) >= 2, text


COMMON = set("the and i to of you my a that in is not for be with your his as he have thou".split())


def test_a_net_is_built_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "xor", "--build", "--out", str(tmp_path), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card == models.card("xor", tmp_path).__dict__
    assert card["score"] == "4 of 4 cases right"
    for p, q in zip(
        models.load("xor", tmp_path).parameters(), models.load("xor").parameters(), strict=True
    ):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=2e-3)


@pytest.mark.slow
def test_a_belief_net_is_made_again(tmp_path: Path) -> None:
    path = build("dbn-digits", tmp_path)
    assert models.card("dbn-digits", path.parent).score == models.card("dbn-digits").score


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in NETS) and "with the package" in text
    assert main(["models", "symmetry"]) == 0
    assert "64 of 64 cases right" in capsys.readouterr().out
    assert main(["models", "resnet"]) == 2


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"models.load: no trained net 'lenet'; there are xor, "):
        models.load("lenet")
    with pytest.raises(
        DataError, match=r"'xor' is not there in .*; `chainrule models xor --build` trains it"
    ):
        models.load("xor", tmp_path)
    with pytest.raises(OptionError, match="models: no recipe for 'lenet'"):
        build("lenet", tmp_path)
    cr.save({"weight": cr.ones(2)}, tmp_path / "xor.safetensors")
    with pytest.raises(CheckpointError, match="is no trained net of `chainrule models`"):
        models.load("xor", tmp_path)
    assert found("xor", tmp_path) is not None
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="MNIST"):
        build("lenet5-mnist", tmp_path)
