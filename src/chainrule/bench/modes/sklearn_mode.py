"""scikit-learn: MLPClassifier or MLPRegressor, whole epochs by ``fit`` with warm_start."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from .base import Mode
from .workload import Workload


class ScikitLearn(Mode):
    """Its own loop: `fit` shuffles and gathers minibatches in Python and NumPy."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.granularity = workload.steps_an_epoch
        warnings.simplefilter("ignore", ConvergenceWarning)
        self.reset()

    def _estimator(self, **options: Any) -> Any:
        w = self.workload
        kind = MLPRegressor if w.loss == "mse" else MLPClassifier
        # Its squared error is half the sum over outputs: SGD gets the same steps from a larger
        # rate.
        lr = w.lr * 2 / w.sizes[-1] if w.loss == "mse" and w.optimizer == "sgd" else w.lr
        return kind(
            hidden_layer_sizes=w.sizes[1:-1],
            activation=w.activation,
            solver=w.optimizer,
            alpha=0.0,
            batch_size=w.batch,
            learning_rate_init=lr,
            momentum=w.momentum,
            nesterovs_momentum=False,
            tol=0.0,
            n_iter_no_change=10**9,
            warm_start=True,
            random_state=0,
            **options,
        )

    def reset(self) -> None:
        """A new estimator; its weights are set after a first epoch has made them."""
        self.estimator = self._estimator(max_iter=1)
        self.started = False

    def _fit(self) -> None:
        y = (
            self.y.ravel()
            if self.workload.loss == "mse" and self.workload.sizes[-1] == 1
            else self.y
        )
        self.estimator.fit(self.x, y)
        self.started = True

    def steps(self, n: int) -> float:
        """n / steps_an_epoch epochs in one `fit`."""
        self.estimator.max_iter = n // self.granularity
        self._fit()
        return float(self.estimator.loss_)

    def losses(self, n: int) -> list[float]:
        """No number of single steps can be asked for: nothing to compare."""
        return []
