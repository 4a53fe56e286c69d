"""The disk cache: damage, concurrency, bounds, unusable folders."""

from __future__ import annotations

import multiprocessing
import os
import stat
import time
import warnings
from pathlib import Path

import pytest

from chainrule.runtime import cache as cache_module
from chainrule.runtime.cache import Cache, default_folder

KEY = "0123456789abcdef"
PAYLOAD = bytes(range(256)) * 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.crc")
    return path


def test_what_was_put_is_found_also_by_another_process(folder: Path) -> None:
    Cache(folder).put(KEY, PAYLOAD)
    assert Cache(folder).get(KEY) == PAYLOAD
    assert Cache(folder).get("ffff") is None


def test_put_replaces(folder: Path) -> None:
    cache = Cache(folder)
    cache.put(KEY, b"old")
    cache.put(KEY, b"")
    assert cache.get(KEY) == b""


def test_every_truncation_is_noticed_and_removed(folder: Path) -> None:
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)
    path = only_file(folder)
    whole = path.read_bytes()
    for length in [*range(0, 80), *range(80, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert cache.get(KEY) is None, length
        assert not path.exists(), length
    path.write_bytes(whole + b"\0")
    assert cache.get(KEY) is None
    path.write_bytes(whole)
    assert cache.get(KEY) == PAYLOAD


def test_every_flipped_byte_is_noticed(folder: Path) -> None:
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)
    path = only_file(folder)
    whole = path.read_bytes()
    for at in [*range(0, 80), *range(80, len(whole), 29)]:
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        path.write_bytes(bytes(damaged))
        assert cache.get(KEY) is None, at
    cache.put(KEY, PAYLOAD)
    assert cache.get(KEY) == PAYLOAD


def test_entry_of_another_key_is_not_taken(folder: Path) -> None:
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)
    path = only_file(folder)
    path.rename(path.with_name("chainrule-beef" + path.suffix))
    assert cache.get("beef") is None


def test_entry_of_another_format_version_is_not_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cache(folder).put(KEY, PAYLOAD)
    monkeypatch.setattr(cache_module, "_MAGIC", b"CRcache\x02")
    assert Cache(folder).get(KEY) is None


@pytest.mark.parametrize("key", ["", "a", "../../etc", "ABCD", "zz", "a" * 201])
def test_keys_cannot_leave_the_folder(folder: Path, key: str) -> None:
    with pytest.raises(ValueError, match="expected lowercase hex digits"):
        Cache(folder).put(key, b"")


def test_least_recently_used_go_first(folder: Path) -> None:
    cache = Cache(folder, max_bytes=10_000)
    now = time.time()
    for n in range(9):
        cache.put(f"{n:04x}", bytes(1000))
        path = folder / f"chainrule-{n:04x}.crc"
        os.utime(path, (now - 100 + n, now - 100 + n))
    assert cache.get("0000") is not None  # used: the oldest is now 0001
    cache.put("aaaa", bytes(1000))
    assert cache.get("aaaa") is not None
    assert cache.get("0000") is not None
    assert cache.get("0001") is None
    assert cache.stats().bytes <= 10_000


def test_an_entry_larger_than_the_cache_is_not_kept(folder: Path) -> None:
    cache = Cache(folder, max_bytes=1000)
    cache.put(KEY, bytes(2000))
    assert cache.get(KEY) is None


def test_clear_and_stats(folder: Path) -> None:
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)
    assert (cache.get(KEY), cache.get("ffff")) == (PAYLOAD, None)
    (folder / "note.txt").write_text("not ours")
    stats = cache.stats()
    assert (stats.folder, stats.entries, stats.hits, stats.misses) == (folder, 1, 1, 1)
    assert stats.bytes > len(PAYLOAD)
    cache.clear()
    assert cache.stats().entries == 0
    assert sorted(p.name for p in folder.iterdir()) == ["chainrule-cache", "note.txt"]


def test_old_temporary_files_are_removed_and_new_ones_are_not(folder: Path) -> None:
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)
    old, new = folder / "chainrule-x.tmp", folder / "chainrule-y.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    cache.stats()
    assert not old.exists() and new.exists()


def test_folder_is_closed_to_others(folder: Path) -> None:
    Cache(folder).put(KEY, PAYLOAD)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(folder).stat().st_mode) & 0o077 == 0


def test_folder_that_others_can_write_is_not_trusted(folder: Path) -> None:
    Cache(folder).put(KEY, PAYLOAD)
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="other users can write to it"):
        assert Cache(folder).get(KEY) is None


def test_folder_of_another_user_is_not_trusted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cache(folder).put(KEY, PAYLOAD)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.warns(RuntimeWarning, match="belongs to user"):
        assert Cache(folder).get(KEY) is None


def test_the_advice_is_to_remove_a_folder_that_others_can_write(folder: Path) -> None:
    Cache(folder).put(KEY, PAYLOAD)
    folder.chmod(0o770)
    with pytest.warns(RuntimeWarning) as caught:
        Cache(folder).get(KEY)
    assert str(caught[0].message) == (
        f"compiled programs are not kept: cache folder {folder}: other users can write to it, and "
        "may have put code in it; remove the folder; set CHAINRULE_CACHE to another folder, or to "
        "0 to do without"
    )


