"""A model of a table, and its file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from chainrule.errors import ChainruleError, CheckpointError
from chainrule.estimators import TableModel
from chainrule.estimators.measure import auc

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from fuzzing import damaged  # noqa: E402 - tests/data/fuzzing.py


def table(rows=120):
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    return {
        "x": x,
        "word": rng.choice(["a", "b"], rows),
        "y": np.where(x > 0, "up", "down"),
        "n": 100 + 5 * x,
    }


@pytest.fixture(scope="module")
def model():
    return TableModel.fit(
        table(), "y", hidden=(8,), training={"epochs": 30, "lr": 0.05}, drop=["n"]
    )


@pytest.fixture
def path(model, tmp_path):
    return model.save(tmp_path / "m.safetensors")


def test_it_learns(model):
    assert model.metrics["accuracy"] > 0.9 > model.baseline["accuracy"]
    assert set(model.metrics) == set(model.baseline) == {"accuracy", "log_loss", "f1", "auc"}


def test_regression_in_the_targets_unit():
    m = TableModel.fit(table(), "n", hidden=(8,), training={"epochs": 60, "lr": 0.05}, drop=["y"])
    assert m.metrics["r2"] > 0.9
    assert m.baseline["r2"] <= 0
    assert abs(m.predict({"x": [1.0], "word": ["a"]})["n"][0] - 105) < 2


def test_the_same_seed_is_the_same_model(model):
    again = TableModel.fit(
        table(), "y", hidden=(8,), training={"epochs": 30, "lr": 0.05}, drop=["n"]
    )
    assert all(np.array_equal(again.weights[k], v) for k, v in model.weights.items())


def test_file_both_ways(model, path):
    read = TableModel.load(path)
    assert json.dumps(read.describe()) == json.dumps(model.describe())
    a, b = model.predict(table(), True), read.predict(table(), True)
    assert list(a) == ["y", "probability of down", "probability of up"]
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert os.listdir(path.parent) == ["m.safetensors"]


def test_a_row_alone_is_the_row_among_others(model):
    whole = model.predict(table(), True)["probability of up"]
    one = model.predict({k: v[7:8] for k, v in table().items()}, True)["probability of up"]
    np.testing.assert_allclose(one[0], whole[7], rtol=1e-12)


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_refused(model, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    path = model.save(folder / "m.safetensors")
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, header - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    try:
        TableModel.load(path)  # a byte of a name or number may change without harm
    except CheckpointError as error:
        assert str(path) in str(error)


def rewritten(path, change=None, tensors=None):
    from safetensors import safe_open

    with safe_open(str(path), "numpy") as file:
        metadata = dict(file.metadata())
    held = json.loads(metadata["chainrule_table_model"])
    del held["checksum"]  # as somebody would who means harm
    if change:
        change(held)
    metadata["chainrule_table_model"] = json.dumps(held)
    save_file(tensors or load_file(path), path, metadata)


def refused(path):
    with pytest.raises(CheckpointError) as caught:
        TableModel.load(path)
    return str(caught.value).removeprefix(f"{path}: ")


ODD = [None, -1, 0, 3, 10**30, 1e308, float("nan"), float("inf"), "", "x", [], {}, [None], True]


def places(held, at=()):
    """The keys to every value in a JSON document."""
    items = held.items() if isinstance(held, dict) else enumerate(held)
    for k, v in items:
        yield (*at, k)
        if isinstance(v, dict | list):
            yield from places(v, (*at, k))


def change_somewhere(rng, held):
    """One value of a JSON document becomes odd, or is removed."""
    everywhere = list(places(held))
    *before, last = everywhere[rng.integers(len(everywhere))]
    for k in before:
        held = held[k]
    if rng.random() < 0.2:
        del held[last]
    else:
        held[last] = ODD[rng.integers(len(ODD))]


def read_and_used_or_refused(path):
    """Whether a file is refused; one that is not refused must predict, or say what is wrong."""
    try:
        read = TableModel.load(path)
    except CheckpointError as error:
        assert str(path) in str(error)
        return True
    try:
        read.predict(table())
    except ChainruleError:
        pass  # a column's name was changed
    return False


def odd_descriptions(model, folder, seed, count):
    rng = np.random.default_rng(seed)
    path = model.save(folder / "m.safetensors")
    content = path.read_bytes()
    for _ in range(count):
        path.write_bytes(content)
        rewritten(path, lambda held: change_somewhere(rng, held))
        yield read_and_used_or_refused(path)


def test_odd_descriptions_are_refused_or_harmless(model, tmp_path):
    refused = list(odd_descriptions(model, tmp_path, 0, 80))
    assert 10 < sum(refused) < 80


@pytest.mark.slow
def test_many_odd_descriptions(model, tmp_path):
    list(odd_descriptions(model, tmp_path, 1, 5_000))


@pytest.mark.slow
def test_many_damaged_files(model, tmp_path):
    path = model.save(tmp_path / "m.safetensors")
    for content in damaged(path.read_bytes(), 0, 10_000):
        path.write_bytes(content)
        read_and_used_or_refused(path)


def test_foreign_files(path):
    save_file({"w": np.zeros(3)}, path)
    assert refused(path) == "a safetensors file, but not a model written by `chainrule train`"
    path.unlink()
    assert refused(path) == "no such file"


def test_another_version(path):
    rewritten(path, lambda held: held.update(version=99))
    assert refused(path) == "written in version 99 of the format; this program reads 1"


def test_weights_that_do_not_fit(path):
    tensors = load_file(path)
    tensors["layers.0.weight"] = np.zeros((3, 3), np.float32)
    rewritten(path, tensors=tensors)
    assert (
        refused(path)
        == "the weights do not fit the network: layers.0.weight is (3, 3), expected (8, 3)"
    )


def test_weights_that_are_not_finite(path):
    tensors = load_file(path)
    tensors["layers.1.bias"] = np.array([np.nan, 0], np.float32)
    rewritten(path, tensors=tensors)
    assert refused(path) == "layers.1.bias has values that are not finite numbers"


def test_preprocessing_of_another_width(path):
    rewritten(path, lambda held: held["preprocessor"]["columns"].pop())
    assert refused(path) == "preprocessing makes 1 inputs and 2 outputs, the network has 3 and 2"


def test_a_huge_network_is_not_built(path):
    rewritten(path, lambda held: held["network"].update(hidden=[10**12]))
    assert refused(path) == (
        "the description of the model is damaged (this is no description of a network (hidden: "
        "layer sizes are whole numbers from 1 to 1048576, got 1000000000000))"
    )


def test_a_failed_write_leaves_the_old_file(model, path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["m.safetensors"]


def test_auc_against_its_definition():
    rng = np.random.default_rng(0)
    y, s = rng.integers(0, 2, 50), rng.integers(0, 8, 50) / 8
    pairs = [(a > b) + 0.5 * (a == b) for a in s[y == 1] for b in s[y == 0]]
    assert auc(y, s) == pytest.approx(np.mean(pairs))
