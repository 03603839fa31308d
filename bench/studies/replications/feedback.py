"""Angles of errors that return through random or learned feedback."""

import numpy as np

from plausibench.architectures.network import Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.random_feedback import returned, transposed
from plausibench.rules.rule import State

Array = np.ndarray


def angle(network: Network, objective: Objective, batch: Batch, state: State) -> float:
    """Mean angle of single examples, in degrees, at the first layer.

    It is the angle of the error that returns through feedback ``state`` to the one that returns
    through the weights.
    """
    clean = network.forward(batch.inputs)
    error = objective.batch_error(clean.output, batch)
    first = network.populations[0].name
    ours, exact = (
        returned(network, clean, error, feedback)[first]
        for feedback in (state, transposed(network))
    )
    along = np.sum(ours * exact, axis=1)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(exact, axis=1)
    cosines = along[lengths > 0] / lengths[lengths > 0]
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean())
