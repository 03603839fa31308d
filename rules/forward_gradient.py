"""Forward gradient: the exact derivative along random noise, times the noise."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import choose
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.companions import along_gradient, along_signals
from plausibench.rules.estimate import Estimates
from plausibench.rules.noise import FOURTH_MOMENT, LAWS, Noise
from plausibench.rules.perturbation import along_drives, along_weights, drive_law, weight_law
from plausibench.rules.rule import Choices, ClosedForm, Companion, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Situation

Array = np.ndarray

PLACES = ("weights", "activity")


@dataclass(frozen=True)
class ForwardGradient(Rule):
    """Forward gradient (Baydin et al. 2022; on activity, Ren et al. 2023).

    It is weight or node perturbation in the limit of vanishing noise, by one
    Jacobian-vector product in place of a second pass.

    Parameters
    ----------
    perturbing
        ``weights``, with one direction for the whole batch, or ``activity``, with noise of its
        own on the drive of every neuron of every example.
    noise
        Law of the noise: gaussian or rademacher.
    """

    perturbing: str = "weights"
    noise: str = "gaussian"

    choices: ClassVar[Choices] = {"perturbing": PLACES, "noise": LAWS}

    card: ClassVar[RuleCard] = RuleCard(
        summary="the derivative of the loss along random noise, times the noise",
        family="perturbation",
        equation="weights: g = (grad F . xi) xi;  activity: post_l = (sum_m delta_m . xi_m) xi_l",
        randomness=frozenset({"rule"}),
        unbiased=True,
        exact_when="in expectation, exactly: there is no small parameter",
        variance_law=(
            "weights: P_l |g|^2 + (k4 - 2) |g_l|^2 per parameter; "
            "activity: sum_b |a_b|^2 (N_l |delta_b|^2 + (k4 - 2) |delta_lb|^2) / B^2"
        ),
        synapse_knows="its own noise (weights) or pre and that of its neuron, one global scalar",
        forward_passes=2.0,
        no_more_than_readout=(
            "on digits after 500 steps: one slope for all weights in a step is mostly noise, "
            "which so few steps do not average out, and its output layer learns from it too, "
            "where that of the null has the exact gradient"
        ),
        cites="Baydin, Pearlmutter, Syme, Wood & Torr 2022; Ren, Kornblith, Liao & Hinton 2023",
        notes=(
            "the global loss; the local losses of Ren et al. are another objective and left out"
        ),
        unverified="local losses (Ren et al. 2023)",
    )

    dynamics: ClassVar[frozenset[str]] = frozenset({"feedforward", "recurrent"})

    def __post_init__(self) -> None:
        choose("perturbing", self.perturbing, PLACES)
        choose("noise", self.noise, LAWS)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        if self.perturbing == "weights":
            return along_weights(network, objective, batch, clean, noise, self.noise)
        xi = noise.examples(clean.drive, self.noise)
        return along_drives(network, objective, batch, clean, xi)

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Exact at any size of the noise, which has none."""
        law = weight_law if self.perturbing == "weights" else drive_law
        return law(network, objective, batch, clean, FOURTH_MOMENT[self.noise] - 2)

    def companion(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
    ) -> Companion | None:
        """The same, from the gradient and not the tangent of the pass: what is left is rounding."""
        excess = FOURTH_MOMENT[self.noise] - 2
        if self.perturbing == "weights":
            return along_gradient(network, objective, batch, clean, self.noise, excess)
        known = drive_law(network, objective, batch, clean, excess)
        variance = None if known is None else known.variance
        return along_signals(network, objective, batch, clean, self.noise, variance)

    def theory(self) -> tuple[Claim, ...]:
        return (
            Law("tangent and adjoint of the forward pass agree: <J xi, e> = <xi, J^T e>", adjoint),
        )


def adjoint(at: Situation) -> tuple[float, float, float]:
    """Directional derivative forwards, and as an inner product with the gradient."""
    clean = at.network.forward(at.batch.inputs)
    xi = at.noise().parameters(at.network.parameters)
    error = at.objective.batch_error(clean.output, at.batch)
    forwards = float((error * at.network.tangent(clean, parameters=xi).output).sum())
    exact = at.network.pull(clean, error)
    backwards = sum(float((g * xi[name][0]).sum()) for name, g in exact.items())
    return forwards, backwards, 1e-12 * abs(backwards)
