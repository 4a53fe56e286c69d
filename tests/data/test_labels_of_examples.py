"""Labels of images and sequences: classes have the same order from every source, and what is no
class is an error."""

import numpy as np
import pytest

from chainrule.data import load_images, load_sequences
from chainrule.errors import DataError
from chainrule.estimators import ImageModel, SequenceModel

X = np.random.default_rng(0).integers(0, 255, (24, 4, 4), dtype=np.uint8)
NUMBERS = np.arange(24) % 12


def _images(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", x=X, **arrays)
    return load_images(tmp_path / "a.npz")


def test_numbers_are_classes_in_their_order_of_arrays_as_of_files(tmp_path):
    names = tuple(map(str, range(12)))
    assert _images(tmp_path, y=NUMBERS).classes == names
    model = ImageModel.fit(X, NUMBERS, model="linear", epochs=1, validation=0.5)
    assert model.classes == names
    assert model.predict_proba(X).shape == (24, 12)


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"] * 12, np.array(["no", "yes"] * 12, object), np.array([[b"no"], [b"yes"]] * 12)],
    ids=["list", "objects of a DataFrame", "a column of bytes"],
)
def test_words_of_any_kind_are_classes(tmp_path, labels):
    model = ImageModel.fit(X, labels, model="linear", epochs=1)
    assert model.classes == ("no", "yes")
    x = [np.arange(5.0) + i for i in range(24)]
    assert SequenceModel.fit(x, labels, epochs=1, width=2, layers=1).classes == ("no", "yes")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.0, 1.0] * 12), "labels are words or whole numbers, got float64"),
        (["a", None] * 12, "labels are words or whole numbers, got object"),
        (NUMBERS[:5], r"24 images and labels of the shape \(5,\)"),
    ],
)
def test_what_are_no_classes(labels, message):
    with pytest.raises(DataError, match=message):
        ImageModel.fit(X, labels, model="linear", epochs=1)


@pytest.mark.parametrize("outside", [-1, 3])
def test_a_number_outside_of_the_named_classes(tmp_path, outside):
    y = np.arange(24) % 3
    y[7] = outside
    with pytest.raises(DataError, match=f"the label {outside} is no number of the 3 classes"):
        _images(tmp_path, y=y, classes=["a", "b", "c"])


def test_words_beside_the_names_of_classes(tmp_path):
    found = _images(tmp_path, y=["b", "a"] * 12, classes=["b", "a", "c"])
    assert found.classes == ("b", "a", "c")
    assert found.y.tolist() == [0, 1] * 12
    with pytest.raises(DataError, match="the class 'z' is none of b, a"):
        _images(tmp_path, y=["b", "z"] * 12, classes=["b", "a"])


def test_whole_numbers_are_values_for_a_model_of_values(tmp_path):
    x, y = [np.sin(np.arange(8) * k / 9) for k in range(1, 25)], np.arange(10, 34)
    model = SequenceModel.fit(x, y.astype(float), epochs=1, width=2, layers=1)
    assert model.evaluate(x, y) == model.evaluate(x, y.astype(float))
    np.savez(tmp_path / "s.npz", x=np.stack(x), y=y)
    assert load_sequences(tmp_path / "s.npz").classes[:2] == ("10", "11")


def test_labels_that_are_not_asked_for_may_be_anything(tmp_path):
    x = np.random.default_rng(0).normal(size=(24, 6))
    model = SequenceModel.fit(list(x), ["a", "b"] * 12, epochs=1, width=2, layers=1)
    np.savez(tmp_path / "s.npz", x=x, y=["?"] * 24)
    assert model.predict(tmp_path / "s.npz").tolist() == model.predict(list(x)).tolist()
    head, line = "@classLabel true 1 2\n@data\n", "1,2,3,4,5,6:2\n"
    (tmp_path / "s.ts").write_text(head + line)
    assert model.predict(tmp_path / "s.ts").shape == (1,)
