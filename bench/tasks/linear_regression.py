"""Regression onto a random linear map."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.gaussian import Gaussian, product


@dataclass(frozen=True)
class LinearRegression(Gaussian):
    """Targets y = W* x + noise of gaussian inputs x (Werfel, Xie & Seung 2005).

    The entries of W* are drawn from N(0, 1 / inputs), so that a target has variance
    1 + noise².

    Parameters
    ----------
    inputs : int, default 20
        Number of inputs.
    outputs : int, default 5
        Number of outputs.
    examples : int, default 1000
        Number of examples of the training set, and of the test set.
    noise : float, default 0.0
        Standard deviation of the gaussian noise on the targets of both sets.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    name: ClassVar[str] = "linear_regression"
    summary: ClassVar[str] = "targets of a random linear map of gaussian inputs"
    cites: ClassVar[str] = "Werfel, Xie & Seung 2005"

    @property
    def weights(self) -> NDArray[np.float64]:
        """The true map W*, shape (outputs, inputs)."""
        return self._map("weights", self.outputs, self.inputs)

    def answer(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """W* x, shape (B, outputs)."""
        return product(inputs, self.weights)
