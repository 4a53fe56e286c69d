"""IR text to machine code: right code, errors that show the line, cache, memory given back."""

from __future__ import annotations

import ctypes
import gc
import threading

import pytest

from chainrule.backends.cpu.machine.compiler import (
    assembly,
    compile_ir,
    object_key,
    optimized_ir,
)
from chainrule.backends.cpu.machine.library import Library
from chainrule.backends.cpu.machine.target import host, preset
from chainrule.errors import InternalError

ADD = "define i64 @add{n}(i64 %a, i64 %b) {{\n"
ADD += "  %c = add i64 %a, %b\n  %d = add i64 %c, {n}\n  ret i64 %d\n}}\n"


def call(library: Library, name: str, *args: int) -> int:
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(args))
    return int(function(library.address(name))(*args))


@pytest.mark.parametrize("opt", [1, 2])
def test_functions_run(opt: int) -> None:
    texts = [ADD.format(n=n) for n in range(7)]
    library = Library(compile_ir(texts, host(), opt), host())
    assert [call(library, f"add{n}", 20, 1) for n in range(7)] == list(range(21, 28))


def test_objects_call_each_other_and_the_c_library() -> None:
    caller = """
declare i64 @add5(i64, i64)
declare double @cos(double)
define i64 @both(i64 %a) {
  %x = sitofp i64 %a to double
  %c = call double @cos(double %x)
  %i = fptosi double %c to i64
  %r = call i64 @add5(i64 %a, i64 %i)
  ret i64 %r
}
"""
    library = Library(compile_ir([caller, ADD.format(n=5)], host()), host())
    assert call(library, "both", 0) == 6


def test_constants_and_tables_are_found_wherever_memory_lies() -> None:
    text = """
@table = constant [4 x i64] [i64 7, i64 11, i64 13, i64 17]
define i64 @pick(i64 %i) {
  %p = getelementptr [4 x i64], ptr @table, i64 0, i64 %i
  %v = load i64, ptr %p
  ret i64 %v
}
"""
    library = Library(compile_ir([text], host()), host())
    assert [call(library, "pick", i) for i in range(4)] == [7, 11, 13, 17]


def test_text_for_reading() -> None:
    assert "define" in optimized_ir(ADD.format(n=1), host())
    assert "vaddps" in assembly(
        "define <8 x float> @f(<8 x float> %a) {\n  %b = fadd <8 x float> %a, %a\n  ret <8 x "
        "float> %b\n}",
        preset("avx2"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "define void @f() {\n  %a = add i32 1, %nope\n  ret void\n}",
            "use of undefined value '%nope'\n  %a = add i32 1, %nope",
        ),
        (
            "define i32 @f() {\n  %a = add i32 1, %b\n  %b = add i32 1, 2\n  ret i32 %a\n}",
            "Instruction does not dominate all uses!\n  %b = add i32 1, 2\n  %a = add i32 1, %b\n"
            "(line 2: %a = add i32 1, %b)",
        ),
    ],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_wrong_ir_shows_the_line(text: str, message: str, jobs: int) -> None:
    good = [ADD.format(n=n) for n in range(3)]
    with pytest.raises(InternalError) as caught:
        compile_ir([*good, text], host(), jobs=jobs)
    assert message in str(caught.value)
    del caught
    gc.collect()  # LLVM's objects must not be torn down in a wrong order by the collector


def test_missing_symbol() -> None:
    text = "declare void @chainrule_nowhere()\n"
    text += "define void @f() {\n  call void @chainrule_nowhere()\n  ret void\n}"
    with pytest.raises(InternalError, match="no code for 'f'"):
        Library(compile_ir([text], host()), host()).address("f")
    with pytest.raises(InternalError, match="no code for 'g'"):
        Library(compile_ir([ADD.format(n=1)], host()), host()).address("g")


def test_damaged_object_is_an_error() -> None:
    with pytest.raises(InternalError):
        Library([b"not an object"], host()).address("f")


class Memory(dict[str, bytes]):
    def put(self, key: str, payload: bytes) -> None:
        assert key not in self
        self[key] = payload


def test_cache_is_asked_first_and_equal_texts_compile_once() -> None:
    cache = Memory()
    texts = [ADD.format(n=1), ADD.format(n=2), ADD.format(n=1)]
    first = compile_ir(texts, host(), cache=cache)
    assert len(cache) == 2 and first[0] == first[2] != first[1]
    cache[object_key(texts[1], host())] = b"from the cache"
    assert compile_ir(texts, host(), cache=cache) == [first[0], b"from the cache", first[2]]


def test_key_depends_on_text_target_and_level() -> None:
    keys = {
        object_key(t, target, opt)
        for t in ("a", "b")
        for target in (preset("sse2"), preset("avx2"))
        for opt in (1, 2)
    }
    assert len(keys) == 8


def test_nothing_to_compile() -> None:
    assert compile_ir([], host()) == []


def maps() -> int:
    with open("/proc/self/maps") as file:
        return sum(1 for _ in file)


def test_code_is_unloaded_with_its_library() -> None:
    objects = compile_ir([ADD.format(n=n) for n in range(3)], host())

    def load() -> None:
        for _ in range(20):
            library = Library(objects, host())
            assert call(library, "add1", 1, 1) == 3
            library.itself = library  # type: ignore[attr-defined]  # a cycle: taken by the collector
            del library
        gc.collect()

    load()
    before = maps()
    load()
    assert maps() <= before + 5


def test_two_python_threads_compile_at_once() -> None:
    results: dict[int, list[bytes]] = {}
    texts = [[ADD.format(n=100 * k + n) for n in range(5)] for k in range(2)]
    threads = [
        threading.Thread(target=lambda k=k: results.update({k: compile_ir(texts[k], host())}))
        for k in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    library = Library(results[0] + results[1], host())
    assert [call(library, f"add{n}", 0, 0) for n in (3, 104)] == [3, 104]
