"""Readout only: the output layer learns, on hidden layers left as they were drawn."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import choose
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.noise import Noise
from plausibench.rules.patterns import DRAWING, drawn
from plausibench.rules.random_feedback import chain
from plausibench.rules.readout import EXACT, delta_rule
from plausibench.rules.rule import Choices, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

PATTERNS = ("all", "drawn")


@dataclass(frozen=True)
class ReadoutOnly(Rule):
    """The gradient of the output layer, and nothing for any other.

    What a network learns on random features (Saxe et al. 2011; "shallow" in Frenkel et al. 2021)
    is what a rule for hidden layers has to beat. It learns nothing in the parameters that do not
    lead onto the output population, biases of hidden layers included.

    Parameters
    ----------
    patterns
        Of hidden neurons that draw what they do: ``all``, the exact gradient of the loss expected
        over them, enumerated; or ``drawn``, that of the loss with one pattern for each example,
        which is equal to it on average and takes a single pass. In training that is enough.
    """

    patterns: str = "all"

    choices: ClassVar[Choices] = {"patterns": PATTERNS}

    card: ClassVar[RuleCard] = RuleCard(
        summary="a control: hidden layers stay as they were drawn, the output layer learns",
        family="controls",
        equation="post_L = delta_L,  post_l = 0 below the output layer L,  pre_l = a_(l-1)",
        randomness=frozenset({"spike"}),
        unbiased=False,
        exact_when=(
            "there is no hidden layer; in the output layer always, of drawn patterns in expectation"
        ),
        variance_law="0 for a given batch; of drawn patterns measured only",
        synapse_knows="pre, and the error of its output neuron",
        forward_passes=1.0,
        cites="Frenkel, Lefebvre & Bol 2021; Saxe, Koh, Chen, Bhand, Suresh & Ng 2011",
        phases="forward alone",
        notes=(
            "a control and no model of the brain: what a network achieves without credit for its "
            "hidden layers; its relative squared bias is the share of hidden layers in the squared "
            "gradient. Where the output layer also drives the one below (hopfield), hidden weights "
            "stay and hidden activity does not. Where neurons draw what they do all patterns "
            "are added up; as a null beside other rules it learns from one drawn pattern a step"
        ),
    )

    dynamics: ClassVar[frozenset[str]] = frozenset(
        {
            "feedforward",
            "settling",
            "spiking",
            "stochastic",
            "recurrent",
            "recurrent spiking",
            "recurrent stochastic",
        }
    )

    def __post_init__(self) -> None:
        choose("patterns", self.patterns, PATTERNS)

    def randomness(self) -> frozenset[str]:
        return self.card.randomness if self.patterns == "drawn" else frozenset()

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if self.patterns == "all" or network.dynamics in DRAWING:
            return None
        return f"patterns='drawn' needs neurons that draw; {network.architecture} has none"

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        estimates: Estimates = {
            p.name: Dense(np.zeros(p.synapse.shape, network.dtype)) for p in network.projections
        }
        readout = [p for p in network.projections if p.target == network.output.name]
        if self.patterns == "drawn":
            passed = drawn(network, batch.inputs, noise)
            return estimates | delta_rule(network, objective, batch, passed)
        if network.dynamics == "settling" or network.dynamics in DRAWING:
            exact = network.gradient(objective, batch, clean)
            learned = {p.name: Dense(exact[p.name].astype(network.dtype)) for p in readout}
            return estimates | learned
        return estimates | delta_rule(network, objective, batch, clean)

    def theory(self) -> tuple[Claim, ...]:
        return (
            EXACT,
            Limit("hidden layers: nothing", _itself, 0.0, _silence),
            Limit("no hidden layer: backpropagation", _without_hidden, 1e-14),
            Law("relative squared bias: the share of hidden layers in the gradient", _share),
            Limit("the gradient of the objective", _itself, tolerance=0.1, holds=False),
        )


def _itself(at: Situation) -> Situation:
    return at


def _silence(at: Situation) -> dict[str, Array]:
    return {
        p.name: np.zeros(p.synapse.shape)
        for p in at.network.projections
        if p.target != at.network.output.name
    }


def _without_hidden(at: Situation) -> Situation:
    return replace(at, network=chain(at, [], "identity"))


def _share(at: Situation) -> tuple[float, float, float]:
    """Squared distance to the gradient, and what hidden layers have of it."""
    draws, exact = at.draws(), at.reference()
    output = at.network.output.name
    whole = sum(float((array**2).sum()) for array in exact.values())
    missed = sum(float(((draws[name][0] - array) ** 2).sum()) for name, array in exact.items())
    hidden = sum(
        float((exact[p.name] ** 2).sum()) for p in at.network.projections if p.target != output
    )
    return missed / whole, hidden / whole, 1e-12
