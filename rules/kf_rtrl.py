"""Kronecker-factored real-time recurrent learning: an influence for every layer of two factors."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer, form_one
from plausibench.rules.influence import Arrays, Layers, forwards, layers, stateful, units
from plausibench.rules.noise import Noise
from plausibench.rules.rank_one import balance, rank_one
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Limit, Situation, squared_bias
from plausibench.rules.through_time import one_step

Array = np.ndarray

DRAWS = 2000


@dataclass(frozen=True)
class KfRtrl(Rule):
    r"""Kronecker-factored real-time recurrent learning (Mujika, Meier & Steger 2018).

    The influence of the weights onto a layer on all rates is a matrix A times the presynaptic
    activity of a step, summed over steps; one product :math:`A_t \otimes a_t` of the same mean
    stands for the sum:

    .. math:: a_t = p_1 a_{t-1} + c_t p_2 z_t, \qquad
       A_t = J_t A_{t-1} / p_1 + c_t D_t / p_2, \qquad
       \hat g = \sum_t (A_t^T \partial F_t / \partial h_t) \otimes a_t,

    with z the presynaptic activity of the layer (of the layer below, its own a step before, 1), D
    the derivative of all rates by its drives, J that by the rates before, a random sign c, and
    factors :math:`p_1^2 = |J A| / |a|`, :math:`p_2^2 = |D| / |z|` that make the noise least. (The
    paper draws two signs; only their product matters.) Every trial has signs of its own. The
    readout learns from its errors, exactly.

    Parameters
    ----------
    epsilon
        Added to lengths, so that a factor of nothing is 1.
    """

    epsilon: float = 1e-5

    card: ClassVar[RuleCard] = RuleCard(
        summary="the influence of a layer's weights is a matrix times a presynaptic trace",
        family="through time",
        equation=(
            "a_t = p1 a_(t-1) + c p2 z_t,  A_t = J_t A_(t-1) / p1 + c D_t / p2,  "
            "g = sum_t (A_t^T dF_t/dh_t) a_t^T"
        ),
        randomness=frozenset({"rule"}),
        unbiased=True,
        exact_when="in expectation, for weights held during a trial; in every draw with one step",
        variance_law="of two steps that of c (p1/p2 D a + p2/p1 J A z); it grows with the trial",
        synapse_knows="a noisy trace of pre, and its neuron's influence on all neurons",
        forward_passes=100.0,
        cites="Mujika, Meier & Steger 2018",
        phases="one, forwards",
        notes=(
            "one forward pass for each neuron: the cost given is that of 100 neurons; a layer of "
            "a stack has a product of its own, the paper has one layer; for leaky rates and a "
            "readout without a state"
        ),
        weight_transport=True,
        unverified="bias where weights change during a trial; gated networks, as in the paper",
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
        course = layers(network, objective, batch, clean)
        estimates = course.readout()
        for name in course.names:
            estimates |= _layer(course, name, noise, self.epsilon)
        return estimates

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("one time step: backpropagation through time", one_step, tolerance=1e-10),
            Law(
                f"squared bias of {DRAWS} draws, relative to |g|^2",
                lambda at: squared_bias(at, DRAWS),
            ),
            Law(
                f"variance of {DRAWS} draws over that of rank one (uoro): at most a half",
                _beside_rank_one,
            ),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return stateful("kf_rtrl", network, dense=True)


def _layer(course: Layers, name: str, noise: Noise, epsilon: float) -> Estimates:
    """Estimates of all weights onto one layer."""
    network, clean, size = course.network, course.clean, course.size
    projections = network.incoming[name]
    pre = {p.name: clean.presynaptic(p) for p in projections}
    rows, count = course.steps * size, noise.samples.size
    signs = noise.examples({name: np.zeros((rows, 1))}, "rademacher")[name]
    trace = {p: np.zeros((count, size, z.shape[-1])) for p, z in pre.items()}
    traces = {p: np.empty((count, rows, z.shape[-1])) for p, z in pre.items()}
    posts = np.zeros((count, rows, network.population(name).size))
    shape = (count, posts.shape[-1], size)
    names = course.above(name)
    influence = {n: np.zeros((*shape, network.population(n).size)) for n in names}
    unit = units(network, name, size)
    for step in range(course.steps):
        here, now = course.rows(step), course.at(step, name)
        forward = forwards(network, now, influence)
        fresh = forwards(network, now, {}, {name: unit})
        z = {p: rows[here] for p, rows in pre.items()}
        first = balance(_norm(forward, (-3, -1)), _norm(trace, (-1,)), epsilon)
        second = balance(_norm(fresh, (-3, -1)), _norm(z, (-1,)), epsilon)
        sign = signs[here][..., 0]
        old, new = first[..., None], (sign * second)[..., None]
        trace = {p: old * trace[p] + new * z[p] for p in pre}
        old, new = (1 / first)[:, None, :, None], (sign / second)[:, None, :, None]
        influence = {n: old * forward[n] + new * fresh[n] for n in names}
        for p in pre:
            traces[p][here] = trace[p]
        for n in names:
            posts[here] += np.einsum("bi,sjbi->sbj", course.errors[n][here], influence[n])
    kind = network.dtype
    post = posts.astype(kind)
    return {p.name: Outer(post, traces[p.name].astype(kind)) for p in projections}


def _norm(parts: Arrays, axes: tuple[int, ...]) -> Array:
    """Length over these axes of all parts together."""
    squares = [(part**2).sum(axis=axes) for part in parts.values()]
    return np.sqrt(sum(squares[1:], squares[0]))


def _beside_rank_one(at: Situation) -> tuple[float, float, float]:
    """Ratio of the variances of all weights that are not the readout's."""
    assert isinstance(at.rule, KfRtrl)
    clean = at.network.forward(at.batch.inputs)
    course = layers(at.network, at.objective, at.batch, clean)
    rank = rank_one(course, at.noise(samples=DRAWS), at.rule.epsilon)
    ours = at.draws(DRAWS)
    other = {p.name: form_one(p.synapse, rank[p.name]) for p in course.learned}
    ratio = _variance({name: ours[name] for name in other}) / _variance(other)
    return ratio, 0.0, 0.5


def _variance(draws: Arrays) -> float:
    return sum(float(each.var(axis=0, ddof=1).sum()) for each in draws.values())
