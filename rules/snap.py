"""Sparse n-step approximation: influence on the rates that a weight reaches in n steps."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.recurrent import RecurrentNetwork
from plausibench.architectures.temporal import State as Carried
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.influence import Arrays, Layers, backwards, before, layers, stateful
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation
from plausibench.rules.through_time import with_recurrent

Array = np.ndarray


@dataclass(frozen=True)
class Snap(Rule):
    r"""Sparse n-step approximation of real-time recurrent learning, SnAp-n (Menick et al. 2021).

    Influences of a weight are kept on those rates only that it reaches within n steps, its own step
    counted, through weights that are not 0:

    .. math:: P_t = M \circ (J_t P_{t-1} + \partial h_t / \partial w), \qquad
       \hat g = \sum_t \partial F_t / \partial h_t \cdot P_t.

    M depends on the neuron onto which a weight is, so the sum is that of a signal for each of them,
    returned in reverse time through M, times presynaptic activity, and this is how it is computed.

    Parameters
    ----------
    order
        The n; with 1 in a layer influence stays on the neuron itself, as in e-prop. Where all
        neurons of a layer are connected 2 reaches all.
    """

    order: int = 1

    card: ClassVar[RuleCard] = RuleCard(
        summary="a weight's influence is kept on the neurons that it reaches in n steps",
        family="through time",
        equation="P_t = M o (J_t P_(t-1) + dh_t/dw at fixed h_(t-1)),  g = sum_t dF_t/dh_t . P_t",
        randomness=frozenset(),
        unbiased=False,
        exact_when="n steps reach all that a weight ever does, in a trial; the readout always",
        variance_law="0 for a given batch",
        synapse_knows="its influence on the neurons within n steps, and their errors",
        forward_passes=100.0,
        cites="Menick, Elsen, Evci, Osindero, Simonyan & Graves 2021",
        phases="one, forwards: the influence is online, the returned signal an equal sum",
        notes=(
            "one return through time for each neuron: the cost given is that of 100 neurons; all "
            "weights learn, those of 0 too, where the paper has none; for leaky rates and a "
            "readout without a state"
        ),
        weight_transport=True,
        unverified="the paper's learning curves; sparse networks in training, which stay sparse",
    )

    dynamics: ClassVar[frozenset[str]] = frozenset({"recurrent"})

    def __post_init__(self) -> None:
        integer("order", self.order, least=1)

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
        reached = reach(course.network, self.order)
        estimates = course.readout()
        for name in course.names:
            post = _returned(course, name, reached)
            for p in course.network.incoming[name]:
                estimates[p.name] = Outer(post, clean.presynaptic(p))
        return estimates

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("all connected, n = 2: backpropagation through time", _ordered(2), 1e-12),
            Limit(
                "a ring, n the number of neurons: backpropagation through time",
                lambda at: replace(_ring(at), rule=replace(self, order=_neurons(at))),
                tolerance=1e-12,
            ),
            Limit(
                "a ring, n = 1: biased",
                lambda at: replace(_ring(at), rule=replace(self, order=1)),
                tolerance=1e-6,
                holds=False,
            ),
            Limit("n = 1, uppermost layer: e-prop", _ordered(1), 1e-12, expected=_own_past),
            Limit("all connected, n = 1: biased", _ordered(1), tolerance=1e-6, holds=False),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return stateful("snap", network, dense=True)


def reach(network: RecurrentNetwork, order: int) -> dict[tuple[str, str], Array]:
    """Which rates a weight onto a neuron reaches in so many steps.

    Returns
    -------
    dict
        Boolean ``(N, M)`` for each pair of a layer of N neurons and a layer of M neurons onto
        which weights are: whether the first is reached.
    """
    names = [p.name for p in network.hidden]
    ends = [0, *accumulate(p.size for p in network.hidden)]
    places = {name: slice(*pair) for name, pair in zip(names, pairwise(ends), strict=True)}
    # Through the leak every neuron reaches itself a step later.
    within, across = np.zeros((ends[-1], ends[-1]), bool), np.eye(ends[-1], dtype=bool)
    for p in network.returning:
        if p.target in places:
            link = across if p.delay else within
            link[places[p.target], places[p.source]] |= network.parameters[p.name] != 0
    # Layers above are reached in the same step.
    same = np.eye(ends[-1], dtype=bool)
    for _ in names:
        same = same | (within @ same)
    found = same
    for _ in range(order - 1):
        found = same @ (across @ found)
    return {(n, m): found[places[n], places[m]] for n in names for m in names}


def _returned(course: Layers, name: str, reached: dict[tuple[str, str], Array]) -> Array:
    """Post factors ``(T B, M)`` of the weights onto the neurons of a layer."""
    network, size = course.network, course.size
    masks = {n: reached[n, name].T[:, None, :] for n in course.above(name)}
    post = np.empty_like(course.errors[name])
    back: Arrays = {n: np.zeros((len(mask), size, mask.shape[-1])) for n, mask in masks.items()}
    for step in reversed(range(course.steps)):
        here, carried = course.rows(step), dict[str, Carried]()
        arriving = {n: mask * (course.errors[n][here] + back[n]) for n, mask in masks.items()}
        drives = backwards(network, course.at(step, name), arriving, carried)
        post[here] = np.einsum("ibi->bi", drives[name])
        back = before(network, drives, carried)
    return post


def _neurons(at: Situation) -> int:
    return sum(p.size for p in at.network.hidden)


def _ordered(order: int) -> Callable[[Situation], Situation]:
    """The same situation with this order."""

    def changed(at: Situation) -> Situation:
        assert isinstance(at.rule, Snap)
        return replace(at, rule=replace(at.rule, order=order))

    return changed


def _ring(at: Situation) -> Situation:
    """Recurrent weights of each neuron onto the next one alone."""
    return with_recurrent(at, lambda w: w * np.roll(np.eye(len(w)), 1, axis=0))


def _own_past(at: Situation) -> Arrays:
    """What returns through the leak and each neuron's synapse onto itself, of the last layer."""
    network, clean = at.network, at.network.forward(at.batch.inputs)
    feedback = {
        p.name: np.diag(np.diagonal(network.parameters[p.name]))
        if p.delay
        else network.parameters[p.name]
        for p in network.returning
    }
    error = {network.output.name: at.objective.batch_error(clean.output, at.batch)}
    signals = network.credit(clean, error, feedback)
    last = network.hidden[-1].name
    return {
        p.name: p.synapse.outer(signals[last], clean.presynaptic(p)) for p in network.incoming[last]
    }
