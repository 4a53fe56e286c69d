"""The experiments on long lags and on texts: their measures against definitions, and small runs."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import TextCorpus
from chainrule.experiments import EXPERIMENTS, lstm, reber, reproduce, text
from chainrule.experiments.base import Lab, run_experiment

PLAY = TextCorpus("First Citizen:\nBefore we proceed any further, hear me speak. " * 40)


# -- long lags -------------------------------------------------------------------------------------
def test_a_string_is_legal_if_what_may_follow_is_above_all_else() -> None:
    x, lengths, y, allowed = reber.coded(["BTBPVVETE", "BPBTXSEPE"], 10)
    assert x.shape == (2, 10, 7) and lengths.tolist() == [8, 8]
    assert "".join(reber.REBER_SYMBOLS[i] for i in y[0, :8]) == "TBPVVETE" and (y[:, 8:] < 0).all()
    assert (x[0, :8].argmax(-1)[1:] == y[0, :7]).all()
    scores = np.where(allowed, 1.0, 0.0)
    scores[0, 0] += 5  # only the order within a step counts
    assert reber.legal(scores, lengths, allowed).all()
    scores[1, 9] = 3.0  # behind the end
    assert reber.legal(scores, lengths, allowed).all()
    scores[1, 6] = np.eye(7)[1]  # T where P must come
    assert reber.legal(scores, lengths, allowed).tolist() == [True, False]


def test_states_of_cells_are_those_of_the_layer_step_by_step() -> None:
    net = lstm.Reader("LSTM", 2, 3, 1, each=False)
    lstm.set_gates(net, 6.0, shut=True)
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    found, state = lstm.cells_over_time(net, x), None
    for t in range(5):
        _, state = net.rnn(cr.tensor(x[None, t : t + 1]), state)
        np.testing.assert_allclose(found[t], state[1].numpy()[0, 0], atol=1e-6)
    forget = (net.rnn.bias_ih_l0 + net.rnn.bias_hh_l0).numpy()[3:6]
    np.testing.assert_allclose(forget, 6.0)
    given = (net.rnn.bias_ih_l0 + net.rnn.bias_hh_l0).numpy()[:3]
    np.testing.assert_allclose(given, [-3, -4.5, -6])


def test_the_gradient_of_a_plain_net_is_gone_where_open_gates_keep_it() -> None:
    shares = {}
    for kind in lstm.NETS:
        cr.manual_seed(0)
        net = lstm.Reader(kind, 2, 8, 1, each=False)
        lstm.set_gates(net, 6.0, shut=True)
        lags = lstm.by_lag(net, 60)
        assert lags.shape == (60,)
        shares[kind] = lags[-5:].mean() / lags[:5].mean()
    assert shares["plain net"] < 1e-4 and shares["LSTM"] > 0.1


def test_the_lstm_adds_over_a_short_lag_where_half_is_chance() -> None:
    plan = lstm.Plan(12, 25_000, 1, 2.5, 5.0, 1, 256)
    found = lstm.add(Lab(), plan, "LSTM", 0)
    assert found.error[-1] < 0.004  # to say 0.5 always: 0.04
    assert found.seen[-1] == 25_000 and len(found.wrong) == 10


# -- texts -----------------------------------------------------------------------------------------
def test_losses_of_ngrams() -> None:
    train, test, s = np.array([0, 1, 0, 1, 1]), np.array([0, 1, 1, 0]), 0.05
    p = [(2 + s) / (5 + 2 * s), (3 + s) / (5 + 2 * s)]
    one = -np.log([p[0], p[1], p[1], p[0]]).mean()
    assert text.ngram_loss(train, test, 1, 2) == pytest.approx(one)
    # 0 begins two pairs, both 01; 1 begins two, 10 and 11
    pairs = [(2 + s) / (2 + 2 * s), (1 + s) / (2 + 2 * s), (1 + s) / (2 + 2 * s)]
    assert text.ngram_loss(train, test, 2, 2) == pytest.approx(-np.log(pairs).mean())
    assert text.ngram_loss(np.zeros(9, int), np.ones(4, int), 2, 2) == pytest.approx(np.log(2))


def test_a_course_learns_and_measures_the_same_pieces() -> None:
    cr.manual_seed(0)
    model = text.CharLSTM(len(PLAY.vocabulary), 24)
    found = text.course(Lab(sweeps=40), "LSTM", model, PLAY.split(), 40, 0)
    assert found.updates[0] == 0 and found.updates[-1] == 40
    assert found.losses[-1] < found.losses[0] - 0.5
    assert set(found.samples) == {0, 4, 20, 40}
    assert (found.reader.loss(3) == found.reader.loss(3)).all()


def test_a_gpt_reads_more_than_the_characters_before() -> None:
    """The criterion of the text experiment in little: below what counts of pairs give."""
    cr.manual_seed(0)
    train, test = PLAY.split()
    size = len(PLAY.vocabulary)
    model = text.GPT(size, text.LENGTH, 64, heads=2, layers=1, tie=True)
    found = text.course(Lab(sweeps=130), "GPT", model, (train, test), 130, 0)
    assert found.losses[-1] < text.ngram_loss(train.tokens, test.tokens, 2, size)


# -- both ------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(("name", "least"), [("lstm", 6), ("text", 9)])
def test_small_runs_measure_everything_and_draw(
    name: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    monkeypatch.setattr(text, "load_tiny_shakespeare", lambda: PLAY)
    monkeypatch.setattr(text, "QUICK", text.Plan(1, 1, 8, 1, 2.45, 1, layers=1, units=8))
    monkeypatch.setattr(lstm, "QUICK", lstm.Plan(20, 1000, 1, 3.0, 5.0, 1, 256))
    monkeypatch.setattr(lstm, "TESTED", 100)
    told: list[str] = []
    result = run_experiment(EXPERIMENTS[name], 1, lambda *a: told.append(a[0]), sweeps=1)
    assert len(result.measurements) >= least and len(set(told)) >= 2
    for draw in result.drawings.values():
        canvas = figure.Figure(layout="constrained")
        draw(canvas)
        assert len(canvas.axes) == 3


def test_without_the_text_it_says_where_to_get_it(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cr.errors.DataError, match=r"Tiny Shakespeare: input.txt is in none of"):
        reproduce("text")
