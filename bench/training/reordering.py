"""Neurons in another order in the midst of training: weights, moments and states follow."""

from dataclasses import dataclass, field

import numpy as np

from plausibench.architectures.network import Network
from plausibench.architectures.permutation import parameter_axes, permuted, permuted_network
from plausibench.bench.training.optimisers import Memory, Optimiser
from plausibench.kernels.errors import InputError
from plausibench.rules.rule import Rule, State

Array = np.ndarray


@dataclass(frozen=True)
class Reordering:
    """The neurons of a hidden population of a network in another order.

    Parameters
    ----------
    before
        The network.
    population
        Whose neurons are reordered.
    order
        The neuron that comes to each place, ``(N,)``.

    Raises
    ------
    InputError
        If the population does not allow it.
    """

    before: Network
    population: str
    order: Array
    network: Network = field(init=False)
    """The network afterwards, whose function is the same."""

    def __post_init__(self) -> None:
        after = permuted_network(self.before, self.population, self.order)
        # A frozen dataclass can only be filled in this way.
        object.__setattr__(self, "network", after)

    def memory(self, optimiser: Optimiser, memory: Memory) -> Memory:
        """What an optimiser remembers, afterwards."""
        axes = parameter_axes(self.before)
        return {
            name: permuted(arrays, axes, self.population, self.order)
            if name in optimiser.moments
            else arrays
            for name, arrays in memory.items()
        }

    def state(self, rule: Rule, state: State) -> State:
        """State of a rule, afterwards.

        Raises
        ------
        InputError
            If the rule does not say which neurons its state belongs to.
        """
        axes = rule.state_axes(self.before)
        silent = sorted(set(state) - set(axes))
        if silent:
            raise InputError(
                f"rule: {type(rule).__name__} does not say which neurons its state {silent[0]} "
                "belongs to, so that they cannot change places; state_axes has to"
            )
        return permuted(state, axes, self.population, self.order)