def plant_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def plant_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


PLANTED = {
    "a link": (plant_link, "it is a link"),
    "a pipe": (plant_pipe, "it is not a plain file"),
    "writable by others": (lambda path: path.chmod(0o602), "other users can write to it"),
    "writable by the group": (lambda path: path.chmod(0o620), "other users can write to it"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_an_entry_that_others_may_have_written_is_not_used(folder: Path, kind: str) -> None:
    plant, why = PLANTED[kind]
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)
    path = only_file(folder)
    plant(path)
    with pytest.warns(RuntimeWarning) as caught:
        assert cache.get(KEY) is None
    assert str(caught[0].message) == (
        f"a compiled program is not used: {path}: {why}. It was removed; if you did not put it "
        f"there, remove the folder {folder}"
    )
    assert not path.is_symlink() and not path.exists()
    cache.put(KEY, PAYLOAD)
    assert cache.get(KEY) == PAYLOAD


def test_an_entry_of_another_user_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.warns(RuntimeWarning, match="it belongs to user"):
        assert cache.get(KEY) is None


def test_an_entry_larger_than_the_cache_is_not_read(folder: Path) -> None:
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)
    os.truncate(only_file(folder), 1 << 40)
    assert cache.get(KEY) is None


def test_a_folder_in_place_of_an_entry_is_not_used(folder: Path) -> None:
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)
    only_file(folder).unlink()
    (folder / f"chainrule-{KEY}.crc").mkdir()
    with pytest.warns(RuntimeWarning, match="it is not a plain file"):
        assert cache.get(KEY) is None


def test_a_folder_with_other_files_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / name for name in ("thesis.tmp", "sums.crc", "chainrule-notes.tmp")]
    for path in files:
        path.write_text("mine")
        os.utime(path, (1, 1))
    cache = Cache(Path("."), max_bytes=10)
    with pytest.warns(RuntimeWarning, match="it holds other files; name a new or an empty folder"):
        cache.put(KEY, b"")
    cache.clear()
    cache.stats()
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_in_a_cache_only_files_with_our_names_are_removed(folder: Path) -> None:
    cache = Cache(folder, max_bytes=2000)
    cache.put(KEY, PAYLOAD)
    others = [folder / name for name in ("thesis.tmp", "sums.crc", "0123.crc", "chainrule-x.txt")]
    for path in others:
        path.write_bytes(bytes(3000))
        os.utime(path, (1, 1))
    cache.put("beef", bytes(1500))  # evicts
    cache.stats()
    cache.clear()
    assert sorted(folder.iterdir()) == sorted([*others, folder / "chainrule-cache"])


def test_an_empty_folder_and_the_users_own_become_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cache(tmp_path).put(KEY, PAYLOAD)
    assert Cache(tmp_path).get(KEY) == PAYLOAD
    monkeypatch.delenv("CHAINRULE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))
    monkeypatch.setattr("sys.platform", "linux")
    folder = default_folder()
    assert folder is not None
    folder.mkdir(parents=True, mode=0o700)
    (folder / "of an older version").touch()
    Cache(folder).put(KEY, PAYLOAD)
    assert Cache(folder).get(KEY) == PAYLOAD


def test_unusable_folder_warns_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache")
    with pytest.warns(
        RuntimeWarning, match="compiled programs are not kept: .*set CHAINRULE_CACHE"
    ):
        cache.put(KEY, PAYLOAD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put(KEY, PAYLOAD)
        assert cache.get(KEY) is None
        cache.clear()
        assert cache.stats().folder is None


def test_disk_full_or_read_only_warns_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(folder)
    cache.put(KEY, PAYLOAD)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        cache.put("beef", PAYLOAD)
    assert [p.suffix for p in folder.glob("*.*")] == [".crc"]  # no half-written file stays
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put("beef", PAYLOAD)
        assert cache.get(KEY) == PAYLOAD  # what is there is still of use


@pytest.mark.parametrize(
    ("value", "expected"), [("0", None), ("off", None), ("OFF", None), ("/x/y", Path("/x/y"))]
)
def test_environment_variable(
    value: str, expected: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", value)
    assert default_folder() == expected


def test_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINRULE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setattr("sys.platform", "linux")
    assert default_folder() == Path("/somewhere/chainrule")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == Path.home() / ".cache/chainrule"


def test_switched_off_does_nothing() -> None:
    cache = Cache(None)
    cache.put(KEY, PAYLOAD)
    assert cache.get(KEY) is None
    assert cache.stats().entries == 0
    cache.clear()


def _hammer(folder: Path, seed: int) -> None:
    cache = Cache(folder, max_bytes=60_000)
    for n in range(200):
        key = f"{(n * seed) % 16:04x}"
        found = cache.get(key)
        if found is not None and found != key.encode() * 1000:
            os._exit(3)
        cache.put(key, key.encode() * 1000)


def test_processes_writing_at_once_never_see_a_wrong_entry(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_hammer, args=(folder, seed)) for seed in (3, 5)]
    for worker in workers:
        worker.start()
    _hammer(folder, 7)
    for worker in workers:
        worker.join(300)
        assert worker.exitcode == 0
    assert list(folder.glob("*.tmp")) == []
