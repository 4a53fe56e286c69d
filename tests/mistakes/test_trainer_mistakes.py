"""What users do wrong with the Trainer, and the full text of what they are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import ChainruleError
from chainrule.train import EarlyStopping, NonFiniteLossError, TopKAccuracy

X = np.linspace(-1, 1, 60, dtype="float32").reshape(10, 6)
Y = np.arange(10) % 3
T = X[:, :2].copy()


def model(outputs: int = 3) -> Any:
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, outputs))
    for module in net.modules():
        object.__setattr__(module, "_made_at", "train.py:7")
    return net


def trainer(loss: Any = None, outputs: int = 3, **options: Any) -> cr.Trainer:
    net = model(outputs)
    return cr.Trainer(
        net, loss or nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1), **options
    )


def fit(
    x: Any = X, y: Any = Y, loss: Any = None, outputs: int = 3, **options: Any
) -> Callable[[], object]:
    return lambda: trainer(loss, outputs).fit(x, y, epochs=options.pop("epochs", 1), **options)


def changed(array: np.ndarray, at: Any, value: Any) -> np.ndarray:
    array = array.copy()
    array[at] = value
    return array


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.used(x)


def with_unused() -> object:
    net = Unused()
    return cr.Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters())).fit(X, Y)


def detached() -> object:
    net = model()
    own = cr.Trainer(net, lambda p, y: p.detach().sum(), optim.SGD(net.parameters()))
    return own.fit(X, Y)


def frozen() -> object:
    net = model()
    net.requires_grad_(False)
    return cr.Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters()))


def two_losses(**options: Any) -> Callable[[], object]:
    return lambda: trainer({"a": nn.MSELoss(), "b": nn.MSELoss()}, 2, **options).fit(X, T)


MISTAKES: dict[str, Callable[[], object]] = {}


def mistake(name: str, action: Callable[[], object]) -> None:
    MISTAKES[name] = action


# -- data ------------------------------------------------------------------------------------------
mistake("no x", fit(x=None))
mistake("no y", fit(y=None))
mistake("empty", fit(X[:0], Y[:0]))
mistake("no columns", fit(X[:, :0]))
mistake("lengths", fit(X, Y[:9]))
mistake("lengths within x", fit((X, X[:3])))
mistake("nan", fit(changed(X, (3, 2), np.nan)))
mistake("nan and inf", fit(changed(changed(X, (3, 2), np.nan), (5, slice(None)), np.inf)))
mistake("nan in y", fit(y=changed(T, (1, 1), np.nan), loss=nn.MSELoss(), outputs=2))
mistake("too large for float32", fit(changed(X.astype("float64"), (4, 0), 1e300)))
mistake("text", fit(np.array([["1", "red"]] * 10)))
mistake("objects", fit(np.array([[1.0, "red", 2, 3, 4, 5]] * 10, dtype=object)))
mistake("ragged", fit([[1.0, 2.0], [1.0]]))
mistake("a number", fit(3.0, 1.0))
mistake("dates", fit(np.array(["2020-01-01"] * 10, "datetime64[D]")))
mistake("complex", fit(X.astype(complex)))
mistake("generator", fit((row for row in X), Y))
mistake("text in a table", fit(pl.DataFrame({"a": [1.0] * 10, "b": ["red"] * 10}), Y))
mistake("category in a table", fit(pd.DataFrame({"a": 1, "b": pd.Categorical(["x"] * 10)}), Y))
mistake("date in a table", fit(pd.DataFrame({"a": [1], "d": [pd.Timestamp("2020-01-01")]}), Y[:1]))
mistake("missing in a table", fit(pl.DataFrame({"a": [1, None] * 5, "b": [True] * 10}), Y))
mistake("missing in a table of pandas", fit(pd.DataFrame({"a": pd.array([1, None] * 5)}), Y))
mistake("table without columns", fit(pl.DataFrame(), Y))
mistake("features", fit(np.zeros((10, 5), "float32")))
# -- targets ---------------------------------------------------------------------------------------
mistake("label too large", fit(y=Y + 2))
mistake("labels from one", fit(y=Y + 1))
mistake("negative label", fit(y=changed(Y, 4, -1)))
mistake("labels are not whole", fit(y=Y + 0.5))
mistake("one output for classes", fit(outputs=1))
mistake("shape of y", fit(y=T, loss=nn.MSELoss(), outputs=3))
mistake("probabilities beyond one", fit(y=Y, loss=nn.BCEWithLogitsLoss(), outputs=1))
mistake(
    "labels of minus one and one",
    fit(y=np.array([-1.0, 1.0] * 5), loss=nn.BCEWithLogitsLoss(), outputs=1),
)
# -- the trainer -----------------------------------------------------------------------------------
mistake("no module", lambda: cr.Trainer(lambda x: x, nn.MSELoss(), optim.SGD(model().parameters())))  # type: ignore[arg-type]
mistake("no optimizer", lambda: cr.Trainer(model(), nn.MSELoss(), None))  # type: ignore[arg-type]
mistake("optimizer of no such name", lambda: cr.Trainer(model(), nn.MSELoss(), "adm"))
mistake("optimizer of Keras", lambda: cr.Trainer(model(), nn.MSELoss(), "ftrl"))
mistake(
    "optimizer of another model",
    lambda: cr.Trainer(model(), nn.MSELoss(), optim.SGD(model().parameters())),
)
mistake("all frozen", frozen)
mistake("loss as class", lambda: trainer(nn.MSELoss))
mistake("loss of no such name", lambda: trainer("cros_entropy"))
mistake("loss of probabilities", lambda: trainer("binary_crossentropy"))
mistake("schedule as text", lambda: cr.Trainer(model(), "mse", "sgd", scheduler="cosine"))
mistake("loss is nothing to call", lambda: trainer(3))
mistake("unused parameters", with_unused)
mistake("detached prediction", detached)
mistake("loss of every row", fit(loss=nn.CrossEntropyLoss(reduction="none")))
mistake("loss is a number", fit(loss=lambda p, y: 3.0))
mistake("accumulate", lambda: trainer(accumulate=0))
mistake("clip_norm", lambda: trainer(clip_norm=-1.0))
mistake("scheduler interval", lambda: trainer(scheduler_interval="batch"))
mistake(
    "scheduler of another",
    lambda: trainer(scheduler=optim.lr_scheduler.StepLR(optim.SGD(model().parameters()), 1)),
)
mistake("losses for one output", two_losses())
mistake("loss weights", two_losses(loss_weights={"a": 1.0}))
mistake(
    "lbfgs",
    lambda: cr.Trainer(n := model(), nn.CrossEntropyLoss(), optim.LBFGS(n.parameters())).fit(X, Y),
)
# -- options of fit --------------------------------------------------------------------------------
mistake("epochs", fit(epochs=0))
mistake("batch size", fit(batch_size=0))
mistake("batch size 2.5", fit(batch_size=2.5))
mistake("split of one", fit(validation_split=1.0))
mistake("split of nothing", fit(validation_split=0.01))
mistake("split and data", fit(validation_split=0.5, validation_data=(X, Y)))
mistake("validation without targets", fit(validation_data=X))
mistake("validation with other columns", fit(validation_data=(X[:, :4], Y)))
mistake("validation labels", fit(validation_data=(X, Y + 1)))
mistake("unknown metric", fit(metrics=["acuracy"]))
mistake("metric class", fit(metrics=[TopKAccuracy]))
mistake("metric twice", fit(metrics=["accuracy", "acc"]))
mistake("auc of three classes", fit(metrics=["auc"]))
mistake("negative weight", fit(sample_weight=changed(np.ones(10), 3, -2)))
mistake("weights of another length", fit(sample_weight=np.ones(9)))
mistake("weights all zero", fit(sample_weight=np.zeros(10)))
mistake("class weight missing", fit(class_weight={0: 1.0, 1: 2.0}))
mistake("class weight is a word", fit(class_weight={0: "high", 1: 1.0, 2: 1.0}))
mistake("class weight of numbers", fit(y=Y + 0.5, loss=nn.MSELoss(), class_weight="balanced"))
mistake("shuffle", fit(shuffle="no"))
mistake("progress", fit(progress="yes"))
mistake("diagnose", fit(diagnose="no"))
mistake("class weight text", fit(class_weight="even"))
mistake("callback class", fit(callbacks=[cr.train.Callback]))
mistake("early stopping", fit(early_stopping="yes"))
mistake("monitor", fit(early_stopping=EarlyStopping("val_loss")))
mistake("patience", lambda: EarlyStopping(patience=0))
mistake("checkpoint", fit(checkpoint=3))
# -- evaluate, predict -----------------------------------------------------------------------------
mistake("evaluate without y", lambda: trainer().evaluate(X))
mistake("predict with other columns", lambda: trainer().predict(np.zeros((2, 7))))
mistake("predict nan", lambda: trainer().predict(changed(X, 0, np.nan)))


def value_inside(prediction: Any, target: Any) -> Any:
    return prediction.sum() * float(prediction.sum())


def nan_in_the_model() -> object:
    net = nn.Sequential(nn.Linear(6, 2), Logarithm())
    nn.init.constant_(net[0].weight, 0.0)
    nn.init.constant_(net[0].bias, -1.0)
    for module in net.modules():
        object.__setattr__(module, "_made_at", "train.py:7")
    return cr.Trainer(net, nn.MSELoss(), optim.SGD(net.parameters(), lr=0.1)).fit(
        X, T, batch_size=5, shuffle=False
    )


class Logarithm(nn.Module):
    def forward(self, x: Any) -> Any:
        return cr.log(x)


mistake("value inside", fit(loss=value_inside))
mistake("nan in the model", nan_in_the_model)
TEXTS = {
    "generator": ("DTypeError: fit: x is a generator; give all rows as one array, tensor or table"),
    "text in a table": (
        "DTypeError: fit: the column 'b' of x has dtype <U3; numbers are expected. "
        "Encode categories as integers or one-hot columns"
    ),
    "category in a table": (
        "DTypeError: fit: the column 'b' of x has 'x' at row 0; numbers are expected. "
        "Encode categories as integers or one-hot columns"
    ),
    "date in a table": (
        "DTypeError: fit: the column 'd' of x has dtype datetime64[us]; numbers are "
        "expected. Encode categories as integers or one-hot columns"
    ),
    "missing in a table": (
        "DataError: fit: x has 5 NaN values in 5 of 10 rows, the first at row 1, column "
        "0; impute or drop these rows"
    ),
    "missing in a table of pandas": (
        "DataError: fit: x has 5 NaN values in 5 of 10 rows, the first at row 1, column "
        "0; impute or drop these rows"
    ),
    "table without columns": ("DataError: fit: x is a table without columns"),
    "class weight is a word": (
        "DTypeError: fit: class_weight has the weight 'high'; numbers are expected"
    ),
    "class weight of numbers": (
        "DTypeError: fit: class_weight is for class labels, y is 0.5 at row 0; use sample_weight"
    ),
    "shuffle": ("OptionError: fit: shuffle must be True or False, got 'no'"),
    "progress": ("OptionError: fit: progress must be True, False or None, got 'yes'"),
    "diagnose": ("OptionError: fit: diagnose must be True or False, got 'no'"),
    "no x": (
        "DataError: fit: x is None; give an array, a tensor, a table, or a tuple or dict of them"
    ),
    "no y": (
        "DataError: fit: y is None; give an array, a tensor, a table, or a tuple or dict of them"
    ),
    "empty": ("DataError: fit: x has no rows (shape (0, 6)); give at least one example"),
    "no columns": (
        "DataError: fit: x has shape (10, 0), so no numbers; every axis needs a length of at least "
        "1"
    ),
    "lengths": ("DataError: fit: x has 10 rows, y has 9; every example needs one target"),
    "lengths within x": ("DataError: fit: x[0] has 10 rows, x[1] has 3; they must be equal"),
    "nan": (
        "DataError: fit: x has 1 NaN value in 1 of 10 rows, the first at row 3, column 2; impute "
        "or drop these rows"
    ),
    "nan and inf": (
        "DataError: fit: x has 1 NaN and 6 infinite values in 2 of 10 rows, the first at row 3, "
        "column 2; impute or drop these rows"
    ),
    "nan in y": (
        "DataError: fit: y has 1 NaN value in 1 of 10 rows, the first at row 1, column 1; drop "
        "these rows: a target must be known"
    ),
    "too large for float32": (
        "DataError: fit: x has 1e+300 at row 4, column 0, more than float32 holds (3.4e38); scale "
        "the column, or use model.double()"
    ),
    "text": (
        "DTypeError: fit: x has dtype <U3 (row 0, column 0 is '1'); numbers are expected. Encode "
        "categories as integers or one-hot columns"
    ),
    "objects": (
        "DTypeError: fit: x has dtype object (row 0, column 1 is 'red'); numbers are expected. "
        "Encode categories as integers or one-hot columns"
    ),
    "ragged": (
        "ShapeError: fit: the rows of x have unequal lengths; pad them to one length, "
        "or let the model's forward take lengths= (then a list of sequences is padded here)"
    ),
    "a number": ("ShapeError: fit: x is a single number (3.0); rows of examples are expected"),
    "dates": (
        "DTypeError: fit: x has dtype datetime64[D] (row 0 is np.datetime64('2020-01-01')); "
        "numbers are expected. Encode categories as integers or one-hot columns"
    ),
    "complex": (
        "DTypeError: fit: x has dtype complex128; numbers are expected. Encode categories as "
        "integers or one-hot columns"
    ),
    "features": (
        "ShapeError: Linear(6, 4) `model[0]` (train.py:7) expects 6 features, got 5\n    input "
        "(10, 5)\n    set in_features=5"
    ),
    "label too large": (
        "DataError: fit: y has the label 3 at row 1 (6 of 10 labels are outside), the model has 3"
        " outputs: labels are 0 to 2; set the outputs of the last layer to 5"
    ),
    "labels from one": (
        "DataError: fit: y has the label 3 at row 2 (3 of 10 labels are outside), the model has 3"
        " outputs: labels are 0 to 2; classes count from 0: subtract 1"
    ),
    "negative label": (
        "DataError: fit: y has the label -1 at row 4 (1 of 10 labels are outside), the model has 3"
        " outputs: labels are 0 to 2; rows to leave out have the label -100 (ignore_index)"
    ),
    "labels are not whole": (
        "DTypeError: fit: y holds 0.5 at row 0, not a class number; class labels are integers (for "
        "regression use nn.MSELoss())"
    ),
    "one output for classes": (
        "DataError: fit: y has the label 1 at row 1 (6 of 10 labels are outside), the model has 1"
        " output: labels are 0 to 0; with one output use nn.BCEWithLogitsLoss()"
    ),
    "shape of y": (
        "ShapeError: fit: y has rows of shape (2,), the model's predictions (3,); set the outputs "
        "of the last layer to 2"
    ),
    "probabilities beyond one": (
        "DataError: fit: y is 2 at row 2; BCEWithLogitsLoss needs targets between 0 and 1; for "
        "classes numbered 0, 1, 2, ... use nn.CrossEntropyLoss()"
    ),
    "labels of minus one and one": (
        "DataError: fit: y is -1 at row 0; BCEWithLogitsLoss needs targets between 0 and 1; for "
        "labels -1 and 1 use nn.SoftMarginLoss(), or (y + 1) / 2"
    ),
    "no module": ("OptionError: Trainer: model must be an nn.Module, got function"),
    "no optimizer": (
        "OptionError: Trainer: give an optimizer, such as optim.Adam(model.parameters(), lr=1e-3)"
    ),
    "optimizer of no such name": (
        "OptionError: Trainer: no optimizer is called 'adm'; is it 'adam'?"
    ),
    "optimizer of Keras": (
        "OptionError: Trainer: no optimizer is called 'ftrl'; there are adafactor, adam, adamw, "
        "adamax, nadam, radam, adadelta, adagrad, lion, rmsprop, rprop, lbfgs, muon, asgd, sgd, "
        "backprop1986"
    ),
    "optimizer of another model": (
        "OptionError: Trainer: 4 of 4 parameters of the optimizer (shapes (4, 6), (4,), (3, 4), "
        "(3,)) are not in the model; make the optimizer from model.parameters() of the model that "
        "is trained"
    ),
    "all frozen": (
        "OptionError: Trainer: all parameters of the optimizer are frozen (requires_grad=False)"
    ),
    "loss as class": (
        "OptionError: Trainer: loss is the class MSELoss; add parentheses: MSELoss()"
    ),
    "loss of no such name": (
        "OptionError: Trainer: no loss is called 'cros_entropy'; is it 'cross_entropy'?"
    ),
    "loss of probabilities": (
        "OptionError: Trainer: loss is the text 'binary_crossentropy', which takes probabilities; "
        'write "bce_with_logits", which takes logits: no softmax or sigmoid at the end of the model'
    ),
    "schedule as text": (
        "OptionError: Trainer: scheduler is the text 'cosine'; write a schedule of "
        "optim.lr_scheduler, such as CosineAnnealingLR(optimizer, T_max=epochs)"
    ),
    "loss is nothing to call": (
        "OptionError: Trainer: loss must be a function of (prediction, target), got 3"
    ),
    "unused parameters": (
        "GradientError: the loss does not depend on parameters `spare.weight`, `spare.bias`: they "
        "would never change. Use them in forward, or leave them out of the optimizer "
        "(p.requires_grad_(False))"
    ),
    "detached prediction": (
        "GradientError: the loss does not depend on any parameter that requires a gradient; was the"
        " prediction detached, computed under no_grad, or are all parameters frozen?"
    ),
    "loss of every row": (
        "ShapeError: the loss CrossEntropyLoss has shape (10,); a scalar is expected: use "
        'reduction="mean", or end with .mean()'
    ),
    "loss is a number": (
        "OptionError: the loss <lambda> returned float; a scalar tensor is expected"
    ),
    "accumulate": ("OptionError: Trainer: accumulate must be an integer ≥ 1, got 0"),
    "clip_norm": ("OptionError: Trainer: clip_norm must be a number > 0, or None, got -1.0"),
    "scheduler interval": (
        "OptionError: Trainer: scheduler_interval must be 'epoch' or 'step', got 'batch'"
    ),
    "scheduler of another": ("OptionError: Trainer: the StepLR was made for another optimizer"),
    "losses for one output": (
        "OptionError: Trainer: there is a loss for output 'a', the prediction is one tensor"
    ),
    "loss weights": ("OptionError: Trainer: loss_weights has ['a'], the losses are ['a', 'b']"),
    "lbfgs": (
        "OptionError: Trainer: LBFGS computes the loss several times in a step and cannot be part "
        "of a compiled loop; call optimizer.step(closure) in a loop of your own"
    ),
    "epochs": ("OptionError: fit: epochs must be an integer ≥ 1, got 0"),
    "batch size": ("OptionError: fit: batch_size must be an integer ≥ 1, got 0"),
    "batch size 2.5": ("OptionError: fit: batch_size must be an integer ≥ 1, got 2.5"),
    "split of one": ("OptionError: fit: validation_split must be a number in [0, 1), got 1.0"),
    "split of nothing": (
        "DataError: fit: validation_split=0.01 of 10 rows is no row; give more data or a larger "
        "share"
    ),
    "split and data": ("OptionError: fit: give validation_data or validation_split, not both"),
    "validation without targets": (
        "OptionError: fit: validation_data is (x, y) or (x, y, sample_weight), got ndarray"
    ),
    "validation with other columns": (
        "DataError: fit: validation_data: x has rows of shape (4,), the training x (6,)"
    ),
    "validation labels": (
        "DataError: fit: validation_data: y has the label 3 at row 2 (3 of 10 labels are outside), "
        "the model has 3 outputs: labels are 0 to 2; classes count from 0: subtract 1"
    ),
    "unknown metric": (
        "OptionError: metrics: no metric is called 'acuracy'; there are accuracy, acc, precision,"
        " recall, f1, auc, mae, mse, rmse, r2, top_k_accuracy, top5_accuracy, top3_accuracy"
    ),
    "metric class": (
        "OptionError: metrics: expected a name, a Metric or a function (prediction, target), got "
        "<class 'chainrule.train.measure.metrics.TopKAccuracy'> (a class: add parentheses)"
    ),
    "metric twice": ("OptionError: metrics: 'accuracy' occurs twice"),
    "auc of three classes": ("OptionError: auc is for two classes, the model has 3 outputs"),
    "negative weight": ("DataError: fit: the weight of row 3 is -2; weights are numbers from 0 on"),
    "weights of another length": (
        "ShapeError: fit: sample_weight has shape (9,); one weight per row, (10,), is expected"
    ),
    "weights all zero": ("DataError: fit: all weights are 0; at least one row must count"),
    "class weight missing": (
        "DataError: fit: class_weight has no weight for the classes [2] that are in y"
    ),
    "class weight text": (
        "DataError: fit: class_weight is \"balanced\", a dict or a list, got 'even'"
    ),
    "callback class": (
        "OptionError: callbacks: expected Callback objects or functions f(trainer, epoch, logs), "
        "got <class 'chainrule.train.listeners.callbacks.Callback'> (a class: add parentheses)"
    ),
    "early stopping": (
        "OptionError: fit: early_stopping is an EarlyStopping or its patience, got str"
    ),
    "monitor": (
        "OptionError: EarlyStopping: monitor='val_loss' is not measured; measured are loss. Give "
        "validation_data or validation_split"
    ),
    "patience": ("OptionError: EarlyStopping: patience is a number of epochs, at least 1; got 0"),
    "checkpoint": ("OptionError: fit: checkpoint is a folder or a Checkpoint, got int"),
    "evaluate without y": (
        "DataError: evaluate: y is None; give an array, a tensor, a table, or a tuple or dict of "
        "them"
    ),
    "predict with other columns": (
        "ShapeError: Linear(6, 4) `model[0]` (train.py:7) expects 6 features, got 7\n    input (2, "
        "7)\n    set in_features=7"
    ),
    "predict nan": (
        "DataError: predict: x has 6 NaN values in 1 of 10 rows, the first at row 0, column 0; "
        "impute or drop these rows"
    ),
    "value inside": (
        "CompileError: FILE: `return prediction.sum() * float(prediction.sum())` asks for the "
        "value of a tensor inside compiled training step, where it has none yet. Choose with "
        "cr.where instead of if, keep shapes static, return the tensor, or move the line out of "
        "the function"
    ),
    "nan in the model": (
        "NonFiniteLossError: the loss became NaN in step 1 (epoch 1, batch 1 of 2)\n"
        "    it begins in the operation log in Logarithm `model[1]` (train.py:7), line FILE\n"
        "    its result float32[5, 2] is NaN in 10 of 10 elements, for rows 0, 1, 2, 3, 4 of the "
        "data\n"
        "    operand 1 float32[5, 2] is from -1 to -1\n"
        "    Often helps: a lower learning rate, clip_norm=1.0, inputs scaled to about -1 to 1, an "
        "eps"
        " where something is divided or its logarithm taken\n"
        "    The model is as it was before this step."
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name: str) -> None:
    with pytest.raises(ChainruleError) as error:
        MISTAKES[name]()
    found = re.sub(
        r"test_trainer_mistakes.py:\d+", "FILE", f"{type(error.value).__name__}: {error.value}"
    )
    assert found == TEXTS[name]


def test_a_loss_that_is_not_finite_leaves_the_model_as_it_was() -> None:
    own = trainer(nn.MSELoss(), 2)
    own.optimizer.param_groups[0]["lr"] = 1e30
    with pytest.raises(NonFiniteLossError, match="The model is as it was before this step"):
        own.fit(X, T, epochs=5, batch_size=5)
    assert all(np.isfinite(p.numpy()).all() for p in own.model.parameters())
