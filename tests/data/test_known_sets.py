"""MNIST, CIFAR-10, texts and sequences as they are published; where they are looked for."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import data
from chainrule.data import cifar, known_files, mnist
from chainrule.errors import DataError

FOLDER = os.environ.get("CHAINRULE_DATA", "")


def real(name: str) -> Path:
    path = Path(FOLDER) / name
    if not FOLDER or not path.is_dir():
        pytest.skip(f"no {name} in the folder CHAINRULE_DATA")
    return path


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder but those of the test, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def test_mnist() -> None:
    (x, y), (x_test, y_test) = data.load_mnist(real("mnist"))
    assert x.shape == (60000, 28, 28) and x.dtype == np.uint8 and x_test.shape == (10000, 28, 28)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y).tolist() == counts
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(x.mean() / 255, 4) == 0.1307


def test_mnist_unpacked_and_damaged(tmp_path: Path) -> None:
    folder = real("mnist")
    for file in mnist._MNIST.files:
        packed = (folder / file.name).read_bytes()
        (tmp_path / file.name.removesuffix(".gz")).write_bytes(gzip.decompress(packed))
    (x, y), _ = data.load_mnist(tmp_path)
    assert y[:5].tolist() == [5, 0, 4, 1, 9]
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    content = bytearray(labels.read_bytes())
    content[-1] ^= 1
    labels.write_bytes(content)
    with pytest.raises(DataError, match="not the file it should be: 10,008 bytes with checksum"):
        data.load_mnist(tmp_path)


def test_cifar_subset() -> None:
    folder = real("cifar10_subset")
    (x, y), (x_test, y_test) = data.load_cifar10(folder, subset=True)
    assert x.shape == (5000, 3, 32, 32) and x.dtype == np.uint8
    assert np.bincount(y).tolist() == [500] * 10 and np.bincount(y_test).tolist() == [100] * 10
    np.testing.assert_allclose(x.mean((0, 2, 3)), [125.2, 122.6, 113.3], atol=0.05)
    (last, _), _ = data.load_cifar10(folder, subset=True, channels="last")
    np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), x)


def test_tiny_shakespeare_and_names() -> None:
    corpus = data.load_tiny_shakespeare(real("tinyshakespeare"))
    assert len(corpus) == 1_115_394 and len(corpus.vocabulary) == 65
    assert corpus.tokens.dtype == np.uint8
    train, test = corpus.split(0.9)
    assert (len(train), len(test)) == (1_003_854, 111_540)
    assert corpus.decode(corpus.tokens[:14]) == "First Citizen:"
    names = data.load_names(real("names"))
    assert len(names) == 32_033 and len(set(names)) == 29_494 and names[0] == "emma"


@pytest.mark.parametrize(
    ("name", "count", "channels", "lengths", "classes"),
    [
        ("BasicMotions_TRAIN", 40, 6, (100, 100), 4),
        ("JapaneseVowels_TEST", 370, 12, (7, 29), 9),
        ("ItalyPowerDemand_TEST", 1029, 1, (24, 24), 2),
        ("GunPoint_TRAIN", 50, 1, (150, 150), 2),
    ],
)
def test_ts_files(
    name: str, count: int, channels: int, lengths: tuple[int, int], classes: int
) -> None:
    found = data.read_ts(real("sequence_classification") / f"{name}.ts.gz")
    assert len(found) == count and {s.shape[1] for s in found.x} == {channels}
    assert (found.lengths.min(), found.lengths.max()) == lengths
    assert len(found.classes) == classes and set(found.y) == set(range(classes))


# -- CIFAR records ---------------------------------------------------------------------------------
def record(label: int, start: int = 0) -> bytes:
    return bytes([label]) + bytes((start + i) % 251 for i in range(3072))


def test_cifar_records_are_planes_of_rows(tmp_path: Path) -> None:
    file = tmp_path / "batch.bin"
    file.write_bytes(record(7) + record(2, 5))
    x, y = data.read_cifar(file)
    c, h, w = np.ogrid[:3, :32, :32]
    np.testing.assert_array_equal(x[0], (1024 * c + 32 * h + w) % 251)
    assert y.tolist() == [7, 2] and x.dtype == np.uint8
    last, _ = data.read_cifar(file, channels="last")
    np.testing.assert_array_equal(last, x.transpose(0, 2, 3, 1))
    two, labels = data.read_cifar(_written(file, b"\x03" + record(7)), labels=2)
    assert labels.tolist() == [[3, 7]] and (two[0] == x[0]).all()
    for size in (3072, 3074, 0):
        with pytest.raises(DataError, match=f"{size:,} bytes are no whole number of records of 3"):
            data.read_cifar(_written(file, bytes(size)))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_cifar_files_and_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "IN_FILE", 10)
    batch = record(1) * 10
    names = [*cifar._TRAIN, *cifar._TEST]
    packed = archive(tmp_path / "a.tar.gz", {f"cifar-10-batches-bin/{n}": batch for n in names})
    (x, y), (x_test, _) = cifar._from_archive(packed, "first")
    assert x.shape == (50, 3, 32, 32) and len(x_test) == 10 and set(y) == {1}
    outside = archive(tmp_path / "b.tar.gz", {"../data_batch_1.bin": batch})
    with pytest.raises(DataError, match="the name '../data_batch_1.bin' leads out of the archive"):
        cifar._from_archive(outside, "first")
    with pytest.raises(DataError, match="has no data_batch_2.bin, data_batch_3.bin"):
        cifar._from_archive(archive(tmp_path / "c.tar.gz", {cifar._TRAIN[0]: batch}), "first")
    with pytest.raises(DataError, match="damaged archive"):
        cifar._from_archive(_written(tmp_path / "d.tar.gz", packed.read_bytes()[:200]), "first")
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(batch if name != "data_batch_3.bin" else batch[:-3073])
    with pytest.raises(DataError, match="data_batch_3.bin: 10 images are expected, it has 9"):
        data.load_cifar10(tmp_path)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    import pickle

    held = pickle.dumps({b"labels": [1], b"data": bytes(3072)}, protocol=2)
    with pytest.raises(DataError, match="a pickle, which can run code; fetch the binary version"):
        data.read_cifar(_written(tmp_path / "data_batch_1", held))


# -- where files are looked for --------------------------------------------------------------------
def test_what_to_do_is_said_where_nothing_is_found(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        data.load_mnist(tmp_path / "here")
    here = tmp_path / "here"
    assert str(error.value) == (
        "MNIST: train-images-idx3-ubyte.gz is in none of\n"
        f"      {here}\n      {here / 'mnist'}\n      {here / 'MNIST/raw'}\n"
        "    The files are\n"
        "      train-images-idx3-ubyte.gz\n      train-labels-idx1-ubyte.gz\n"
        "      t10k-images-idx3-ubyte.gz\n      t10k-labels-idx1-ubyte.gz\n"
        "    Source: http://yann.lecun.com/exdb/mnist\n"
        "    Licence: Y. LeCun, C. Cortes and C. Burges; commonly given as CC BY-SA 3.0\n"
        "    Put them into one of these folders, name a folder of yours (folder=, or the variable "
        "CHAINRULE_DATA), or call it with download=True "
        "(https://ossci-datasets.s3.amazonaws.com/mnist/)."
    )


@pytest.mark.parametrize("place", ["data", "shared", "variable", "cache"])
def test_places(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = known_files.KnownFile("a.txt", 3, "900150983cd24fb0d6963f7d28e17f72")
    known = known_files.KnownSet("letters", ("letters",), (file,), "nowhere", "none")
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)
    folders = {
        "data": here / "data",
        "shared": tmp_path / "shared/data",
        "variable": tmp_path / "mine",
        "cache": known_files.users_folder() / "data",
    }
    if place == "variable":
        monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "mine"))
    (folders[place] / "letters").mkdir(parents=True)
    (folders[place] / "letters/a.txt").write_bytes(b"abc")
    assert known.read(file, None, False) == b"abc"
    (folders[place] / "letters/a.txt").write_bytes(b"abd")
    with pytest.raises(DataError, match="not the file it should be"):
        known.read(file, None, False)


def test_a_file_is_fetched_when_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = known_files.KnownFile("a.txt", 3, "900150983cd24fb0d6963f7d28e17f72")
    urls = ("https://one.invalid/", "https://two.invalid/")
    known = known_files.KnownSet("letters", ("letters",), (file,), "nowhere", "none", urls)
    answers = {"https://one.invalid/a.txt": b"abd", "https://two.invalid/a.txt": b"abc"}
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(answers[url]))
    assert known.read(file, None, True) == b"abc"  # the first is another file
    kept = known_files.users_folder() / "data/letters/a.txt"
    assert kept.read_bytes() == b"abc"
    kept.unlink()
    answers["https://two.invalid/a.txt"] = b"a" * (2 << 20)
    with pytest.raises(DataError, match="(?s)letters could not be fetched.*more than the"):
        known.read(file, None, True)
    assert not kept.exists()
    with pytest.raises(DataError, match="only https is fetched"):
        known_files._body("http://one.invalid/a.txt", 3)
