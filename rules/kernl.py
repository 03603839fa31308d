"""Kernel learning of recurrent networks: influence as a learned weight times a decaying trace."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.architectures.recurrent import RecurrentNetwork
from plausibench.kernels.errors import positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.influence import Arrays, layers, leaky, linear, stateful
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import learned
from plausibench.rules.rule import Rule, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation
from plausibench.rules.through_time import diagonal, without_recurrence

Array = np.ndarray


@dataclass(frozen=True)
class Kernl(Rule):
    r"""Kernel RNN learning, KeRNL (Roth, Kanitscheider & Fiete 2019).

    What a neuron j does to a neuron i after :math:`\tau` steps is taken to be
    :math:`\beta_{ij} \kappa_j^\tau`. So a synapse onto j keeps one trace, which decays with
    :math:`\kappa_j`, and learns from the errors of all i through :math:`\beta`:

    .. math:: e_t = \kappa_j e_{t-1} + k f'(u_t) z_t, \qquad
       \hat g = \sum_t \Big(\sum_i \partial F_t / \partial h_{i,t}\, \beta_{ij}\Big) e_t.

    Both are learned by perturbation: noise :math:`\sigma \xi` on the drives moves the rates by
    :math:`\sigma \Delta`, and :math:`\Delta_i - \sum_j \beta_{ij} \Omega_j`, with the noise
    filtered as the synapses' traces are, falls by gradient descent on its square.

    The state holds :math:`\kappa` ``(N,)`` of each layer, ``layer1.decay``, and :math:`\beta`
    ``(N_i, N_j)`` from each layer to each one that is read out, such as ``layer1.layer1``. At first
    they are those of the neuron's own leak: :math:`\kappa = 1 - k`, and the identity.

    Parameters
    ----------
    sigma
        Standard deviation of the noise on the drives.
    rate
        Learning rate of both, for means over steps and trials.
    """

    sigma: float = 1e-3
    rate: float = 0.1

    card: ClassVar[RuleCard] = RuleCard(
        summary="traces with learned decays meet errors through learned sensitivities",
        family="through time",
        equation=(
            "e_t = kappa e_(t-1) + k f'(u_t) z_t,  g = sum_t (beta^T dF_t/dh_t) e_t;  beta and "
            "kappa descend |dh - beta Omega|^2, with dh what noise xi on the drives did, "
            "Omega_t = kappa Omega_(t-1) + k f'(u_t) xi_t"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when=(
            "neurons act on themselves alone, by their leak or linearly, beta = 1, kappa what a "
            "step leaves of a rate; the readout always"
        ),
        variance_law="0 for given beta and kappa",
        synapse_knows="a trace of pre times the slope of its neuron, errors through beta",
        forward_passes=3.0,
        cites="Roth, Kanitscheider & Fiete 2019",
        phases="one, forwards, with a second pass beside it that has noise",
        notes=(
            "decays are learned themselves, and the paper's rates gamma = -log kappa; noise enters "
            "through the drives, where the paper adds it to activity; a layer of a stack acts on "
            "the one that is read out; for leaky rates and a readout without a state"
        ),
        weight_transport=True,
        unverified="the paper's learning curves, first values and rates of learning",
    )

    dynamics: ClassVar[frozenset[str]] = frozenset({"recurrent"})

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        positive("rate", self.rate)

    def initial_state(self, network: Network, seed: int) -> State:
        assert isinstance(network, RecurrentNetwork)
        state: State = {}
        for p in network.hidden:
            keeping = 1 - leaky(network, p.name).leak
            state[f"{p.name}.decay"] = np.full(p.size, keeping, network.dtype)
            for name in read(network):
                shape = network.population(name).size, p.size
                own = np.eye(*shape, dtype=network.dtype)
                state[f"{name}.{p.name}"] = own if name == p.name else np.zeros_like(own)
        return state

    def state_axes(self, network: Network) -> Axes:
        axes: Axes = {}
        for p in network.hidden:
            axes[f"{p.name}.decay"] = (p.name,)
            axes |= {f"{name}.{p.name}": (name, p.name) for name in read(network)}
        return axes

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        course = layers(network, objective, batch, clean)
        estimates, size = course.readout(), batch.size
        for name in course.names:
            told = np.zeros_like(course.errors[name])
            for n in read(network):
                told += course.errors[n] @ state[f"{n}.{name}"]
            # The sums over steps exchanged: the error is filtered in reverse, the trace is not.
            filtered = _filtered(told[::-1], state[f"{name}.decay"], size)[::-1]
            post = leaky(course.network, name).adjoint_step(course.slopes[name], filtered, {})
            for p in course.network.incoming[name]:
                estimates[p.name] = Outer(post, clean.presynaptic(p))
        return estimates

    def advance(self, state: State, step: Step) -> State:
        network, batch = step.network, step.batch
        clean = network.forward(batch.inputs)  # the weights have changed since the pass before
        course = layers(network, step.objective, batch, clean)
        streams = {f"feedback.{name}": clean.drive[name] for name in course.names}
        drawn = step.noise.examples(streams)
        xi = {name: drawn[f"feedback.{name}"][0] for name in course.names}
        noisy = network.forward(batch.inputs, drive_noise=xi, amplitude=self.sigma)
        traces, slopes = {}, {}
        for name in course.names:
            kappa = state[f"{name}.decay"]
            moved = leaky(course.network, name).adjoint_step(course.slopes[name], xi[name], {})
            traces[name] = _filtered(moved, kappa, batch.size)
            # Derivative of the trace by its decay: the trace of a step before, filtered again.
            slopes[name] = _filtered(_later(traces[name], batch.size), kappa, batch.size)
        new, share = dict(state), self.rate / len(clean.output)
        for read_out in read(network):
            seen = (noisy.activity[read_out] - clean.activity[read_out]) / self.sigma
            off = sum(traces[n] @ state[f"{read_out}.{n}"].T for n in course.names) - seen
            for name in course.names:
                key, decay = f"{read_out}.{name}", f"{name}.decay"
                new[decay] = new[decay] - share * ((off @ state[key]) * slopes[name]).sum(axis=0)
                new[key] = state[key] - share * (off.T @ traces[name])
        for name in course.names:
            new[f"{name}.decay"] = new[f"{name}.decay"].clip(0, 1)
        return new

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit(
                "no recurrent weights, kappa = 1 - k, uppermost layer: backpropagation through "
                "time",
                lambda at: _known(without_recurrence(at)),
                tolerance=1e-12,
                expected=_uppermost,
            ),
            Limit(
                "linear, each neuron recurrent onto itself alone, kappa = 1 - k + k w, uppermost "
                "layer: backpropagation through time",
                lambda at: _known(linear(diagonal(at))),
                tolerance=1e-12,
                expected=_uppermost,
            ),
            Limit(
                "other recurrence, uppermost layer: biased",
                _known,
                tolerance=1e-6,
                expected=_uppermost,
                holds=False,
            ),
            Law(
                "no recurrent weights, learned in 1000 steps from beta = 0: distance of the "
                "uppermost layer's beta from 1, relative to it, at most 0.02",
                lambda at: _learned(without_recurrence(at), 1000),
            ),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return stateful("kernl", network, dense=True)


def read(network: Network) -> list[str]:
    """Recurrent layers that are read out."""
    hidden = {p.name for p in network.hidden}
    return [p.source for p in network.incoming[network.output.name] if p.source in hidden]


def _filtered(rows: Array, decay: Array, size: int) -> Array:
    """Rows ``(T B, N)`` summed over the past, each step times the decay."""
    kept, found = np.zeros_like(rows[:size]), np.empty_like(rows)
    for first in range(0, len(rows), size):
        kept = decay * kept + rows[first : first + size]
        found[first : first + size] = kept
    return found


def _later(rows: Array, size: int) -> Array:
    """Rows a step later, and 0 in the first."""
    return np.concatenate([np.zeros_like(rows[:size]), rows[:-size]])


def _known(at: Situation) -> Situation:
    """Decays are what a step leaves of a rate, by leak and synapse onto itself."""
    network, state = at.network, dict(at.state)
    assert isinstance(network, RecurrentNetwork)
    for p in network.hidden:
        leak = leaky(network, p.name).leak
        own = np.diagonal(network.parameters[network.loops(p.name)[0].name])
        state[f"{p.name}.decay"] = 1 - leak + leak * own
    return replace(at, state=state)


def _uppermost(at: Situation) -> Arrays:
    """The gradient of the last recurrent layer and the readout."""
    last = at.network.hidden[-1].name
    names = [p.name for p in at.network.projections if p.target in (last, at.network.output.name)]
    return {name: at.reference()[name] for name in names}


def _learned(at: Situation, steps: int) -> tuple[float, float, float]:
    """Relative distance between the learned sensitivity of the last layer to itself and 1."""
    last = at.network.hidden[-1].name
    key = f"{last}.{last}"
    first = {**at.state, key: np.zeros_like(at.state[key])}
    beta = learned(replace(at, state=first), steps)[key]
    return float(np.linalg.norm(beta - np.eye(len(beta))) / len(beta) ** 0.5), 0.0, 0.02
