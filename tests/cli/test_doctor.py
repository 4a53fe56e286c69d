"""chainrule doctor, and the facts it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chainrule.bench import machine
from chainrule.cli.main import main


def test_doctor_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and {c["name"] for c in found["checks"]} == {
        "Python",
        "NumPy",
        "compiler",
        "cache folder",
    }
    assert found["processor"]["vector_bits"] in (128, 256, 512)
    assert 1 <= found["processor"]["cpus_usable"] <= found["processor"]["cpus"]
    assert found["speed"]["peak_gflops_float32"] > found["speed"]["peak_gflops_float64"] > 0.5
    assert {e["name"] for e in found["extras"]} >= {"figures", "sklearn", "data"}


def test_doctor_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = machine.Extra("figures", ("matplotlib",), ("matplotlib",))
    monkeypatch.setattr(machine, "extras", lambda: [extra])
    assert main(["doctor", "--no-measure"]) == 0
    text = capsys.readouterr().out
    assert "missing matplotlib: pip install 'chainrule[figures]'" in text
    assert "a small program compiles and agrees with the interpreter" in text
    assert "GFLOP" not in text


def test_something_essential_broken_is_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [machine.Check("compiler", False, "it is broken")]
    monkeypatch.setattr(machine, "checks", lambda has_llvm: broken)
    assert main(["doctor", "--no-measure"]) == 1
    assert "BROKEN: it is broken" in capsys.readouterr().out


def test_a_missing_compiler_is_broken_unless_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = {c.name: c for c in machine.checks(has_llvm=False)}
    assert not by_name["compiler"].ok and "pip install llvmlite" in by_name["compiler"].detail
    monkeypatch.setenv("CHAINRULE_BACKEND", "interpreter")
    assert all(c.ok for c in machine.checks(has_llvm=False))


def test_cache_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", "off")
    assert machine.cache_state()["state"] == "switched off by CHAINRULE_CACHE"
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "new"))
    assert machine.cache_state()["state"] == "not made yet"
    (tmp_path / "new").mkdir(mode=0o700)
    assert machine.cache_state() == {
        "folder": str(tmp_path / "new"),
        "state": "usable",
        "entries": 0,
        "bytes": 0,
    }


def test_caches_are_read_from_the_system(tmp_path: Path) -> None:
    for number, (level, kind, size) in enumerate(
        [(1, "Data", "48K"), (1, "Instruction", "32K"), (2, "Unified", "2M")]
    ):
        index = tmp_path / f"index{number}"
        index.mkdir()
        for name, text in (("level", str(level)), ("type", kind), ("size", size)):
            (index / name).write_text(text + "\n")
    assert machine.caches(tmp_path) == {"l1d_bytes": 48 << 10, "l2_bytes": 2 << 20}
    assert machine.caches(tmp_path / "nowhere") == {}
