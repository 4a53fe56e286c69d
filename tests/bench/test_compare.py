"""The comparison: processes, turns, agreement, tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from chainrule.bench.compare import (
    Comparison,
    Measured,
    Spread,
    _agree,
    compare,
    floor_microseconds,
)
from chainrule.bench.modes.named import WORKLOADS
from chainrule.bench.modes.workload import custom
from chainrule.bench.processes import Process, WorkerError, choose, interpreter_of
from chainrule.bench.report import markdown, number, spread_text
from chainrule.cli.main import main
from chainrule.errors import OptionError


def made(**microseconds: float) -> Comparison:
    measured = [
        Measured(mode.replace("_", "-"), us, [us, us * 2, us]) for mode, us in microseconds.items()
    ]
    return Comparison(WORKLOADS["mnist"], 2, [600.0, 1200.0, 600.0], measured)


def test_ratios() -> None:
    c = made(chainrule=800.0, chainrule_compile=750.0, torch=4000.0, jax_scan=1500.0)
    assert c.ours is not None and c.ours.mode == "chainrule-compile"
    assert c.best_peer is not None and c.best_peer.mode == "jax-scan"
    assert c.over_floor == 1.25
    assert c.speedup == 2.0
    assert json.loads(json.dumps(c.to_dict()))["best_peer"] == "jax-scan"


def test_without_peers_there_is_no_ratio() -> None:
    c = made(chainrule=800.0)
    assert c.best_peer is None and c.speedup is None
    assert "| mnist | 800 | 600 | 1.33 | – | – | – |" in markdown([c])


def test_the_median_and_the_least_ratio_of_several() -> None:
    one, two = made(chainrule=800.0, torch=4000.0), made(chainrule=800.0, torch=700.0)
    assert Spread.of([one]) is None and Spread.of([one, made(chainrule=800.0)]) is None
    found = Spread.of([one, two])
    assert found == Spread(2.9375, 0.875, "mnist", ["mnist"])
    assert "least 0.88 (mnist); more than 10% behind: 1" in spread_text(found)
    two.measured[1].rounds = [750.0] * 3
    assert Spread.of([one, two]) == Spread(2.96875, 0.9375, "mnist", [])


def test_floor() -> None:
    assert floor_microseconds(WORKLOADS["mnist"], 233e9) == pytest.approx(620, rel=0.01)


def test_disagreement_is_noticed() -> None:
    a, b, c, d = (Measured(m) for m in ("chainrule", "numpy", "torch", "sklearn"))
    a.losses, b.losses, c.losses = [2.0, 1.0], [2.0, 1.0001], [2.0, 1.001]
    _agree([a, b, c, d], "float32")
    assert (a.agrees, b.agrees, c.agrees, d.agrees) == (True, True, False, None)


def test_choose_peers() -> None:
    assert choose("none") == []
    torch = {"torch", "torch-last", "torch-compile"}
    assert set(choose("all")) == {*torch, "jax", "jax-scan", "sklearn", "numpy"}
    assert choose("jax") == ["jax-scan", "jax"]
    assert choose("jax-scan,scikit-learn") == ["jax-scan", "sklearn"]
    with pytest.raises(
        OptionError, match="peers: 'tensorflow' is not known; known are all, none, jax-scan"
    ):
        choose("tensorflow")


def test_an_interpreter_is_found_for_numpy_and_none_for_nothing() -> None:
    assert interpreter_of("numpy", None) == sys.executable
    with pytest.raises(
        OptionError, match="--peers-python /nowhere/python: not a Python interpreter that runs"
    ):
        interpreter_of("jax", "/nowhere/python")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0421, "0.0421"),
        (12.345, "12.3"),
        (142000.0, "142 000"),
        (0.00002, "0.00002"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_comparison_of_processes() -> None:
    modes = ["chainrule", "chainrule-compile", "numpy"]
    c = compare(custom((3, 4, 2), 16), modes, 1, lambda: 1e11, 2, 0.01)
    assert [m.error for m in c.measured] == ["", "", ""]
    for m in c.measured:
        assert m.agrees and len(m.rounds) == 2 and m.microseconds and m.peak_bytes
        assert m.first_cold_seconds is not None and m.first_warm_seconds is not None


def test_the_first_step_is_timed_without_and_with_a_cache() -> None:
    for _ in range(3):  # others may take the processor for a while
        (ours,) = compare(
            custom((5, 4, 2), 16), ["chainrule-compile"], 1, lambda: 1e11, 1, 0.01
        ).measured
        assert ours.first_warm_seconds is not None and ours.first_cold_seconds is not None
        if ours.first_warm_seconds < ours.first_cold_seconds:
            return
    pytest.fail("the first step from a warm cache takes no less than from an empty one")


def test_bench_command_without_peers(capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--sizes",
        "3,2",
        "--rounds",
        "1",
        "--seconds",
        "0.01",
        "--threads",
        "1",
        "--peers",
        "none",
        "--json",
    ]
    assert main(["bench", *options]) == 0
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert found["threads"] == 1 and found["best_peer"] is None
    assert {m["mode"] for m in found["modes"]} == {"chainrule", "chainrule-compile"}
    assert found["over_floor"] > 1


def test_a_worker_that_fails_between_rounds_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Process.ask

    def fails(self: Process, what: str, **options: Any) -> Any:
        if self.mode == "numpy" and what == "run" and options["seconds"] == 0.01:
            raise WorkerError("numpy: the worker ended with code -9")
        return ask(self, what, **options)

    monkeypatch.setattr(Process, "ask", fails)
    ours, numpy = compare(
        custom((3, 4, 2), 16), ["chainrule-compile", "numpy"], 1, lambda: 1e11, 1, 0.01
    ).measured
    assert ours.microseconds and numpy.microseconds is None
    assert numpy.error == "numpy: the worker ended with code -9" and not numpy.rounds


def test_a_worker_that_cannot_prepare_is_closed(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="nothing: KeyError: 'nothing'") as error:
        Process(sys.executable, "nothing", custom((3, 2), 16), 1, tmp_path)
    frames = [f.frame.f_locals.get("self") for f in error.traceback]
    (worker,) = {f for f in frames if isinstance(f, Process)}
    assert worker._process.returncode == 0
    assert worker._process.stdin is not None and worker._process.stdin.closed


def test_a_worker_that_dies_says_why(tmp_path: Path) -> None:
    process = Process(sys.executable, "numpy", custom((3, 2), 16), 1, tmp_path)
    try:
        with pytest.raises(WorkerError, match="numpy: KeyError: 'seconds'"):
            process.ask("run")  # it answers, and goes on
        assert process.ask("first")["steps"] == 1
        process._process.kill()
        with pytest.raises(WorkerError, match="numpy: the worker ended with code -9"):
            process.ask("first")
    finally:
        process.close()
