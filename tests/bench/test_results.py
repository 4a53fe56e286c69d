"""Speed has a memory: results are kept, compared, and the tables of the page are written from
them."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from chainrule.backends.cpu.machine.name import processor_name
from chainrule.bench.compare import Comparison, Measured
from chainrule.bench.modes.named import WORKLOADS
from chainrule.bench.modes.workload import Workload
from chainrule.bench.report import markdown
from chainrule.bench.results import Results, changes, check_comparable
from chainrule.cli.main import main
from chainrule.errors import OptionError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def performance() -> ModuleType:
    """The script benchmarks/performance.py."""
    spec = importlib.util.spec_from_file_location(
        "performance", ROOT / "benchmarks" / "performance.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(
    rounds: list[float],
    workload: str = "xor",
    version: str = "1.0.0",
    first: float = 0.2,
    floor: float = 1.0,
    peer: float = 50.0,
) -> Results:
    middle = sorted(rounds)[len(rounds) // 2]
    ours = Measured("chainrule", middle, rounds, first, 0.1, 0.05, 80 << 20)
    other = Measured("numpy", peer, [peer] * len(rounds))
    comparison = Comparison(WORKLOADS[workload], 2, [floor] * len(rounds), [ours, other])
    machine = {
        "processor": "Some CPU (R) 9",
        "platform": "Linux",
        "threads": 2,
        "barrier_ns": 310.4,
    }
    return Results(machine, f"chainrule {version}, numpy 2.0", len(rounds), [comparison])


def slower(before: Results, now: Results) -> list[str]:
    return [c.what for c in changes(before, now) if c.more]


def test_a_slower_step_is_told_from_a_slow_spell_and_from_a_slow_machine() -> None:
    before = results([10.0, 10.1, 10.2, 10.3, 10.4])
    assert slower(before, before) == []
    assert slower(before, results([11.0, 11.1, 11.2, 11.3, 11.4])) == ["µs a step"]
    assert slower(before, results([10.2, 10.3, 10.4, 10.5, 10.6])) == []  # 2 %
    assert slower(before, results([10.1, 10.2, 12.0, 13.0, 14.0])) == []  # its quick rounds are not
    # All rounds are longer, and so is the time of the multiplications alone.
    assert slower(before, results([11.0, 11.1, 11.2, 11.3, 11.4], floor=1.1)) == []


def test_a_longer_first_step_and_what_a_peer_does() -> None:
    before = results([10.0])
    assert slower(before, results([10.0], first=0.24)) == []
    assert slower(before, results([10.0], first=0.26)) == ["first step s"]
    found = changes(before, results([10.0], peer=500.0))
    assert {c.mode for c in found} == {"chainrule"} and not any(c.more for c in found)
    assert changes(before, results([10.0], workload="digits")) == []


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    held = results([1.0, 2.0, 3.0])
    file.write_text(json.dumps(held.to_dict()))
    assert Results.read(file) == held and held.version == "1.0.0"
    assert held.about == (
        "Some CPU (R) 9, 2 threads, 310 ns a barrier, medians of 3 interleaved rounds, "
        "chainrule 1.0.0, numpy 2.0."
    )


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"machine": {}, "versions": "", "rounds": 1}'])
def test_another_kind_of_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "notes.json"
    file.write_text(text)
    with pytest.raises(
        OptionError, match=r"notes.json: expected a file that `chainrule bench --json` wrote, got "
    ):
        Results.read(file)


def test_times_of_another_machine_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    before = results([1.0])
    with pytest.raises(OptionError) as error:
        check_comparable(before, 2, ["xor"], "old.json")
    assert str(error.value) == (
        "--against old.json: measured on Some CPU (R) 9 with 2 threads, this is "
        f"{processor_name()} with 2; times of different machines tell nothing about a change"
    )
    before.machine["processor"] = processor_name()
    check_comparable(before, 2, ["xor", "wide"], "old.json")
    with pytest.raises(OptionError, match="measured on .* with 2 threads, this is .* with 1;"):
        check_comparable(before, 1, ["xor"], "old.json")
    with pytest.raises(
        OptionError, match="--against old.json: it has xor, this run measures digits, wide$"
    ):
        check_comparable(before, 2, ["digits", "wide"], "old.json")


def test_bench_against_an_earlier_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(workload: Workload, *rest: object) -> Comparison:
        rounds, memory = [3.0], 80 << 20
        modes = ("chainrule", "chainrule-compile")
        ours = [Measured(m, 3.0, rounds, 0.2, 0.1, 0.05, memory) for m in modes]
        return Comparison(workload, 1, [1.0], ours)

    monkeypatch.setattr(importlib.import_module("chainrule.cli.bench"), "compare", compare)
    options = ["--sizes", "3,2", "--rounds", "1", "--seconds", "0.01", "--threads", "1"]
    command = ["bench", *options, "--peers", "none"]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["machine"]["threads"] == 1 and document["machine"]["barrier_ns"] is None
    for mode in document["comparisons"][0]["modes"]:  # as if it had been quicker, and larger
        mode["microseconds"] /= 1000
        mode["rounds"] = [r / 1000 for r in mode["rounds"]]
        mode["first_cold_seconds"], mode["first_warm_seconds"] = 1e3, 1e3
        mode["peak_bytes"] *= 2
    file = tmp_path / "before.json"
    file.write_text(json.dumps(document))
    assert main([*command, "--against", str(file)]) == 1
    out = capsys.readouterr().out
    assert "before.json (chainrule " in out.replace("\n", "")
    assert "2 of 8 are more than before." in out


def test_an_interrupted_run_keeps_what_is_measured_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("chainrule.cli.bench")
    asked: list[str] = []
    stop = ["digits"]

    def compare(workload: Workload, *rest: object) -> Comparison:
        asked.append(workload.name)
        if workload.name in stop:
            raise KeyboardInterrupt
        return Comparison(workload, 1, [1.0], results([3.0]).comparisons[0].measured)

    monkeypatch.setattr(module, "compare", compare)
    file = tmp_path / "bench.json"
    command = ["bench", "xor", "digits", "mnist", "--rounds", "1", "--threads", "1"]
    command += ["--save", str(file), "--peers", "none"]
    assert main([*command, "--json"]) == 130
    printed = capsys.readouterr()
    held = Results.read(file)
    assert [c.workload.name for c in held.comparisons] == ["xor"]
    assert json.loads(printed.out) == json.loads(json.dumps(held.to_dict() | {"spread": None}))
    assert "interrupted: 1 of 3 workloads are measured" in printed.err
    stop.clear()
    assert main([*command, "--markdown"]) == 0
    printed = capsys.readouterr()
    assert asked == ["xor", "digits", "digits", "mnist"]
    assert "2 of 2" not in printed.err and "1 of 2, about 0 min left" in printed.err
    assert printed.out.strip() == markdown(Results.read(file).comparisons)
    assert main([*command, "--rounds", "2"]) == 1
    assert "it was measured with rounds 1, this run with 2; name another file" in " ".join(
        capsys.readouterr().err.split()
    )


# -- the page --------------------------------------------------------------------------------------
def test_what_is_kept_is_by_machine_and_version_and_workload(
    tmp_path: Path, performance: ModuleType
) -> None:
    file, folder = tmp_path / "bench.json", tmp_path / "results"
    for held in (
        results([1.0]),
        results([7.0], workload="digits"),
        results([2.0]),
        results([3.0], version="1.10.0"),
        results([4.0], version="1.9.2"),
    ):
        file.write_text(json.dumps(held.to_dict()))
        place = performance.keep(file, folder)
    assert place == folder / "some-cpu-r-9-2-threads" / "1.9.2.json"
    first = Results.read(place.with_name("1.0.0.json"))
    assert [(c.workload.name, c.measured[0].rounds) for c in first.comparisons] == [
        ("xor", [2.0]),
        ("digits", [7.0]),
    ]
    (newest,) = performance.newest(folder)
    assert newest.version == "1.10.0"


def test_tables_are_written_between_the_marks(tmp_path: Path, performance: ModuleType) -> None:
    page = f"Before.\n\n{performance.BEGIN}\n\nold\n\n{performance.END}\n\nAfter.\n"
    assert performance.written(page, tmp_path) == page  # nothing is kept
    (tmp_path / "bench.json").write_text(json.dumps(results([2.0]).to_dict()))
    performance.keep(tmp_path / "bench.json", tmp_path / "kept")
    new = performance.written(page, tmp_path / "kept")
    assert new.startswith("Before.\n\n<!-- tables") and new.endswith("-->\n\nAfter.\n")
    assert "old" not in new and "| xor | 2 | 1 | 2 | NumPy | 50 | 25 |" in new
    assert performance.written(new, tmp_path / "kept") == new
    with pytest.raises(SystemExit, match="the page lacks the line"):
        performance.written("a page", tmp_path)


def test_nets_that_were_drawn_are_one_sample(tmp_path: Path, performance: ModuleType) -> None:
    marks = (performance.BEGIN, performance.END, performance.SAMPLE, performance.SAMPLE_END)
    page = "\n\n".join(marks)
    for at, name in enumerate(("1: LSTM 2-12, batch 13", "1: GRU 3-5, batch 2")):
        drawn = results([2.0], peer=8.0)
        drawn.comparisons[0].workload = replace(WORKLOADS["xor"], name=name)
        (tmp_path / f"{at}.json").write_text(json.dumps(drawn.to_dict()))
        kept = performance.keep(tmp_path / f"{at}.json", tmp_path / "kept")
    assert kept.name == "drawn.json"
    assert performance.newest(tmp_path / "kept") == []
    (tmp_path / "bench.json").write_text(json.dumps(results([2.0]).to_dict()))
    performance.keep(tmp_path / "bench.json", tmp_path / "kept")
    new = performance.written(page, tmp_path / "kept")
    assert "| 1: GRU 3-5, batch 2 | 2 | 1 | 2 | NumPy | 8 | 4 |" in new and "LSTM" not in new


def test_the_pages_agree_with_what_is_kept(performance: ModuleType) -> None:
    """Their tables are those of the kept results; those of before there were any say whose they
    are."""
    for path in performance.PAGES:
        page = path.read_text("utf-8")
        assert performance.written(page) == page, f"{path}: run python benchmarks/performance.py"
        table = page.partition("benchmarks/performance.py -->")[2]
        assert re.search(r"interleaved rounds, chainrule \d+\.\d+\.\S+, torch ", table)
