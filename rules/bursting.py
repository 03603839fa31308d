"""Layers whose signal is the rate of bursts, taught from above: what burst rules share."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network, Population
from plausibench.architectures.neurons import Pointwise, TwoCompartment
from plausibench.architectures.permutation import Axes, feedback_axes
from plausibench.kernels.errors import choose, number, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.layers import wired
from plausibench.rules.logistic import logistic, logistic_change
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import layerwise_matrices, transposed
from plausibench.rules.rule import Choices, Rule, State, Step

Array = np.ndarray

FEEDBACK = ("symmetric", "random")
INHIBITION = ("ideal", "none")
SCALES = ("declared", "none")
LOWEST = {"tanh": -1.0, "sigmoid": 0.0, "relu": 0.0, "softplus": 0.0, "hard_sigmoid": 0.0}
"""Lowest activity, at which a neuron has no events."""


@dataclass(frozen=True)
class Bursting(Rule):
    """A rule whose errors return as changes of burst rates; options as in ``burstprop``."""

    burst_probability: float = 0.2
    nudging: float = 1.0
    feedback: str = "symmetric"
    inhibition: str = "ideal"
    scale: str = "declared"

    choices: ClassVar[Choices] = {"feedback": FEEDBACK, "inhibition": INHIBITION, "scale": SCALES}

    def __post_init__(self) -> None:
        number("burst_probability", self.burst_probability, above=0, most=1)
        positive("nudging", self.nudging)
        choose("feedback", self.feedback, FEEDBACK)
        choose("inhibition", self.inhibition, INHIBITION)
        choose("scale", self.scale, SCALES)

    def respond(self, noise: Noise, name: str, base: Array, change: Array, events: Array) -> Array:
        """Change of a population's bursts by teaching, about what its events made expect.

        Parameters
        ----------
        noise
            Draws of the samples asked for.
        name
            Of the population.
        base
            Probability that an event is a burst, without teaching.
        change
            Expected change of the rate of bursts, ``(..., B, N)``.
        events
            Rate of events.
        """
        return change

    def initial_state(self, network: Network, seed: int) -> State:
        symmetric = self.feedback == "symmetric"
        return transposed(network) if symmetric else layerwise_matrices(network, seed)

    def state_axes(self, network: Network) -> Axes:
        return feedback_axes(network)

    def advance(self, state: State, step: Step) -> State:
        """Symmetric feedback follows the weights; random feedback stays."""
        return state if self.feedback == "random" else transposed(step.network)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        needed = network.hidden if self.inhibition == "ideal" else network.populations
        for population in needed:
            if lowest(population) is None:
                return (
                    f"{type(self).__name__} counts events from the lowest activity, and "
                    f"{population.name} has none: use one of {', '.join(LOWEST)}"
                )
        if layers_above(network) is None:
            return (
                f"{type(self).__name__} needs layers: all paths from a population to the output "
                "equally long"
            )
        return wired(network, type(self).__name__)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        top = network.output
        error = objective.error(clean.output, batch.targets)
        delta = network.credit(clean, {top.name: error}, feedback={})[top.name]
        taught = -self.nudging * self.burst_probability * delta
        if lowest(top) is not None:
            base = np.full_like(taught, self.burst_probability)
            taught = self.respond(noise, top.name, base, taught, events_of(top, clean))
        change = {top.name: taught}
        feedback = {p.name: p.synapse.untranspose(state[p.name]) for p in network.returning}
        bursts = {}
        if self.inhibition == "none":
            bursts[top.name] = self.burst_probability * events_of(top, clean)
        for population in reversed(network.hidden):
            name = population.name
            events = events_of(population, clean)
            slope = population.neurons.slope(clean.drive[name], clean.activity[name])
            # A neuron without events has no slope either: nothing to divide.
            coupling = np.divide(slope, events, out=np.zeros_like(slope), where=events > 0)
            arriving = {
                kind: coupling
                * sum(
                    p.synapse.feedback(feedback[p.name], rates[p.target])
                    for p in network.outgoing[name]
                )
                for kind, rates in (("change", change), ("bursts", bursts))
                if rates
            }
            dendrite = arriving.get("bursts", np.zeros_like(slope))
            base, moved = logistic(dendrite), logistic_change(dendrite, arriving["change"])
            change[name] = self.respond(noise, name, base, moved * events, events)
            if bursts:
                bursts[name] = base * events
        above = layers_above(network)
        assert above is not None, "refused before"
        factors = dict.fromkeys(change, 1.0)
        if self.scale == "declared":
            unit = self.nudging * self.burst_probability
            factors = {name: 4.0 ** above[name] / unit for name in change}
        signals = {name: rate * (-factors[name] / batch.size) for name, rate in change.items()}
        return outers(network, clean, signals)


def lowest(population: Population) -> float | None:
    """Lowest activity of a population; None where there is none."""
    neurons = population.neurons
    if isinstance(neurons, Pointwise | TwoCompartment):
        return LOWEST.get(neurons.activation)
    return None


def events_of(population: Population, clean: Activity) -> Array:
    """Rate of events, counted from the lowest activity."""
    least = lowest(population)
    assert least is not None, "refused before"
    return clean.activity[population.name] - least


def layers_above(network: Network) -> dict[str, int] | None:
    """Projections from each population to the output; None where paths differ in length."""
    above = {network.output.name: 0}
    for population in reversed(network.hidden):
        found = {above[p.target] + 1 for p in network.outgoing[population.name]}
        if len(found) != 1:
            return None
        above[population.name] = found.pop()
    return above
