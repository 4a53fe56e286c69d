"""Estimators for scikit-learn: `BackpropClassifier` and `BackpropRegressor`, trained by the
Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ..core.node import Array
from ..errors import DataError, MissingExtraError, OptionError
from ..train import EarlyStopping
from .network import Session, Spec, Training, outputs, softmax

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state, compute_sample_weight
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError:
    raise MissingExtraError(
        "chainrule.estimators needs scikit-learn: pip install 'chainrule[sklearn]'"
    ) from None

_FLOATS = [np.float64, np.float32]


class _Backprop(BaseEstimator):  # type: ignore[misc]
    """What both estimators share."""

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        dropout: float = 0.0,
        solver: str = "adam",
        learning_rate_init: float = 0.001,
        alpha: float = 0.0001,
        momentum: float = 0.9,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        shuffle: bool = True,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        warm_start: bool = False,
        callbacks: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.verbose = verbose

    def __getstate__(self) -> Any:
        """Everything but the compiled program, which is made again when training goes on."""
        state = dict(super().__getstate__())
        state.pop("_session", None)
        return state

    # -- what a subclass says ----------------------------------------------------------------------
    def _loss(self) -> str:
        raise NotImplementedError

    def _encode(self, y: Array, weights: Array | None, first: bool) -> tuple[Array, int]:
        raise NotImplementedError

    def _strata(self, y: Array) -> Array | None:
        return None

    def _weigh(self, y: Array, weights: Array | None) -> Array | None:
        return weights

    # -- training ----------------------------------------------------------------------------------
    def _fit(self, x: Array, y: Array, sample_weight: Any, first: bool, epochs: int | None) -> Self:
        """Train on checked data; ``epochs``: of `partial_fit`, without stopping early."""
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, x, dtype=np.float64, ensure_non_negative=True
            )
        weights = self._weigh(y, weights)
        if weights is not None:
            if not weights.sum() > 0:
                raise DataError("all sample weights are 0; at least one row must count")
            weights = weights / weights.mean()
        session: Session | None = self.__dict__.get("_session")
        target, width = self._encode(y, weights, first)
        target = target if target.dtype.kind == "i" else target.astype(x.dtype)
        if first:
            spec = Spec(
                x.shape[1],
                _sizes(self.hidden_layer_sizes),
                width,
                self.activation,
                self.dropout,
                self._loss(),
            )
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
            self._spec, self._seed, session = spec, seed, None
            self._weights = spec.new_weights(seed, x.dtype)
            self.t_ = 0
            self.loss_curve_: list[float] = []
        dtype = next(iter(self._weights.values())).dtype
        x = x.astype(dtype, copy=False)
        training = self._training(len(x))
        if (
            session is None
            or session.weighted != (weights is not None)
            or session.training != training
        ):
            session = Session(self._spec, self._weights, training, weights is not None)
        stopping, validation = None, None
        if epochs is None:
            x, target, weights, validation, stopping = self._stopping(x, y, target, weights)
        history = session.fit(
            x,
            target,
            weights,
            validation,
            stopping,
            epochs,
            progress=True if self.verbose else False,
            callbacks=self.callbacks,
        )
        self._session = session
        self._weights = session.weights()
        self.loss_curve_ = [*self.loss_curve_, *history["loss"]] if epochs else history["loss"]
        self.loss_ = self.loss_curve_[-1]
        self.n_iter_ = len(self.loss_curve_)
        self.t_ += len(history) * len(x)
        if validation is not None:
            self.validation_losses_ = history["val_loss"]
        self.n_outputs_, self.n_layers_ = width, len(self._spec.sizes)
        return self

    def _training(self, rows: int) -> Training:
        batch = min(200, rows) if self.batch_size == "auto" else self.batch_size
        if not isinstance(batch, int | np.integer) or batch < 1:
            raise OptionError(
                f'batch_size is "auto" or a whole number from 1, got {self.batch_size!r}'
            )
        if not isinstance(self.max_iter, int | np.integer) or self.max_iter < 1:
            raise OptionError(f"max_iter is a whole number from 1, got {self.max_iter!r}")
        return Training(
            self.solver,
            float(self.learning_rate_init),
            float(self.alpha),
            float(self.momentum),
            int(batch),
            int(self.max_iter),
            self._seed,
            bool(self.shuffle),
        )

    def _stopping(self, x: Array, y: Array, target: Array, weights: Array | None) -> Any:
        """Validation data and the rule to stop."""
        patience = int(self.n_iter_no_change)
        if not self.early_stopping:
            return (
                x,
                target,
                weights,
                None,
                EarlyStopping("loss", patience, float(self.tol), restore_best=False),
            )
        if not 0 < self.validation_fraction < 1:
            raise OptionError(
                f"validation_fraction is between 0 and 1, got {self.validation_fraction!r}"
            )
        from .split import split_rows

        train, held = split_rows(
            len(x), float(self.validation_fraction), self._seed, self._strata(target)
        )
        validation = (x[held], target[held])
        if weights is not None:
            weights = weights[train] / weights[train].mean()
        stopping = EarlyStopping("val_loss", patience, float(self.tol))
        return x[train], target[train], weights, validation, stopping

    def _outputs(self, x: Any) -> Array:
        check_is_fitted(self, "_weights")
        x = validate_data(self, x, reset=False, dtype=_FLOATS)
        return outputs(self._spec, self._weights, x)

    @property
    def coefs_(self) -> list[Array]:
        """The weight matrices (inputs, outputs) of the layers."""
        return [v.T for k, v in self._fitted().items() if k.endswith("weight")]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of the layers."""
        return [v for k, v in self._fitted().items() if k.endswith("bias")]

    def _fitted(self) -> Mapping[str, Array]:
        if "_weights" not in self.__dict__:
            raise AttributeError(f"this {type(self).__name__} is not fitted")
        return self._weights

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there are weights."""
        return "_weights" in self.__dict__


class BackpropClassifier(ClassifierMixin, _Backprop):  # type: ignore[misc]
    """A feed-forward classifier: softmax over the classes, cross entropy; or several yes-or-no
    labels.

    The parameters are those of ``sklearn.neural_network.MLPClassifier`` where they mean the same,
    and ``dropout``, ``class_weight`` (a dict or "balanced"), ``solver`` (any of adam, adamw, sgd,
    rmsprop, adagrad, adadelta, adamax, nadam, radam, lion) and ``activation`` (relu, tanh,
    logistic, identity, gelu, silu, elu, selu, leaky_relu, softplus, mish). ``alpha`` is the L2
    coefficient of the mean loss. Trains in the precision of ``X`` (float32 is faster).

    >>> from chainrule.data import load_digits
    >>> from chainrule.estimators import BackpropClassifier
    >>> x, y = load_digits()
    >>> model = BackpropClassifier((32,), max_iter=60, random_state=0).fit(x[:1500] / 16, y[:1500])
    >>> bool(model.score(x[1500:] / 16, y[1500:]) > 0.85)
    True
    """

    classes_: Array

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        dropout: float = 0.0,
        solver: str = "adam",
        learning_rate_init: float = 0.001,
        alpha: float = 0.0001,
        momentum: float = 0.9,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        shuffle: bool = True,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        warm_start: bool = False,
        class_weight: Any = None,
        callbacks: Any = None,
        verbose: bool = False,
    ) -> None:
        """Nothing is checked before `fit`, as scikit-learn wishes."""
        super().__init__(
            hidden_layer_sizes,
            activation,
            dropout=dropout,
            solver=solver,
            learning_rate_init=learning_rate_init,
            alpha=alpha,
            momentum=momentum,
            batch_size=batch_size,
            max_iter=max_iter,
            shuffle=shuffle,
            tol=tol,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            random_state=random_state,
            warm_start=warm_start,
            callbacks=callbacks,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        """Several labels are possible."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Train from new weights, or with ``warm_start`` from those of the last call.

        ``X`` (rows, features), ``y`` (rows,) classes or (rows, labels) of 0 and 1,
        ``sample_weight`` (rows,).
        """
        first = not (self.warm_start and self.__sklearn_is_fitted__())
        X, y = validate_data(
            self, X, y, reset=first, dtype=_FLOATS, multi_output=True, y_numeric=False
        )
        check_classification_targets(y)
        y = _column(self, y)
        several = type_of_target(y).startswith("multilabel")
        classes = np.arange(y.shape[1]) if several else np.unique(y)
        if not first and not np.array_equal(classes, self.classes_):
            raise DataError(
                "warm_start can only be used where y has the same classes as in the last fit: "
                f"{self.classes_},"
                f" got {classes}"
            )
        if len(classes) < 2 and not several:
            raise DataError(
                f"y has one class only ({classes[0]!r}); a classifier needs at least 2 classes"
            )
        self.classes_, self.multilabel_ = classes, several
        return self._fit(X, y, sample_weight, first, None)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """One more epoch over these rows; the first call must name all ``classes``."""
        first = not self.__sklearn_is_fitted__()
        X, y = validate_data(
            self, X, y, reset=first, dtype=_FLOATS, multi_output=True, y_numeric=False
        )
        check_classification_targets(y)
        y = _column(self, y)
        if first:
            if classes is None:
                raise DataError(
                    "partial_fit: the first call needs all classes, partial_fit(X, y, classes=...)"
                )
            self.classes_, self.multilabel_ = np.unique(classes), y.ndim > 1
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise DataError(
                f"partial_fit: classes is {np.unique(classes)}, in the first call it was "
                f"{self.classes_}"
            )
        strange = [] if self.multilabel_ else np.setdiff1d(y, self.classes_).tolist()
        if strange:
            raise DataError(
                f"partial_fit: y has the classes {strange}, which are not in {self.classes_}"
            )
        return self._fit(X, y, sample_weight, first, 1)

    def _loss(self) -> str:
        return "binary_cross_entropy" if self.multilabel_ else "cross_entropy"

    def _encode(self, y: Array, weights: Array | None, first: bool) -> tuple[Array, int]:
        if self.multilabel_:
            return y.astype(np.float64), y.shape[1]
        return np.searchsorted(self.classes_, y).astype(np.int64), len(self.classes_)

    def _strata(self, y: Array) -> Array | None:
        return None if self.multilabel_ else y

    def _weigh(self, y: Array, weights: Array | None) -> Array | None:
        if self.class_weight is None:
            return weights
        per_class: Array = compute_sample_weight(self.class_weight, y)
        return per_class if weights is None else weights * per_class

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """(rows, classes): the probability of each class, or (rows, labels) of each label."""
        z = self._outputs(X)
        return 1 / (1 + np.exp(-z)) if self.multilabel_ else softmax(z)

    def predict_log_proba(self, X: Any) -> Array:  # noqa: N803
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> Array:  # noqa: N803
        """(rows,): the most probable class; or (rows, labels) of 0 and 1."""
        z = self._outputs(X)
        if self.multilabel_:
            return (z > 0).astype(int)
        return np.asarray(self.classes_[z.argmax(axis=1)])


class BackpropRegressor(RegressorMixin, _Backprop):  # type: ignore[misc]
    """A feed-forward regressor of one or several targets: mean squared error.

    Targets are standardised while it trains, so that their unit does not matter. The parameters are
    those of `BackpropClassifier` without ``class_weight``.

    >>> import numpy as np
    >>> from chainrule.estimators import BackpropRegressor
    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> model = BackpropRegressor((32,), "tanh", learning_rate_init=0.02, random_state=0)
    >>> model = model.fit(x, 1000 * x[:, 0] ** 2)
    >>> bool(model.score(x, 1000 * x[:, 0] ** 2) > 0.9)
    True
    """

    def __sklearn_tags__(self) -> Any:
        """Several targets are possible."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train from new weights, or with ``warm_start`` from those of the last call.

        ``X`` (rows, features), ``y`` (rows,) or (rows, targets), ``sample_weight`` (rows,).
        """
        first = not (self.warm_start and self.__sklearn_is_fitted__())
        return self._start(X, y, sample_weight, first, None)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """One more epoch over these rows. Mean and size of the target are learned in the first
        call."""
        return self._start(X, y, sample_weight, not self.__sklearn_is_fitted__(), 1)

    def _start(self, x: Any, y: Any, sample_weight: Any, first: bool, epochs: int | None) -> Self:
        x, y = validate_data(
            self, x, y, reset=first, dtype=_FLOATS, multi_output=True, y_numeric=True
        )
        y = _column(self, y)
        self._flat = y.ndim == 1
        return self._fit(x, y, sample_weight, first, epochs)

    def _loss(self) -> str:
        return "mse"

    def _encode(self, y: Array, weights: Array | None, first: bool) -> tuple[Array, int]:
        table = y.reshape(len(y), -1).astype(np.float64)
        if first:
            self._mean = np.average(table, axis=0, weights=weights)
            std = np.sqrt(np.average((table - self._mean) ** 2, axis=0, weights=weights))
            self._std = np.where(std > 0, std, 1.0)
        elif table.shape[1] != len(self._mean):
            raise DataError(
                f"y has {table.shape[1]} targets, in the first call it had {len(self._mean)}"
            )
        return (table - self._mean) / self._std, table.shape[1]

    def predict(self, X: Any) -> Array:  # noqa: N803
        """(rows,) or (rows, targets)."""
        y = self._outputs(X) * self._std + self._mean
        return np.asarray(y[:, 0] if self._flat else y)


def _sizes(given: Any) -> tuple[int, ...]:
    """Layer sizes as a tuple; one number is one layer."""
    return tuple(np.atleast_1d(np.asarray(given, dtype=object)).tolist())


def _column(estimator: Any, y: Any) -> Array:
    """(rows, 1) as (rows,), with scikit-learn's warning."""
    from sklearn.utils import column_or_1d

    y = np.asarray(y)
    return np.asarray(column_or_1d(y, warn=True)) if y.ndim == 2 and y.shape[1] == 1 else y
