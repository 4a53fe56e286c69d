"""The experiments on pairs of sequences, signals, series and small images: their measures against
definitions, one criterion of each in little, and small runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.experiments import (
    EXPERIMENTS,
    forecasting,
    reproduce,
    resnet,
    signals,
    transformer,
    translation,
)
from chainrule.experiments.base import Lab, run_experiment
from chainrule.experiments.seq2seq import Nats, Teacher, Tokens, exact, pairs_of
from chainrule.models import END, PAD, START, Seq2SeqTransformer

needs_data = pytest.mark.skipif("CHAINRULE_DATA" not in os.environ, reason="needs the data sets")
NAMES = ("transformer", "translation", "resnet", "signals", "forecasting")
WORDS = "red green old young man woman dog runs sits eats here there".split()


def sentences(part: str) -> tuple[list[str], list[str]]:
    """Texts, and their letters from the end: a language of its own."""
    rng = np.random.default_rng(len(part))
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 5))) + "." for _ in range(160)]
    return texts, [text[::-1] for text in texts]


# -- pairs -----------------------------------------------------------------------------------------
def test_pairs_begin_and_end_and_others_have_other_sources() -> None:
    pairs = pairs_of([[5, 6], [7, 8, 9]], [[4], [5, 6]], 3)
    assert pairs.source.tolist() == [[5, 6, PAD], [7, 8, 9]]
    assert pairs.target.tolist() == [[START, 4, END, PAD, PAD], [START, 5, 6, END, PAD]]
    assert pairs.y.tolist() == [[4, END, PAD, PAD], [5, 6, END, PAD]]
    assert pairs.shuffled[0].tolist() == [[7, 8, 9], [5, 6, PAD]]
    written = np.array([[4, END, PAD], [5, 5, END]])
    assert exact(written, pairs) == 50


def test_characters_leave_out_what_they_do_not_know() -> None:
    letters = Tokens(["ab", "ca"])
    assert len(letters) == 7 and letters.encode("abxc").tolist() == [4, 5, 6]
    assert letters.decode([START, 4, 6, END, PAD]) == "ac"


def test_byte_pairs_have_numbers_for_every_text() -> None:
    pairs = Tokens(["low lower lowest"], "pairs", 259)
    assert len(pairs) == 262 and pairs.encode(" lowü").tolist() == [261, 0xC3 + 3, 0xBC + 3]
    assert pairs.decode([START, 261, 0xC3 + 3, 0xBC + 3, END]) == " lowü"


def test_nats_leave_out_padding_and_smoothing() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    target = np.array([[3, END, PAD], [4, 3, END]])
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    wanted = [-np.log(p[n, target[n, t], t]) for n, t in np.argwhere(target != PAD)]
    assert Nats()(scores, target) == pytest.approx(np.mean(wanted), rel=1e-5)


def test_the_least_smoothed_loss_is_the_entropy_of_what_is_asked() -> None:
    teacher = Teacher(Seq2SeqTransformer(5, 4, 1, 1, 8), 10, smoothing=0.1)
    q = np.full(5, 0.1 / 5)
    q[3] += 0.9
    scores = np.log(q).astype("float32").reshape(1, 5, 1)
    loss = teacher.loss(cr.tensor(scores), cr.tensor([[3]])).item()
    assert loss == pytest.approx(-(q * np.log(q)).sum(), rel=1e-5)


def test_the_rate_has_its_peak_where_the_warm_up_ends() -> None:
    teacher = Teacher(Seq2SeqTransformer(5, 16, 1, 1, 8), 20, factor=0.5)
    rates = []
    for _ in range(80):
        rates.append(teacher.optimizer.param_groups[0]["lr"])
        teacher.scheduler.step()
    assert np.argmax(rates) == 19 and max(rates) == pytest.approx(0.5 * (16 * 20) ** -0.5)
    np.testing.assert_allclose(np.diff(rates[:20]), rates[0], rtol=1e-6)
    assert rates[79] == pytest.approx(rates[19] / 2)


def test_a_transformer_reverses_and_looks_at_the_mirror_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The criterion in little: four symbols of four kinds."""
    sizes = {"LENGTH": 4, "SYMBOLS": 4, "TESTED": 128, "WIDTH": 32, "WARMUP": 100}
    for name, value in sizes.items():
        monkeypatch.setattr(transformer, name, value)
    plan = transformer.Plan({}, 1, 1, 2, 90)
    found = transformer.course(Lab(), transformer.REVERSE, plan, 0, 400, layers=1)
    assert found.right[-1] >= 95 and found.updates == [400]
    heads = transformer.looks(found.model, found.tests)
    assert heads.shape == (4, 4, 4)
    assert heads[:, np.arange(4), np.arange(4)[::-1]].mean(1).max() > 0.4


def test_tasks() -> None:
    plan = transformer.QUICK
    for task in plan.updates:
        pairs = transformer.drawn(task, 50, plan, 3, test=True)
        lengths = (pairs.source != PAD).sum(1)
        if task == transformer.LONGER:
            assert lengths.min() >= 11 and lengths.max() <= 20
            assert (pairs.y[:, :20] * (pairs.y[:, :20] > END) == pairs.source).all()
        if task == transformer.REVERSE:
            assert (pairs.y[:, :10] == pairs.source[:, ::-1]).all()
            assert (pairs.y[:, 10] == END).all()
        assert (pairs.source < transformer.VOCABULARY).all()


