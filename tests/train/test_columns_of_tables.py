"""A table to predict has the columns of the table that was trained on, in their order."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import DataError

pd = pytest.importorskip("pandas")

X = pd.DataFrame(np.arange(24.0, dtype=np.float32).reshape(8, 3), columns=["a", "b", "c"])
Y = X["a"].to_numpy()[:, None] / 10
TURNED = X[["c", "b", "a"]]


@pytest.fixture(scope="module")
def trainer():
    trainer = cr.Trainer(nn.Linear(3, 1), "mse", "adam")
    trainer.fit(X, Y, epochs=1, progress=False)
    return trainer


def test_the_same_columns_in_another_order_are_an_error_everywhere(trainer):
    said = r"x has the column 'c' at place 0, the table that was trained on 'a'; write x\[columns\]"
    for ask in (
        lambda: trainer.predict(TURNED),
        lambda: trainer.evaluate(TURNED, Y),
        lambda: trainer.fit(TURNED, Y, epochs=1, progress=False),
        lambda: trainer.fit(X, Y, epochs=1, progress=False, validation_data=(TURNED, Y)),
    ):
        with pytest.raises(DataError, match=said):
            ask()


def test_other_columns_are_an_error_of_predict(trainer):
    with pytest.raises(DataError, match="x has 2 columns, the table that was trained on 3"):
        trainer.predict(X[["a", "b"]])
    with pytest.raises(DataError, match=r"'z' at place 2, .* x.to_numpy\(\) if it is right"):
        trainer.predict(X.rename(columns={"c": "z"}))


def test_tables_and_arrays_are_answered_alike(trainer):
    np.testing.assert_array_equal(trainer.predict(X), trainer.predict(X.to_numpy()))
    np.testing.assert_array_equal(
        trainer.predict(TURNED[list(trainer.columns)]), trainer.predict(X)
    )


def test_a_later_training_may_have_other_columns():
    trainer = cr.Trainer(nn.Linear(3, 1), "mse", "adam")
    trainer.fit(X, Y, epochs=1, progress=False)
    renamed = X.rename(columns={"c": "z"})
    trainer.fit(renamed, Y, epochs=1, progress=False)
    assert trainer.columns == ("a", "b", "z")
    assert trainer.predict(renamed).shape == (8, 1)
