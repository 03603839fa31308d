"""The loss, the exact gradient and the initial state of a rule, in one call each."""

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.arguments import check_fit, check_parts
from plausibench.bench.components.penalties import with_penalty
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

Array = np.ndarray


def loss(network: Network, objective: Objective, batch: Batch) -> float:
    """Mean loss of the batch.

    Raises
    ------
    InputError
        If inputs or targets do not fit the network.
    """
    check_fit(network, objective, batch)
    return network.loss(objective.data, batch) + objective.penalty(network.parameters)


def gradient(network: Network, objective: Objective, batch: Batch) -> dict[str, Array]:
    """Exact gradient of the batch's mean loss, one array per parameter.

    Raises
    ------
    InputError
        If inputs or targets do not fit the network.
    """
    check_fit(network, objective, batch)
    return with_penalty(network.gradient(objective.data, batch), objective, network.parameters)


def initial_state(rule: Rule, network: Network, seed: int = 0) -> State:
    """State of a rule before learning, such as its feedback weights; a dict to edit at will.

    It is the state that :func:`measure` and :func:`estimates` use with the same seed.

    Raises
    ------
    InputError
        If an argument is not allowed.
    """
    check_parts(rule=rule, network=network)
    return rule.initial_state(network, integer("seed", seed))
