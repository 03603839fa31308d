"""Credit by cell types: what returns through recurrence knows the types of two neurons alone."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.architectures.recurrent import RecurrentNetwork
from plausibench.kernels.errors import choose, integer
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.influence import Arrays, Layers, layers, leaky, linear, stateful
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Choices, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation
from plausibench.rules.through_time import first_steps, one_step

Array = np.ndarray

VARIANTS = ("modprop", "mdgl")
SLOPES = ("mean", "own")


@dataclass(frozen=True)
class ModProp(Rule):
    r"""Credit through cell-type-specific modulators (Liu et al. 2021, 2022).

    A neuron tells its credit to all others by a modulator, and how strongly it reaches a neuron
    depends on the types of both alone: the weight between two neurons is replaced by the average
    over all pairs of these types,

    .. math:: \lambda_t = \partial F_t / \partial h_t + (1 - k) \lambda_{t+1}
       + \bar W^T k \mu\, \lambda_{t+1}, \qquad \mathrm{post}_t = k f'(u_t) \lambda_t.

    ``modprop`` (2022) returns through all steps, with one slope :math:`\mu` for all neurons and
    steps, so that what arrives is a filter over time that does not change. ``mdgl`` (2021) stops
    after one connection: :math:`\bar W^T k f' \partial F_{t+1} / \partial h_{t+1}` in place of the
    last term.

    The state holds the number of each neuron's type ``(N,)`` for each layer, ``layer1.type``; at
    first as many neurons as possible alike have each type, in their order.

    Parameters
    ----------
    types
        Number of types in a layer; with as many as neurons each has its own.
    variant
        ``modprop``, or ``mdgl``.
    slope
        Slope of the neurons that tell their credit: the ``mean`` over all neurons, steps and
        trials, or the one that each has then, its ``own``.
    """

    types: int = 2
    variant: str = "modprop"
    slope: str = "mean"

    choices: ClassVar[Choices] = {"variant": VARIANTS, "slope": SLOPES}

    card: ClassVar[RuleCard] = RuleCard(
        summary="credit returns through recurrent weights averaged over pairs of cell types",
        family="through time",
        equation=(
            "lambda_t = W_out^T e_t + (1 - k) lambda_(t+1) + mean_types(W_rec)^T k mu "
            "lambda_(t+1),  post_t = k f'(u_t) lambda_t"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when="as many types as neurons and slope=own, or one time step; the readout always",
        variance_law="0 for a given batch",
        synapse_knows=(
            "a trace of pre times the slope of its neuron, errors, and one modulator for each "
            "type of neuron, filtered in time"
        ),
        forward_passes=3.0,
        cites="Liu, Smith, Mihalas, Shea-Brown & Sümbül 2021, 2022",
        phases="one, forwards: traces are online, the filtered credit an equal sum over the trial",
        notes=(
            "types are groups of neurons in their order, where the papers have excitatory and "
            "inhibitory cells; the mean slope is measured, where the paper tunes it; between "
            "layers of a stack errors return through transposed weights; for leaky rates and a "
            "readout without a state, where the paper of 2021 has spikes"
        ),
        weight_transport=True,
        unverified="the papers' learning curves; sparse and signed networks; learned modulation",
    )

    dynamics: ClassVar[frozenset[str]] = frozenset({"recurrent"})

    def __post_init__(self) -> None:
        integer("types", self.types, least=1)
        choose("variant", self.variant, VARIANTS)
        choose("slope", self.slope, SLOPES)

    def initial_state(self, network: Network, seed: int) -> State:
        return {
            f"{p.name}.type": (np.arange(p.size) * min(self.types, p.size) // p.size).astype(
                network.dtype
            )
            for p in network.hidden
        }

    def state_axes(self, network: Network) -> Axes:
        return {f"{p.name}.type": (p.name,) for p in network.hidden}

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
        signals = self._returned(course, state)
        return outers(network, clean, {**signals, network.output.name: course.top})

    def _returned(self, course: Layers, state: State) -> Arrays:
        """Signals on the drives of all layers, in reverse time."""
        network, told = course.network, dict[str, Array]()
        weights = averaged(network, state)
        back = {name: np.zeros_like(rows[: course.size]) for name, rows in course.errors.items()}
        signals = {name: np.empty_like(rows) for name, rows in course.errors.items()}
        means = {
            name: np.full_like(back[name], slope.mean()) for name, (slope,) in course.slopes.items()
        }
        for step in reversed(range(course.steps)):
            here, slopes = course.rows(step), course.at(step)
            for name in reversed(course.names):
                direct = course.errors[name][here]
                for p in network.outgoing[name]:
                    if p.target in slopes and not p.delay:
                        above = signals[p.target][here]
                        direct = direct + p.synapse.feedback(network.parameters[p.name], above)
                neurons, carried = leaky(network, name), dict[str, Array]()
                total = direct + back[name]
                signals[name][here] = neurons.adjoint_step(slopes[name], total, carried)
                sent = slopes[name] if self.slope == "own" else (means[name],)
                credit = total if self.variant == "modprop" else direct
                told[name] = neurons.adjoint_step(sent, credit, {})
                back[name] = carried["leaking"]
                for p in network.loops(name):
                    back[name] = back[name] + p.synapse.feedback(weights[p.name], told[name])
        return signals

    def theory(self) -> tuple[Claim, ...]:
        modprop, mdgl = (replace(self, variant=variant, slope="own") for variant in VARIANTS)
        return (
            Limit(
                "as many types as neurons, slope=own: backpropagation through time",
                lambda at: _typed(at, modprop),
                tolerance=1e-12,
            ),
            Limit(
                "as many types as neurons, linear neurons: backpropagation through time",
                lambda at: _typed(linear(at), replace(modprop, slope="mean")),
                tolerance=1e-12,
            ),
            Limit(
                "weights alike within types, slope=own: backpropagation through time",
                lambda at: _alike(replace(at, rule=modprop)),
                tolerance=1e-12,
            ),
            Limit(
                "as many types as neurons, mdgl, two time steps: backpropagation through time",
                lambda at: _typed(first_steps(at, 2), mdgl),
                tolerance=1e-12,
            ),
            Limit("one time step: backpropagation through time", one_step, tolerance=1e-12),
            Limit(
                "as many types as neurons, mdgl: biased",
                lambda at: _typed(at, mdgl),
                tolerance=1e-6,
                holds=False,
            ),
            Limit("few types: biased", lambda at: at, tolerance=1e-6, holds=False),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return stateful("mod_prop", network, dense=True)


def averaged(network: RecurrentNetwork, state: State) -> Arrays:
    """Recurrent weights, each replaced by the average over pairs of the same two types."""
    found: Arrays = {}
    for p in network.projections:
        if p.delay:
            kinds = state[f"{p.target}.type"]
            same = (kinds[:, None] == kinds).astype(network.dtype)
            mean = same / same.sum(axis=1, keepdims=True)
            found[p.name] = mean @ network.parameters[p.name] @ mean.T
    return found


def _typed(at: Situation, rule: ModProp) -> Situation:
    """The rule, with a type for each neuron."""
    rule = replace(rule, types=max(p.size for p in at.network.hidden))
    return replace(at, rule=rule, state=rule.initial_state(at.network, at.seed))


def _alike(at: Situation) -> Situation:
    """Recurrent weights replaced by their averages over types."""
    assert isinstance(at.network, RecurrentNetwork)
    changed = {**at.network.parameters, **averaged(at.network, at.state)}
    return replace(at, network=at.network.with_parameters(changed))
