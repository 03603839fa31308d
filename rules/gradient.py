"""The exact gradient, by sending signals back through the forward weights."""

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import form, outers

Array = np.ndarray


def gradient(
    network: Network,
    objective: Objective,
    batch: Batch,
    clean: Activity | None = None,
) -> dict[str, Array]:
    """Exact gradient of the batch's mean loss, one array per parameter."""
    clean = network.forward(batch.inputs) if clean is None else clean
    error = objective.error(clean.output, batch.targets) / batch.size
    return gradient_of_error(network, clean, error)


def gradient_of_error(network: Network, clean: Activity, error: Array) -> dict[str, Array]:
    """Pull a signal on the output, ``(B, N)``, back to every parameter."""
    signals = network.credit(clean, {network.output.name: error})
    return form(network, outers(network, clean, signals))
