"""The read-out of rules that send nothing down: the delta rule at the output layer."""

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Outer
from plausibench.rules.theory import Limit, Situation, differences

Array = np.ndarray


def delta_rule(
    network: Network, objective: Objective, batch: Batch, clean: Activity
) -> dict[str, Outer]:
    """The objective's gradient at the synapses onto the output (Widrow & Hoff 1960).

    Each needs its presynaptic activity and the error of its output neuron.

    Returns
    -------
    dict
        One outer product for each projection onto the output population.
    """
    top = network.output.name
    error = objective.batch_error(clean.output, batch)
    signals = network.credit(clean, {top: error}, feedback={})
    return {
        p.name: Outer(network.postsynaptic(signals, p), clean.presynaptic(p))
        for p in network.incoming[top]
    }


def _differences(at: Situation) -> dict[str, Array]:
    names = [p.name for p in at.network.incoming[at.network.output.name]]
    exact = differences(at)
    return {name: exact[name] for name in names}


EXACT = Limit("output layer: central differences of the loss", lambda at: at, 1e-7, _differences)
"""What the delta rule claims."""
