"""The Transformer from tokens to tokens: what it may not see, and what it writes, against searches
that keep nothing and leave nothing out."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.errors import OptionError, ShapeError
from chainrule.models import END, PAD, START, Seq2SeqTransformer, beam_search

SOURCE = np.array([[3, 4, 5, 6], [6, 3, PAD, PAD]])


def net(seed: int = 0, **options: bool) -> Seq2SeqTransformer:
    cr.manual_seed(seed)
    return Seq2SeqTransformer(7, 8, 2, 2, 16, 0.0, **options).double().eval()


def log_probabilities(model: Seq2SeqTransformer, source: np.ndarray, said: list[int]) -> np.ndarray:
    """log P of what may follow ``said``: no padding, no start."""
    scores = model(source[None], np.array([[START, *said]])).numpy()[0, -1]
    logs = scores - np.log(np.exp(scores).sum())
    logs[:END] = -np.inf
    return logs


@pytest.mark.parametrize("norm_first", [False, True])
def test_step_by_step_it_says_what_it_says_at_once(norm_first: bool) -> None:
    model = net(norm_first=norm_first)
    target = np.array([[START, 5, 4, 3, 6], [START, 3, 3, 4, 6]])
    at_once = model(SOURCE, target).numpy()
    with cr.no_grad():
        reading, state = model.read(SOURCE), model.begin(2, 1, 5)
        for t in range(5):
            scores, state = model.advance(cr.tensor(target[:, t : t + 1]), state, reading)
            np.testing.assert_allclose(scores.numpy()[:, 0], at_once[:, t], atol=1e-12)


def test_later_targets_change_nothing_before_and_padding_changes_nothing() -> None:
    model = net()
    target = np.array([[START, 5, 4, 3, 6], [START, 3, 3, 4, 6]])
    before = model(SOURCE, target).numpy()
    other = target.copy()
    other[:, 3:] = 4
    np.testing.assert_array_equal(model(SOURCE, other).numpy()[:, :3], before[:, :3])
    short = model(SOURCE[1:, :2], target[1:]).numpy()
    np.testing.assert_allclose(before[1:], short, atol=1e-12)


def test_without_positions_an_encoder_moves_with_its_source() -> None:
    encoder = net().transformer.encoder
    x, order = cr.randn(1, 6, 8).double(), np.array([3, 1, 5, 0, 2, 4])
    moved = encoder(x[:, order]).numpy()
    np.testing.assert_allclose(moved, encoder(x).numpy()[:, order], atol=1e-10)


def test_positions_are_the_sines_of_the_paper() -> None:
    model = net()
    with cr.no_grad():
        model.embedding.weight.assign(cr.zeros(7, 8))
    found = model._embedded(cr.tensor([[3, 3, 3]])).numpy()[0]
    angles = np.arange(3)[:, None] / 10000 ** (np.arange(0, 8, 2) / 8)
    np.testing.assert_allclose(found[:, ::2], np.sin(angles), atol=1e-12)
    np.testing.assert_allclose(found[:, 1::2], np.cos(angles), atol=1e-12)


def test_attention_is_what_the_decoder_looks_at() -> None:
    model = net()
    maps = model.attention(SOURCE, np.array([[START, 5], [START, 3]]))
    assert [m.shape for m in maps] == [(2, 2, 2, 4)] * 2
    for m in maps:
        np.testing.assert_allclose(m.numpy().sum(-1), 1.0)
        assert (m.numpy()[1, :, :, 2:] == 0).all()  # padding
    assert not any(
        layer.multihead_attn._forward_pre_hooks for layer in model.transformer.decoder.layers
    )


def test_one_beam_takes_the_most_probable_token() -> None:
    model = net(3)
    found = beam_search(model, SOURCE, 4, 1).numpy()
    for row, source in zip(found, SOURCE, strict=True):
        said: list[int] = []
        while len(said) < 4 and END not in said:
            said.append(int(log_probabilities(model, source, said).argmax()))
        assert row.tolist() == said + [PAD] * (4 - len(said))


@pytest.mark.parametrize("penalty", [0.0, 2.0])
def test_enough_beams_find_the_best_of_all(penalty: float) -> None:
    cr.manual_seed(1)
    model, length, source = (
        Seq2SeqTransformer(5, 4, 1, 1, 8, 0.0).double().eval(),
        3,
        SOURCE[:1] % 5,
    )
    [row] = beam_search(model, source, length, 16, penalty).numpy()
    best: tuple[float, list[int]] = (-np.inf, [])
    for said in itertools.product(range(END, 5), repeat=length):
        cut = list(said[: said.index(END) + 1] if END in said else said)
        logs = sum(log_probabilities(model, source[0], cut[:i])[c] for i, c in enumerate(cut))
        best = max(best, (logs / ((5 + len(cut)) / 6) ** penalty, cut))
    assert row.tolist() == best[1] + [PAD] * (length - len(best[1]))


def test_writing_leaves_the_mode_as_it_was() -> None:
    model = net().train()
    beam_search(model, SOURCE, 2)
    assert model.training


def test_parameters_and_initial_numbers() -> None:
    model = Seq2SeqTransformer(100, 32, 4, 2, 64)
    attention, norm = 4 * 32 * 33, 2 * 32
    feedforward = 32 * 64 + 64 + 64 * 32 + 32
    encoder, decoder = attention + feedforward + 2 * norm, 2 * attention + feedforward + 3 * norm
    count = sum(p.numel() for p in model.parameters())
    assert count == 100 * 32 + 2 * (encoder + decoder) + 2 * norm
    assert model.embedding.weight.numpy().std() == pytest.approx(32**-0.5, rel=0.1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Seq2SeqTransformer(7, 8, 3),
            OptionError,
            "width=8 is odd, or no multiple of heads=3",
        ),
        (lambda: Seq2SeqTransformer(0), OptionError, "vocabulary"),
        (
            lambda: net()(SOURCE[0], SOURCE),
            ShapeError,
            "reads source as tokens (N, L), integers; got int64",
        ),
        (lambda: net()(SOURCE, SOURCE * 1.0), ShapeError, "reads target as tokens (N, L)"),
        (
            lambda: beam_search(nn.Linear(1, 1), SOURCE, 3),
            OptionError,
            "is a Seq2SeqTransformer, got Linear",
        ),
        (lambda: beam_search(net(), SOURCE, 0), OptionError, "length"),
        (lambda: models.ResNet(18), OptionError, "depth is 8, 14, 20, … = 6 n + 2, got 18"),
    ],
)
def test_mistakes(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_resnet_20_has_the_weights_of_the_paper_and_its_shortcuts_none() -> None:
    def count(**options: object) -> int:
        return sum(p.numel() for p in models.ResNet(**options).parameters())  # type: ignore[arg-type]

    assert count(depth=20) == count(depth=20, shortcuts=False) == 269_722
    assert count(depth=56) == 853_018


def test_a_block_whose_layers_say_nothing_hands_on_its_input() -> None:
    block = models.resnet.BasicBlock(4, 8, 2).eval()
    with cr.no_grad():
        block.norm2.weight.assign(cr.zeros(8))
    x = cr.rand(2, 4, 6, 6)
    y = block(x).numpy()
    np.testing.assert_array_equal(y[:, 2:6], x.numpy()[:, :, ::2, ::2])
    assert not y[:, :2].any() and not y[:, 6:].any()
