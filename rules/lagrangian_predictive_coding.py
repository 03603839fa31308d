"""Predictive coding with multipliers, which add up the errors of prediction until none is left."""

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
from plausibench.rules.theory import Claim, Limit, Situation
from plausibench.rules.value_descent import ValueDescent

Array = np.ndarray
Arrays = dict[str, Array]


@dataclass(frozen=True)
class LagrangianPredictiveCoding(Rule):
    r"""Augmented Lagrangian predictive coding (Seely & Gould 2026).

    That values be what the layer below predicts is a constraint,
    :math:`c_l = v_l - W_l f(v_{l-1}) - b_l = 0`, with a multiplier for every neuron. Values
    descend, and multipliers ascend, the augmented Lagrangian

    .. math:: F(v_L) + \sum_l \left( \lambda_l^T c_l + \tfrac{\rho}{2} |c_l|^2 \right).

    With :math:`s_l = \lambda_l + \rho c_l`, and :math:`s_L = -\partial F / \partial v_L` at the
    output that is predicted,

    .. math:: \Delta v_l = \eta \left( f'(v_l) \odot W_{l+1}^T s_{l+1} - s_l \right), \quad
       \Delta \lambda_l = \eta_\lambda c_l,

    and the estimate is :math:`-s_l f(v_{l-1})^T`. At rest no constraint is violated, values are
    those of the forward pass, and the multipliers are minus the gradient.

    Parameters
    ----------
    step
        Length eta of a step of the values.
    multiplier_step
        Length of a step of the multipliers.
    coupling
        Weight rho of squared errors: predictive coding where multipliers do not move.
    steps
        Number of steps.
    """

    step: float = 0.3
    multiplier_step: float = 0.3
    coupling: float = 1.0
    steps: int = 100

    double: ClassVar[bool] = True
    card: ClassVar[RuleCard] = RuleCard(
        summary="predictive coding whose multipliers add up errors, and end as minus the gradient",
        family="energies",
        equation=(
            "s_l = lambda_l + coupling c_l,  dv_l = f'(v_l) (W_(l+1)^T s_(l+1)) - s_l,  "
            "dlambda_l = c_l = v_l - W_l f(v_(l-1)) - b_l;  post_l = -s_l,  pre_l = f(v_(l-1))"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when="at rest, whatever the non-linearity",
        variance_law="0 for a given batch",
        synapse_knows=(
            "pre, error and multiplier of its neuron; values need the transposed weights above"
        ),
        forward_passes=200.0,
        cites="Seely & Gould 2026",
        notes=(
            "the error that steps leave falls exponentially with their number; on digits "
            "(64-32-32-10, initial weights) it is 0.036, 0.013 and 0.0002 of the gradient after "
            "50, 100 and 200 of the default length. The loss stands at the output that values "
            "predict, so that the output needs no value of its own; at rest this is the same"
        ),
        unverified=(
            "the paper was read in its abstract, and the equations are those of the method of "
            "multipliers; the authors' step sizes, order of steps and residual networks"
        ),
    )

    def __post_init__(self) -> None:
        positive("step", self.step)
        positive("multiplier_step", self.multiplier_step)
        positive("coupling", self.coupling)
        integer("steps", self.steps, least=1)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return gated(network, "lagrangian_predictive_coding")

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
            If values overflow: a step is too long.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        descent = ValueDescent(
            network, objective, batch, clean, weight=1.0, activities=False, loss=True
        )
        with np.errstate(over="ignore", invalid="ignore"):
            signals, shown = self.settled(descent)
        if not representable([*signals.values(), *shown.values()], batch.size, dtype):
            raise Divergence("lagrangian_predictive_coding: values overflow; take shorter steps")
        return {
            p.name: Outer(
                (-signals[p.target] / batch.size).astype(dtype, copy=False),
                shown[p.source].astype(dtype, copy=False),
            )
            for p in network.projections
        }

    def settled(self, descent: ValueDescent) -> tuple[Arrays, Arrays]:
        """Signals s and activity after the last step."""
        values = descent.start()
        multipliers = {name: np.zeros_like(value) for name, value in values.items()}
        errors, _, shown = descent.errors(values)
        signals = self._signals(errors, multipliers)
        for _ in range(self.steps):
            pull = descent.pull(values, signals, shown)
            values = {n: v + self.step * (pull[n] - signals[n]) for n, v in values.items()}
            errors, _, shown = descent.errors(values)
            multipliers = {
                n: multiplier + self.multiplier_step * errors[n]
                for n, multiplier in multipliers.items()
            }
            signals = self._signals(errors, multipliers)
        return signals, shown

    def _signals(self, errors: Arrays, multipliers: Arrays) -> Arrays:
        return {
            name: multipliers[name] + self.coupling * error if name in multipliers else error
            for name, error in errors.items()
        }

    def theory(self) -> tuple[Claim, ...]:
        def settled(at: Situation) -> Situation:
            rule = replace(self, step=0.1, multiplier_step=0.1, coupling=1.0, steps=6000)
            # One example: steps are many, and examples do not see one another.
            return replace(at, rule=rule, batch=at.batch.take([0]))

        def without(at: Situation) -> Situation:
            return replace(at, rule=replace(self, multiplier_step=1e-12, step=0.1, steps=2000))

        return (
            Limit("at rest: backpropagation", settled, tolerance=1e-10),
            Limit("multipliers that do not move: biased", without, tolerance=1e-2, holds=False),
        )
