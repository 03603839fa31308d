"""What tasks with gaussian inputs and a known answer share."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import integer, number
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class Gaussian(Task):
    """Regression of ``answer(x)`` plus noise on inputs x drawn from N(0, 1).

    Weights, inputs and noise have streams of their own: another noise level changes nothing
    else, and more examples extend fewer.

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

    inputs: int = 20
    outputs: int = 5
    examples: int = 1000
    noise: float = 0.0
    seed: int = 0

    kind: ClassVar[Literal["classification", "regression"]] = "regression"

    def __post_init__(self) -> None:
        for option in ("inputs", "outputs", "examples"):
            object.__setattr__(self, option, integer(option, getattr(self, option), least=1))
        object.__setattr__(self, "noise", number("noise", self.noise, least=0))
        object.__setattr__(self, "seed", integer("seed", self.seed, least=0))

    @property
    def inputs_size(self) -> int:
        """Number of inputs."""
        return self.inputs

    @property
    def outputs_size(self) -> int:
        """Number of outputs."""
        return self.outputs

    @abstractmethod
    def answer(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Targets without noise (B, outputs) of inputs (B, inputs)."""

    def load(self) -> tuple[Batch, Batch]:
        """Draw the training set and the test set."""
        return self._draw("train"), self._draw("test")

    def _draw(self, part: str) -> Batch:
        inputs = self._normal(f"{part} inputs", self.examples, self.inputs)
        noise = self._normal(f"{part} noise", self.examples, self.outputs)
        return Batch(inputs, self.answer(inputs) + self.noise * noise)

    def _map(self, use: str, outputs: int, inputs: int) -> NDArray[np.float64]:
        """Random weights (outputs, inputs) that keep the variance of their inputs."""
        return self._normal(use, outputs, inputs) / np.sqrt(inputs)

    def _normal(self, use: str, rows: int, columns: int) -> NDArray[np.float64]:
        stream = generator(self.seed, "data", self.name, use, columns)
        return stream.standard_normal((rows, columns))


def product(inputs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """``inputs @ weights.T`` whose last bits do not depend on the threads of BLAS."""
    return np.einsum("bi,oi->bo", inputs, weights)
