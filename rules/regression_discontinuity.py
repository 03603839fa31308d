"""Regression discontinuity: what a spike causes shows where the drive just reaches threshold."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.spiking import SpikingNetwork, Threshold
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.discontinuity import REGRESSIONS, check, jump_weights
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.noise import Noise
from plausibench.rules.patterns import drive_noise
from plausibench.rules.rule import Choices, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Situation

Array = np.ndarray

LARGEST = 2**19
"""Numbers in an array over trials, beyond which samples are drawn apart."""


@dataclass(frozen=True)
class RegressionDiscontinuity(Rule):
    r"""Spiking discontinuity learning (Lansdell & Kording 2023).

    A neuron that almost spikes and one that barely does are alike in all but the spike. The
    jump of the loss at threshold is therefore the effect of the spike, whatever else makes
    drive and loss go together:

    .. math::

        \beta_i &= \lim_{v \downarrow \theta} E[F | v_i = v]
        - \lim_{v \uparrow \theta} E[F | v_i = v] \\
        \hat g_{ij} &= \beta_i \, \overline{\rho_i a_j}

    with :math:`\rho_i` the density of the noisy drive at threshold, the derivative of the firing
    probability, and the mean over trials. One draw repeats every example of the batch for a
    number of trials, and fits the jump for each example. The output, which does not spike,
    learns from its own error in every trial.

    Parameters
    ----------
    trials
        Windows of time in which an example is shown.
    window
        Largest distance p from threshold of a drive that counts.
    regression
        local_linear: a line on each side of the threshold; local_constant: a mean on each side.
    """

    trials: int = 50
    window: float = 0.5
    regression: str = "local_linear"

    choices: ClassVar[Choices] = {"regression": REGRESSIONS}

    dynamics: ClassVar[frozenset[str]] = frozenset({"spiking"})
    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"window": (0.5, 1.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="each neuron compares the loss when it barely spiked and when it almost did",
        family="perturbation",
        equation="post_l = jump of F at v_l = threshold, times density,  pre_l = a_(l-1)",
        randomness=frozenset({"spike"}),
        unbiased=False,
        exact_when="window -> 0 with many trials in it, in the first hidden layer and the output",
        variance_law=(
            "of a jump, var(F) (1 / n_above + 1 / n_below) for n trials in the window, "
            "4 times that for lines"
        ),
        synapse_knows=(
            "pre, the noisy drive of its neuron, its drive without noise and the law of the noise "
            "(the density at threshold), one global loss for each trial"
        ),
        reference="gradient of the loss expected over spikes",
        expected=("low", "low"),
        questioned=True,
        forward_passes=50.0,
        cites="Lansdell & Kording 2023; Guerguiev, Kording & Richards 2020",
        notes=(
            "Bias: of order p for local_constant, p^2 for local_linear. Above the first hidden "
            "layer an error remains where inputs and the effect of a spike vary together between "
            "trials. A neuron without trials on both sides learns nothing from them; a side of "
            "fewer than 6 is fitted by its mean. In the paper the jumps are learned over many "
            "examples, online; here each draw fits them anew for every example. "
            "Cost: one pass for each trial, here for the default number"
        ),
        unverified="jumps learned online over many examples, as in the paper",
    )

    needs_losses: ClassVar[bool] = True
    double: ClassVar[bool] = True

    def __post_init__(self) -> None:
        integer("trials", self.trials, least=2)
        check(self.window, self.regression)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if not isinstance(network, SpikingNetwork):
            return "regression_discontinuity needs neurons that spike: use spiking_mlp"
        return None

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        # Double precision throughout: a jump is a small difference of means.
        double, exact = network.astype("float64"), batch.astype("float64")
        assert isinstance(double, SpikingNetwork), "refused before"
        widest = max(population.size for population in network.populations)
        together = max(1, LARGEST // (self.trials * batch.size * widest))
        drawn = [
            self._draw(
                double,
                objective,
                exact,
                replace(noise, samples=some, dtype=np.dtype(float)),
            )
            for some in np.split(noise.samples, range(together, noise.samples.size, together))
        ]
        return {
            p.name: Dense(np.concatenate([some[p.name] for some in drawn]).astype(network.dtype))
            for p in network.projections
        }

    def _draw(
        self, network: SpikingNetwork, objective: Objective, batch: Batch, noise: Noise
    ) -> dict[str, Array]:
        """Arrays ``(S, *shape)`` per parameter."""
        disturbed, top = drive_noise(network, noise, self.trials), network.output
        trials = network.simulate(batch.inputs, disturbed)
        every = (noise.samples.size, self.trials, batch.size)
        output = np.broadcast_to(trials.output, (*every, top.size))
        loss = np.broadcast_to(objective.losses(output, batch.targets), every)
        error = objective.error(output, batch.targets) / batch.size
        signals = {top.name: top.neurons.adjoint(trials.drive[top.name], trials.output, error)}
        for name, effect in self.effects(network, trials, disturbed, loss).items():
            density = _threshold(network, name).slope(trials.drive[name], trials.activity[name])
            signals[name] = effect[:, None] * density / batch.size
        found = {}
        for p in network.projections:
            pre, post = trials.presynaptic(p), signals[p.target]
            if pre.ndim == 2:  # the same in every trial
                found[p.name] = p.synapse.outer(post.mean(axis=1), pre)
                continue
            post = np.broadcast_to(post, (*every, post.shape[-1]))
            rows = (every[0], self.trials * batch.size, -1)
            found[p.name] = p.synapse.outer(post.reshape(rows), pre.reshape(rows)) / self.trials
        return found

    def effects(
        self,
        network: SpikingNetwork,
        trials: Activity,
        disturbed: Mapping[str, Array],
        loss: Array,
    ) -> dict[str, Array]:
        """Jump of the loss at the threshold of every hidden neuron.

        Parameters
        ----------
        network
            That spiked.
        trials
            Activity of S samples of T trials.
        disturbed
            Noise that was added to the drives, ``(S, T, B, N)``.
        loss
            ``(S, T, B)``.

        Returns
        -------
        dict
            ``(S, B, N)`` per hidden population.
        """
        # Both sides lose the same constant, and the sums keep their digits.
        centred = (loss - loss.mean(axis=1, keepdims=True))[..., None]
        found = {}
        for population in network.hidden:
            name = population.name
            x = trials.drive[name] + disturbed[name] - _threshold(network, name).threshold
            weights, _ = jump_weights(x, self.window, self.regression)
            found[name] = (weights * centred).sum(axis=1)
        return found

    def theory(self) -> tuple[Claim, ...]:
        def ratio(situation: Situation) -> tuple[float, float, float]:
            totals = []
            for trials in (200, 800):
                # A mean on each side: lines through few trials vary more than in proportion.
                rule = replace(self, trials=trials, regression="local_constant")
                draws = replace(situation, rule=rule).draws(256).values()
                totals.append(sum(float(array.var(axis=0).sum()) for array in draws))
            return totals[0] / totals[1], 4.0, 0.4

        return (Law("variance with 200 trials over that with 800, means on each side", ratio),)


def _threshold(network: Network, name: str) -> Threshold:
    neurons = network.population(name).neurons
    assert isinstance(neurons, Threshold)
    return neurons
