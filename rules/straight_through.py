"""Straight-through estimator: backpropagation through spikes as if they were rates."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.stochastic import StochasticNetwork
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.enumeration import lack, over_outcomes, posts
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.rule import ClosedForm, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law


@dataclass(frozen=True)
class StraightThrough(Rule):
    """Straight-through estimator (Bengio, Leonard & Courville 2013; Hinton 2012).

    The surrogate gradient of stochastic spikes: the forward pass spikes, the backward pass
    uses the slope of the spike probability (Neftci, Mostafa & Zenke 2019).
    """

    dynamics: ClassVar[frozenset[str]] = frozenset({"stochastic"})
    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return through spikes with the slope of their probability",
        family="random units and actions",
        equation="post_l = (W_(l+1)^T post_(l+1)) p_l (1 - p_l),  pre_l = s_(l-1)",
        randomness=frozenset({"spike"}),
        unbiased=False,
        exact_when="in expectation, with one stochastic layer and a loss linear in its spikes",
        variance_law="enumerated for up to 12 units",
        synapse_knows="pre spike, slope of its neuron's rate, errors through transposed weights",
        reference="gradient of the loss expected over spikes",
        forward_passes=3.0,
        cites="Hinton 2012; Bengio, Leonard & Courville 2013; Neftci, Mostafa & Zenke 2019",
        notes=(
            "one stochastic layer and squared error: the mean lacks |v_i|^2 (1/2 - p) p (1 - p) "
            "per unit, v_i its outgoing weights"
        ),
        unverified="several layers of random spikes: biased, by how much is measured only",
    )

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        assert isinstance(network, StochasticNetwork)
        arrays = {each.name: clean.drive[each.name] for each in network.stochastic}
        passed = network.sample(batch.inputs, noise.spikes(arrays))
        return outers(network, passed, posts(network, objective, batch, passed))

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Enumerated over the states of up to 12 units."""
        assert isinstance(network, StochasticNetwork)
        passed, chance = network.outcomes(batch.inputs)
        return over_outcomes(network, passed, posts(network, objective, batch, passed), chance)

    def theory(self) -> tuple[Claim, ...]:
        return (Law("one layer, squared error: gradient - mean = |v|^2 (1/2 - p) p (1 - p)", lack),)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if isinstance(network, StochasticNetwork) and network.spikes:
            return None
        return "straight_through needs Bernoulli units, such as those of stochastic_mlp"
