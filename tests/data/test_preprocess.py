"""Preprocessing: what a network gets to read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chainrule.data import Preprocessor
from chainrule.errors import DataError

TABLE = {
    "size": [1.0, 2.0, None, 6.0],
    "colour": ["red", "blue", "red", None],
    "y": ["no", "yes", "no", "yes"],
}


def test_numbers_are_imputed_marked_and_standardised():
    p = Preprocessor.fit(TABLE, "y")
    x = p.features(TABLE)
    there, filled = np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 2.0, 6.0])
    np.testing.assert_allclose(x[:, 0], (filled - there.mean()) / there.std(), rtol=1e-6)
    assert x[:, 1].tolist() == [0, 0, 1, 0]
    assert x[:, 2:].tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert p.feature_names == [
        "size",
        "size is missing",
        "colour=blue",
        "colour=red",
        "colour is missing",
    ]


def test_order_unknown_columns_and_unseen_categories():
    p = Preprocessor.fit(TABLE, "y")
    x = p.features({"extra": [1.0, 1.0], "colour": ["green", "red"], "size": [1.0, 2.0]})
    assert x[:, 2:].tolist() == [[0, 0, 0], [0, 1, 0]]
    assert p.notes == [
        "ignored 'extra': not used by the model",
        "'colour': 1 rows with categories that have no input ('green'): all zeros",
    ]


def test_a_value_missing_only_later_is_noted():
    p = Preprocessor.fit({"a": [1.0, 3.0], "y": ["n", "m"]}, "y")
    assert p.features({"a": [None, 3.0]}).tolist() == [[0.0], [1.0]]
    assert p.notes == [
        "'a': 1 missing values replaced by the median 2 (none was missing in training)"
    ]


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (["a", "b"] * 20, "binary", ["a", "b"]),
        ([0, 1] * 20, "binary", ["0", "1"]),
        ([2, 10, 1, 10] * 10, "multiclass", ["1", "2", "10"]),
        ([True, False] * 20, "binary", ["False", "True"]),
        (list(np.arange(40.0)), "regression", []),
        ([0.5, 1.5] * 20, "regression", []),
    ],
)
def test_the_task_is_inferred(y, task, classes):
    p = Preprocessor.fit({"x": np.arange(40.0), "y": y}, "y")
    assert (p.task, p.classes) == (task, classes)


def test_a_task_may_be_given():
    table = {"x": np.arange(40.0), "y": [3, 4, 5, 6] * 10}
    assert Preprocessor.fit(table, "y").task == "multiclass"
    assert Preprocessor.fit(table, "y", "regression").task == "regression"


def test_targets_and_back():
    table = {"x": np.arange(40.0), "y": np.arange(40.0) * 7, "z": np.arange(40.0) ** 2}
    p = Preprocessor.fit(table, ["y", "z"])
    t = p.targets(table)
    np.testing.assert_allclose(t.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(t.std(0), 1, rtol=1e-5)
    np.testing.assert_allclose(
        p.numbers(t), np.stack([table["y"], table["z"]], 1), rtol=1e-4, atol=1e-3
    )


def test_identifiers_and_rare_words():
    names = [f"person {i}" for i in range(600)]
    table = {
        "id": names,
        "often": [n if i < 300 else "x" for i, n in enumerate(names)],
        "y": [0, 1] * 300,
    }
    p = Preprocessor.fit(table, "y")
    assert p.notes == [
        "ignored 'id': a different word in every row",
        "'often': 301 categories, the 256 most frequent are used",
    ]
    assert p.width == 256 and "often=x" in p.feature_names


def test_json_both_ways():
    p = Preprocessor.fit(TABLE, "y")
    again = Preprocessor.from_json(json.loads(json.dumps(p.to_json())))
    assert again == p
    np.testing.assert_array_equal(again.features(TABLE), p.features(TABLE))


@pytest.mark.parametrize("held", [{}, {"columns": 3}, {"columns": [{"kind": "number"}]}])
def test_foreign_json_is_refused(held):
    with pytest.raises(DataError, match="this is no description of a preprocessor"):
        Preprocessor.from_json(held)
