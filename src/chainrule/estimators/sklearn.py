"""Estimators for scikit-learn, `BackpropClassifier` and `BackpropRegressor`, on the Trainer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..core.host.plain import refuse_masked
from ..core.node import Array
from ..errors import DataError, OptionError
from ..nn import BCELoss, NLLLoss
from . import losses
from .base import (
    FLOATS,
    Backprop,
    as_given,
    custom_loss,
    plain_target,
    row_weights,
    telling_callbacks,
)
from .network import softmax
from .session import Session

# base has said so if scikit-learn is missing
from scipy.sparse import issparse  # isort: skip
from scipy.special import expit  # isort: skip
from sklearn.base import ClassifierMixin, RegressorMixin  # isort: skip
from sklearn.utils import column_or_1d, compute_sample_weight  # isort: skip
from sklearn.utils.multiclass import check_classification_targets, type_of_target  # isort: skip
from sklearn.utils.validation import validate_data  # isort: skip

BINARY, MULTICLASS = "binary", "multiclass"
MULTILABEL, MULTIOUTPUT = "multilabel-indicator", "multiclass-multioutput"


def _compares_numbers(loss: Any) -> bool:
    """Whether the targets of a loss are numbers for the outputs, and not classes."""
    return getattr(loss, "target", "") in ("values", "probabilities")


class BackpropClassifier(ClassifierMixin, Backprop):  # type: ignore[misc]
    """A feed-forward classifier, trained by back-propagation in one native program.

    With z the net's outputs for a row, the loss of the row is

    - two classes: one output, -t log σ(z) - (1 - t) log(1 - σ(z));
    - more classes: an output a class, -log softmax(z)[class];
    - several labels, y (rows, labels) of 0 and 1: an output a label, the sum of the first;
    - several targets, y (rows, targets) of classes: the sum of the second over the targets;

    and a step lowers the mean over a minibatch, plus ``alpha`` / (2 · rows of a batch) · Σ W².

    Options with the names of ``sklearn.neural_network.MLPClassifier`` mean the same. Training is in
    the precision of ``X``: float32 is about twice as fast as float64.

    | option | |
    |---|---|
    | ``hidden_layer_sizes`` | units of the hidden layers; one number is one layer |
    | ``activation`` | relu, tanh, logistic, identity, gelu, silu, elu, selu, leaky_relu, softplus or mish; or a list with one for each hidden layer |
    | ``dropout`` | share of a hidden layer's units dropped in training; or a list |
    | ``loss`` | "log_loss" (above); or a loss of `nn` or a function (logits, target), whose target are class numbers 0, 1, ... (0 and 1 for an elementwise loss of two classes or of labels) |
    | ``solver`` | adam, adamw, sgd, rmsprop, adagrad, adadelta, adamax, nadam, radam or lion |
    | ``alpha`` | the L2 penalty above; of adamw and lion the decoupled weight decay |
    | ``batch_size`` | rows of a minibatch; "auto" is min(200, rows) |
    | ``learning_rate`` | "constant"; after each epoch "invscaling": η₀ / (t + 1)^``power_t`` with t the rows seen, "adaptive": a fifth where training would stop, "cosine": to 0 over ``max_iter`` |
    | ``learning_rate_init`` | the first learning rate η₀ |
    | ``max_iter`` | the most epochs |
    | ``shuffle`` | a new order of the rows in each epoch |
    | ``random_state`` | of the first weights, the order, dropout and the validation rows |
    | ``tol``, ``n_iter_no_change`` | training stops after more than so many epochs in a row without an improvement of ``tol`` |
    | ``warm_start`` | `fit` goes on from the weights of the last call |
    | ``momentum``, ``nesterovs_momentum`` | of sgd |
    | ``beta_1``, ``beta_2``, ``epsilon`` | of adam, adamw, adamax, nadam and radam (ε is added as in the paper and PyTorch, after the bias correction) |
    | ``early_stopping`` | hold out ``validation_fraction`` of the rows (by class), stop by their score, and keep the best epoch's weights |
    | ``scoring`` | what that score is: None (as `score`), "loss", a metric of the Trainer ("auc", "f1", ...; computed in the native program), a scikit-learn scorer's name ("neg_log_loss", ...), or a function (estimator, X, y) |
    | ``class_weight`` | None, "balanced", or a dict class -> weight (for several labels a list of them) |
    | ``callbacks`` | of the Trainer (see `train.Callback`); those of scikit-learn's protocol are set by ``set_callbacks`` |
    | ``verbose`` | show the progress |

    After `fit` there are ``classes_``, ``coefs_``, ``intercepts_``, ``loss_``, ``loss_curve_``,
    ``best_loss_``, ``validation_scores_``, ``best_validation_score_``, ``n_iter_``, ``t_``,
    ``n_layers_``, ``n_outputs_``, ``out_activation_``, ``n_features_in_``, ``feature_names_in_``
    and ``history_`` (all measures of the last call, by epoch).

    >>> from chainrule.data import load_digits
    >>> from chainrule.estimators import BackpropClassifier
    >>> x, y = load_digits()
    >>> model = BackpropClassifier((32,), max_iter=60, random_state=0).fit(x[:1500] / 16, y[:1500])
    >>> bool(model.score(x[1500:] / 16, y[1500:]) > 0.85)
    True
    """  # noqa: E501 - a table's row is one line

    losses = ("log_loss",)
    metric = "accuracy"
    classes_: Any

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        dropout: Any = 0.0,
        loss: Any = "log_loss",
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        scoring: Any = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        class_weight: Any = None,
        callbacks: Any = None,
    ) -> None:
        """Nothing is checked before `fit`, as scikit-learn wishes."""
        _keep(self, locals())

    def __sklearn_tags__(self) -> Any:
        """Several labels, and several targets, are possible."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags

    @telling_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from new weights, or with ``warm_start`` from those of the last call.

        ``X`` (rows, features); ``y`` (rows,) classes, (rows, labels) of 0 and 1, or (rows, targets)
        of classes; ``sample_weight`` (rows,). Raises OptionError or DataError before training.
        """
        self._check_options()
        with self._as_it_was(), self._task(as_given(X, y, sample_weight)) as given:
            first = not (self.warm_start and self.__sklearn_is_fitted__())
            x, y = self._checked(X, y, first)
            kind, classes = _classes_of(y)
            if not first and not _equal(classes, self.classes_):
                raise DataError(
                    "warm_start can only be used where y has the same classes as in the last fit: "
                    f"{self.classes_}, got {classes}"
                )
            if kind in (BINARY, MULTICLASS) and len(classes) < 2:
                raise DataError(
                    f"y has one class only ({classes[0]!r}); a classifier needs at least 2 classes"
                )
            self._kind, self.classes_ = kind, classes
            weights = self._weigh(y, row_weights(x, sample_weight))
            return self._learn(given, x, y, weights, first)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """One more epoch over these rows, with the optimizer as it was left.

        The first call must name all ``classes``; for several targets it is a list with the classes
        of each; for several labels it is not needed.
        """
        self._check_options()
        if self.early_stopping:
            raise OptionError("partial_fit does not support early_stopping=True")
        if isinstance(self.class_weight, str):
            raise OptionError(
                "partial_fit: class_weight='balanced' needs the rows of all calls; give a dict,"
                " from sklearn.utils.compute_class_weight"
            )
        with self._as_it_was():
            first = not self.__sklearn_is_fitted__()
            x, y = self._checked(X, y, first)
            if first:
                self._kind, self.classes_ = _declared(y, classes)
            elif classes is not None and not _equal(_declared(y, classes)[1], self.classes_):
                raise DataError(
                    f"partial_fit: classes is {_declared(y, classes)[1]}, in the first call it was "
                    f"{self.classes_}"
                )
            self._check_known(y)
            weights = self._weigh(y, row_weights(x, sample_weight))
            return self._learn({}, x, y, weights, first, incremental=True)

    def _checked(self, x: Any, y: Any, first: bool) -> tuple[Array, Array]:
        if issparse(y):
            y = y.toarray()
        refuse_masked(x, "X")
        y = plain_target(y)
        x, y = validate_data(
            self, x, y, reset=first, dtype=FLOATS, multi_output=True, y_numeric=False
        )
        if not _clearly_classes(y):
            check_classification_targets(y)
        return x, _column(y)

    def _check_known(self, y: Array) -> None:
        """Whether all of y is among the classes, and y has as many columns as at first."""
        listed = [self.classes_] if self._kind in (BINARY, MULTICLASS) else self.classes_
        columns = [y] if y.ndim == 1 else list(y.T)
        if len(columns) != len(listed):
            raise DataError(
                f"partial_fit: y has {len(columns)} columns, in the first call it had {len(listed)}"
            )
        for column, own in zip(columns, listed, strict=True):
            own = np.array([0, 1]) if self._kind == MULTILABEL else own
            strange = np.setdiff1d(column, own).tolist()
            if strange:
                raise DataError(f"partial_fit: y has the classes {strange}, which are not in {own}")

    # -- targets -----------------------------------------------------------------------------------
    def _encode(self, y: Array, weights: Array | None, first: bool) -> tuple[Array, int]:
        if self._kind == MULTILABEL:
            return y.astype(np.float64), y.shape[1]
        if self._kind == MULTIOUTPUT:
            pairs = zip(self.classes_, y.T, strict=True)
            table = np.stack([np.searchsorted(c, v) for c, v in pairs], axis=1)
            return table.astype(np.int64), sum(map(len, self.classes_))
        labels = np.searchsorted(self.classes_, y)
        if self._one_output():
            return labels.reshape(-1, 1).astype(np.float64), 1
        return labels.astype(np.int64), len(self.classes_)

    def _one_output(self) -> bool:
        """Whether two classes are one output: for the usual loss, and for elementwise ones."""
        usual = not custom_loss(self.loss)
        return self._kind == BINARY and (usual or _compares_numbers(self.loss))

    def _objective(self) -> tuple[Any, bool]:
        given = self.loss
        if custom_loss(given):
            if isinstance(given, BCELoss | NLLLoss):
                takes, better = ("probabilities", "BCEWithLogitsLoss")
                if isinstance(given, NLLLoss):
                    takes, better = ("log-probabilities", "CrossEntropyLoss")
                raise OptionError(
                    f"BackpropClassifier: the net's outputs are logits, and {type(given).__name__}"
                    f" takes {takes}; use nn.{better}()"
                )
            if _compares_numbers(given) and self._kind in (MULTICLASS, MULTIOUTPUT):
                raise OptionError(
                    f"BackpropClassifier: {type(given).__name__} compares numbers, y has classes;"
                    " use a loss of logits and class numbers, such as nn.CrossEntropyLoss()"
                )
            return given, False
        if self._kind == MULTICLASS:
            return None, False  # the network's own
        if self._kind == MULTIOUTPUT:
            return losses.Grouped(tuple(map(len, self.classes_))), False
        return losses.logistic, False

    def _plain(self) -> bool:
        return self._kind in (BINARY, MULTICLASS)

    def _strata(self, target: Array) -> Array | None:
        return target.reshape(-1) if self._plain() else None

    def _weigh(self, y: Array, weights: Array | None) -> Array | None:
        if self.class_weight is None:
            return weights
        try:
            per_class: Array = compute_sample_weight(self.class_weight, y)
        except ValueError as error:
            raise OptionError(f"BackpropClassifier: class_weight: {error}") from None
        return per_class if weights is None else weights * per_class

    @property
    def out_activation_(self) -> str:
        """What makes probabilities of the outputs: "logistic" or "softmax"."""
        self._fitted()
        return "logistic" if self._kind == MULTILABEL or self.n_outputs_ == 1 else "softmax"

    # -- using -------------------------------------------------------------------------------------
    def _groups(self, z: Array) -> list[Array]:
        """The outputs of each target."""
        return np.split(z, np.cumsum([len(c) for c in self.classes_])[:-1], axis=1)

    def decision_function(self, X: Any) -> Any:
        """The logits: (rows,) of the second of two classes, (rows, classes) or (rows, labels).

        A list for several targets.
        """
        z = self._outputs(X)
        if self._kind == MULTIOUTPUT:
            return self._groups(z)
        if self._kind != BINARY:
            return z
        return z[:, 0] if z.shape[1] == 1 else z[:, 1] - z[:, 0]

    def predict_proba(self, X: Any) -> Any:
        """(rows, classes): the probability of each class; or (rows, labels) of each label.

        For several targets a list of the first.
        """
        z = self._outputs(X)
        if self._kind == MULTIOUTPUT:
            return [softmax(g) for g in self._groups(z)]
        if self._kind == MULTILABEL:
            return expit(z)
        return np.hstack([expit(-z), expit(z)]) if z.shape[1] == 1 else softmax(z)

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithm of `predict_proba`."""
        found = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return [np.log(p) for p in found] if isinstance(found, list) else np.log(found)

    def predict(self, X: Any) -> Array:
        """(rows,): the most probable class; (rows, labels) of 0 and 1; or (rows, targets)."""
        z = self._outputs(X)
        if self._kind == MULTILABEL:
            return (z > 0).astype(int)
        if self._kind == MULTIOUTPUT:
            pairs = zip(self.classes_, self._groups(z), strict=True)
            return np.stack([c[g.argmax(axis=1)] for c, g in pairs], axis=1)
        index = (z[:, 0] > 0).astype(int) if z.shape[1] == 1 else z.argmax(axis=1)
        return np.asarray(self.classes_[index])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of rows that are right, for several labels or targets in all of them."""
        if self._kind_or_none() != MULTIOUTPUT:
            return float(super().score(X, y, sample_weight))
        right = (np.asarray(self.predict(X)) == np.asarray(y)).all(axis=1)
        return float(np.average(right, weights=sample_weight))

    def _kind_or_none(self) -> str | None:
        return self.__dict__.get("_kind")


class BackpropRegressor(RegressorMixin, Backprop):  # type: ignore[misc]
    """A feed-forward regressor of one or several targets, back-propagation in one native program.

    With z the net's outputs for a row, t its targets and t' = (t - mean) / std over the rows of the
    first `fit`, the loss of the row is

    - "squared_error": Σ (z - t')² / 2;
    - "absolute_error": Σ |z - t'|;
    - "huber": Σ of (z - t')² / 2 where |z - t'| ≤ 1, else |z - t'| - 1/2;
    - "poisson", for counts: Σ exp(z) - t z; the prediction is exp(z);
    - a loss of `nn`, or a function (prediction, target): of std · z + mean and t.

    So the unit of a target does not matter, and ``tol`` and ``alpha`` are in units of its variance
    (in ``sklearn.neural_network.MLPRegressor`` they are in its own). Otherwise the options are
    those of `BackpropClassifier`, without ``class_weight``; ``scoring=None`` is R².

    >>> import numpy as np
    >>> from chainrule.estimators import BackpropRegressor
    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> model = BackpropRegressor((32,), "tanh", learning_rate_init=0.02, random_state=0)
    >>> model = model.fit(x, 1000 * x[:, 0] ** 2)
    >>> bool(model.score(x, 1000 * x[:, 0] ** 2) > 0.9)
    True
    """

    losses = tuple(losses.REGRESSION)
    metric = "r2"
    _counts: bool

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        dropout: Any = 0.0,
        loss: Any = "squared_error",
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        scoring: Any = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        callbacks: Any = None,
    ) -> None:
        """Nothing is checked before `fit`, as scikit-learn wishes."""
        _keep(self, locals())

    def __sklearn_tags__(self) -> Any:
        """Several targets are possible."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @telling_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from new weights, or with ``warm_start`` from those of the last call.

        ``X`` (rows, features), ``y`` (rows,) or (rows, targets), ``sample_weight`` (rows,). Raises
        OptionError, or DataError (ValueErrors both), before any training.
        """
        self._check_options()
        with self._as_it_was(), self._task(as_given(X, y, sample_weight)) as given:
            first = not (self.warm_start and self.__sklearn_is_fitted__())
            x, y = self._checked(X, y, first)
            return self._learn(given, x, y, row_weights(x, sample_weight), first)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One more epoch over these rows, with the optimizer as it was left.

        Mean and size of the target are learned in the first call.
        """
        self._check_options()
        if self.early_stopping:
            raise OptionError("partial_fit does not support early_stopping=True")
        with self._as_it_was():
            first = not self.__sklearn_is_fitted__()
            x, y = self._checked(X, y, first)
            return self._learn({}, x, y, row_weights(x, sample_weight), first, incremental=True)

    def _checked(self, x: Any, y: Any, first: bool) -> tuple[Array, Array]:
        refuse_masked(x, "X")
        y = plain_target(y)
        x, y = validate_data(
            self, x, y, reset=first, dtype=FLOATS, multi_output=True, y_numeric=True
        )
        y = _column(y)
        if isinstance(self.loss, str) and self.loss == "poisson" and y.min() < 0:
            row = int(np.argwhere(y < 0)[0][0])
            raise DataError(
                f"loss='poisson' is for counts: y is {y[row].min():g} in row {row}; give numbers"
                " that are not negative"
            )
        self._flat = y.ndim == 1
        return x, y

    # -- targets -----------------------------------------------------------------------------------
    def _encode(self, y: Array, weights: Array | None, first: bool) -> tuple[Array, int]:
        table = y.reshape(len(y), -1).astype(np.float64)
        counts = isinstance(self.loss, str) and self.loss == "poisson"
        if not first and counts != self._counts:
            raise OptionError(
                "BackpropRegressor: loss='poisson' makes other predictions of the same net; fit "
                "with warm_start=False"
            )
        self._counts = counts
        if first:
            self._mean, self._std = np.zeros(table.shape[1]), np.ones(table.shape[1])
            if not counts:
                self._mean = np.average(table, axis=0, weights=weights)
                std = np.sqrt(np.average((table - self._mean) ** 2, axis=0, weights=weights))
                counted = table if weights is None else table[weights > 0]
                self._std = np.where((std > 0) & (np.ptp(counted, 0) > 0), std, 1.0)
        elif table.shape[1] != len(self._mean):
            raise DataError(
                f"y has {table.shape[1]} targets, in the first call it had {len(self._mean)}"
            )
        own = custom_loss(self.loss)
        return table if own else (table - self._mean) / self._std, table.shape[1]

    def _objective(self) -> tuple[Any, bool]:
        own = custom_loss(self.loss)
        return (self.loss, True) if own else (losses.REGRESSION[self.loss], False)

    def _start(self, session: Session) -> None:
        if session.model.units:
            session.set_units(self._mean, self._std)

    @property
    def out_activation_(self) -> str:
        """What is done to the outputs: "identity", or for counts "exp"."""
        self._fitted()
        return "exp" if self._counts else "identity"

    # -- using -------------------------------------------------------------------------------------
    def predict(self, X: Any) -> Array:
        """(rows,) or (rows, targets)."""
        z = self._outputs(X)
        y = np.exp(z) if self._counts else z * self._std + self._mean
        return np.asarray(y[:, 0] if self._flat else y)


def _keep(estimator: Any, given: dict[str, Any]) -> None:
    """The constructor's arguments as attributes."""
    for name, value in given.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


def _column(y: Any) -> Array:
    """(rows, 1) as (rows,), with scikit-learn's warning."""
    y = np.asarray(y)
    return np.asarray(column_or_1d(y, warn=True)) if y.ndim == 2 and y.shape[1] == 1 else y


def _clearly_classes(y: Array) -> bool:
    """Whether scikit-learn's longer look at targets would find nothing to say.

    That is so of integers, of which each stands for two rows or more.
    """
    integers = y.ndim == 1 and y.dtype.kind in "biu"
    return integers and 2 * len(np.unique(y)) <= len(y)


def _classes_of(y: Array) -> tuple[str, Any]:
    """The kind of checked targets, and their classes, sorted.

    Of several targets a list; of labels their numbers.
    """
    if y.ndim == 1:
        classes = np.unique(y)
        return BINARY if len(classes) <= 2 else MULTICLASS, classes
    if type_of_target(y) == MULTIOUTPUT:
        return MULTIOUTPUT, [np.unique(column) for column in y.T]
    return MULTILABEL, np.arange(y.shape[1])


def _declared(y: Array, classes: Any) -> tuple[str, Any]:
    """Kind of target and classes, from the first call of `partial_fit`."""
    if y.ndim > 1:
        nested = classes is not None and np.ndim(classes[0]) == 1
        if nested:
            return MULTIOUTPUT, [np.unique(c) for c in classes]
        if classes is None and type_of_target(y) == MULTIOUTPUT:
            raise DataError(
                "partial_fit: y has several targets, so the first call needs the classes of each,"
                " partial_fit(X, y, classes=[[...], [...]])"
            )
        return MULTILABEL, np.arange(y.shape[1])
    if classes is None:
        raise DataError(
            "partial_fit: the first call needs all classes, partial_fit(X, y, classes=...)"
        )
    found = np.unique(classes)
    if len(found) < 2:
        raise DataError(f"partial_fit: a classifier needs at least 2 classes, got {classes!r}")
    return BINARY if len(found) == 2 else MULTICLASS, found


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, list) or isinstance(b, list):
        return len(a) == len(b) and all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))
    return np.array_equal(a, b)
