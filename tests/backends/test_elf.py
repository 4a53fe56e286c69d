"""Objects in memory without LLVM, and with it where they are not as usual."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.backends.cpu.machine import elf, library, target
from chainrule.backends.cpu.machine.compiler import compile_ir
from chainrule.backends.cpu.machine.elf import loaded
from chainrule.backends.cpu.machine.library import Library
from chainrule.backends.cpu.machine.target import host

usual = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64",
    reason="elsewhere LLVM loads all objects",
)
TEXT = """
@table = constant [4 x i64] [i64 7, i64 11, i64 13, i64 17]
@count = global i64 0
@zeros = internal global [4 x i64] zeroinitializer
declare i64 @labs(i64)
define i64 @pick(i64 %i) {
  %p = getelementptr [4 x i64], ptr @table, i64 0, i64 %i
  %v = load i64, ptr %p
  %n = load i64, ptr @count
  %m = add i64 %n, 1
  store i64 %m, ptr @count
  %q = getelementptr [4 x i64], ptr @zeros, i64 0, i64 %i
  %z = load i64, ptr %q
  %s = sub i64 %z, %v
  %a = call i64 @labs(i64 %s)
  %r = add i64 %a, %n
  ret i64 %r
}
"""
THREAD_LOCAL = """
@mine = thread_local global i64 3
define i64 @pick(i64 %i) {
  %v = load i64, ptr @mine
  %r = add i64 %v, %i
  ret i64 %r
}
"""


def pick(address: int, *args: int) -> list[int]:
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)
    return [int(function(i)) for i in args]


@usual
def test_tables_counters_and_the_c_library() -> None:
    objects = compile_ir([TEXT], host())
    code = loaded(objects)
    assert code is not None
    assert pick(code.addresses["pick"], 0, 1, 2, 3) == [7, 12, 15, 20]
    assert ctypes.c_int64.from_address(code.addresses["count"]).value == 4
    assert "zeros" not in code.addresses  # of the object alone


def test_llvm_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "loaded", lambda objects: None)
    found = Library(compile_ir([TEXT], host()), host())
    assert pick(found.address("pick"), 0, 1, 2, 3) == [7, 12, 15, 20]


@usual
def test_what_is_not_as_usual_is_left_to_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    (good,) = compile_ir([TEXT], host())
    assert loaded(compile_ir([THREAD_LOCAL], host())) is None
    assert (
        loaded([b""]) is None
        and loaded([b"not an object, but as long as a header of one" * 9]) is None
    )
    assert all(loaded([good[:n]]) is None for n in range(0, len(good), 7))
    other = bytearray(good)
    struct.pack_into("<H", other, 18, 183)  # of another processor
    assert loaded([bytes(other)]) is None
    monkeypatch.setattr(elf, "_ADDRESS_64", 2)  # as if its relocations were of another kind
    assert loaded([good]) is None


def test_the_processor_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    found = target._as_llvm_says()
    monkeypatch.setattr(target, "_as_llvm_says", lambda: asked.append("llvm") or found)

    class Memory(dict[str, bytes]):
        def put(self, key: str, payload: bytes) -> None:
            self[key] = payload

    cache = Memory()
    for _ in range(2):
        assert target._remembered(cache) == found
    assert asked == (["llvm"] if cache else ["llvm", "llvm"])
    monkeypatch.setattr(target, "_processor_key", lambda: None)
    assert target._remembered(cache) == found and asked[-1] == "llvm"


@usual
def test_a_second_process_needs_no_llvm(tmp_path: Path) -> None:
    code = (
        "import sys, chainrule as cr\n"
        "double = cr.compile(lambda x: 2 * x)\n"
        "print(float(double(cr.ones(3)).sum()), 'llvmlite.binding' in sys.modules)\n"
    )
    environment = {**os.environ, "CHAINRULE_CACHE": str(tmp_path / "cache")}
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert said == ["6.0 True\n", "6.0 False\n"]
