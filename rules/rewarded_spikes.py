"""What rules share in which a reward meets traces of the spikes that neurons with noise drew."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.escape_noise import EscapeNetwork, Train
from plausibench.architectures.network import Activity, Network
from plausibench.architectures.recurrent import recurrent_layers
from plausibench.kernels.errors import choose
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates, outers, per_row
from plausibench.rules.noise import Noise
from plausibench.rules.patterns import drawn_train
from plausibench.rules.rule import Choices, ClosedForm, Rule, State
from plausibench.rules.theory import Situation

Array = np.ndarray

BASELINES = ("none", "clean")


@dataclass(frozen=True)
class RewardedSpikes(Rule):
    """Reward minus baseline, times a trace that pre and post leave in a synapse in a trial.

    The reward is minus the loss of the trial. The readout, which draws nothing, learns from its
    own error.

    Parameters
    ----------
    baseline
        ``none``, or ``clean``: minus the loss of the pass with probabilities in place of spikes.
    """

    baseline: str = "clean"

    choices: ClassVar[Choices] = {"baseline": BASELINES}
    dynamics: ClassVar[frozenset[str]] = frozenset({"recurrent stochastic"})
    needs_losses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        choose("baseline", self.baseline, BASELINES)

    @abstractmethod
    def traced(self, network: EscapeNetwork, train: Train) -> dict[str, Array]:
        """Post factors of the trace, ``(S, T B, N)`` per population that spikes."""

    def signals(
        self,
        network: EscapeNetwork,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        train: Train,
    ) -> dict[str, Array]:
        """Post factors ``(S, T B, N)`` of passes with drawn spikes."""
        reward = -objective.batch_losses(train.output, batch)
        if self.baseline == "clean":
            reward = reward + objective.batch_losses(clean.output, batch)
        error = {network.output.name: objective.batch_error(train.output, batch)}
        signals = network.credit(train, error, feedback={})
        for name, trace in self.traced(network, train).items():
            signals[name] = per_row(-reward / batch.size, trace) * trace
        return signals

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        assert isinstance(network, EscapeNetwork)
        train = drawn_train(network, batch.inputs, noise)
        return outers(network, train, self.signals(network, objective, batch, clean, train))

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Enumerated over all spikes; those of different trials are independent."""
        steps = len(clean.output) // batch.size
        if not isinstance(network, EscapeNetwork) or network.too_many(steps):
            return None
        train = network.outcomes(batch.inputs)
        signals = self.signals(network, objective, batch, clean, train)
        mean, variance = {}, {}
        for p in network.projections:
            post, pre = signals[p.target], train.presynaptic(p)
            rows = np.broadcast_to(pre, (len(post), *pre.shape[-2:]))
            mean[p.name], variance[p.name] = np.zeros(p.synapse.shape), 0.0
            for example, likely in enumerate(train.chance.T):
                here = (slice(None), slice(example, None, batch.size))
                each = p.synapse.outer(post[here], rows[here])
                flat = each.reshape(len(each), -1)
                expected = likely @ flat
                mean[p.name] += expected.reshape(p.synapse.shape)
                variance[p.name] += float(likely @ (flat**2).sum(axis=1) - expected @ expected)
        return ClosedForm(mean, variance)


@dataclass(frozen=True)
class Averaged(Rule):
    """The mean of a rule over all spikes, as an estimate that draws nothing."""

    of: RewardedSpikes

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        form = self.of.closed_form(network, objective, batch, clean, frozenset({"spike"}))
        assert form is not None, "few spikes"
        return {name: Dense(array) for name, array in form.mean.items()}


def averaged(at: Situation, rule: RewardedSpikes) -> Situation:
    """The mean of a rule, of two neurons in three steps of two trials."""
    network = at.network
    assert isinstance(network, EscapeNetwork)
    (first, *_) = network.spikers
    plain = recurrent_layers(
        network.architecture,
        (network.inputs, 2, network.output.size),
        [first.neurons, network.output.neurons],
        bias=True,
        recurrence=1.0,
        initial="gaussian",
        steps=3,
        seed=at.seed,
    )
    small = EscapeNetwork(
        plain.architecture,
        plain.inputs,
        plain.populations,
        plain.projections,
        plain.parameters,
        plain.steps,
    )
    inputs = np.stack([np.roll(at.batch.inputs, -step, axis=0) for step in range(3)], axis=1)
    batch = Batch(inputs[:2], at.batch.targets[:2], at.batch.keys[:2])
    return replace(at, network=small, batch=batch, rule=Averaged(rule))
