"""Predictive coding whose variables are the errors: values follow by one forward pass."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import Divergence, integer, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.layers import gated, in_double, representable
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation, Slope
from plausibench.rules.value_descent import ValueDescent

Array = np.ndarray
Arrays = dict[str, Array]


@dataclass(frozen=True)
class ErrorBasedPredictiveCoding(Rule):
    r"""Error-based predictive coding (Goemaere et al. 2025).

    The energy of predictive coding as a function of its errors: values are
    :math:`v_l = W_l f(v_{l-1}) + b_l + \epsilon_l`, and errors descend

    .. math:: \sum_{l<L} \tfrac12 |\epsilon_l|^2 + w F(v_L), \quad
       \Delta \epsilon_l = -\eta \left( \epsilon_l + w \, \partial F / \partial v_l \right)

    where the derivative goes through all layers above at once. It has the minima of predictive
    coding, and no signal is lost on the way down, however deep the network.

    Parameters
    ----------
    step
        Length eta of a step.
    steps
        Number of steps.
    precision
        Weight w of the loss; the estimate is divided by it.
    """

    step: float = 0.1
    steps: int = 50
    precision: float = 1.0

    double: ClassVar[bool] = True
    card: ClassVar[RuleCard] = RuleCard(
        summary="predictive coding in errors: they descend its energy through all layers at once",
        family="energies",
        equation=(
            "v_l = W_l f(v_(l-1)) + b_l + e_l,  de_l = -e_l - precision dF/dv_l;  "
            "post_l = -e_l / precision,  post_L = dF/dv_L,  pre_l = f(v_(l-1))"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when="in the limit precision -> 0; at rest it is predictive coding",
        variance_law="0 for a given batch",
        synapse_knows="pre, error of its neuron; errors need all weights above, transposed",
        forward_passes=150.0,
        cites="Goemaere, Oliviers, Bogacz & Demeester 2025",
        notes=(
            "errors are those of drives, in the authors' code of activities. The derivative of the "
            "loss is carried down by "
            "backpropagation in every step: a way to compute predictive coding, not a mechanism. "
            "Steps are stable up to 2 / (1 + precision |J|^2) with the squared error, J the "
            "derivative of the output by all hidden drives, as far as that is constant"
        ),
        unverified=(
            "energy and steps are those of the authors' code, and the paper was read in its "
            "abstract; errors of activities; its schedules"
        ),
    )

    def __post_init__(self) -> None:
        positive("step", self.step)
        integer("steps", self.steps, least=1)
        positive("precision", self.precision)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return gated(network, "error_based_predictive_coding")

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate after the last step.

        Raises
        ------
        Divergence
            If errors overflow: the step is too long.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        errors = {p.name: np.zeros(clean.drive[p.name].shape) for p in network.hidden}
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.steps):
                _, signals = self._passed(network, objective, batch, clean, errors)
                errors = {
                    name: error - self.step * (error + self.precision * signals[name])
                    for name, error in errors.items()
                }
            values, signals = self._passed(network, objective, batch, clean, errors)
        posts = {name: -error / self.precision for name, error in errors.items()}
        posts[network.output.name] = signals[network.output.name]
        factors = [*posts.values(), *values.activity.values()]
        if not representable(factors, batch.size, dtype):
            raise Divergence("error_based_predictive_coding: errors overflow; take shorter steps")
        return {
            p.name: Outer(
                (posts[p.target] / batch.size).astype(dtype, copy=False),
                values.presynaptic(p).astype(dtype, copy=False),
            )
            for p in network.projections
        }

    def _passed(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        errors: Arrays,
    ) -> tuple[Activity, Arrays]:
        """Forward pass with the errors added to the drives, and the loss's derivative there."""
        noise = {name: error[None] for name, error in errors.items()}
        passed = network.forward(batch.inputs, drive_noise=noise, clean=clean)
        drive, activity = {}, {}
        for name, array in passed.activity.items():
            activity[name] = array.reshape(clean.activity[name].shape)
        for name, array in passed.drive.items():
            drive[name] = array.reshape(clean.drive[name].shape) + errors.get(name, 0.0)
        top = network.output.name
        values = Activity(drive, activity, activity[top])
        push = objective.error(values.output, batch.targets)
        return values, network.credit(values, {top: push})

    def theory(self) -> tuple[Claim, ...]:
        def weak(at: Situation, precision: float) -> Situation:
            rule = replace(self, precision=precision, step=1.0, steps=20)
            return replace(at, rule=rule)

        def rest(at: Situation) -> Situation:
            weaker = {n: 0.5 * a for n, a in at.network.parameters.items()}
            rule = replace(self, precision=0.3, step=0.5, steps=200)
            return replace(at, rule=rule, network=at.network.with_parameters(weaker))

        def predictive_coding(at: Situation) -> Arrays:
            """Values that descend the same energy step by step, at rest."""
            clean = at.network.forward(at.batch.inputs)
            descent = ValueDescent(
                at.network, at.objective, at.batch, clean, weight=0.3, activities=False, loss=True
            )
            values = descent.start()
            for _ in range(800):
                values = descent.moved(values, 0.2)
            errors, _, shown = descent.errors(values)
            scale = -1 / (0.3 * at.batch.size)
            return {
                p.name: p.synapse.outer(scale * errors[p.target], shown[p.source])
                for p in at.network.projections
            }

        return (
            Slope("precision -> 0: backpropagation", weak, power=1, smallest=1e-4, tolerance=1e-3),
            Limit(
                "weak weights, at rest: predictive coding",
                rest,
                tolerance=1e-8,
                expected=predictive_coding,
            ),
            Limit("precision 1: biased", lambda at: weak(at, 1.0), tolerance=0.01, holds=False),
        )
