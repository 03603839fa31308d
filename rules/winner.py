"""Feedback from the chosen action only, shared by the rules that learn from one action."""

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import softmax
from plausibench.rules.estimate import Estimates, Outer, outers
from plausibench.rules.rule import SampledAction
from plausibench.rules.theory import Situation

Array = np.ndarray

POLICIES = ("max_boltzmann", "softmax", "uniform")


def exploring(values: Array, exploration: str, epsilon: float) -> Array:
    """Probability of each action ``(B, A)`` from action values."""
    if exploration == "uniform":
        return np.full_like(values, 1 / values.shape[-1])
    if exploration == "softmax":
        return softmax(values)
    greedy = np.arange(values.shape[-1]) == values.argmax(axis=-1)[:, None]
    return (1 - epsilon) * greedy + epsilon * softmax(values)


def classes(batch: Batch, rule: str) -> Array:
    """Return the rewarded class of each example.

    Raises
    ------
    InputError
        If the targets are not integer classes.
    """
    if batch.targets.ndim != 1:
        raise InputError(
            f"targets: {rule} rewards one action per example, so real-valued targets of shape "
            f"{batch.targets.shape} are not allowed; give integer classes (B,)"
        )
    return batch.targets


def of_chosen(values: Array, actions: Array) -> Array:
    """Entries of rows ``(B, A)`` that belong to the actions, ``(S, B)``."""
    return np.take_along_axis(values[None], actions[..., None], axis=-1)[..., 0]


def winners(network: Network, clean: Activity, actions: Array, signal: Array) -> Estimates:
    """Send a signal ``(S, B)`` back from the chosen output unit only."""
    chosen = np.arange(network.output.size) == actions[..., None]
    arriving = {network.output.name: np.where(chosen, signal[..., None], 0)}
    return outers(network, clean, network.credit(clean, arriving))


def enumerated(at: Situation) -> tuple[dict[str, Array], float]:
    """Sum over all actions, weighted by the policy.

    Returns
    -------
    mean
        Expected estimate per parameter.
    square
        Sum over examples of the expected squared length of the output's post factor, of the
        loss of one example.
    """
    rule, network, batch = at.rule, at.network, at.batch
    assert isinstance(rule, SampledAction)
    clean = network.forward(batch.inputs)
    policy = rule.policy(clean)
    actions = np.repeat(np.arange(policy.shape[1])[:, None], batch.size, axis=1)
    responses = rule.respond(network, batch, clean, at.state, actions)
    mean, square = {}, 0.0
    for p in network.projections:
        response = responses[p.name]
        assert isinstance(response, Outer)
        mean[p.name] = p.synapse.outer(np.einsum("ba,abn->bn", policy, response.post), response.pre)
        if p.target == network.output.name:
            square = float(np.einsum("ba,abn->", policy, response.post**2)) * batch.size**2
    return mean, square


def apart(found: dict[str, Array], expected: dict[str, Array]) -> float:
    """Largest relative error of a parameter's array."""
    return max(
        float(np.linalg.norm(found[name] - g) / np.linalg.norm(g)) for name, g in expected.items()
    )
