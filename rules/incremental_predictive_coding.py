"""Incremental predictive coding: weights learn at every step of the values, and not at rest."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import Divergence, choose, integer, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.layers import gated, in_double, representable
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Choices, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation, Slope
from plausibench.rules.value_descent import ValueDescent

Array = np.ndarray
Arrays = dict[str, Array]

OUTPUTS = ("clamped", "loss")
OVERFLOW = "incremental_predictive_coding: values overflow; take shorter steps"


@dataclass(frozen=True)
class IncrementalPredictiveCoding(Rule):
    r"""Incremental predictive coding (Salvatori et al. 2024).

    Values relax as in predictive coding, from the forward pass, and weights learn in every step,
    each time from the errors that there are. The estimate is the mean over steps, at weights that
    are held,

    .. math:: -\frac{1}{T} \sum_{t=0}^{T-1} \epsilon_l^t f(v_{l-1}^t)^T,

    the T-th part of what one batch adds up to in the limit of small learning rates.

    Parameters
    ----------
    step
        Length of a step of the values.
    steps
        Number T of steps for each batch.
    output
        clamped, or loss: its derivative at the output that values predict is the error there.
    precision
        Weight of the output's term in the energy; the estimate is divided by it.
    """

    step: float = 0.5
    steps: int = 20
    output: str = "clamped"
    precision: float = 1.0

    choices: ClassVar[Choices] = {"output": OUTPUTS}
    double: ClassVar[bool] = True
    card: ClassVar[RuleCard] = RuleCard(
        summary="predictive coding that learns in every step of its values, not at rest",
        family="energies",
        equation=(
            "dv_l = -e_l + f'(v_l) (W_(l+1)^T e_(l+1)),  post_l = -e_l and pre_l = f(v_(l-1)), "
            "averaged over the steps"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when=(
            "the output layer alone: no hidden layer; with a weak output, in the limit of many "
            "steps, of which ever fewer lie on the way to rest"
        ),
        variance_law="0 for a given batch",
        synapse_knows="pre, error of its neuron; values need the transposed weights above",
        forward_passes=40.0,
        cites="Salvatori, Song, Yordanov, Millidge, Sha, Emde, Xu, Bogacz & Lukasiewicz 2024",
        phases="none: values and weights change at once",
        notes=(
            "weights are held while values move, as an estimate is of one network; the rule itself "
            "changes them in each step, and so sees its own last step, a term of the order of the "
            "learning rate. With the mean over steps in place of their sum one step gives the "
            "output layer its gradient. Default step and number of steps are ours"
        ),
        unverified=(
            "the paper was read in its abstract: that weights change in every step is from there, "
            "the equations are those of predictive coding; values that are kept from batch to batch"
        ),
    )

    def __post_init__(self) -> None:
        positive("step", self.step)
        integer("steps", self.steps, least=1)
        choose("output", self.output, OUTPUTS)
        positive("precision", self.precision)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return gated(network, "incremental_predictive_coding")

    def signal_share(self, network: Network) -> float:
        """Values move by the weight of the output's term."""
        return min(1.0, self.precision)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate as the mean over steps.

        Raises
        ------
        Divergence
            If values overflow: the step is too long.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        descent = ValueDescent(
            network,
            objective,
            batch,
            clean,
            weight=self.precision,
            activities=False,
            loss=self.output == "loss",
        )
        totals = {p.name: np.zeros(p.synapse.shape) for p in network.projections}
        values = descent.start()
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.steps):
                errors, on_drives, shown = descent.errors(values)
                if not representable([*errors.values(), *shown.values()], batch.size, dtype):
                    raise Divergence(OVERFLOW)
                for p in network.projections:
                    totals[p.name] += p.synapse.outer(errors[p.target], shown[p.source])
                values = descent.moved_by(values, self.step, errors, on_drives, shown)
        factor = -1 / (self.precision * self.steps * batch.size)
        return {
            name: Dense((factor * total).astype(dtype, copy=False))
            for name, total in totals.items()
        }

    def theory(self) -> tuple[Claim, ...]:
        def weak(at: Situation, share: float) -> Situation:
            """So weak an output, and such weights, that all that is left is the way to rest."""
            weaker = {n: 0.5 * a for n, a in at.network.parameters.items()}
            rule = replace(self, precision=1e-7, step=0.5, steps=round(1 / share))
            # One example: steps are many, and examples do not see one another.
            network, batch = at.network.with_parameters(weaker), at.batch.take([0])
            return replace(at, rule=rule, network=network, batch=batch)

        def output_alone(at: Situation) -> Arrays:
            top = at.network.output.name
            return {
                p.name: at.reference()[p.name] * (p.target == top) for p in at.network.projections
            }

        return (
            Slope(
                "weak output and weights, 1 / steps -> 0: backpropagation",
                weak,
                power=1,
                smallest=1e-3,
                tolerance=0.02,
            ),
            Limit(
                "one step: the output layer has its gradient, others have none",
                lambda at: replace(at, rule=replace(self, steps=1)),
                tolerance=1e-13,
                expected=output_alone,
            ),
            Limit("clamped output, 20 steps: biased", self._strict, tolerance=0.01, holds=False),
        )

    def _strict(self, at: Situation) -> Situation:
        rule = replace(self, output="clamped", precision=1.0, step=0.2, steps=20)
        return replace(at, rule=rule)
