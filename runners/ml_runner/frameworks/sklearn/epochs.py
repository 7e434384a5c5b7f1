"""Estimators that learn in epochs, fitted one epoch at a time by ``partial_fit``."""

from __future__ import annotations

import copy
import itertools
import warnings
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ml_runner.frameworks.sklearn.stepwise import Steps

# rows × weights × epochs below which a network is fitted in a second or two.
_SMALL = 2e9


def is_seeded(parameters: dict[str, Any]) -> bool:
    """Whether the same fit would draw the same numbers again."""
    return isinstance(parameters.get("random_state"), (int, np.integer))


def is_network(estimator: Any) -> bool:
    """Whether epochs by ``partial_fit`` can be made to equal ``fit``."""
    if not isinstance(estimator, (MLPClassifier, MLPRegressor)):
        return False
    own = estimator.get_params(deep=False)
    plain = type(estimator).__module__.startswith("sklearn.")
    stochastic = own["solver"] in ("adam", "sgd") and not own["early_stopping"]
    return plain and stochastic and is_seeded(own) and not own["warm_start"] and not own["verbose"]


def is_linear(estimator: Any) -> bool:
    """Whether it has epochs and ``partial_fit``, and ``fit`` does what that cannot tell of."""
    if not type(estimator).__module__.startswith("sklearn.linear_model."):
        return False
    own = estimator.get_params(deep=False)
    return (
        hasattr(estimator, "partial_fit")
        and "max_iter" in own
        and is_seeded(own)
        and not own.get("early_stopping")
        and not own.get("warm_start")
        # The shares of the classes are those of all rows, which partial_fit does not know.
        and not isinstance(own.get("class_weight"), str)
    )


def is_small(estimator: Any, X: Any) -> bool:
    """Whether a network is fitted so fast that nothing is to be told of it."""
    hidden = estimator.hidden_layer_sizes
    sizes = [X.shape[1], *(hidden if np.iterable(hidden) else [hidden]), 1]
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    return len(X) * weights * estimator.max_iter < _SMALL


class _Recording(np.random.RandomState):
    """A generator that remembers how it shuffled last."""

    order: np.ndarray | None = None

    def shuffle(self, x: Any) -> None:
        super().shuffle(x)
        self.order = np.array(x)


class _Epochs(Steps):
    unit = "epoch"

    def __init__(self, estimator: Any, X: Any, y: Any, fit_parameters: dict[str, Any]) -> None:
        super().__init__(estimator, X, y, fit_parameters)
        self.total = int(estimator.max_iter)

    def _first(self) -> dict[str, Any]:
        if self.done or not is_classifier(self.estimator):
            return {}
        return {"classes": np.unique(self.y)}


class NetworkEpochs(_Epochs):
    """Epochs of a network that are those of ``fit``.

    ``fit`` shuffles the rows in the order that the epoch before left them in, ``partial_fit``
    always in their first. So each epoch is given the rows in the order that ``fit`` would have,
    which is found by listening to the generator.
    """

    exact = True

    def __init__(self, estimator: Any, X: Any, y: Any, fit_parameters: dict[str, Any]) -> None:
        super().__init__(estimator, X, y, fit_parameters)
        self._seed = estimator.random_state
        self._generator = _Recording(self._seed)
        self._order = np.arange(len(y))
        self._converged = False

    def step(self) -> None:
        """One epoch."""
        given = {name: np.asarray(v)[self._order] for name, v in self.fit_parameters.items()}
        self.estimator.set_params(random_state=self._generator)
        X = self.X.iloc[self._order] if hasattr(self.X, "iloc") else self.X[self._order]
        self.estimator.partial_fit(X, self.y[self._order], **self._first(), **given)
        if self.estimator.shuffle:
            assert self._generator.order is not None
            self._order = self._order[self._generator.order]
        self.done += 1
        # The library's own count, which it sets back where it goes on with a smaller rate.
        waited = self.estimator._no_improvement_count
        self._converged = waited > self.estimator.n_iter_no_change

    @property
    def over(self) -> bool:
        """Whether the loss has stopped falling, or all epochs are done."""
        return self._converged or super().over

    @property
    def metrics(self) -> dict[str, float]:
        """The loss of the epoch."""
        return {"train_loss": float(self.estimator.loss_)}

    def finish(self) -> None:
        """Counts the epochs and warns as ``fit`` does."""
        self._settle(self.estimator)
        if not self._converged:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.total}) reached and the"
                " optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _settle(self, estimator: Any) -> Any:
        estimator.set_params(random_state=self._seed)
        plain = np.random.RandomState()
        plain.set_state(self._generator.get_state(legacy=True))
        estimator._random_state = plain
        estimator.n_iter_ = self.done
        return estimator

    def snapshot(self) -> dict[str, Any]:
        """The network with its optimizer, the order of the rows, and the generator."""
        generator, self.estimator.random_state = self.estimator.random_state, self._seed
        try:
            twin = copy.deepcopy(self.estimator)
        finally:
            self.estimator.random_state = generator
        return {
            "estimator": self._settle(twin) if self.done else twin,
            "order": self._order,
            "generator": self._generator.get_state(legacy=True),
            "converged": self._converged,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on with the network."""
        self.estimator, self._order = state["estimator"], state["order"]
        self._generator.set_state(state["generator"])
        self._converged = state["converged"]


class LinearEpochs(_Epochs):
    """All epochs of a linear model; unlike ``fit``, without a look at ``tol``."""

    exact = False

    def step(self) -> None:
        """One epoch."""
        self.estimator.partial_fit(self.X, self.y, **self._first(), **self.fit_parameters)
        self.done += 1

    def finish(self) -> None:
        """Counts the epochs as ``fit`` does."""
        self.estimator.n_iter_ = self.done

    def snapshot(self) -> dict[str, Any]:
        """The model."""
        return {"estimator": copy.deepcopy(self.estimator)}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on with the model."""
        self.estimator = state["estimator"]
