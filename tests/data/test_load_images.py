"""Images and sequences of any known kind, by what the path is; byte pairs."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import TextCorpus, load_image_files, load_images, load_sequences
from chainrule.data.byte_pairs import BytePairs, learn_byte_pairs
from chainrule.errors import DataError, OptionError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 255, (6, 4, 5), dtype=np.uint8)
Y = np.array([7, 3, 7, 3, 7, 7], np.uint8)


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    for i, (x, y) in enumerate(zip(X, Y, strict=True)):
        (tmp_path / "p" / f"class{y}").mkdir(parents=True, exist_ok=True)
        image.fromarray(x).save(tmp_path / "p" / f"class{y}" / f"{i}.png")
    return tmp_path / "p"


# -- images ----------------------------------------------------------------------------------------
def test_idx_files_know_their_labels(tmp_path: Path) -> None:
    for part, rows in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(X[rows]))
        with gzip.open(tmp_path / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(idx(Y[rows]))
    train = load_images(tmp_path)
    np.testing.assert_array_equal(train.x, X[:4, None])
    assert (train.classes, train.y.tolist()) == (("3", "7"), [1, 0, 1, 0])
    test = load_images(tmp_path, "test", classes=train.classes)
    assert test.y.tolist() == [1, 1] and test.files == ("row 1", "row 2")
    one = load_images(tmp_path / "train-images-idx3-ubyte")
    assert (one.x == train.x).all()
    x, names = load_image_files(tmp_path, (4, 5), "L")
    assert len(x) == 2 and names == ("row 1", "row 2")
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="the labels belong beside it, as train-labels-idx1-ubyte"):
        load_images(tmp_path)


def test_cifar_files_have_their_classes(tmp_path: Path) -> None:
    records = RNG.integers(0, 9, (4, 3073), dtype=np.uint8)
    records[:2].tofile(tmp_path / "data_batch_1.bin")
    records[2:].tofile(tmp_path / "test_batch.bin")
    train, test = load_images(tmp_path), load_images(tmp_path, "test")
    assert train.x.shape == (2, 3, 32, 32) and train.classes[0] == "airplane"
    np.testing.assert_array_equal(test.y, records[2:, 0])
    assert load_images(tmp_path / "test_batch.bin").x.shape == (2, 3, 32, 32)


def test_npz_files(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x_train=X[..., None], y_train=Y[:, None], x_test=X[:2], y_test=[3, 3])
    train, test = load_images(path), load_images(path, "test", classes=("3", "7"))
    assert train.x.shape == (6, 1, 4, 5) and train.classes == ("3", "7")
    assert test.y.tolist() == [0, 0]
    np.savez(path, images=X, labels=[0, 1, 1, 0, 0, 0], classes=["cat", "dog"])
    assert load_images(path).classes == ("cat", "dog")
    for arrays, said in (
        ({"a": X}, "it holds a; expected are x and y"),
        ({"x": X, "y": Y[:2]}, "6 images and labels of the shape \\(2,\\)"),
        ({"x": X, "y": Y / 2}, "labels are words or whole numbers, got float64"),
        ({"x": X / 2, "y": Y}, "pixels are whole numbers from 0 to 255"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=said):
            load_images(path)
    np.savez(path, x=X, y=Y)
    with pytest.raises(DataError, match="the class '7' is none of 1, 3"):
        load_images(path, classes=("1", "3"))
    with pytest.raises(DataError, match="4 x 5 pixels are not scaled to 8 x 8"):
        load_images(path, size=8)


def test_pictures_are_grey_if_all_are_and_scaled_if_they_differ(pictures: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    found = load_images(pictures)
    assert found.x.shape == (6, 1, 4, 5) and found.classes == ("class3", "class7")
    np.testing.assert_array_equal(found.x[found.files.index("class7/0.png")], X[:1])
    assert load_images(pictures, mode="RGB").x.shape == (6, 3, 4, 5)
    image.fromarray(np.zeros((300, 150), np.uint8)).save(pictures / "class3" / "z.png")
    assert load_images(pictures).x.shape == (7, 1, 4, 5)  # the size in the middle
    for name in "abcdefg":
        image.fromarray(np.zeros((300, 150, 3), np.uint8)).save(pictures / "class3" / f"{name}.png")
    assert load_images(pictures).x.shape == (14, 1, 64, 32)
    assert load_images(pictures, size=(6, 7)).x.shape == (14, 1, 6, 7)


def test_pictures_without_classes(pictures: Path, tmp_path: Path) -> None:
    x, names = load_image_files([pictures / "class7", pictures / "class3" / "1.png"], (4, 5), "L")
    assert x.shape == (5, 1, 4, 5) and [Path(n).name for n in names][-1] == "1.png"
    np.testing.assert_array_equal(x[-1, 0], X[1])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(pictures / "class3" / "1.png", "class3/1.png")
    assert load_image_files(tmp_path / "a.zip", 3, "RGB")[0].shape == (1, 3, 3, 3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "b.png").write_text("no image")
    for path, said in (
        ("empty", "no images in it"),
        ("none.png", "no such file"),
        ("b.png", "not a whole image \\(none of the formats that are read\\)"),
        ("nothing", "no such file or folder"),
    ):
        with pytest.raises(DataError, match=said):
            load_image_files(tmp_path / path, 4, "L")
    with pytest.raises(DataError, match="no such file or folder"):
        load_images(tmp_path / "nothing")
    with pytest.raises(OptionError, match='part is "train" or "test"'):
        load_images(pictures, "validation")


# -- sequences -------------------------------------------------------------------------------------
def test_sequences_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, x=np.ones((3, 4)), y=np.array([0.5, 1, 2]))
    found = load_sequences(path)
    assert found.classes == () and found.y.dtype == np.float32 and found.x[0].shape == (4, 1)
    with pytest.raises(DataError, match="the labels are values, the model knows classes"):
        load_sequences(path, classes=("a",))
    np.savez(path, x=np.ones((2, 4, 3)), lengths=[4, 1], y=[5, 9])
    found = load_sequences(path)
    assert (found.classes, found.lengths.tolist()) == (("5", "9"), [4, 1])
    assert load_sequences(path, labels=False).classes == ()  # they are not read
    for arrays, said in (
        ({"x": np.ones((2, 4)), "lengths": [4, 5], "y": [0, 1]}, "lengths are from 1 to 4, got 4"),
        ({"x": np.ones((2, 4)), "lengths": [4.0, 1.0], "y": [0, 1]}, "lengths are whole numbers"),
        ({"x": np.ones(4), "y": [0, 1]}, "sequences \\(N, T\\) or \\(N, T, channels\\)"),
        ({"x": np.ones((2, 4)), "y": [0.0, np.nan]}, "label 2 is no number"),
        ({"x": np.ones((2, 4))}, "it holds x; expected are x and y"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=said):
            load_sequences(path)
    (tmp_path / "a.ts").write_text("@classLabel false\n@data\n1,2\n")
    with pytest.raises(DataError, match="neither a class nor a value"):
        load_sequences(tmp_path / "a.ts")
    with pytest.raises(DataError, match="sequences are read from .ts and .npz files"):
        load_sequences(tmp_path / "a.csv")


# -- byte pairs ------------------------------------------------------------------------------------
def test_byte_pairs_are_the_most_frequent_ones() -> None:
    """Against an implementation that counts all pairs anew each time."""
    text = "She sells sea shells by the sea shore; the shells she sells are sea shells, I'm sure.\n"
    found = learn_byte_pairs(text * 2, 276)
    from chainrule.data.byte_pairs import pieces_of

    words = [[bytes([b]) for b in piece] for piece in pieces_of(text * 2)]
    wanted = [bytes([i]) for i in range(256)]
    while len(wanted) < 276:
        counts: dict[tuple[bytes, bytes], int] = {}
        for word in words:
            for pair in zip(word, word[1:], strict=False):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda p: (counts[p], [-b for b in p[0] + p[1]]))
        for word in words:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = [best[0] + best[1]]
                i += 1
        if best[0] + best[1] not in wanted:
            wanted.append(best[0] + best[1])
    assert list(found) == wanted
    assert BytePairs(found).split(text * 2) == [part for word in words for part in word]


def test_byte_pairs_know_every_text() -> None:
    corpus = TextCorpus("low lower lowest " * 3, "pairs", size=262)
    assert len(corpus.vocabulary) == 262 and corpus.dtype == np.uint16
    for text in ("slow", "größer 😀\n\n  x", ""):
        assert corpus.decode(corpus.encode(text)) == text
    assert len(corpus.encode(" low lowest")) < 5
    assert len(TextCorpus("ab", "pairs").vocabulary) == 256  # no pair occurs twice
    with pytest.raises(OptionError, match="at least the 256 bytes"):
        TextCorpus("ab", "pairs", size=200)
    with pytest.raises(OptionError, match="the vocabulary must have the 256 bytes"):
        TextCorpus("ab", "pairs", vocabulary=[b"a"])
