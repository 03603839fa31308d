"""Segregated dendrites: plateau potentials with and without the target teach hidden neurons."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import choose, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, form, outers
from plausibench.rules.logistic import logistic_change
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import broadcast_matrices
from plausibench.rules.rule import Choices, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation, Slope

Array = np.ndarray

SCALES = ("declared", "none")
STEEPEST = 0.25
"""Largest slope of a plateau with its dendrite's voltage, where that is 0."""


@dataclass(frozen=True)
class SegregatedDendrites(Rule):
    r"""Plateau potentials in apical dendrites (Guerguiev, Lillicrap & Richards 2017), rate form.

    Apical dendrites receive the rates of the output neurons through fixed weights Y, and do not
    reach the soma until a plateau potential. Plateaus end two phases, a forward one and one in
    which a teaching current moves the output rates towards the target:

    .. math::

        A^f_l &= Y_l r^f, \qquad r^t = r^f - \nu \, dF/dr, \qquad A^t_l = Y_l r^t \\
        \Delta W_l &\propto f'_l (\sigma(A^t_l) - \sigma(A^f_l)) a_{l-1}^T, \qquad
        \Delta W_L \propto f'_L (r^t - r^f) a_{L-1}^T

    For the squared error :math:`r^t = (1 - \nu) r^f + \nu y`. The hidden error therefore lacks
    the slope of the output neurons, and has the slope of the plateau as a gain.

    The state holds Y ``(N_l, N_L)`` for every hidden population, under the population's name.

    Parameters
    ----------
    nudging
        Share nu of the way to the target, in the squared error. By default what the
        conductances of the released model give, 1 / (0.1 + 0.6 + 1): far from 0.
    spread
        Entries of Y are uniform on ``+- spread / N_l^(1/2)``, as in
        ``direct_feedback_alignment``.
    scale
        declared: undo nu and the largest slope 1/4 of a plateau; none: the change as the
        synapses make it, 1 for all rates and conductances.
    """

    nudging: float = 1 / 1.7
    spread: float = 1.0
    scale: str = "declared"

    choices: ClassVar[Choices] = {"scale": SCALES}

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"spread": (0.5, 1.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="apical plateaus, with and without the target at the output, teach hidden neurons",
        family="dendrites",
        equation=(
            "post_L = -f_L' (r^t - r^f) / nu,  "
            "post_l = -4 f_l' (sigma(Y_l r^t) - sigma(Y_l r^f)) / nu,  pre_l = a_(l-1)"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "the output layer always; one hidden layer with Y = W^T and linear outputs, as "
            "nudging -> 0, up to a gain 4 sigma'(A) of every neuron"
        ),
        variance_law="0 for given feedback",
        synapse_knows="pre, slope of its neuron, the plateaus of its neuron in two phases",
        forward_passes=4.0,
        cites="Guerguiev, Lillicrap & Richards 2017",
        notes=(
            "Rates, not spikes: phase averages without their noise. Somata do not see the apical "
            "voltage between plateaus (g_A = 0), and every layer receives the output. With a loss "
            "other than the squared error, output rates move down its gradient"
        ),
        unverified="the spiking mode: Poisson spikes, times of plateaus, phases of random length",
    )

    def __post_init__(self) -> None:
        positive("nudging", self.nudging)
        positive("spread", self.spread)
        choose("scale", self.scale, SCALES)

    def initial_state(self, network: Network, seed: int) -> State:
        return broadcast_matrices(network, network.hidden, seed, self.spread)

    def state_axes(self, network: Network) -> Axes:
        return {each.name: (each.name, network.output.name) for each in network.hidden}

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        change = -self.nudging * objective.error(clean.output, batch.targets)
        arriving = {network.output.name: change}
        for name, weights in state.items():
            arriving[name] = logistic_change(clean.output @ weights.T, change @ weights.T)
        declared = self.scale == "declared"
        unit = -1 / (batch.size * (self.nudging if declared else 1.0))
        factors = dict.fromkeys(arriving, unit / STEEPEST if declared else unit)
        factors[network.output.name] = unit
        arriving = {name: factors[name] * signal for name, signal in arriving.items()}
        return outers(network, clean, network.credit(clean, arriving, feedback={}))

    def theory(self) -> tuple[Claim, ...]:
        if self.scale != "declared":
            return ()

        def at(situation: Situation, nudging: float) -> Situation:
            return replace(situation, rule=replace(self, nudging=nudging))

        def linear(situation: Situation) -> dict[str, Array]:
            """Gradient with Y for the forward weights, no output slope, and the plateaus' gain."""
            network, batch = situation.network, situation.batch
            clean = network.forward(batch.inputs)
            error = situation.objective.batch_error(clean.output, batch)
            arriving = {
                name: (error @ weights.T) / np.cosh(0.5 * clean.output @ weights.T) ** 2
                for name, weights in situation.state.items()
            }
            arriving[network.output.name] = error
            return form(
                network, outers(network, clean, network.credit(clean, arriving, feedback={}))
            )

        def output(situation: Situation) -> dict[str, Array]:
            names = [p.name for p in situation.network.incoming[situation.network.output.name]]
            return {name: situation.reference()[name] for name in names}

        return (
            Limit("output layer: backpropagation", lambda here: here, 1e-12, expected=output),
            Limit("random Y: biased", lambda here: here, tolerance=0.1, holds=False),
            Slope(
                "nudging -> 0: feedback alignment with gain 4 sigma'(A), without f_L'",
                at,
                power=1,
                smallest=1e-3,
                tolerance=5e-4,
                expected=linear,
            ),
        )
