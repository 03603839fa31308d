"""Dual propagation: neurons with two states, whose mean goes up and whose difference comes down."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Activity, Network
from plausibench.kernels.errors import Divergence, InputError, number, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.fixed_point import fixed_point
from plausibench.rules.layers import gated, in_double, representable
from plausibench.rules.logistic import activity_change
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation, Slope

Array = np.ndarray
Arrays = dict[str, Array]

REST, TURNS = 1e-12, 300
"""Largest change of differences at rest, relative to the largest one, and number of turns."""
ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Change of differences that rounding of activity can make, relative to the largest activity."""


@dataclass(frozen=True)
class DualPropagation(Rule):
    r"""Dual propagation (Høier, Staudt & Zach 2023; Høier & Zach 2024).

    Every neuron has two states, whose mean :math:`\bar s = \alpha s^+ + (1 - \alpha) s^-` drives
    the neurons above and whose difference the neurons below:

    .. math:: s_l^+ = f(z_l + \alpha \phi_l), \quad s_l^- = f(z_l - (1 - \alpha) \phi_l), \quad
       z_l = W_l \bar s_{l-1} + b_l, \quad \phi_l = W_{l+1}^T (s_{l+1}^+ - s_{l+1}^-)

    At the output :math:`\alpha \phi_L` is :math:`-\alpha \beta \, \partial F(s_L^+)`, and
    :math:`-(1 - \alpha) \phi_L` is :math:`(1 - \alpha) \beta \, \partial F(s_L^-)`. The states are
    found where all of these hold at once, and the estimate is
    :math:`-\tfrac1\beta (s_l^+ - s_l^-) \bar s_{l-1}^T`.

    Parameters
    ----------
    nudging
        Strength beta; ``(1 - alpha) * nudging`` below 1, for the output that is pushed up the
        loss to stay put.
    alpha
        Share of the nudge down the loss, from 0 to 1; 1/2 is as far up as down.
    """

    nudging: float = 0.1
    alpha: float = 0.5

    double: ClassVar[bool] = True
    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"nudging": (0.1, 0.5)}
    card: ClassVar[RuleCard] = RuleCard(
        summary="two states of each neuron: their mean goes up, their difference down",
        family="energies",
        equation=(
            "s_l^+- = f(W_l s_(l-1) + b_l +- W_(l+1)^T (s_(l+1)^+ - s_(l+1)^-) / 2),  "
            "s = (s^+ + s^-) / 2;  post_l = -(s_l^+ - s_l^-) / nudging,  pre_l = s_(l-1)"
        ),
        randomness=frozenset(),
        unbiased=True,
        exact_when="in the limit nudging -> 0",
        bias_order=2,
        variance_law="0 for a given batch",
        synapse_knows="pre: the mean of the states below; the difference of its neuron's states",
        forward_passes=20.0,
        cites="Høier, Staudt & Zach 2023; Høier & Zach 2024",
        phases="one: both states of a neuron are there at once",
        notes=(
            "states are where their equations hold, found by accelerated turns; the authors' code "
            "takes some sweeps up and down instead. At the output the loss is taken at each state, "
            "as there for the squared error; for the cross-entropy their code takes it once, at "
            "the output that is predicted. The order of the bias is 2 for alpha 1/2 and 1 "
            "otherwise. The down-going weights are the transposed ones"
        ),
        unverified=(
            "the equations are those of the authors' code (2024), and the papers were read in "
            "their abstracts; their variant DP^T, in which alpha and 1 - alpha change places at "
            "hidden neurons and output; damped sweeps, and sweeps that end before rest"
        ),
    )

    def __post_init__(self) -> None:
        positive("nudging", self.nudging)
        number("alpha", self.alpha, least=0, most=1)
        if (1 - self.alpha) * self.nudging >= 1:
            raise InputError(
                f"nudging: {self.nudging:g} pushes the output up its loss without end; allowed is "
                f"below {1 / (1 - self.alpha):g} with alpha {self.alpha:g}"
            )
        if self.alpha != 0.5:
            # What the variants claim differs.
            object.__setattr__(self, "card", replace(self.card, bias_order=1))

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if objective.couples_examples:
            return "dual_propagation finds both states of an output from the loss of its example"
        return gated(network, "dual_propagation")

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate from both states at rest.

        Raises
        ------
        Divergence
            If no states are found at which all neurons rest.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        signals, means = self.rest(network, objective, batch, clean)
        if not representable([*signals.values(), *means.values()], batch.size, dtype):
            raise Divergence("dual_propagation: states overflow; nudge more gently")
        return {
            p.name: Outer(
                (signals[p.target] / batch.size).astype(dtype, copy=False),
                means[p.source].astype(dtype, copy=False),
            )
            for p in network.projections
        }

    def rest(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> tuple[Arrays, Arrays]:
        """Minus the difference of states over the nudging, and their mean, by population."""
        sizes = [population.size for population in network.populations]
        outputs = network.output.size
        cuts = np.cumsum([*sizes, outputs])

        def parted(x: Array) -> tuple[Arrays, Array, Array]:
            *differences, down, up = np.split(x, cuts, axis=-1)
            names = [population.name for population in network.populations]
            return dict(zip(names, differences, strict=True)), down, up

        def turn(x: Array) -> Array:
            signals, _, down, up = self._sweep(network, objective, batch, clean, *parted(x))
            return np.concatenate([*signals.values(), down, up], axis=-1)

        start = np.zeros((batch.size, sum(sizes) + 2 * outputs))
        with np.errstate(over="ignore", invalid="ignore"):
            heights = np.abs(np.concatenate(list(clean.activity.values()), axis=-1)).max(axis=-1)
            found = fixed_point(turn, start, REST, TURNS, ROUNDING * np.maximum(1.0, heights))
        if found is None:
            raise Divergence("dual_propagation: states do not come to rest; nudge more gently")
        signals, means, _, _ = self._sweep(network, objective, batch, clean, *parted(found))
        return signals, means

    def _sweep(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        signals: Arrays,
        down: Array,
        up: Array,
    ) -> tuple[Arrays, Arrays, Array, Array]:
        """All states anew from differences above, means below, and errors at the output.

        Differences are signals, minus s^+ - s^- over the nudging; ``down`` and ``up`` are the
        derivatives of the loss at the two states of the output.
        """
        alpha, beta = self.alpha, self.nudging
        means = {name: clean.activity[name] for name in (INPUT, CONSTANT)}
        found: Arrays = {}
        for population in network.populations:
            name, neurons = population.name, population.neurons
            drive = np.zeros(clean.drive[name].shape)
            for p in network.incoming[name]:
                drive = drive + p.synapse.drive(network.parameters[p.name], means[p.source])
            if name == network.output.name:
                higher, lower = -alpha * beta * down, (1 - alpha) * beta * up
            else:
                back = np.zeros(())
                for p in network.outgoing[name]:
                    returned = p.synapse.feedback(network.parameters[p.name], signals[p.target])
                    back = back - beta * returned
                higher, lower = alpha * back, -(1 - alpha) * back
            change = activity_change(neurons, drive + lower, higher - lower)
            found[name] = -change / beta
            below = neurons.activate(drive + lower)
            means[name] = below + alpha * change
        # The output comes last.
        down, up = (objective.error(state, batch.targets) for state in (below + change, below))
        return found, means, down, up

    def theory(self) -> tuple[Claim, ...]:
        def nudge(at: Situation, nudging: float, alpha: float = self.alpha) -> Situation:
            return replace(at, rule=replace(self, nudging=nudging, alpha=alpha))

        return (
            Slope(
                "alpha 1/2, nudging -> 0: backpropagation",
                lambda at, nudging: nudge(at, nudging, 0.5),
                power=2,
                smallest=3e-3,
                tolerance=1e-4,
            ),
            Slope(
                "alpha 1, nudging -> 0: backpropagation",
                lambda at, nudging: nudge(at, nudging, 1.0),
                power=1,
                smallest=1e-3,
                tolerance=1e-2,
            ),
            Limit("nudging 0.5: biased", lambda at: nudge(at, 0.5), 1e-3, holds=False),
        )
