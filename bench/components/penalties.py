"""What an objective asks of the parameters alone, added to what a rule says of activity."""

from collections.abc import Mapping

import numpy as np

from plausibench.objectives.objective import Objective

Array = np.ndarray


def with_penalty(
    gradient: Mapping[str, Array], objective: Objective, parameters: Mapping[str, Array]
) -> dict[str, Array]:
    """Gradients, or estimates ``(..., *shape)``, with that of the penalty added.

    It is exact and local to each synapse, so that no rule has to estimate it.
    """
    extra = objective.penalty_gradient(parameters)
    return {
        name: array + extra[name] if name in extra else array for name, array in gradient.items()
    }
