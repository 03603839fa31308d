"""Recurrent layers of leaking rates, step by step: what influence is carried through."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.architectures.recurrent import Course, RecurrentNetwork, with_neurons
from plausibench.architectures.synapses import DenseSynapse
from plausibench.architectures.temporal import Leaky, State
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.theory import Situation

Array = np.ndarray
Arrays = dict[str, Array]
Slopes = dict[str, tuple[Array, ...]]


@dataclass(frozen=True, eq=False)
class Layers:
    """The recurrent layers of a network in a pass, and what of the loss reaches them at once.

    Attributes
    ----------
    network, clean
        The network, and a pass of it.
    size
        Trials B, the rows of a step.
    steps
        Number of steps T.
    slopes
        What the adjoint of each layer needs of every step, arrays ``(T B, N)``.
    errors
        Derivative of the loss of each step by the rates of that step, ``(T B, N)`` per layer.
    top
        Signals on the drive of the readout, ``(T B, N_out)``.
    """

    network: RecurrentNetwork
    clean: Course
    size: int
    steps: int
    slopes: Slopes
    errors: Arrays
    top: Array

    @property
    def names(self) -> list[str]:
        """Recurrent layers, from the input on."""
        return list(self.slopes)

    @property
    def learned(self) -> list[Projection]:
        """All projections but those onto the readout."""
        readout = {p.name for p in self.network.incoming[self.network.output.name]}
        return [p for p in self.network.projections if p.name not in readout]

    def above(self, name: str) -> list[str]:
        """A layer and those above: no other has rates that it changes."""
        return self.names[self.names.index(name) :]

    def rows(self, step: int) -> tuple[Any, ...]:
        """Index of the rows of a step."""
        return (..., slice(step * self.size, (step + 1) * self.size), slice(None))

    def at(self, step: int, lowest: str | None = None) -> Slopes:
        """Slopes of a step, from a layer on."""
        here, names = self.rows(step), self.names if lowest is None else self.above(lowest)
        return {name: tuple(s[here] for s in self.slopes[name]) for name in names}

    def readout(self) -> Estimates:
        """Gradient of the readout, which its errors give exactly."""
        return {
            p.name: Dense(p.synapse.outer(self.top, self.clean.presynaptic(p)))
            for p in self.network.incoming[self.network.output.name]
        }


def layers(network: Network, objective: Objective, batch: Batch, clean: Activity) -> Layers:
    """See :class:`Layers`."""
    assert isinstance(network, RecurrentNetwork)
    assert isinstance(clean, Course)
    names = [each.name for each in network.hidden]
    error = {network.output.name: objective.batch_error(clean.output, batch)}
    top = network.credit(clean, error, {})[network.output.name]
    errors = {name: np.zeros_like(clean.activity[name]) for name in names}
    for p in network.incoming[network.output.name]:
        if p.source in errors:
            errors[p.source] += p.synapse.feedback(network.parameters[p.name], top)
    slopes = {
        name: leaky(network, name).slopes(clean.drive[name], clean.traces[name]) for name in names
    }
    return Layers(network, clean, batch.size, len(clean.output) // batch.size, slopes, errors, top)


def leaky(network: RecurrentNetwork, name: str) -> Leaky:
    """Neurons of a recurrent layer."""
    neurons = network.population(name).neurons
    assert isinstance(neurons, Leaky)
    return neurons


def forwards(
    network: RecurrentNetwork,
    slopes: Slopes,
    influence: Mapping[str, Array],
    drive: Mapping[str, Array] | None = None,
) -> Arrays:
    """Change of the rates after a step for a change of those before it, and of drives in it.

    Parameters
    ----------
    slopes
        Of the step.
    influence
        Changes of the rates before the step, ``(..., B, N)`` per layer; none of layers left out.
    drive
        Changes of the drives of some layers.
    """
    injected = {} if drive is None else drive
    after: Arrays = {}
    for name in slopes:
        change = injected.get(name, np.zeros(()))
        for p in network.incoming[name]:
            source = influence if p.delay else after
            if p.source in source:
                change = change + p.synapse.drive(network.weights[p.name], source[p.source])
        moved = {"leaking": influence[name]} if name in influence else {}
        after[name] = leaky(network, name).tangent_step(slopes[name], change, moved)
    return after


def backwards(
    network: RecurrentNetwork,
    slopes: Slopes,
    signals: Mapping[str, Array],
    carried: dict[str, State] | None = None,
) -> Arrays:
    """Signals on the drives of a step for signals on the rates after it.

    ``carried`` takes what returns through the leak of each layer.
    """
    kept: dict[str, State] = {} if carried is None else carried
    drives: Arrays = {}
    for name in reversed(slopes):
        total = signals[name]
        for p in network.outgoing[name]:
            if p.target in drives and not p.delay:
                weights = network.parameters[p.name]
                total = total + p.synapse.feedback(weights, drives[p.target])
        kept[name] = {}
        drives[name] = leaky(network, name).adjoint_step(slopes[name], total, kept[name])
    return drives


def before(network: RecurrentNetwork, drives: Arrays, carried: Mapping[str, State]) -> Arrays:
    """Signals on the rates before a step, for those of :func:`backwards`."""
    found: Arrays = {}
    for name, signal in drives.items():
        total = carried[name]["leaking"]
        for p in network.loops(name):
            total = total + p.synapse.feedback(network.weights[p.name], signal)
        found[name] = total
    return found


def units(network: RecurrentNetwork, name: str, size: int) -> Array:
    """A unit change of each neuron of a layer in turn, ``(N, B, N)``."""
    count = network.population(name).size
    eye = np.eye(count, dtype=network.dtype)
    return np.ascontiguousarray(np.broadcast_to(eye[:, None, :], (count, size, count)))


def stateful(rule: str, network: Network, dense: bool = False) -> str | None:
    """Why a rule cannot carry influence in a network; None if it can.

    Parameters
    ----------
    dense
        Whether every synapse has to have a weight of its own.
    """
    leaking = [
        isinstance(each.neurons, Leaky) and each.neurons.leaking == "rate"
        for each in network.hidden
    ]
    if not all(leaking) or not leaking or isinstance(network.output.neurons, Leaky):
        return f"{rule} needs recurrent layers of leaking rates, and a readout without a state"
    if dense and not all(isinstance(p.synapse, DenseSynapse) for p in network.returning):
        return f"{rule} needs synapses with a weight of their own, such as those of rate_rnn"
    return None


def linear(at: Situation) -> Situation:
    """The same situation with rates that are linear in their drives."""
    network = at.network
    assert isinstance(network, RecurrentNetwork)
    neurons = {p.name: Leaky("identity", leaky(network, p.name).leak) for p in network.hidden}
    return replace(at, network=with_neurons(network, neurons))
