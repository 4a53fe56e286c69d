"""What `BackpropClassifier` and `BackpropRegressor` share: options, their checks, and training."""

from __future__ import annotations

import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np

from ..core.host.plain import is_missing, is_nullable, is_real, numbers, refuse_masked
from ..core.node import Array
from ..data.split import split_rows
from ..errors import DataError, MissingExtraError, OptionError
from ..nn import Module
from ..nn.options import Constraint, check, choice, integer, number
from ..train import METRICS, Callback, EarlyStopping, Metric
from ..train.interrupt import interrupts
from ..train.listeners.given import as_callbacks
from ..train.measure.metrics import as_metric
from .monitor import Monitor, Rates, Tasks
from .network import OPTIMIZERS, Spec, Training, check_sizes, outputs
from .session import INTERRUPTION, Progress, Session, lent

try:
    from sklearn.base import BaseEstimator
    from sklearn.metrics import get_scorer, get_scorer_names
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError:
    raise MissingExtraError(
        "chainrule.estimators needs scikit-learn: pip install 'chainrule[sklearn]'"
    ) from None
try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Callbacks of scikit-learn's protocol came with 1.9."""

    with_callbacks = None

Method = TypeVar("Method", bound=Callable[..., Any])


def telling_callbacks(method: Method) -> Method:
    """A `fit` after which scikit-learn's callbacks are taken down, whatever happened."""
    return method if with_callbacks is None else cast(Method, with_callbacks(method))


FLOATS = [np.float64, np.float32]
_BOOLEAN = Constraint(lambda x: isinstance(x, bool | np.bool_), "True or False")
_COUNT = integer(1)
CONSTRAINTS: dict[str, Constraint] = {
    "class_weight": Constraint(
        lambda x: x is None or isinstance(x, Mapping | list) or str(x) == "balanced",
        "None, 'balanced', or a dict class -> weight (for several targets a list of them)",
    ),
    "solver": choice(*OPTIMIZERS),
    "alpha": number(0),
    "batch_size": Constraint(
        lambda x: _COUNT.holds(x) or (isinstance(x, str) and x == "auto"),
        "'auto' or an integer ≥ 1",
    ),
    "learning_rate": choice("constant", "invscaling", "adaptive", "cosine"),
    "learning_rate_init": number(0, brackets="()"),
    "power_t": number(0),
    "max_iter": _COUNT,
    "shuffle": _BOOLEAN,
    "tol": number(0),
    "verbose": Constraint(lambda x: _BOOLEAN.holds(x) or integer(0).holds(x), "True or False"),
    "warm_start": _BOOLEAN,
    "momentum": number(0, 1),
    "nesterovs_momentum": _BOOLEAN,
    "early_stopping": _BOOLEAN,
    "validation_fraction": number(0, 1, "()"),
    "beta_1": number(0, 1, "[)"),
    "beta_2": number(0, 1, "[)"),
    "epsilon": number(0, brackets="()"),
    "n_iter_no_change": Constraint(
        lambda x: _COUNT.holds(x) or (isinstance(x, float) and x == math.inf),
        "an integer ≥ 1, or infinity",
    ),
}


def _drawn_seed(state: Any) -> int:
    """The first number that a ``random_state`` draws."""
    if isinstance(state, int | np.integer):
        return _seed_of(int(state))
    return int(check_random_state(state).randint(np.iinfo(np.int32).max))


@functools.lru_cache(256)
def _seed_of(state: int) -> int:
    return int(check_random_state(state).randint(np.iinfo(np.int32).max))


