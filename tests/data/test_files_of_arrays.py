"""IDX, NPZ, .ts files and folders of images, made here; whole, damaged and hostile ones."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from chainrule import data
from chainrule.data import image_folder
from chainrule.errors import DataError


def idx(array: np.ndarray, code: int) -> bytes:
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("dtype", "code"), [("u1", 8), ("i1", 9), ("i2", 11), ("i4", 12), ("f4", 13), ("f8", 14)]
)
def test_idx(tmp_path: Path, dtype: str, code: int, packed: bool) -> None:
    array = (np.arange(24) - 3).astype(dtype).reshape(2, 3, 4)
    content = idx(array, code)
    path = tmp_path / "array"
    path.write_bytes(gzip.compress(content) if packed else content)
    found = data.read_idx(path)
    assert found.dtype == np.dtype(dtype) and found.flags.c_contiguous
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file: it begins with nothing"),
        (b"\0\0\x08", "no IDX file"),
        (b"PK\x03\x04", "no IDX file: it begins with 50 4b 03 04"),
        (b"\0\0\x07\x01\0\0\0\x01x", "no IDX file"),
        (b"\0\0\x08\x02\0\0\0\x01", "ends within the lengths of its 2 axes"),
        (b"\0\0\x08\x01\0\0\0\x03ab", r"3 bytes belong to the shape \(3,\), it has 2"),
        (b"\0\0\x08\x01\0\0\0\x03abcd", r"3 bytes belong to the shape \(3,\), it has more"),
        (b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff", "the most is 17,179,869,184"),
        (gzip.compress(idx(np.arange(9, dtype=np.uint8), 8))[:30], "damaged gzip file"),
    ],
)
def test_files_that_are_no_idx(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "array"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        data.read_idx(path)


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    x, y = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.float32([1, 2])
    np.savez_compressed(path, x=x, y=y)
    found = data.read_npz(path)
    np.testing.assert_array_equal(found["x"], x)
    assert found["x"].dtype == np.uint8 and found["y"].dtype == np.float32
    with pytest.raises(DataError, match="have 288 bytes unpacked, more than the limit of 100"):
        data.read_npz(path, limit=100)
    np.savez(path, x=np.array([{}, []], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"not an NPZ file of numbers \(it holds Python objects"):
        data.read_npz(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="not an NPZ file of numbers"):
        data.read_npz(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n", "line 1: a line of the header begins with @ or #"),
        ("@classLabel true a\n", "no line @data"),
        ("@classLabel true a\n@data\n", "no sequences after @data"),
        ("@classLabel true a\n@data\n1,2:b\n", "line 3: class 'b' is none of a"),
        ("@classLabel true a\n@data\n1,x:a\n", "line 3: 'x' is no number"),
        ("@classLabel true a\n@data\n1,2:3:a\n", r"line 3: channels of \[2, 1\] values"),
        ("@classLabel true a\n@data\n1,2:a\n1:2:a\n", "line 4: 2 channels, the lines before have"),
        ("@timestamps true\n@data\n(0,1):a\n", "sequences with time stamps are not read"),
    ],
)
def test_damaged_ts_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "set.ts"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        data.read_ts(path)


def test_ts_missing_values_and_targets(tmp_path: Path) -> None:
    path = tmp_path / "set.ts"
    path.write_bytes(b"@problemName two words\r\n@targetLabel true\r\n@data\r\n1,?,3:0.5\r\n")
    found = data.read_ts(path)
    assert np.isnan(found.x[0][1, 0]) and found.y.tolist() == [0.5] and found.name == "two words"


def test_padding() -> None:
    x, lengths = data.pad_sequences([np.ones((3, 2)), np.ones((1, 2))])
    assert x.shape == (2, 3, 2) and x[1, 1:].sum() == 0 and lengths.tolist() == [3, 1]
    y, _ = data.pad_sequences([np.uint8([0, 1]), np.uint8([1])])
    assert y.tolist() == [[0, 1], [1, -100]]  # never class 0
    assert data.pad_sequences([[1.0]], length=3)[0].shape == (1, 3)
    with pytest.raises(DataError, match="sequence 1 is empty; leave it out"):
        data.pad_sequences([[1.0], []])
    with pytest.raises(DataError, match="sequence 0 has 3 steps, more than 2"):
        data.pad_sequences([[1, 2, 3]], length=2)


# -- folders of images -----------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Classes 1, 2 and 10, of 2, 1 and 1 images, and things that are no class and no image."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    root = tmp_path / "train"
    for name, shade in (("1/a.png", 10), ("1/deep/b.bmp", 11), ("2/a.png", 20), ("10/a.PNG", 100)):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((4, 6, 3), shade, np.uint8)
        pixels[0, 0] = [1, 2, 3]
        image.fromarray(pixels).save(file)
    (root / ".git").mkdir()
    (root / ".git/c.png").write_bytes((root / "2/a.png").read_bytes())
    for name in (".DS_Store", "2/.DS_Store", "2/._a.png", "2/notes.txt", "top.png"):
        (root / name).write_bytes(b"\0\0\0\1Bud1")
    return root


def test_classes_of_an_image_folder(folder: Path) -> None:
    found = data.load_image_folder(folder)
    assert found.classes == ("1", "10", "2") and found.y.tolist() == [0, 0, 1, 2]
    assert found.files == ("1/a.png", "1/deep/b.bmp", "10/a.PNG", "2/a.png")
    assert found.x.shape == (4, 3, 4, 6) and found.x.dtype == np.uint8
    assert found.x[:, :, 1, 1].tolist() == [[10] * 3, [11] * 3, [100] * 3, [20] * 3]
    assert found.x[0, :, 0, 0].tolist() == [1, 2, 3]
    last = data.load_image_folder(folder, channels="last", mode="L", size=8)
    assert last.x.shape == (4, 8, 8, 1)


def test_labels_go_by_name_where_a_class_is_missing(folder: Path) -> None:
    train = data.load_image_folder(folder)
    (folder / "10/a.PNG").unlink()
    (folder / "10").rmdir()
    found = data.load_image_folder(folder, classes=train.classes)
    assert found.y.tolist() == [0, 0, 2]
    with pytest.raises(DataError, match="the folder '2' is none of the classes 1, 10"):
        data.load_image_folder(folder, classes=["1", "10"])


def test_folders_without_images(folder: Path, tmp_path: Path) -> None:
    (folder / "3").mkdir()
    with pytest.raises(DataError, match="no images in the folder 3; remove what is no class, or"):
        data.load_image_folder(folder)
    assert data.load_image_folder(folder, classes=["1", "10", "2", "3"]).y.tolist() == [0, 0, 1, 2]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no folders of classes in it"):
        data.load_image_folder(tmp_path / "empty")
    with pytest.raises(DataError, match="no such folder"):
        data.load_image_folder(tmp_path / "gone")


def test_images_that_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    Image.new("RGB", (5, 5)).save(folder / "2/b.png")
    with pytest.raises(DataError, match=r"2/b.png has 5 x 5 pixels, .*1/a.png 4 x 6; say size=\("):
        data.load_image_folder(folder)
    (folder / "2/b.png").write_bytes((folder / "2/a.png").read_bytes()[:60])
    with pytest.raises(DataError, match="2/b.png: not a whole image"):
        data.load_image_folder(folder)
    Image.new("I;16", (6, 4)).save(folder / "2/b.png")
    with pytest.raises(DataError, match="2/b.png: more than 8 bits a channel"):
        data.load_image_folder(folder)
    monkeypatch.setattr(image_folder, "MOST_PIXELS", 20)
    with pytest.raises(DataError, match="1/a.png: 6 x 4 pixels, more than the 20 that are read"):
        data.load_image_folder(folder)


def test_an_archive_of_images(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    found, plain = data.load_image_folder(path), data.load_image_folder(folder)
    np.testing.assert_array_equal(found.x, plain.x)
    assert (found.y == plain.y).all() and found.files == plain.files
    for name in ("../1/a.png", "/1/a.png", "1/../../a.png", "c:\\1\\a.png"):
        with zipfile.ZipFile(path, "w") as archive:
            info = zipfile.ZipInfo("x")
            info.filename = name  # which its constructor would have cleaned
            archive.writestr(info, (folder / "1/a.png").read_bytes())
        with pytest.raises(DataError, match="leads out of the archive"):
            data.load_image_folder(path)
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match="not a whole .zip file"):
        data.load_image_folder(path)
