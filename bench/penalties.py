"""What an objective asks of the parameters alone, added to what a rule says of activity."""

from collections.abc import Mapping

import numpy as np

from plausibench.architectures.network import Network
from plausibench.kernels.errors import InputError
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

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


def obstacle(rule: Rule, network: Network, objective: Objective) -> str | None:
    """Why a rule is not to be run on a network with an objective, penalties included."""
    reason = rule.refusal(network, objective.data)
    if reason is not None:
        return reason
    try:
        objective.penalty_gradient(network.parameters)
    except InputError as error:
        return str(error)
    return None
