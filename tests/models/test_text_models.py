"""Nets for texts: shapes, counts and initial numbers of their sources; what they may not see; what
they write."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.errors import DataError, OptionError, ShapeError
from chainrule.models.text import _nucleus


def gpt(**options: object) -> models.GPT:
    cr.manual_seed(0)
    sizes: dict[str, object] = {"vocabulary": 7, "length": 6, "width": 8, "heads": 2, "layers": 2}
    return models.GPT(**{**sizes, **options})  # type: ignore[arg-type]


def lstm() -> models.CharLSTM:
    cr.manual_seed(0)
    return models.CharLSTM(7, 8, 2)


def test_parameters_of_nanogpt() -> None:
    def count(model: nn.Module) -> int:
        return sum(p.numel() for p in model.parameters())

    assert count(models.GPT(65, 64, 128, 4, 4, tie=True)) == 804_096
    assert count(models.GPT(65, 64, 128, 4, 4)) == 804_096 + 65 * 128
    biases = 4 * (3 + 1 + 4 + 1 + 1 + 1) * 128 + 128
    assert count(models.GPT(65, 64, 128, 4, 4, bias=True, tie=True)) == 804_096 + biases


def test_initial_numbers_of_nanogpt() -> None:
    model = gpt(width=64, layers=8, bias=True)
    for name, p in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            assert (p.numpy() == float("norm" in name and name.endswith("weight"))).all(), name
        else:
            to_sum = name.endswith(("out_proj.weight", "down.weight"))
            wanted = 0.02 / 4 if to_sum else 0.02
            assert p.numpy().std() == pytest.approx(wanted, rel=0.15), name


def test_at_first_all_tokens_are_about_equally_likely() -> None:
    x = cr.tensor(np.arange(6).reshape(1, 6))
    loss = nn.functional.cross_entropy(gpt()(x).flatten(0, 1), x.flatten())
    assert loss.item() == pytest.approx(np.log(7), abs=0.1)


@pytest.mark.parametrize("make", [gpt, lstm])
def test_what_comes_later_changes_nothing_before(make) -> None:
    model = make().double()
    x = np.array([[1, 2, 3, 4, 5, 6]])
    other = np.array([[1, 2, 3, 0, 0, 1]])
    a, b = (model(cr.tensor(t)).numpy() for t in (x, other))
    np.testing.assert_array_equal(a[:, :3], b[:, :3])
    assert np.abs(a[:, 3:] - b[:, 3:]).min(-1).max() > 0


def test_attention_maps_are_shares_of_what_came_before() -> None:
    maps = gpt().attention(cr.tensor([[1, 2, 3, 4]]))
    assert [m.shape for m in maps] == [(1, 2, 4, 4)] * 2
    for m in maps:
        np.testing.assert_allclose(m.numpy().sum(-1), 1, rtol=1e-6)
        assert not np.triu(m.numpy()[0, 0], 1).any()


def test_a_tied_table_learns_from_both_its_uses() -> None:
    model = gpt(tie=True)
    assert model.head.weight is model.embedding.weight
    model(cr.tensor([[1, 2]])).sum().backward()
    assert model.embedding.weight.grad.numpy()[5].any()  # never read, but scored


def test_the_gradient_check_passes() -> None:
    for model in (gpt(layers=1).double(), lstm().double()):
        weight = model.embedding.weight
        x, y = cr.tensor([[1, 2, 3]]), cr.tensor([2, 3, 4])

        def loss(table, model=model, x=x, y=y):
            found = cr.func.functional_call(model, {"embedding.weight": table}, (x,))
            return nn.functional.cross_entropy(found.flatten(0, 1), y)

        cr.check_grads(loss, [weight.detach() * 20])


def test_an_lstm_goes_on_where_it_was() -> None:
    model, x = lstm(), cr.tensor([[1, 2, 3, 4, 5]])
    first, state = model.continued(x[:, :2])
    second, _ = model.continued(x[:, 2:], state)
    np.testing.assert_allclose(cr.cat([first, second], 1).numpy(), model(x).numpy(), atol=1e-6)


# -- writing ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [gpt, lstm])
@pytest.mark.parametrize("prompt", [[3], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 0, 1, 2]])
def test_the_best_token_is_that_of_the_whole_text(make, prompt: list[int]) -> None:
    """Greedy, against the model on the text so far, without keys and values that are kept; a window
    that is full goes on with its last half."""
    model = make()
    for p in model.parameters():
        p.assign(p * 20)
    found = models.generate(model, prompt, 19, temperature=0).numpy()
    length = getattr(model, "length", 100)
    window, text = prompt[-length:], list(prompt)
    for _ in range(19):
        text.append(int(model(cr.tensor([window])).numpy()[0, -1].argmax()))
        window = [
            *(window if len(window) < length else window[length - length // 2 + 1 :]),
            text[-1],
        ]
    assert found.tolist() == text


def test_a_writer_gives_each_token_at_once_and_compiles_once() -> None:
    write = models.Writer(gpt(), generator=cr.Generator(0))
    first = list(write([1, 2], 10))
    assert all(t.shape == (1,) and t.dtype == np.int64 for t in first)
    programs = [len(p.traces) for p in (write._write, write._begin)]
    assert list(write([1, 2, 3], 10)) != first
    assert [len(p.traces) for p in (write._write, write._begin)] == programs == [1, 1]


@pytest.mark.parametrize("make", [gpt, lstm])
def test_tokens_are_drawn_as_the_scores_say(make) -> None:
    model = make()
    for p in model.parameters():
        p.assign(p * 5)
    scores = model(cr.tensor([[1]])).numpy()[0, -1].astype(float)
    best = np.argsort(-scores)[:3]
    for t, k, which in ((1.0, None, np.arange(7)), (0.5, 3, best)):
        drawn = models.generate(
            model, [[1]] * 4000, 1, temperature=t, top_k=k, generator=cr.Generator(1)
        ).numpy()[:, 1]
        wanted = np.zeros(7)
        wanted[which] = np.exp(scores[which] / t)
        wanted /= wanted.sum()
        share = np.bincount(drawn, minlength=7) / 4000
        assert np.abs(share - wanted).max() < 0.03
        assert not share[wanted == 0].any()


class Fixed(nn.Module):
    """Whatever was read, the next token has these scores."""

    def __init__(self, scores) -> None:
        super().__init__()
        self.scores = np.asarray(scores, "float32")

    def begin(self, tokens, taken=None):
        return cr.tensor(0)

    def advance(self, token, state):
        return cr.asarray(self.scores).expand(token.shape[0], len(self.scores)), state


def drawn_shares(probabilities, rows: int = 20_000, **options) -> np.ndarray:
    drawn = models.generate(
        Fixed(np.log(probabilities)),
        np.zeros((rows, 1), int),
        1,
        generator=cr.Generator(2),
        **options,
    )
    return np.bincount(drawn.numpy()[:, 1], minlength=len(probabilities)) / rows


@pytest.mark.parametrize(
    ("p", "kept"),
    [
        (0.2, [0]),
        (0.39, [0]),
        (0.41, [0, 2]),
        (0.65, [0, 2, 3]),
        (0.75, [0, 2, 3]),
        (0.95, [0, 1, 2, 3, 4]),
        (1.0, range(6)),
    ],
)
def test_top_p_draws_from_the_fewest_that_have_this_probability(p: float, kept) -> None:
    given = np.array([0.4, 0.1, 0.2, 0.2, 0.06, 0.04])
    expected = np.zeros(6)
    expected[list(kept)] = given[list(kept)]
    expected /= expected.sum()
    shares = drawn_shares(given, top_p=p)
    assert not shares[expected == 0].any()
    assert np.abs(shares - expected).max() < 0.015


def test_top_p_looks_at_what_temperature_and_top_k_have_made() -> None:
    given = np.array([0.5, 0.3, 0.1, 0.1])
    for options, kept in (
        ({"top_p": 0.7, "temperature": 0.5}, [0, 1]),  # 0.25 of 0.36: 0.694
        ({"top_p": 0.6, "temperature": 0.5}, [0]),
        ({"top_p": 0.55, "top_k": 2}, [0]),  # 0.625 of the two best
        ({"top_p": 0.55}, [0, 1]),
        ({"top_p": 0.5, "temperature": 1000.0}, [0, 1]),
        ({"top_p": 1e-6}, [0]),
    ):
        shares = drawn_shares(given, 2000, **options)
        assert np.flatnonzero(shares).tolist() == kept, options


@pytest.mark.parametrize("p", [0.3, 0.9, 0.999])
def test_the_nucleus_of_many_tokens_is_that_of_sorting(p: float) -> None:
    scores = np.random.default_rng(3).normal(0, 3, size=(5, 1000))
    scores[0, :500] = 1.0  # equal ones
    kept = np.isfinite(cr.compile(lambda x: _nucleus(x, p))(cr.tensor(scores)).numpy())
    for row, found in zip(scores, kept, strict=True):
        share = np.exp(row - row.max())
        share /= share.sum()
        order = np.argsort(-share, kind="stable")
        before = np.cumsum(share[order]) - share[order]
        assert np.flatnonzero(found).tolist() == sorted(order[before < p].tolist())


def test_of_equal_scores_top_k_keeps_k() -> None:
    model = gpt()
    nn.init.zeros_(model.head.weight)
    drawn = models.generate(model, [[1]] * 200, 2, top_k=2).numpy()[:, 1:]
    assert sorted(set(drawn.ravel().tolist())) == [0, 1]


def test_temperatures_that_are_tiny_or_huge() -> None:
    def drawn(scores: list[float], **options) -> list[int]:
        model = Fixed([1.0])
        model.scores = np.array(scores, "float32")
        found = models.generate(model, [[0]] * 500, 1, generator=cr.Generator(0), **options)
        return sorted(set(found.numpy()[:, 1].tolist()))

    for scores, best in (([1000.0, 999.0, -np.inf], 0), ([999.0, 1000.0, -np.inf], 1)):
        for t in (0.0, 1e-45, 1e-37, 1e-3):
            assert drawn(scores, temperature=t) == [best]
        assert drawn(scores, temperature=1e30) == [0, 1]
        assert drawn(scores, temperature=1e30, top_k=9) == [0, 1]
    for options in ({"temperature": -1}, {"top_k": 0}):
        with pytest.raises(OptionError, match=next(iter(options))):
            drawn([1.0, 2.0], **options)


def test_a_generator_is_a_text_and_the_mode_stays() -> None:
    model = gpt(dropout=0.5)
    one, two, other = (
        models.generate(model, [1, 2], 8, generator=cr.Generator(s)).tolist() for s in (5, 5, 6)
    )
    assert one == two != other
    assert model.training and one[:2] == [1, 2]


def test_a_token_is_a_call_not_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = models.GPT.forward
    monkeypatch.setattr(models.GPT, "forward", lambda self, x: calls.append(1) or forward(self, x))
    models.generate(gpt(), [1], 20)
    assert len(calls) <= 2


def test_mistakes() -> None:
    model = gpt()
    for call, error, text in (
        (
            lambda: model(cr.zeros(1, 9, dtype="int64")),
            ShapeError,
            "GPT reads at most length=6 tokens at once, got 9; give it the last ones: "
            "tokens[:, -6:]",
        ),
        (
            lambda: model(cr.zeros(1, 3)),
            ShapeError,
            "GPT reads tokens (N, T), integers; got float32 of the shape (1, 3)",
        ),
        (
            lambda: lstm()(cr.tensor([1, 2])),
            ShapeError,
            "CharLSTM reads tokens (N, T), integers; got int64 of the shape (2,)",
        ),
        (
            lambda: models.generate(model, [], 3),
            DataError,
            "generate: the prompt is at least one token, integers (T,) or (N, T); got float32 of "
            "the shape (0,)",
        ),
        (
            lambda: models.generate(nn.Linear(1, 1), [1], 3),
            OptionError,
            "generate: the model is a CharLSTM, a GPT, or a module with their methods "
            "begin(tokens) and advance(token, state); got Linear",
        ),
        (lambda: gpt(heads=3), OptionError, "GPT: width=8 is no multiple of heads=3"),
        (lambda: models.generate(model, [1], 3, temperature=-1), OptionError, "temperature"),
        (lambda: models.generate(model, [1], 3, top_k=0), OptionError, "top_k"),
        (lambda: models.generate(model, [1], 3, top_p=0), OptionError, "top_p"),
        (lambda: models.generate(model, [1], 3, top_p=1.2), OptionError, "top_p"),
    ):
        with pytest.raises(error, match=re.escape(text)):
            call()
    for prompt in ([7], [-1, 2], [9, 1]):
        with pytest.raises(cr.errors.ChainruleError):
            models.generate(model, prompt, 2)
    with pytest.raises(ImportError, match=re.escape("write nn.Sequential")):
        from chainrule.models import Sequential  # noqa: F401


def test_writers_side_by_side_write_as_alone():
    write = models.Writer(gpt())

    def begin(seed, temperature=1.0):
        return write.like(temperature, cr.Generator(seed))([1, 2], 12)

    alone = [[int(token) for (token,) in begin(seed)] for seed in (1, 2)]
    assert alone[0] != alone[1]
    first, second = begin(1), begin(2)
    assert [(int(a), int(b)) for (a,), (b,) in zip(first, second, strict=True)] == list(
        zip(*alone, strict=True)
    )
    late = begin(1)
    begin(2, temperature=9.0)
    assert [int(token) for (token,) in late] == alone[0]
