"""Which rows choose and which measure, what is doubted, and other options of a table's model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score

from chainrule.cli.train_table import command
from chainrule.data import source_of
from chainrule.errors import DataError, OptionError
from chainrule.estimators import TableModel
from chainrule.estimators.drawing import confusion, learning_curve
from chainrule.estimators.parts import parts_of
from chainrule.estimators.table_options import DEFAULTS

pytestmark = pytest.mark.usefixtures("interpreted")

RNG = np.random.default_rng(0)
N = 120
X = RNG.normal(size=N)
TABLE = {
    "x": X,
    "word": RNG.choice(["a", "b"], N),
    "day": np.datetime64("2020-01-01") + RNG.permutation(N),
    "n": 100 + 5 * X + RNG.normal(size=N),
}
QUICK = {"hidden": (4,), "epochs": 3}


def divided(test=None, split="random", classes=None, n=100):
    source = source_of({"t": np.arange(n, 0.0, -1), "w": ["a"] * n})
    found = parts_of(source, np.arange(n), 0.25, test, split, 0, classes)
    return found.kept, found.validation, found.test


def test_every_row_has_one_part():
    for options in ({}, {"test": 0.2}, {"test": "last:20"}, {"test": 0.2, "split": "time:t"}):
        parts = divided(**options)
        assert np.sort(np.concatenate(parts)).tolist() == list(range(100))
        assert [len(p) for p in parts] == ([60, 20, 20] if "test" in options else [75, 25, 0])


def test_the_last_rows_are_the_last_and_the_latest_the_latest():
    assert divided("last:20")[2].tolist() == list(range(80, 100))
    kept, validation, test = divided("0.2", "time:t")  # the column t falls
    assert (test.tolist(), validation.tolist()) == (list(range(20)), list(range(20, 40)))
    assert divided("last:20", "time:t")[2].tolist() == list(range(20))


def test_classes_are_spread_over_the_parts():
    classes = (np.arange(100) % 10 == 0).astype(np.int64)
    assert [int(classes[p].sum()) for p in divided(0.2, classes=classes)] == [6, 2, 2]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"test": 1.5},
            OptionError,
            "test is a share of the rows between 0 and 1, 'last:N', or a table, got 1.5",
        ),
        ({"test": "last:x"}, OptionError, "test: 'last:N' needs a number of rows, got 'last:x'"),
        (
            {"test": "last:97"},
            DataError,
            "the table: 100 rows, 97 of them for the test: 3 are too few to learn from; give at "
            "least 5",
        ),
        (
            {"test": "last:999"},
            DataError,
            "the table: 100 rows, 999 of them for the test: 0 are too few to learn from; give at "
            "least 5",
        ),
        (
            {"split": "time:w"},
            DataError,
            "the table: split: column 'w' holds words; dates or numbers are expected",
        ),
        (
            {"split": "time:T"},
            DataError,
            "the table: no column 'T'; there are 't', 'w'; did you mean 't'?",
        ),
    ],
)
def test_odd_parts(options, error, text):
    with pytest.raises(error) as caught:
        divided(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"split": "last"}, 'split is "random" or "time:COLUMN", got \'last\''),
        ({"loss": "mae"}, "loss is 'auto' or 'poisson', got 'mae'"),
        (
            {"loss": "poisson", "log_target": True},
            "log_target and loss 'poisson' both learn a logarithm; choose one of them",
        ),
        ({"class_weight": "balanced"}, "class_weight is for classes; this target holds numbers"),
    ],
)
def test_odd_options(options, text):
    with pytest.raises(OptionError) as caught:
        TableModel.fit(TABLE, "n", **options)
    assert str(caught.value) == text


def test_an_unknown_option_gets_the_nearest():
    for make in (lambda: TableModel(epoch=3), lambda: TableModel.fit(TABLE, "n", epoch=3)):
        with pytest.raises(TypeError) as caught:
            make()
        assert str(caught.value) == "TableModel has no option 'epoch'; did you mean 'epochs'?"
    with pytest.raises(TypeError, match="no option 'hidden_layer_sizes'; write hidden="):
        TableModel(hidden_layer_sizes=(8,))


def test_rows_of_the_test_change_nothing_that_is_learned():
    """Other targets in the test rows: the same weights, other measures."""
    changed = {**TABLE, "n": np.where(np.arange(N) >= N - 20, 0.0, TABLE["n"])}
    a, b = (TableModel.fit(t, "n", test="last:20", **QUICK) for t in (TABLE, changed))
    assert all(np.array_equal(a.weights[k], b.weights[k]) for k in a.weights)
    assert a.metrics == b.metrics and a.test_metrics != b.test_metrics
    last = {k: v[-20:] for k, v in TABLE.items()}
    assert a.measure(last) == pytest.approx(a.test_metrics)
    first = {k: v[:-20] for k, v in TABLE.items()}
    c = TableModel.fit(first, "n", test=last, **QUICK)
    assert c.test_metrics == pytest.approx(a.test_metrics)
    assert c.test_baseline == pytest.approx(a.test_baseline)


def test_the_file_holds_the_test(tmp_path):
    model = TableModel.fit(TABLE, "n", test=0.2, **QUICK)
    again = TableModel.load(model.save(tmp_path / "m.safetensors"))
    assert (again.test_metrics, again.test_baseline) == (model.test_metrics, model.test_baseline)


# -- doubts ----------------------------------------------------------------------------------------
def test_a_model_that_is_no_better_is_said():
    noise = {"x": X, "n": RNG.normal(size=N)}
    model = TableModel.fit(noise, "n", hidden=(4,), epochs=1, lr=5.0, patience=None)
    assert model.notes == [
        "warning: the model is not better than always answering the mean; look at lr, epochs and "
        "columns before you use it"
    ]


def test_a_column_that_gives_the_target_away_is_said():
    table = {**TABLE, "twice": 2 * TABLE["n"] + 1}
    notes = TableModel.fit(table, "n", **QUICK).notes
    assert (
        "'twice' alone explains 100.0% of the target; is it known before the target is? If not, "
        "drop it (--drop twice)"
    ) in notes
    table = {
        "x": RNG.normal(size=N),
        "word": TABLE["word"],
        "y": np.where(TABLE["word"] == "a", "p", "q"),
    }
    notes = TableModel.fit(table, "y", **QUICK).notes
    assert [n for n in notes if "alone" in n] == [
        "'word' alone is right in 100.0% of the rows; is it known before the target is? If not, "
        "drop it (--drop word)"
    ]
    plain = TableModel.fit({k: TABLE[k] for k in ("word", "day", "n")}, "n", **QUICK)
    assert not any("alone" in n for n in plain.notes)


def test_two_columns_that_give_the_target_away_are_said():
    numbers = {"x": X, "a": RNG.normal(size=N), "b": RNG.normal(size=N) * 1.5 + 7}
    for target, said in (
        (numbers["a"] + numbers["b"] - 3, "'a' + 'b' is the target (but for a constant, 100.00%"),
        (numbers["b"] - numbers["a"], "'b' - 'a' is the target (but for a constant, 100.00%"),
        (-numbers["a"] - numbers["b"], "-'a' - 'b' is the target (but for a constant, 100.00%"),
        (3 * numbers["a"] + numbers["x"], ""),
        (numbers["a"] + RNG.normal(size=N), ""),
    ):
        notes = TableModel.fit({**numbers, "n": target}, "n", **QUICK).notes
        notes = [n for n in notes if "is the target" in n]
        assert len(notes) == bool(said) and all(n.startswith(said) for n in notes)
    shop, day = RNG.integers(0, 3, N), RNG.integers(0, 2, N)
    table = {"x": X, "shop": np.array(list("abc"))[shop], "day": np.array(list("ef"))[day]}
    y = np.where((shop + day) % 2, "p", "q")
    notes = TableModel.fit({**table, "y": y}, "y", **QUICK).notes
    assert [n for n in notes if "together" in n] == [
        "'shop' and 'day' together are right in 100.0% of the rows; are both known before the "
        "target is? If not, drop one (--drop shop)"
    ]
    y[RNG.permutation(N)[: N // 10]] = "q"
    notes = TableModel.fit({**table, "y": y}, "y", **QUICK).notes
    assert not any("together" in n for n in notes)


def test_more_columns_than_rows_and_numbers_of_rows_are_said():
    wide = {f"c{i}": RNG.normal(size=20) for i in range(30)} | {"n": RNG.normal(size=20)}
    assert any(
        n.startswith("the 30 inputs outnumber the 16 rows learned from")
        for n in TableModel.fit(wide, "n", **QUICK).notes
    )
    table = {**TABLE, "row": np.arange(N), "customer_id": RNG.permutation(N)}
    notes = TableModel.fit(table, "n", **QUICK).notes
    assert "'row' numbers the rows; if that means nothing, drop it (--drop row)" in notes
    assert (
        "'customer_id' looks like a number that names the row; if it is, drop it (--drop "
        "customer_id)"
    ) in notes


def test_whole_numbers_taken_for_classes_are_said():
    table = {"x": X, "stars": (np.arange(N) % 5).astype(float)}
    said = (
        "'stars' has 5 different whole numbers and is taken for classes; if they are amounts, "
        "choose task regression"
    )
    assert said in TableModel.fit(table, "stars", **QUICK).notes
    assert said not in TableModel.fit(table, "stars", task="regression", **QUICK).notes
    assert said not in TableModel.fit(table, "stars", task="multiclass", **QUICK).notes


# -- losses ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{"loss": "poisson"}, {"log_target": True}])
def test_logarithms_come_back_in_the_targets_unit(tmp_path, options):
    counts = RNG.poisson(np.exp(3 + X)).astype(float)
    model = TableModel.fit(
        {"x": X, "n": counts}, "n", task="regression", hidden=(8,), epochs=200, lr=0.02,
        patience=None, **options
    )  # fmt: skip
    assert model.metrics["r2"] > 0.7
    said = model.predict({"x": [-1.0, 1.0]})["n"]
    np.testing.assert_allclose(said, np.exp([2.0, 4.0]), rtol=0.3)
    again = TableModel.load(model.save(tmp_path / "m.safetensors"))
    assert again.predict({"x": [-1.0, 1.0]})["n"].tolist() == said.tolist()
    truth, _ = again.answers({"x": X, "n": counts})
    np.testing.assert_allclose(truth[:, 0], counts, rtol=1e-5, atol=1e-5)
    with pytest.raises(DataError, match="the target has -1; .* needs numbers from 0 on"):
        TableModel.fit({"x": X, "n": counts - 1 - counts.min()}, "n", task="regression", **options)


def test_weights_of_classes_move_the_answers():
    y = np.where(X + RNG.normal(size=N) > 1.3, "rare", "often")
    table, common = {"x": X, "y": y}, {"hidden": (4,), "epochs": 40, "lr": 0.02}
    counts = [
        (TableModel.fit(table, "y", class_weight=w, **common).predict(table)["y"] == "rare").sum()
        for w in (None, "balanced", {"rare": 50.0})
    ]
    assert counts[0] < counts[1] < counts[2]
    with pytest.raises(OptionError) as caught:
        TableModel.fit(table, "y", class_weight={"none": 1.0})
    assert str(caught.value) == "class_weight: no class 'none'; there are 'often', 'rare'"


# -- figures ---------------------------------------------------------------------------------------
def test_figures_are_drawn_of_what_was_trained_and_of_a_table(tmp_path):
    for target in ("n", "word"):
        model = TableModel.fit(TABLE, target, **QUICK)
        for path in (model.draw(tmp_path / "a.png"), model.draw(tmp_path / "b.png", TABLE)):
            assert path.read_bytes()[:4] == b"\x89PNG"
        with pytest.raises(OptionError, match="a model that was loaded needs a table"):
            TableModel.load(model.save(tmp_path / "m.safetensors")).draw(tmp_path / "c.png")
    assert confusion(np.array([0, 1, 1]), np.array([1, 1, 0]), 2).tolist() == [[0, 1], [1, 1]]


def test_the_curve_is_in_the_targets_unit():
    model = TableModel.fit(TABLE, "n", hidden=(4,), epochs=30, lr=0.02)
    what, lines = learning_curve(model.preprocessor, model.history)
    assert what == "RMSE of n"
    assert lines["validation"].min() == pytest.approx(model.metrics["rmse"], rel=1e-3)


def test_the_column_that_matters_is_the_important_one():
    model = TableModel.fit(TABLE, "n", hidden=(8,), epochs=60, lr=0.02, weight_decay=0)
    found = model.importances(TABLE)
    assert next(iter(found)) == "x" and found["x"] > 3 > abs(found["word"])


# -- scikit-learn ----------------------------------------------------------------------------------
def test_it_is_an_estimator_for_data_frames():
    frame = pd.DataFrame({k: TABLE[k] for k in ("x", "word", "day")})
    frame.loc[::9, "x"] = np.nan
    y = pd.Series(np.where(X > 0, 1, 0), name="up")
    model = TableModel(task="binary", epochs=15, lr=0.05, hidden=(8,))
    assert repr(clone(model)) == "TableModel(task='binary', hidden=(8,), lr=0.05, epochs=15)"
    assert cross_val_score(model, frame, y, cv=2).mean() > 0.7
    assert cross_val_score(model, frame, y, cv=2, scoring="roc_auc").mean() > 0.7
    search = GridSearchCV(model, {"hidden": [(4,), (8,)]}, cv=2).fit(frame, y)
    assert search.predict(frame).dtype == y.dtype and search.classes_.tolist() == [0, 1]
    model.fit(frame, y)
    found = permutation_importance(model, frame, y, n_repeats=2, random_state=0)
    assert found.importances_mean.argmax() == 0
    words = TableModel(**(QUICK | {"task": "binary"})).fit(frame, y.map({0: "no", 1: "yes"}))
    assert set(words.predict(frame)) <= {"no", "yes"}
    numbers = TableModel(task="regression", **QUICK).fit(frame, TABLE["n"])
    assert numbers.predict(frame).shape == (N,)
    assert numbers.score(frame, TABLE["n"]) == numbers.score(frame.assign(target=TABLE["n"]))


def test_the_defaults_of_the_command_line_are_those_of_python():
    same = ("task", "schedule", "validation", "split", "patience", "loss", "optimizer", "lr")
    same += ("weight_decay", "batch_size", "epochs", "seed")
    found = {option.name: option.default for option in command.params}
    assert {k: found[k] for k in same} == {k: getattr(DEFAULTS, k) for k in same}
    assert (found["hidden"], found["dropout"], found["activation"]) == ("64,64", "0", "relu")
    assert (DEFAULTS.hidden, DEFAULTS.dropout, DEFAULTS.activation) == ((64, 64), 0.0, "relu")
