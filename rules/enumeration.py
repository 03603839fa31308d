"""Exact mean and variance over the outcomes of stochastic units and actions."""

from collections.abc import Mapping

import numpy as np

from plausibench.architectures.architecture import layered
from plausibench.architectures.network import Activity, Network
from plausibench.architectures.neurons import Bernoulli, Pointwise
from plausibench.architectures.stochastic import StochasticNetwork
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import ClosedForm
from plausibench.rules.theory import Situation

Array = np.ndarray


def over_outcomes(
    network: Network, passed: Activity, posts: Mapping[str, Array], chance: Array
) -> ClosedForm:
    """Moments of ``sum_b post_b pre_b``; draws of different examples are independent.

    Parameters
    ----------
    passed
        One pass per outcome, activities ``(K, B, N)``; ``(B, N)`` where outcomes agree.
    posts
        Post factors per outcome and population, ``(K, B, N)``.
    chance
        Probability of each outcome, ``(K, B)``.
    """
    mean, variance = {}, {}
    for p in network.projections:
        post = posts[p.target]
        pre = np.broadcast_to(
            passed.presynaptic(p), (*post.shape[:-1], passed.presynaptic(p).shape[-1])
        )
        mean[p.name], variance[p.name] = np.zeros(p.synapse.shape), 0.0
        for example in range(chance.shape[1]):
            likely, after, before = (part[:, example] for part in (chance, post, pre))
            expected = p.synapse.outer(likely[:, None] * after, before)
            lengths = p.synapse.pre_gram(before[:, None])[:, 0, 0]
            second = float(likely @ ((after**2).sum(axis=-1) * lengths))
            mean[p.name] += expected
            variance[p.name] += second - float((expected**2).sum())
    return ClosedForm(mean, variance)


def lack(at: Situation) -> tuple[float, float, float]:
    """What the mean of a surrogate lacks: ``|v|^2 (1/2 - p) p (1 - p)`` for each unit.

    One layer of Bernoulli units with outgoing weights v below a linear output under squared
    error; the largest deviation from it over input weights, enumerated.
    """
    if at.batch.inputs.ndim != 2:
        raise InputError("one layer of Bernoulli units has no time")
    sizes = (at.network.inputs, 4, at.network.output.size)
    net = layered("law", sizes, [Bernoulli(), Pointwise("identity")], True, at.seed)
    network = StochasticNetwork(
        net.architecture, net.inputs, net.populations, net.projections, net.parameters
    )
    clean, objective = network.forward(at.batch.inputs), MeanSquaredError()
    found = at.rule.closed_form(network, objective, at.batch, clean, at.rule.randomness())
    assert found is not None
    lacking = network.gradient(objective, at.batch)["layer1.weights"]
    lacking = lacking - found.mean["layer1.weights"]
    rate = clean.activity["layer1"]
    lengths = (network.parameters["layer2.weights"] ** 2).sum(axis=0)
    law = (lengths * (0.5 - rate) * rate * (1 - rate)).T @ at.batch.inputs / at.batch.size
    return float(np.abs(lacking - law).max()), 0.0, 1e-8 * float(np.abs(law).max())


def posts(
    network: Network, objective: Objective, batch: Batch, passed: Activity
) -> dict[str, Array]:
    """Post factors of a pass with spikes."""
    error = objective.batch_error(passed.output, batch)
    return network.credit(passed, {network.output.name: error})