class Backprop(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]
    """A net with scikit-learn's methods; a subclass says what its targets are."""

    losses: ClassVar[tuple[str, ...]]
    metric: ClassVar[str]
    """What `score` measures, as a metric of the Trainer."""

    _network: Spec
    _weights: dict[str, Array]
    _progress: Progress | None
    loss_curve_: list[float]

    def __getstate__(self) -> Any:
        """All but what belongs to a call of `fit` that is running."""
        state = dict(super().__getstate__())
        for name in ("_callback_fit_ctx", "_skl_callbacks_to_teardown"):
            state.pop(name, None)
        return state

    # -- what a subclass says ----------------------------------------------------------------------
    def _encode(self, y: Array, weights: Array | None, first: bool) -> tuple[Array, int]:
        """Targets as the loss takes them, and the number of the net's outputs."""
        raise NotImplementedError

    def _objective(self) -> tuple[Any, bool]:
        """The loss, and whether it takes predictions in the target's unit."""
        raise NotImplementedError

    def _start(self, session: Session) -> None:
        """Before training: the units of the target."""

    def _strata(self, target: Array) -> Array | None:
        """Classes, of which each has its share in the validation data."""
        return None

    def _plain(self) -> bool:
        """Whether there is one target per row, so that metrics of the Trainer apply."""
        return True

    # -- options -----------------------------------------------------------------------------------
    def _check_options(self) -> None:
        check(type(self).__name__, CONSTRAINTS, vars(self))
        known = self.loss in self.losses if isinstance(self.loss, str) else callable(self.loss)
        if not known or isinstance(self.loss, type):
            hint = f"; add parentheses: {self.loss.__name__}()" if known else ""
            raise OptionError(
                f"{type(self).__name__}: loss must be {', '.join(map(repr, self.losses))}, a"
                f" loss of nn, or a function (prediction, target), got {self.loss!r}{hint}"
            )
        as_callbacks(self.callbacks)

    def _spec(self, inputs: int, width: int) -> Spec:
        several: Any = (list, tuple, np.ndarray)
        sizes = self.hidden_layer_sizes
        sizes = tuple(sizes) if isinstance(sizes, several) else (sizes,)
        check_sizes("hidden_layer_sizes", sizes)
        activation, dropout = self.activation, self.dropout
        return Spec(
            inputs,
            sizes,
            width,
            tuple(activation) if isinstance(activation, several) else activation,
            tuple(dropout) if isinstance(dropout, several) else dropout,
        )

    def _training(self, rows: int, weights: Array | None, incremental: bool) -> Training:
        batch = min(200 if self.batch_size == "auto" else int(self.batch_size), rows)
        decoupled = self.solver in ("adamw", "lion")
        # The trainer scales row weights to the mean 1; the penalty is for them as they came.
        alpha = float(self.alpha) / (1.0 if weights is None else float(weights.mean()))
        rate = float(self.learning_rate_init)
        if incremental and self.learning_rate == "invscaling" and self.t_:
            rate /= (self.t_ + 1) ** self.power_t
        return Training(
            optimizer=self.solver,
            lr=rate,
            weight_decay=float(self.alpha) if decoupled else 0.0,
            l2=None if decoupled else alpha,
            momentum=float(self.momentum),
            nesterov=bool(self.nesterovs_momentum),
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            epsilon=float(self.epsilon),
            batch_size=batch,
            epochs=1 if incremental else int(self.max_iter),
            seed=self._seed,
            shuffle=bool(self.shuffle),
        )

    # -- training ----------------------------------------------------------------------------------
    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """After an error before the first step, a fitted estimator is as it was."""
        before = dict(self.__dict__)
        try:
            yield
        except Exception:
            if "_weights" in before and self.__dict__.get("_weights") is before["_weights"]:
                self.__dict__ = before
            raise

    @contextmanager
    def _task(self, given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The fit as a task of scikit-learn's callback protocol, where there is one."""
        if not hasattr(self, "_init_callback_context"):
            yield given
            return
        context = self._init_callback_context(max_subtasks=int(self.max_iter))
        context.call_on_fit_task_begin(estimator=self, **given)
        yield given
        context.call_on_fit_task_end(estimator=self, **given, reconstruction_attributes={})

    def _learn(
        self, given: Mapping[str, Any], x: Array, y: Array, weights: Array | None, first: bool,
        incremental: bool = False,
    ) -> Self:  # fmt: skip
        """Train on checked data; ``given``: the data as the user gave them, for callbacks."""
        if weights is not None and not weights.sum() > 0:
            raise DataError("the weights of all rows are 0; at least one must count")
        target, width = self._encode(y, weights, first)
        target = target if target.dtype.kind == "i" else target.astype(x.dtype)
        loss, units = self._objective()
        if first or not incremental:
            self._seed = _drawn_seed(self.random_state)
        network = self._spec(x.shape[1], width)
        if not first and network != self._network:
            raise OptionError(
                f"{type(self).__name__}: warm_start and partial_fit go on with the net of the first"
                f" fit, hidden_layer_sizes={self._network.hidden}, activation="
                f"{self._network.activation!r}, dropout={self._network.dropout!r}; leave these as "
                "they were, or fit with warm_start=False"
            )
        start = network.new_weights(self._seed, x.dtype) if first else self._weights
        x = x.astype(next(iter(start.values())).dtype, copy=False)
        held: _Held | None = None
        if self.early_stopping and not incremental:
            held, kept = self._hold_out(x, y, target, weights)
            x, target = x[kept], target[kept]
            weights = None if weights is None else weights[kept]
        if first:
            self._begin(network)
        training = self._training(len(x), weights, incremental)
        measured = None if held is None else held.metric
        progress = self._progress if incremental else None
        with (
            interrupts() as presses,
            lent(network, start, training, progress, loss, units, measured) as session,
        ):
            self._start(session)
            monitor = None if incremental else self._monitor(held, session)
            listeners = self._listeners(monitor, training, len(x))
            if not incremental:
                listeners += self._tasks(given, session)
            before = session.trainer.step
            try:
                interrupted = session.fit_until_interrupted(
                    presses,
                    x,
                    target,
                    weights,
                    held.data if held is not None else None,
                    metrics=[measured] if measured is not None else None,
                    progress=True if self.verbose else False,
                    callbacks=[*listeners, *as_callbacks(self.callbacks)],
                )
            except Exception:  # of a callback, or a loss that is not finite
                session.trainer.restore_best()
                if session.trainer.step > before and session.finite():
                    self._keep(session, monitor, len(x), incremental)
                raise
            self._keep(session, monitor, len(x), incremental)
        if interrupted:
            warnings.warn(
                f"{INTERRUPTION}, after {self.n_iter_} of {training.epochs} epochs: "
                f"the {type(self).__name__} keeps what it has learned"
                + (", as it was after the best epoch" if held is not None and self.n_iter_ else ""),
                UserWarning,
                stacklevel=3 if incremental or with_callbacks is None else 4,
            )
        return self

    def _begin(self, network: Spec) -> None:
        """Forget an earlier fit."""
        self.__dict__.pop("_weights", None)
        self._network = network
        self._progress = None
        self.t_, self.n_iter_ = 0, 0
        self.loss_curve_ = []
        self.n_outputs_, self.n_layers_ = network.outputs, len(network.sizes)

    def _keep(
        self, session: Session, monitor: Monitor | None, rows: int, incremental: bool
    ) -> None:
        """What was learned, and the fitted attributes. A first epoch may have been cut short."""
        history = session.trainer.history
        self._weights, self._progress = session.weights(), session.progress()
        self.loss_curve_ = [*self.loss_curve_, *(history["loss"] if len(history) else ())]
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else math.nan
        self.n_iter_ = len(history) + (self.n_iter_ if incremental else 0)
        self.t_ += len(history) * rows
        self.history_ = history.to_dict()
        stopped_early = monitor is not None and monitor.restore_best
        self.validation_scores_ = monitor.scores if monitor and stopped_early else None
        self.best_validation_score_ = monitor.best if monitor and stopped_early else None
        self.best_loss_ = None if stopped_early else min(self.loss_curve_, default=math.inf)

    def _listeners(self, monitor: Monitor | None, training: Training, rows: int) -> list[Callback]:
        found: list[Callback] = [] if monitor is None else [monitor]
        if self.learning_rate != "constant":
            seen, rate = self.t_, float(self.learning_rate_init)
            rates = Rates(
                self.learning_rate, monitor, rate, float(self.power_t), seen, training.epochs
            )
            rates.rows = rows
            found.append(rates)
        return found

    def _tasks(self, given: Mapping[str, Any], session: Session) -> list[Callback]:
        """What tells scikit-learn's callbacks of the epochs, where some were set."""
        if not getattr(self, "_skl_callbacks", None):
            return []

        def attributes(epoch: int) -> dict[str, Any]:
            return {"_weights": session.weights(), "n_iter_": epoch + 1}

        return [Tasks(self, self._callback_fit_ctx, given, attributes)]

    # -- stopping early ----------------------------------------------------------------------------
    def _hold_out(
        self, x: Array, y: Array, target: Array, weights: Array | None
    ) -> tuple[_Held, Array]:
        kept, rows = split_rows(
            len(x), float(self.validation_fraction), self._seed, self._strata(target)
        )
        if len(rows) < 2:
            raise DataError(
                f"early_stopping: validation_fraction={self.validation_fraction:g} of {len(x)} rows"
                f" is {len(rows)} row; give more data, or a larger fraction"
            )
        w = None if weights is None else weights[rows]
        data = (x[rows], target[rows]) if w is None else (x[rows], target[rows], w)
        return _Held(data, y[rows], w, *self._resolve_scoring(w is not None)), kept

    def _resolve_scoring(self, weighted: bool) -> tuple[Any, Any]:
        """A metric of the compiled step, or a scikit-learn scorer; (None, None) is the loss."""
        given = self.scoring
        if given is None and self._plain() and not weighted:
            given = self.metric
        if given is None:
            return None, type(self).score
        if isinstance(given, Metric) or (given in METRICS and self._plain()):
            return given, None
        if isinstance(given, str):
            if given == "loss":
                return None, None
            if given in get_scorer_names():
                return None, get_scorer(given)
            names = ["'loss'", *(METRICS if self._plain() else ())]
            raise OptionError(
                f"{type(self).__name__}: scoring={given!r} is unknown"
                + ("; there are " if self._plain() else " for several targets; there are ")
                + ", ".join(names)
                + (", and" if self._plain() else " and")
                + " the names of sklearn.metrics.get_scorer_names()"
            )
        if callable(given) and not isinstance(given, type):
            return None, given
        raise OptionError(
            f"{type(self).__name__}: scoring must be None, a name, a metric, or a function"
            f" (estimator, X, y), got {given!r}"
        )

    def _monitor(self, held: _Held | None, session: Session) -> Monitor:
        patience, stops = self.n_iter_no_change, self.learning_rate != "adaptive"
        tol = float(self.tol)
        if held is None:
            return Monitor(lambda logs: -logs["loss"], patience, tol, False, stops)
        own = held.metric is None and held.scorer is not None  # it looks at the weights
        return Monitor(self._score_of(held, session), patience, tol, True, stops, not own)

    def _score_of(self, held: _Held, session: Session) -> Callable[[Mapping[str, float]], float]:
        if held.metric is not None:
            name = f"val_{as_metric(held.metric).name}"
            sign = -1.0 if EarlyStopping.way_of(name) == "min" else 1.0
            return lambda logs: sign * logs[name]
        scorer = held.scorer
        if scorer is None:
            return lambda logs: -logs["val_loss"]
        options = {}
        if held.weights is not None and (self.scoring is None or isinstance(self.scoring, str)):
            options["sample_weight"] = held.weights
        view = copy.copy(self)
        view.__dict__.pop("feature_names_in_", None)  # the held rows are an array

        def score(logs: Mapping[str, float]) -> float:
            view._weights = session.weights()
            return float(scorer(view, held.data[0], held.y, **options))

        return score

    # -- what is fitted ----------------------------------------------------------------------------
    def _outputs(self, x: Any) -> Array:
        check_is_fitted(self)
        refuse_masked(x, "X")
        x = validate_data(self, x, reset=False, dtype=FLOATS)
        return outputs(self._network, self._weights, x)

    @property
    def coefs_(self) -> list[Array]:
        """The weight matrices (inputs, outputs) of the layers."""
        return [v.T for k, v in self._fitted().items() if k.endswith("weight")]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of the layers."""
        return [v for k, v in self._fitted().items() if k.endswith("bias")]

    def _fitted(self) -> Mapping[str, Array]:
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"this {type(self).__name__} is not fitted")
        return self._weights

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there are weights."""
        return "_weights" in self.__dict__


class _Held:
    """Rows held out: for the Trainer, for scorers, and who measures."""

    def __init__(
        self, data: tuple[Array, ...], y: Array, weights: Array | None, metric: Any, scorer: Any
    ) -> None:
        self.data, self.y, self.weights = data, y, weights
        self.metric, self.scorer = metric, scorer


def row_weights(x: Array, given: Any) -> Array | None:
    """Weights of the rows as float64, checked; None where none are given."""
    if given is None:
        return None
    refuse_masked(given, "sample_weight")
    found: Array = _check_sample_weight(given, x, dtype=np.float64, ensure_non_negative=True)
    return found


def plain_target(y: Any) -> Any:
    """``y`` in NumPy's own types where it is in nullable ones: integers stay integers, bools bools.

    Raises DataError for masked elements and for rows that have no target.
    """
    refuse_masked(y, "y")
    kinds = list(y.dtypes) if hasattr(y, "columns") else [getattr(y, "dtype", None)]
    if not any(is_nullable(k) or getattr(k, "kind", "") == "O" for k in kinds):
        return y
    found = np.asarray(y, object)
    gone = [i for i, v in np.ndenumerate(found) if is_missing(v)]
    if gone:
        raise DataError(
            f"y has no value in row {gone[0][0]} ({len(gone)} of {found.size} are missing); drop "
            "these rows"
        )
    return numbers(found, "y") if all(is_real(v) for v in found.flat) else found


def as_given(x: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """The data of `fit` as scikit-learn's callbacks take them."""
    metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
    return {"X": x, "y": y, "metadata": metadata}


def custom_loss(loss: Any) -> bool:
    """Whether the user gave a loss of their own."""
    return isinstance(loss, Module) or not isinstance(loss, str)
