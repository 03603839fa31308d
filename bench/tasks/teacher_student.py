"""Regression onto a random network, the teacher."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.gaussian import Gaussian, product
from plausibench.kernels.errors import sizes


@dataclass(frozen=True)
class TeacherStudent(Gaussian):
    """Targets of a random tanh network with linear outputs (Saad & Solla 1995).

    The teacher has no biases, and its weights are drawn from N(0, 1 / inputs of the layer).

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
    hidden : int or sequence of int, default (20,)
        Number of units of each hidden layer of the teacher, at least one layer.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    hidden: tuple[int, ...] = (20,)

    name: ClassVar[str] = "teacher_student"
    summary: ClassVar[str] = "targets of a random tanh network of gaussian inputs"
    cites: ClassVar[str] = "Saad & Solla 1995"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hidden", sizes("hidden", self.hidden))

    @property
    def weights(self) -> list[NDArray[np.float64]]:
        """Weights of each layer of the teacher in forward order, (N_out, N_in) each."""
        layers = pairwise((self.inputs, *self.hidden, self.outputs))
        return [
            self._map(f"layer{depth} weights", outputs, inputs)
            for depth, (inputs, outputs) in enumerate(layers, start=1)
        ]

    def answer(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs of the teacher, shape (B, outputs)."""
        *hidden, last = self.weights
        activity = inputs
        for weights in hidden:
            activity = np.tanh(product(activity, weights))
        return product(activity, last)
