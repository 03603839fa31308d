"""Mean and variance over random feedback with mean 0, shared by the rules that have it."""

from collections.abc import Mapping

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.rules.rule import ClosedForm

Array = np.ndarray


def over_feedback(
    network: Network, clean: Activity, top: Mapping[str, Array], inner: Mapping[str, Array]
) -> ClosedForm:
    """Closed form from the expected inner products of post factors.

    Parameters
    ----------
    top
        Post factors of the output population ``(B, N)``, which do not depend on feedback.
    inner
        Expected inner products between examples' post factors ``(B, B)``, per population.
    """
    mean, variance = {}, {}
    for p in network.projections:
        pre = clean.presynaptic(p)
        if p.target in top:
            mean[p.name], variance[p.name] = p.synapse.outer(top[p.target], pre), 0.0
        else:
            mean[p.name] = np.zeros(p.synapse.shape)
            variance[p.name] = float((inner[p.target] * p.synapse.pre_gram(pre)).sum())
    return ClosedForm(mean, variance)
