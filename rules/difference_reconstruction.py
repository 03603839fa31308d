"""Difference target propagation whose paths back learn the transposed Jacobian of the layers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.kernels.errors import integer, number, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.layers import no_chain
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import LayerwiseFeedback, symmetric
from plausibench.rules.rule import RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray


@dataclass(frozen=True)
class DifferenceReconstruction(LayerwiseFeedback):
    r"""Difference target propagation with a local difference reconstruction loss (Ernoult 2022).

    The target of a layer is :math:`t_l = a_l + g_l(t_{l+1}) - g_l(a_{l+1})` with a path back
    :math:`g_l(a) = B_{l+1} (f_{l+1}'(z_{l+1}) \odot a)`, gated by the slopes of the neurons above.
    It is linear in the target, so that the length of the step at the output plays no part, and the
    estimate is that of a feedback B.

    B descends the loss of the authors' code, here over :math:`\sigma^2`,

    .. math:: -\tfrac{2}{\sigma^2} \epsilon^T [g_l(f_{l+1}(a_l + \epsilon)) - g_l(f_{l+1}(a_l))]
        + \tfrac{1}{\sigma^2} |g_l(a_{l+1} + \eta) - g_l(a_{l+1})|^2,

    whose expectation, for small noise, is the squared distance of the Jacobian of g to the
    transposed Jacobian of the layer, up to a constant: it vanishes with B = W^T.

    The state holds a matrix B ``(N_in, N_out)`` for every projection between layers, under
    the projection's name.

    Parameters
    ----------
    scale
        Entries of the first B have variance ``scale^2 / (N_in + N_out)``.
    sigma
        Standard deviation of both noises, on the layer and on that above.
    rate
        Learning rate of B, relative to 1 plus the mean squared noise that comes down through the
        slopes; above 1 a step can go too far.
    iterations
        Steps of B for each step of learning.
    """

    sigma: float = 0.1
    rate: float = 0.1
    iterations: int = 5

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"rate": (0.03, 0.1)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="difference target propagation; paths back learn the transposed Jacobian by noise",
        family="targets",
        equation=(
            "post_L = delta_L,  post_l = (B_(l+1) post_(l+1)) f_l'(z_l),  pre_l = a_(l-1);  "
            "B <- B + rate [eps (D d)^T - B (D eta) (D eta)^T] / sigma^2,  "
            "d = f_(l+1)(a_l + eps) - f_(l+1)(a_l),  D = f_(l+1)'(z_(l+1))"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="B = W^T, where the Jacobian of the path back is the transposed one",
        variance_law="0 for given B; over the first B that of a product of random matrices",
        synapse_knows=(
            "pre, slope of its neuron, the errors above through B; a feedback synapse knows the "
            "noise of its neuron, and the slope and the response or noise of that above"
        ),
        forward_passes=13.0,
        cites="Ernoult et al. 2022; Meulemans et al. 2020; Lee, Zhang, Fischer & Bengio 2015",
        phases="forward, then targets down; noisy phases, layer by layer, for the paths back",
        notes=(
            "paths back are gated by slopes, so that their Jacobian can equal the transposed one "
            "at every example; with the step at the output cancelled, what is left of the targets "
            "is layerwise feedback. Noise is independent in each phase, so that B goes on "
            "fluctuating about W^T. Gates, sigma, rate and iterations are ours: in the authors' "
            "code a path back is an activation function, then a linear map with a bias, and learns "
            "in 20 to 55 iterations with noise of 0.08 to 0.4"
        ),
        unverified=(
            "the loss is that of the authors' code, and the paper was read in its abstract; paths "
            "back without gates; schedules; the damped pseudo-inverse that Meulemans et al. 2020 "
            "learn"
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("sigma", self.sigma)
        number("rate", self.rate, least=0)
        integer("iterations", self.iterations, least=1)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return no_chain(network, "difference_reconstruction")

    def advance(self, state: State, step: Step) -> State:
        """Feedback after some steps down the loss of difference reconstruction."""
        network, clean, advanced = step.network, step.network.forward(step.batch.inputs), state
        for iteration in range(self.iterations):
            advanced = {
                p.name: self._stepped(network, clean, advanced[p.name], p, step.noise, iteration)
                for p in network.returning
            }
        return advanced

    def _stepped(
        self,
        network: Network,
        clean: Activity,
        matrix: Array,
        p: Projection,
        noise: Noise,
        iteration: int,
    ) -> Array:
        """Feedback against one projection after one step."""
        epsilon, moved, disturbed = self.phases(network, clean, p, noise, iteration)
        share = self.rate / ((disturbed**2).sum() + len(disturbed))
        returned = p.synapse.feedback(p.synapse.untranspose(matrix), disturbed)
        change = p.synapse.outer(moved, epsilon) - p.synapse.outer(disturbed, returned)
        stepped: Array = matrix + share * p.synapse.transpose(change)
        return stepped

    def phases(
        self, network: Network, clean: Activity, p: Projection, noise: Noise, iteration: int
    ) -> tuple[Array, Array, Array]:
        """Noise on the layer, what comes of it above, and noise above, over sigma.

        The latter two, ``(B, N_out)``, through the slopes above.
        """
        streams = {f"{p.name}.below.{iteration}": clean.activity[p.source]}
        streams[f"{p.name}.above.{iteration}"] = clean.activity[p.target]
        epsilon, eta = (array[0] for array in noise.examples(streams).values())
        neurons, drive = network.population(p.target).neurons, clean.drive[p.target]
        pushed = p.synapse.drive(network.parameters[p.name], self.sigma * epsilon)
        before = clean.activity[p.target]
        moved = (neurons.activate(drive + pushed) - before) / self.sigma
        slope = neurons.slope(drive, before)
        return epsilon, slope * moved, slope * eta

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("B = W^T: backpropagation", symmetric, tolerance=1e-14),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
            Law(
                "mean step of B along (W^T - B) D^2, over its length, 100 000 noises, sigma 1e-3",
                self._drift,
            ),
        )

    def _drift(self, at: Situation) -> tuple[float, float, float]:
        """Projection of the mean step on the descent of the squared distance of Jacobians."""
        rule, rows = replace(self, sigma=1e-3), np.arange(100_000) % at.batch.size
        batch = Batch(at.batch.inputs[rows], at.batch.targets[rows], np.arange(len(rows)))
        network, clean = at.network, at.network.forward(batch.inputs)
        noise = replace(at, batch=batch).noise()
        along = length = 0.0
        for p in network.returning:
            epsilon, moved, disturbed = rule.phases(network, clean, p, noise, 0)
            away = network.parameters[p.name] - p.synapse.untranspose(at.state[p.name])
            slope = network.population(p.target).neurons.slope(
                clean.drive[p.target], clean.activity[p.target]
            )
            goal = (slope**2).sum(axis=0)[:, None] * away
            returned = p.synapse.feedback(p.synapse.untranspose(at.state[p.name]), disturbed)
            step = p.synapse.outer(moved, epsilon) - p.synapse.outer(disturbed, returned)
            along += float((step * goal).sum())
            length += float((goal * goal).sum())
        return along / length, 1.0, 0.05
