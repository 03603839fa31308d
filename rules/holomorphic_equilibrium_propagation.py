"""Holomorphic equilibrium propagation: nudges around a circle in the complex plane."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.hopfield import HopfieldNetwork
from plausibench.architectures.network import Activity, Network, Population
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.settling import settle
from plausibench.kernels.errors import Divergence, integer, number
from plausibench.objectives.batch import Batch
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.objectives.objective import Objective, one_hot
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.layers import in_double
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation, Slope

Array = np.ndarray
Arrays = dict[str, Array]

RESOLVED = 1e-12
"""Share of the nudge to which fixed points are found, for their difference is the signal."""
RESTLESS = "holomorphic_equilibrium_propagation: no rest; nudge more gently"
ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Change in a sweep, relative to the largest activity, that rounding alone can make."""
HOLOMORPHIC: dict[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "tanh": np.tanh,
    "sigmoid": lambda z: 0.5 * (1 + np.tanh(0.5 * z)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
}
"""Activations that have a complex derivative around the real axis."""


@dataclass(frozen=True)
class HolomorphicEquilibriumPropagation(Rule):
    r"""Holomorphic equilibrium propagation (Laborieux & Zenke 2022).

    The network settles under N nudges around a circle, :math:`\beta_k = \beta e^{2 \pi i k / N}`,
    with activities that are complex numbers. The derivative with respect to the nudge, which
    equilibrium propagation takes from a small difference, is the first Fourier coefficient of
    what synapses see,

    .. math:: -\frac{1}{N \beta} \sum_k e^{-2 \pi i k / N} a_l^{\beta_k} (a_{l-1}^{\beta_k})^T,

    up to a term of order :math:`\beta^N`: nudges need not be small.

    Parameters
    ----------
    nudging
        Radius beta of the circle, below 1.
    points
        Number N of nudges; 2 is symmetric equilibrium propagation.
    """

    nudging: float = 0.1
    points: int = 4

    double: ClassVar[bool] = True
    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"nudging": (0.1, 0.5)}
    dynamics: ClassVar[frozenset[str]] = frozenset({"settling"})
    card: ClassVar[RuleCard] = RuleCard(
        summary="synapses correlate activity with a teaching signal that turns in a circle",
        family="energies",
        equation=(
            "g_l = -(1 / (N nudging)) sum_k e^(-2 pi i k / N) a_l^k (a_(l-1)^k)^T, "
            "at rest under the nudges nudging e^(2 pi i k / N)"
        ),
        randomness=frozenset(),
        unbiased=True,
        exact_when="in the limit nudging -> 0, with an error of order nudging^N",
        bias_order=4,
        variance_law="0 for a given batch",
        synapse_knows="pre and post activity of its neurons, and the phase of the nudge",
        reference="gradient of the objective at the free fixed point",
        forward_passes=120.0,
        cites="Laborieux & Zenke 2022",
        phases="one for each nudge; the free one for reading alone",
        notes=(
            "conjugate nudges lead to conjugate states, so half of the circle is settled. The "
            "free state is subtracted, which changes no sum over the circle and keeps digits. "
            "Populations settle in turn, upwards, in float64. Here the output settles with the "
            "others; in the authors' code a readout outside of the network, by the cross-entropy, "
            "nudges the last hidden layer"
        ),
        unverified=(
            "the estimate is that of the authors' code, and the paper was read in its abstract; "
            "a readout outside; a nudge that turns while neurons move"
        ),
    )

    def __post_init__(self) -> None:
        number("nudging", self.nudging, above=0, below=1)
        integer("points", self.points, least=2)
        # What is claimed depends on the number of points.
        object.__setattr__(self, "card", replace(self.card, bias_order=self.points))

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        rule = "holomorphic_equilibrium_propagation"
        if not isinstance(network, HopfieldNetwork):
            return f"{rule} needs a network that settles: use the hopfield architecture"
        for population in network.populations:
            name = getattr(population.neurons, "activation", "other")
            if name not in HOLOMORPHIC:
                return (
                    f"{rule} needs activations with a complex derivative, and {name} of "
                    f"{population.name} has none: use one of {', '.join(HOLOMORPHIC)}"
                )
        if objective not in (MeanSquaredError(), CrossEntropy()):
            return (
                f"{rule} needs the derivative of the loss at complex outputs, which "
                f"{type(objective).__name__} does not give: use mean_squared_error or cross_entropy"
            )
        return None

    def signal_share(self, network: Network) -> float:
        """The nudge; phases end where a sweep changes activity by 4 units of rounding."""
        return self.nudging / 4

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate from fixed points on half of the circle.

        Raises
        ------
        Divergence
            If a nudged network does not settle.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        assert isinstance(network, HopfieldNetwork)
        error = np.abs(objective.error(clean.output, batch.targets)).max(axis=-1)
        tolerance = np.minimum(network.tolerance, RESOLVED * self.nudging * error)
        # What the free phase still moves would count as an effect of the nudge.
        clean = settle(network, clean, tolerance=tolerance, steps=network.steps)
        totals = {p.name: np.zeros(p.synapse.shape) for p in network.projections}
        for k in range(self.points // 2 + 1):
            real = k == 0 or 2 * k == self.points
            turn = (-1.0 if k else 1.0) if real else np.exp(2j * np.pi * k / self.points)
            rest = _rest(network, objective, batch, clean, self.nudging * turn, tolerance)
            # Points off the real axis stand for their conjugates, too.
            share = (1 if real else 2) / turn
            for p in network.projections:
                post, pre = rest[p.target], rest.get(p.source, clean.activity[p.source])
                before, source = clean.activity[p.target], clean.presynaptic(p)
                totals[p.name] += _real_outer(p.synapse.outer, share * (post - before), pre)
                if p.source in rest:
                    totals[p.name] += p.synapse.outer(before, np.real(share * (pre - source)))
        factor = -1 / (self.points * self.nudging * batch.size)
        return {
            name: Dense((factor * total).astype(dtype, copy=False))
            for name, total in totals.items()
        }

    def theory(self) -> tuple[Claim, ...]:
        def on_circle(at: Situation, nudging: float, points: int) -> Situation:
            return replace(at, rule=replace(self, nudging=nudging, points=points))

        def by(points: int) -> Callable[[Situation, float], Situation]:
            return lambda at, nudging: on_circle(at, nudging, points)

        def symmetric(at: Situation) -> Arrays:
            """Half the difference of two real nudges, by the settling of the architecture."""
            network, (plus, minus) = at.network, _real_phases(at, 0.1)
            return {
                p.name: -(
                    p.synapse.outer(plus.activity[p.target], plus.presynaptic(p))
                    - p.synapse.outer(minus.activity[p.target], minus.presynaptic(p))
                )
                / (0.2 * at.batch.size)
                for p in network.projections
            }

        return (
            Slope("2 points, nudging -> 0: gradient at the fixed point", by(2), 2, 1e-2, 1e-2),
            Slope("4 points, nudging -> 0: gradient at the fixed point", by(4), 4, 2e-2, 1e-4),
            Slope("6 points, nudging -> 0: gradient at the fixed point", by(6), 6, 2e-2, 1e-8),
            Limit(
                "2 points: symmetric equilibrium propagation",
                lambda at: on_circle(at, 0.1, 2),
                tolerance=1e-9,
                expected=symmetric,
            ),
            Limit(
                "2 points, nudging 0.5: biased",
                lambda at: on_circle(at, 0.5, 2),
                tolerance=1e-3,
                holds=False,
            ),
        )


def _real_phases(at: Situation, nudging: float) -> tuple[Activity, Activity]:
    """Rest under two opposite real nudges."""
    network = at.network
    assert isinstance(network, HopfieldNetwork)
    clean = network.forward(at.batch.inputs)
    plus, minus = (
        settle(
            network,
            clean,
            nudge=at.objective,
            targets=at.batch.targets,
            nudging=sign * nudging,
            tolerance=0.0,
            steps=network.steps,
        )
        for sign in (1, -1)
    )
    return plus, minus


def _rest(
    network: HopfieldNetwork,
    objective: Objective,
    batch: Batch,
    clean: Activity,
    nudging: complex,
    tolerance: Array,
) -> Arrays:
    """Activity of each population at rest under a nudge, complex if that is."""
    if nudging.imag:
        return _settled(network, objective, batch, clean, nudging, tolerance)
    try:
        found = settle(
            network,
            clean,
            nudge=objective,
            targets=batch.targets,
            nudging=nudging.real,
            tolerance=tolerance,
            steps=network.steps,
        )
    except Divergence as error:
        raise Divergence(RESTLESS) from error
    return {p.name: found.activity[p.name] for p in network.populations}


def _settled(
    network: HopfieldNetwork,
    objective: Objective,
    batch: Batch,
    clean: Activity,
    nudging: complex,
    tolerance: Array,
) -> Arrays:
    """The same under a complex nudge, by the same sweeps as those of the architecture."""
    activity = {p.name: clean.activity[p.name] + 0j for p in network.populations}
    outside = {
        name: sum(
            (
                p.synapse.drive(network.parameters[p.name], clean.activity[p.source])
                for p in projections
                if p.source not in activity
            ),
            start=np.zeros(clean.drive[name].shape),
        )
        for name, projections in network.incoming.items()
    }
    wanted = one_hot(batch.targets, network.output.size, np.dtype(float))
    # Stronger nudging would overshoot; this is exact for the squared error of a linear output.
    share = 1 / (1 + max(nudging.real, 0.0))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(network.steps):
            moved, heights = np.zeros(batch.size), np.ones(batch.size)
            for population in network.populations:
                name, before = population.name, activity[population.name]
                drive = outside[name] + _between(network, population, activity)
                if population is network.output:
                    drive = drive - nudging * _error(objective, before, wanted)
                asked = _activate(population, drive)
                new = before + share * (asked - before) if population is network.output else asked
                moved = np.maximum(moved, np.abs(new - before).max(axis=-1))
                heights = np.maximum(heights, np.abs(new).max(axis=-1))
                activity[name] = new
            if not np.isfinite(moved).all():
                break
            if (moved <= np.maximum(tolerance, ROUNDING) * heights).all():
                return activity
    raise Divergence(RESTLESS)


def _between(network: Network, population: Population, activity: Mapping[str, Array]) -> Array:
    """Drive of a population from the neurons below and above, complex."""
    total = np.zeros((), complex)
    for p in network.incoming[population.name]:
        if p.source in activity:
            total = total + _sent(p.synapse.drive, network.parameters[p.name], activity[p.source])
    for p in network.outgoing[population.name]:
        total = total + _sent(p.synapse.feedback, network.parameters[p.name], activity[p.target])
    return total


def _sent(send: Callable[[Array, Array], Array], weights: Array, activity: Array) -> Array:
    """What activity sends through real weights: real and imaginary parts in one product."""
    parts = send(weights, np.stack([activity.real, activity.imag]))
    joined = np.empty(parts.shape[1:], complex)
    joined.real, joined.imag = parts
    return joined


def _activate(population: Population, drive: Array) -> Array:
    assert isinstance(population.neurons, Pointwise)
    return HOLOMORPHIC[population.neurons.activation](drive)


def _error(objective: Objective, output: Array, wanted: Array) -> Array:
    """Derivative of the loss, continued to complex outputs."""
    if isinstance(objective, MeanSquaredError):
        return output - wanted
    raised = np.exp(output - output.real.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True) - wanted


def _real_outer(outer: Callable[[Array, Array], Array], post: Array, pre: Array) -> Array:
    """Real part of the sum over examples of complex post times pre."""
    found = outer(np.ascontiguousarray(post.real), np.ascontiguousarray(pre.real))
    if np.iscomplexobj(pre):
        found = found - outer(np.ascontiguousarray(post.imag), np.ascontiguousarray(pre.imag))
    return found
