"""Unbiased online recurrent optimisation: the influence of all weights, to rank one."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.architectures.recurrent import Course, RecurrentNetwork
from plausibench.architectures.temporal import Leaky
from plausibench.kernels.errors import positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates, Outer
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Situation

Array = np.ndarray

GROUPS = 20
DRAWS = 4000


@dataclass(frozen=True)
class Uoro(Rule):
    r"""Unbiased online recurrent optimisation (Tallec & Ollivier 2018).

    The influence of the weights on the state, carried by real-time recurrent learning, is
    replaced by an outer product :math:`\tilde s \tilde\theta^T` of the same mean:

    .. math:: \tilde s_t = \rho_0 J_t \tilde s_{t-1} + \rho_1 \nu_t, \qquad
       \tilde\theta_t = \tilde\theta_{t-1} / \rho_0
       + \nu_t^T \partial h_t / \partial\theta / \rho_1, \qquad
       \hat g = \sum_t (\partial F_t / \partial h_t \cdot \tilde s_t)\, \tilde\theta_t,

    with signs :math:`\nu_t` and factors that make both parts of each sum alike in length. Every
    trial has a state and signs of its own. The readout learns from its errors, exactly.

    Parameters
    ----------
    epsilon
        Added to lengths, so that a factor of nothing is 1.
    """

    epsilon: float = 1e-5

    card: ClassVar[RuleCard] = RuleCard(
        summary="random signs stand in for the influence of all weights on all neurons",
        family="through time",
        equation=(
            "s_t = r0 J_t s_(t-1) + r1 nu_t,  th_t = th_(t-1) / r0 + nu_t^T dh_t/dw / r1,  "
            "g = sum_t (dF_t/dh_t . s_t) th_t"
        ),
        randomness=frozenset({"rule"}),
        unbiased=True,
        exact_when="in expectation, for weights that are held during a trial",
        variance_law="no closed form; it grows with the trial and with the number of neurons",
        synapse_knows="its own number th, and a global scalar at every step",
        forward_passes=4.0,
        cites="Tallec & Ollivier 2018",
        phases="one, forwards",
        notes="for leaky rates and a readout without a state; the readout's own weights are exact",
        weight_transport=True,
        unverified="bias where weights change during a trial, as they do online",
    )

    dynamics: ClassVar[frozenset[str]] = frozenset({"recurrent"})

    def __post_init__(self) -> None:
        positive("epsilon", self.epsilon)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        assert isinstance(network, RecurrentNetwork)
        assert isinstance(clean, Course)
        size, names = batch.size, [each.name for each in network.hidden]
        error = {network.output.name: objective.batch_error(clean.output, batch)}
        arriving = network.credit(clean, error, {})
        top = arriving[network.output.name]
        errors = {name: np.zeros_like(clean.activity[name]) for name in names}
        for p in network.incoming[network.output.name]:
            if p.source in errors:
                errors[p.source] += p.synapse.feedback(network.parameters[p.name], top)
        signs = noise.examples({name: clean.drive[name] for name in names}, "rademacher")
        slopes = {name: _slopes(network, clean, name) for name in names}
        readout = {p.name for p in network.incoming[network.output.name]}
        learned = [p for p in network.projections if p.name not in readout]
        before = {p.name: clean.presynaptic(p) for p in learned}

        count, steps = noise.samples.size, len(clean.output) // size
        influence = {name: np.zeros_like(signs[name][:, :size]) for name in names}
        # What is carried is a sum of outer products, one of each step so far: only their factors,
        # their weights and the length of the sum are kept.
        posts = {
            p.name: np.empty((count, len(clean.output), p.synapse.factors[0])) for p in learned
        }
        weights = np.zeros((steps, count, size))
        totals = np.zeros_like(weights)
        square = np.zeros((count, size))
        for step in range(steps):
            here = (..., slice(step * size, (step + 1) * size), slice(None))
            now = {name: tuple(s[here] for s in slopes[name]) for name in names}
            nu = {name: signs[name][here] for name in names}
            forward = _forwards(network, now, influence)
            back = _backwards(network, now, nu)
            for p in learned:
                posts[p.name][here] = network.postsynaptic(back, p)
            products = _products(learned, posts, before, step, size)
            first_factor = self._factor(np.sqrt(square), _length(forward))
            second_factor = self._factor(np.sqrt(products[step]), _length(nu))
            along_carried = (weights[:step] * products[:step]).sum(axis=0)
            square = (
                square / first_factor**2
                + 2 * along_carried / (first_factor * second_factor)
                + products[step] / second_factor**2
            )
            # Rounding may take a sum that cancels below zero.
            square = np.maximum(square, 0)
            weights[:step] /= first_factor
            weights[step] = 1 / second_factor
            influence = {
                name: first_factor[..., None] * forward[name] + second_factor[..., None] * nu[name]
                for name in names
            }
            totals += weights * sum(
                (errors[name][here] * influence[name]).sum(axis=-1) for name in names
            )
        weighted = totals.swapaxes(0, 1).reshape(count, -1, 1)
        estimates: Estimates = {
            p.name: Outer((weighted * posts[p.name]).astype(network.dtype), before[p.name])
            for p in learned
        }
        for p in network.incoming[network.output.name]:
            estimates[p.name] = Dense(p.synapse.outer(top, clean.presynaptic(p)))
        return estimates

    def _factor(self, first: Array, second: Array) -> Array:
        """Root of the ratio of two lengths, which both are even in the signs."""
        return np.sqrt((first + self.epsilon) / (second + self.epsilon))

    def theory(self) -> tuple[Claim, ...]:
        return (Law(f"squared bias of {DRAWS} draws, relative to |g|^2", _bias),)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        leaking = [
            isinstance(each.neurons, Leaky) and each.neurons.leaking == "rate"
            for each in network.hidden
        ]
        if all(leaking) and leaking and not isinstance(network.output.neurons, Leaky):
            return None
        return "uoro needs recurrent layers of leaking rates, and a readout without a state"


def _slopes(network: RecurrentNetwork, clean: Course, name: str) -> tuple[Array, ...]:
    return _neurons(network, name).slopes(clean.drive[name], clean.traces[name])


def _neurons(network: RecurrentNetwork, name: str) -> Leaky:
    neurons = network.population(name).neurons
    assert isinstance(neurons, Leaky)
    return neurons


def _forwards(
    network: RecurrentNetwork, slopes: dict[str, tuple[Array, ...]], influence: dict[str, Array]
) -> dict[str, Array]:
    """J s: change of the state after a step for a change of the state before it."""
    after: dict[str, Array] = {}
    for name in slopes:
        change = np.zeros_like(influence[name])
        for p in network.incoming[name]:
            source = influence if p.delay else after
            if p.source in source:
                change += p.synapse.drive(network.weights[p.name], source[p.source])
        moved = {"leaking": influence[name]}
        after[name] = _neurons(network, name).tangent_step(slopes[name], change, moved)
    return after


def _backwards(
    network: RecurrentNetwork, slopes: dict[str, tuple[Array, ...]], nu: dict[str, Array]
) -> dict[str, Array]:
    """Signals on the drives of a step for signals on the state after it."""
    signals: dict[str, Array] = {}
    for name in reversed(slopes):
        total = nu[name]
        for p in network.outgoing[name]:
            if p.target in signals and not p.delay:
                weights = network.parameters[p.name]
                total = total + p.synapse.feedback(weights, signals[p.target])
        signals[name] = _neurons(network, name).adjoint_step(slopes[name], total, {})
    return signals


def _products(
    learned: list[Projection],
    posts: dict[str, Array],
    before: dict[str, Array],
    step: int,
    size: int,
) -> Array:
    """Inner products of the outer product of a step with those up to it, ``(step + 1, S, B)``."""
    total = np.zeros(())
    for p in learned:
        sizes = p.synapse.factors
        post = posts[p.name][:, : (step + 1) * size].reshape(-1, step + 1, size, sizes[0])
        pre = before[p.name][: (step + 1) * size].reshape(step + 1, size, -1)
        if p.synapse.separable:
            across = np.einsum("tbm,bm->tb", pre, pre[-1])[:, None]
            total = total + np.einsum("stbn,sbn->tsb", post, post[:, -1]) * across
        else:
            formed = p.synapse.outer(post[..., None, :], pre[..., None, :])
            formed = formed.reshape(*post.shape[:3], -1)
            total = total + np.einsum("stbw,sbw->tsb", formed, formed[:, -1])
    return total


def _length(parts: dict[str, Array]) -> Array:
    """Length over all parts ``(S, B, ...)`` together, for each sample and trial."""
    squares = [(part.reshape(*part.shape[:2], -1) ** 2).sum(axis=-1) for part in parts.values()]
    return np.sqrt(sum(squares[1:], squares[0]))


def _bias(at: Situation) -> tuple[float, float, float]:
    """Inner products between mean deviations of groups: their mean, and 4 standard errors."""
    draws, exact = at.draws(DRAWS), at.reference()
    deviations = np.concatenate(
        [(draws[name] - g).reshape(DRAWS, -1) for name, g in exact.items()], axis=1
    )
    groups = deviations.reshape(GROUPS, DRAWS // GROUPS, -1).mean(axis=1)
    pairs = (groups @ groups.T)[np.triu_indices(GROUPS, 1)]
    length = sum(float((g * g).sum()) for g in exact.values())
    allowed = 4 * float(pairs.std(ddof=1)) / np.sqrt(pairs.size)
    return float(pairs.mean()) / length, 0.0, allowed / length