# -- translation -----------------------------------------------------------------------------------
TINY = translation.Plan(16, 1, 32, 3, 40, 20, 2, None, size=300, tested=4)
LETTERS = translation.Plan(16, 1, 32, 2, 40, 20, 1, None, tested=4)
CUT_OFF = """
import dataclasses, sys
sys.path.insert(0, {tests!r})
from test_pairs_and_signals import TINY, sentences, translation, Lab
translation.load_multi30k = sentences
lab = Lab(checkpoint={folder!r})
plan = dataclasses.replace(TINY, epochs=60)
teacher, *_ = translation.translator(lab, translation.BYTE_PAIRS, plan)
open({out!r}, "wb").write(b"".join(p.numpy().tobytes() for p in teacher.model.parameters()))
"""


@pytest.mark.slow
def test_a_translation_that_was_killed_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    def run(folder: str, out: str, kill_at: int) -> bool:
        text = CUT_OFF.format(tests=str(Path(__file__).parent), folder=folder, out=out)
        process = subprocess.Popen([sys.executable, "-c", text])
        while process.poll() is None:
            if kill_at and len(list(Path(folder).glob("**/checkpoint-*"))) >= kill_at:
                process.kill()
                break
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        return process.wait() == -signal.SIGKILL

    straight, cut = (str(tmp_path / name) for name in ("straight", "cut"))
    assert not run(straight, straight + ".bin", 0)
    assert run(cut, cut + ".bin", 1) and not Path(cut + ".bin").exists()
    assert not run(cut, cut + ".bin", 0)
    assert Path(cut + ".bin").read_bytes() == Path(straight + ".bin").read_bytes()


def test_without_sacrebleu_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(cr.errors.MissingExtraError, match=r"chainrule\[translation\]"):
        reproduce("translation")


# -- signals, series, images -----------------------------------------------------------------------
def test_the_nearest_neighbour_and_nets_look_at_steps_that_are_there() -> None:
    x = [np.array([[0.0], [0.0], [9.0]]), np.array([[5.0], [5.0]])]
    asked = [np.array([[0.5], [0.1]]), np.array([[4.0], [4.0], [4.0], [0.0]])]
    assert signals.nearest(x, np.array([1, 0]), asked).tolist() == [1, 0]
    rows = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    rows[1, 4:] = 0
    for make in signals.NETS.values():
        net = make(3, 2).eval()
        whole = net(cr.tensor(rows), cr.tensor([6, 4])).numpy()
        other = rows.copy()
        if make is signals.Recurrent:
            other[1, 4:] = 7.0
        np.testing.assert_allclose(
            net(cr.tensor(other), cr.tensor([6, 4])).numpy(), whole, atol=1e-6
        )


def test_windows_of_a_series_follow_one_another() -> None:
    series = forecasting.Series("", "", 4, 3, 2, 12)
    values = np.arange(60.0)
    parts = forecasting.split(values, series)
    x, y = (a * parts.deviation + parts.mean for a in (parts.test[0][:, :3], parts.test[1]))
    np.testing.assert_allclose(y, parts.start[:, None] + np.arange(2))
    np.testing.assert_allclose(x, parts.start[:, None] - np.arange(3, 0, -1))
    assert parts.start[0] == 48 and parts.start[-1] == 58
    last_trained = parts.train[1].max() * parts.deviation + parts.mean
    assert last_trained < parts.val[1].min() * parts.deviation + parts.mean
    assert parts.mean == values[:44].mean()  # before validation


@needs_data
def test_forecasts_of_passengers_are_better_than_both_baselines() -> None:
    report = forecasting.Report()
    found = forecasting.forecasts(Lab(), report, "airline")
    assert report.measurements[0].passed
    assert found.errors("naive").mean() == pytest.approx(74.29, abs=0.01)


@needs_data
def test_convolutions_tell_movements_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "QUICK", signals.Plan(100, 1, ("BasicMotions",)))
    monkeypatch.setattr(signals, "NETS", {"convolutions": signals.Convolutions})
    result = reproduce("signals")
    assert result.passed and result.measurements[1].numbers["right"][0] > 90


@needs_data
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("forecasting", 3),
        pytest.param("resnet", 4, marks=pytest.mark.slow),
        pytest.param("signals", 6, marks=pytest.mark.slow),
        pytest.param("transformer", 7, marks=pytest.mark.slow),
    ],
)
def test_small_runs_measure_and_draw(
    name: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    if name == "resnet":
        (x, y), (x_test, y_test) = resnet.load_cifar10(subset=True)
        few = (x[:100], y[:100]), (x_test[:50], y_test[:50])
        monkeypatch.setattr(resnet, "load_cifar10", lambda subset: few)
    told: list[str] = []
    result = run_experiment(EXPERIMENTS[name], 1, lambda *a: told.append(a[0]), sweeps=1)
    assert len(result.measurements) >= least and told
    for draw in result.drawings.values():
        canvas = figure.Figure(layout="constrained")
        draw(canvas)
        assert canvas.axes


@pytest.mark.slow
def test_a_small_run_of_the_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    pytest.importorskip("sacrebleu")
    monkeypatch.setattr(translation, "load_multi30k", sentences)
    plans = {translation.CHARACTERS: LETTERS, translation.BYTE_PAIRS: TINY}
    monkeypatch.setattr(translation, "QUICK", plans)
    result = run_experiment(EXPERIMENTS["translation"], None, None)
    assert len(result.measurements) == 10
    canvas = figure.Figure(layout="constrained")
    result.drawings["translation"](canvas)
    assert len(canvas.axes) == 2


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("name", NAMES)
def test_quick_tier(name: str) -> None:
    if name == "translation":
        pytest.importorskip("sacrebleu")
    result = reproduce(name)
    assert result.passed, str(result)
