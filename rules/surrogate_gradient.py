"""Surrogate gradients: errors return through spikes with a slope that spikes do not have."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.integrate_and_fire import SHAPES, IntegrateAndFire, Surrogate
from plausibench.architectures.network import Activity, Network
from plausibench.architectures.neurons import Bernoulli
from plausibench.architectures.recurrent import RecurrentNetwork, with_neurons
from plausibench.architectures.stochastic import StochasticNetwork
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.enumeration import lack, over_outcomes, posts
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Choices, ClosedForm, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray


@dataclass(frozen=True)
class Surrogated(Bernoulli):
    """Spikes that pass errors back with a surrogate slope."""

    surrogate: Surrogate = field(default_factory=Surrogate)

    def slope(self, drive: Array, activity: Array) -> Array:
        return self.surrogate(drive)


@dataclass(frozen=True)
class SurrogateGradient(Rule):
    """Surrogate gradients (Zenke & Ganguli 2018; Neftci, Mostafa & Zenke 2019).

    Errors return through spikes, and in a recurrent network through time, with a slope of the
    rule's own. On Bernoulli units it is judged against the gradient of the loss expected over
    spikes; on integrate-and-fire neurons, whose loss has no gradient, against backpropagation
    through time with the pseudo-derivative of the neurons, which only says how much the shape
    matters.

    Parameters
    ----------
    shape
        fast_sigmoid, triangle or sigmoid; see ``Surrogate``.
    sharpness, height
        Of the slope, in units of the drive (Bernoulli units) or of the threshold. By default the
        sigmoid is the slope of the probability of a Bernoulli spike.
    """

    shape: str = "fast_sigmoid"
    sharpness: float = 1.0
    height: float = 0.25

    choices: ClassVar[Choices] = {"shape": SHAPES}

    dynamics: ClassVar[frozenset[str]] = frozenset({"stochastic", "recurrent spiking"})
    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return through spikes with a surrogate of their slope",
        family="random units and actions",
        equation="post_l = (W_(l+1)^T post_(l+1)) psi(v_l), and through time where there is any",
        randomness=frozenset({"spike"}),
        unbiased=False,
        exact_when=(
            "in expectation, with one layer of Bernoulli units, a loss linear in its spikes and "
            "the slope of their probability; on integrate-and-fire neurons with their own"
        ),
        variance_law="enumerated for up to 12 Bernoulli units; 0 on integrate-and-fire neurons",
        synapse_knows="pre spike, distance of its neuron to threshold, errors through W^T",
        reference="gradient of the loss expected over spikes",
        forward_passes=3.0,
        cites="Zenke & Ganguli 2018; Neftci, Mostafa & Zenke 2019",
        phases="forward, then backward",
        notes="the distance to threshold of a Bernoulli unit is its drive, before noise",
        unverified="several layers of random spikes: biased, by how much is measured only",
    )

    def __post_init__(self) -> None:
        Surrogate(self.shape, self.sharpness, self.height)

    @property
    def surrogate(self) -> Surrogate:
        """The slope."""
        return Surrogate(self.shape, self.sharpness, self.height)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        if isinstance(network, RecurrentNetwork):
            changed = with_neurons(
                network,
                {
                    each.name: replace(each.neurons, surrogate=self.surrogate)
                    for each in network.populations
                    if isinstance(each.neurons, IntegrateAndFire)
                },
            )
            # Slopes are taken as spikes are made: the same spikes, with those of the rule.
            sloped = changed.forward(batch.inputs)
            error = {network.output.name: objective.batch_error(clean.output, batch)}
            return outers(network, clean, changed.credit(sloped, error))
        assert isinstance(network, StochasticNetwork)
        arrays = {each.name: clean.drive[each.name] for each in network.stochastic}
        passed = network.sample(batch.inputs, noise.spikes(arrays))
        return outers(network, passed, posts(self._sloped(network), objective, batch, passed))

    def _sloped(self, network: StochasticNetwork) -> StochasticNetwork:
        """The same network with the surrogate in place of the slope of its units."""
        names = {each.name for each in network.stochastic}
        neurons = Surrogated(surrogate=self.surrogate)
        return replace(
            network,
            populations=tuple(
                replace(each, neurons=neurons) if each.name in names else each
                for each in network.populations
            ),
        )

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Enumerated over the states of up to 12 Bernoulli units."""
        if not isinstance(network, StochasticNetwork):
            return None
        passed, chance = network.outcomes(batch.inputs)
        post = posts(self._sloped(network), objective, batch, passed)
        return over_outcomes(network, passed, post, chance)

    def theory(self) -> tuple[Claim, ...]:
        slope = replace(self, shape="sigmoid", sharpness=1.0, height=0.25)
        return (
            Law(
                "sigmoid, one layer, squared error: gradient - mean = |v|^2 (1/2 - p) p (1 - p)",
                lambda at: lack(replace(at, rule=slope)),
            ),
            Limit("the slope of the neurons themselves: their reference", _own, tolerance=1e-12),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if isinstance(network, StochasticNetwork) and not network.spikes:
            return "surrogate_gradient needs units that spike, such as Bernoulli ones"
        return None


def _own(at: Situation) -> Situation:
    """The rule with the surrogate of the network's neurons."""
    own = [
        each.neurons.surrogate
        for each in at.network.populations
        if isinstance(each.neurons, IntegrateAndFire)
    ]
    if not own:
        raise InputError("only integrate-and-fire neurons have a slope of their own to agree with")
    rule = SurrogateGradient(own[0].shape, own[0].sharpness, own[0].height)
    return replace(at, rule=rule)
