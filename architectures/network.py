"""A network: populations of neurons joined by projections.

The network says how activity flows, and how a signal would flow back through any feedback
weights; it never says how weights change.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from plausibench.architectures.neurons import Neurons
from plausibench.architectures.pooling import Wire
from plausibench.architectures.synapses import Synapse
from plausibench.kernels.arrays import numbers
from plausibench.kernels.errors import InputError, nearest, refusal, show
from plausibench.kernels.threads import by_rows
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective

Array = np.ndarray

INPUT = "input"
CONSTANT = "constant"

STRUCTURE = frozenset({"incoming", "outgoing", "returning", "modulating", "stochastic"})
"""What a network works out once of its populations and projections."""

ENUMERABLE = 12
"""Most stochastic units whose outcomes are enumerated: 4096 patterns of spikes."""


@dataclass(frozen=True)
class Population:
    """Neurons of one kind: a name, a number of neurons N, and their input-output function."""

    name: str
    size: int
    neurons: Neurons


@dataclass(frozen=True)
class Projection:
    """Synapses from a source to a target population; its name is that of its parameter.

    With a delay of one time step, the target is driven by what the source did a step before.
    """

    name: str
    source: str
    target: str
    synapse: Synapse
    delay: int = 0


@dataclass(frozen=True, eq=False)
class Activity:
    """What a pass through the network leaves behind.

    Attributes
    ----------
    drive, activity
        Per population ``(B, N)``, or ``(S, B, N)`` where samples differ. In networks with time
        there is a row for each step and example, ordered by step: ``(T B, N)``.
    output
        Activity of the last population.
    """

    drive: dict[str, Array]
    activity: dict[str, Array]
    output: Array

    def presynaptic(self, projection: Projection) -> Array:
        """Presynaptic factor of the projection's outer product."""
        return self.activity[projection.source]


@dataclass(frozen=True, eq=False)
class Network:
    """Populations in the order in which activity flows, projections, and parameters.

    Parameters
    ----------
    architecture
        Registry name of the architecture that built it.
    inputs
        Number of input units.
    populations
        In forward order; the last one is the output.
    projections
        In forward order; a bias is a projection from the constant population.
    parameters
        One array per projection, float64 or float32.
    """

    architecture: str
    inputs: int
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    parameters: dict[str, Array] = field(repr=False)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{each.name} {each.size}" for each in self.populations)
        return (
            f"Network({self.architecture}: {INPUT} {self.inputs}, {sizes}; "
            f"{self.size} {self.dtype} parameters)"
        )

    @property
    def output(self) -> Population:
        """The output population."""
        return self.populations[-1]

    @property
    def hidden(self) -> tuple[Population, ...]:
        """All populations but the output."""
        return self.populations[:-1]

    def population(self, name: str) -> Population:
        """The population of this name."""
        return next(each for each in self.populations if each.name == name)

    @property
    def dynamics(self) -> str:
        """How activity comes about.

        One of feedforward, settling, stochastic, spiking, recurrent, recurrent spiking and
        recurrent stochastic.
        """
        return "feedforward"

    @property
    def reference(self) -> str:
        """What the network's ``gradient`` is."""
        return "gradient of the objective"

    def too_many(self, steps: int) -> str | None:
        """Why what happens in so many steps cannot be enumerated; None if it can, or need not."""
        return None

    def intractable(self) -> str | None:
        """Why the loss and its gradient cannot be computed here; None if they can."""
        units = sum(population.size for population in self.stochastic)
        if units <= ENUMERABLE:
            return None
        return (
            f"network: the loss expected over draws is enumerated for up to {ENUMERABLE} "
            f"stochastic units, and this one has {units}; use fewer hidden units"
        )

    @cached_property
    def stochastic(self) -> tuple[Population, ...]:
        """Populations that draw what they do; none by default."""
        return ()

    def remarks(self, inputs: Array) -> tuple[str, ...]:
        """What makes the activity on these inputs unfit to learn from; nothing by default."""
        return ()

    @property
    def size(self) -> int:
        """Number of parameters P."""
        return sum(array.size for array in self.parameters.values())

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type of the parameters."""
        return next(iter(self.parameters.values())).dtype

    @property
    def precision(self) -> float:
        """Relative error that the activity of a pass may have: that of a rounded number."""
        return float(np.finfo(self.dtype).eps) / 2

    @property
    def paths(self) -> tuple[Projection, ...]:
        """Projections between populations, as activity and signals go through them.

        They are those of the parameters, unless the weights of one are made of several
        parameters.
        """
        return self.projections

    @property
    def weights(self) -> Mapping[str, Any]:
        """Effective weights of each path, those made of several parameters among them."""
        return self.parameters

    @cached_property
    def incoming(self) -> dict[str, tuple[Projection, ...]]:
        """Paths into each population."""
        return {
            population.name: tuple(p for p in self.paths if p.target == population.name)
            for population in self.populations
        }

    @cached_property
    def outgoing(self) -> dict[str, tuple[Projection, ...]]:
        """Paths out of each population."""
        return {
            population.name: tuple(p for p in self.paths if p.source == population.name)
            for population in self.populations
        }

    @property
    def wires(self) -> tuple[Wire, ...]:
        """Ways of activity without synapses; none by default."""
        return ()

    @cached_property
    def modulating(self) -> Mapping[str, str]:
        """Population that multiplies the activity of another, by the name of that other."""
        return {}

    @cached_property
    def returning(self) -> tuple[Projection, ...]:
        """Paths through which a signal can return to a population below."""
        names = {population.name for population in self.populations}
        return tuple(p for p in self.paths if p.source in names)

    def postsynaptic(self, signals: Mapping[str, Array], projection: Projection) -> Array:
        """Postsynaptic factor of the projection's outer product.

        Parameters
        ----------
        signals
            On the drive of every population, ``(..., B, N)``.
        """
        return signals[projection.target]

    def with_parameters(self, parameters: Mapping[str, Array]) -> "Network":
        """The same network with other parameters.

        Parameters
        ----------
        parameters
            One array for each parameter, of its shape. If all are float64, or all float32, they
            stay so; else they become what the network's own are.

        Raises
        ------
        InputError
            In one sentence that names the parameter, its shape and the allowed one.
        """
        return self.at(self.checked(parameters))

    def at(self, parameters: dict[str, Array]) -> "Network":
        """The same network at other parameters of the same shapes, which are not checked.

        What follows from populations and projections alone is kept.
        """
        moved = replace(self, parameters=parameters)
        moved.__dict__.update({name: v for name, v in self.__dict__.items() if name in STRUCTURE})
        return moved

    def checked(self, parameters: Mapping[str, Any]) -> dict[str, Array]:
        """Parameters as :meth:`with_parameters` takes them, in forward order."""
        shapes = {p.name: p.synapse.shape for p in self.projections}
        if not isinstance(parameters, Mapping):
            raise refusal("parameters", parameters, f"a dict of arrays for {', '.join(shapes)}")
        for name in parameters:
            if name not in shapes:
                near = nearest(name, shapes)
                raise InputError(
                    f"parameters: {show(name)} is not one of {', '.join(shapes)}"
                    + (f"; did you mean {near!r}?" if near else "")
                )
        arrays = {}
        for name, shape in shapes.items():
            if name not in parameters:
                raise InputError(
                    f"parameters: {name} is missing; allowed is an array of shape {shape}"
                )
            arrays[name] = numbers(f"parameters: {name}", parameters[name])
            if arrays[name].shape != shape:
                raise InputError(
                    f"parameters: {name} has shape {arrays[name].shape}; allowed is {shape}"
                )
        types = {array.dtype for array in arrays.values()}
        if len(types) == 1 and types <= {np.dtype("float64"), np.dtype("float32")}:
            return arrays
        return {name: array.astype(self.dtype) for name, array in arrays.items()}

    def astype(self, dtype: np.dtype | str) -> "Network":
        """The same network with its parameters in another floating-point type."""
        return self.with_parameters(
            {name: array.astype(dtype, copy=False) for name, array in self.parameters.items()}
        )

    def check_inputs(self, inputs: Array) -> None:
        """Refuse inputs that do not fit.

        Raises
        ------
        InputError
            In one sentence naming the shape and what is allowed.
        """
        if inputs.ndim != 2 or inputs.shape[1] != self.inputs:
            raise InputError(
                f"inputs: shape {inputs.shape} does not fit a network of {self.inputs} input "
                f"units; allowed is (B, {self.inputs})"
            )

    def forward(
        self,
        inputs: Array,
        *,
        parameters: Mapping[str, Array] | None = None,
        drive_noise: Mapping[str, Array] | None = None,
        amplitude: float = 1.0,
        clean: Activity | None = None,
    ) -> Activity:
        """Let activity flow.

        Parameters
        ----------
        inputs
            ``(B, N_in)``.
        parameters
            Parameters to use in place of the network's own, each ``(*shape)`` or
            ``(S, *shape)``; those not named stay.
        drive_noise
            Noise per population ``(S, B, N)``, added to the drive times ``amplitude``.
        amplitude
            Factor of the noise.
        clean
            An undisturbed pass over the same inputs; what the disturbance does not reach is
            taken from it.

        Returns
        -------
        Activity
            A perturbed population's ``drive`` is the one before noise.
        """
        replaced = {} if parameters is None else parameters
        noise = {} if drive_noise is None else drive_noise
        drive: dict[str, Array] = {}
        if clean is None:
            ones = np.ones((inputs.shape[0], 1), dtype=inputs.dtype)
            activity = {INPUT: inputs, CONSTANT: ones}
        else:
            activity = {name: clean.activity[name] for name in (INPUT, CONSTANT)}
        changed: set[str] = set()
        for population in self.populations:
            name, neurons = population.name, population.neurons
            gate = self.modulating.get(name)
            reached = (
                clean is None
                or gate in changed
                or any(p.source in changed or p.name in replaced for p in self.incoming[name])
                or any(wire.source in changed for wire in self.wires if wire.target == name)
            )
            shared = None
            if reached and name in noise:
                drive[name], shared = self._parts(name, activity, replaced)
            elif reached:
                drive[name] = self._drive(name, activity, replaced)
            elif clean is not None:
                drive[name] = clean.drive[name]
            if shared is not None:
                activity[name] = neurons.perturb_sum(drive[name], shared, noise[name], amplitude)
            elif name in noise:
                activity[name] = neurons.perturb(drive[name], noise[name], amplitude)
            elif reached or clean is None:
                activity[name] = neurons.activate(drive[name])
            else:
                activity[name] = clean.activity[name]
            if gate is not None and (reached or name in noise):
                activity[name] = activity[name] * activity[gate]
            if reached or name in noise:
                changed.add(name)
        return Activity(drive, activity, activity[self.output.name])

    def _drive(
        self, name: str, activity: Mapping[str, Array], replaced: Mapping[str, Array]
    ) -> Array:
        total, shared = self._parts(name, activity, replaced)
        if shared is not None:
            total += shared
        return total

    def _parts(
        self, name: str, activity: Mapping[str, Array], replaced: Mapping[str, Array]
    ) -> tuple[Array, Array | None]:
        """Drive, and what all samples share of it and is still to be added, or None."""
        total: Array | None = None
        shared: Array | None = None
        for part in self._arriving(name, activity, replaced):
            if total is None:
                total = part
            elif part.shape == total.shape:
                by_rows(np.add, total, part, total)
            elif part.shape == total.shape[1:]:
                shared = part if shared is None else shared + part
            else:
                total = total + part
        assert total is not None, f"population {name} has no incoming projection"
        return total, shared

    def _arriving(
        self, name: str, activity: Mapping[str, Array], replaced: Mapping[str, Array]
    ) -> Iterator[Array]:
        """Parts of the drive of a population, by synapses and by wires."""
        for p in self.incoming[name]:
            weights = replaced.get(p.name, self.parameters[p.name])
            yield p.synapse.drive(weights, activity[p.source])
        for wire in self.wires:
            if wire.target == name:
                yield wire.carry(activity[wire.source])

    def respond(self, clean: Activity, name: str, drive: Array) -> Activity:
        """A pass in which a population has another drive; all else is held but its activity."""
        activity = self.population(name).neurons.activate(drive)
        return replace(
            clean,
            drive={**clean.drive, name: drive},
            activity={**clean.activity, name: activity},
        )

    def tangent(
        self,
        clean: Activity,
        drive: Mapping[str, Array] | None = None,
        parameters: Mapping[str, Array] | None = None,
    ) -> Activity:
        """First-order change of the forward pass: its Jacobian-vector product.

        Parameters
        ----------
        clean
            The pass at which slopes are taken.
        drive
            Change injected into the drive of populations, ``(S, B, N)``.
        parameters
            Change of parameters, each ``(S, *shape)``.

        Returns
        -------
        Activity
            Changes of drives, those injected included, and of activities, of the populations
            that a change reached.
        """
        injected = {} if drive is None else drive
        moved = {} if parameters is None else parameters
        drives: dict[str, Array] = {}
        activity: dict[str, Array] = {}
        for population in self.populations:
            name = population.name
            parts = [injected[name]] if name in injected else []
            for p in self.incoming[name]:
                if p.name in moved:
                    parts.append(p.synapse.drive(moved[p.name], clean.activity[p.source]))
                if p.source in activity:
                    parts.append(p.synapse.drive(self.parameters[p.name], activity[p.source]))
            parts += [
                wire.carry(activity[wire.source])
                for wire in self.wires
                if wire.target == name and wire.source in activity
            ]
            gate, own = self._ungated(population, clean)
            if parts:
                drives[name] = sum(parts[1:], parts[0])
                change = population.neurons.tangent(clean.drive[name], own, drives[name])
                activity[name] = change if gate is None else change * clean.activity[gate]
            if gate in activity:
                by_gate = own * activity[gate]
                activity[name] = activity[name] + by_gate if name in activity else by_gate
        output = activity.get(self.output.name, np.zeros_like(clean.output))
        return Activity(drives, activity, output)

    def loss(self, objective: Objective, batch: Batch) -> float:
        """Mean loss of the batch, without what depends on parameters alone."""
        output = self.forward(batch.inputs).output
        return float(objective.batch_loss(output, batch))

    def gradient(
        self, objective: Objective, batch: Batch, clean: Activity | None = None
    ) -> dict[str, Array]:
        """Exact gradient of :meth:`loss`, one array per parameter."""
        clean = self.forward(batch.inputs) if clean is None else clean
        return self.pull(clean, objective.batch_error(clean.output, batch))

    def pull(self, clean: Activity, error: Array) -> dict[str, Array]:
        """Gradient of whatever has the gradient ``error``, ``(B, N)``, at the output."""
        signals = self.credit(clean, {self.output.name: error})
        return {
            p.name: p.synapse.outer(self.postsynaptic(signals, p), clean.presynaptic(p))
            for p in self.projections
        }

    def credit(
        self,
        clean: Activity,
        arriving: Mapping[str, Array],
        feedback: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Signals on the drive of each population, from those that arrive at activities.

        Backpropagation is ``credit(clean, {output: error})``. Other feedback weights, or none,
        give other rules.

        Parameters
        ----------
        clean
            The pass at which slopes are taken.
        arriving
            Signals on the activity of populations, ``(..., B, N)``.
        feedback
            Weights per projection in the layout of the forward weights; a projection that is
            not named returns nothing. By default the network's own parameters. Signals also
            return through wires, but not where no weights are named: then each population hears
            what arrives at itself only.

        Returns
        -------
        dict
            Signals ``(..., B, N)`` of the populations that a signal reached.
        """
        weights = self.parameters if feedback is None else feedback
        signals: dict[str, Array] = {}
        arriving = dict(arriving)
        for population in reversed(self.populations):
            total = arriving.get(population.name)
            for p in self.outgoing[population.name]:
                if p.name in weights and p.target in signals:
                    part = p.synapse.feedback(weights[p.name], signals[p.target])
                    total = part if total is None else total + part
            for wire in self.wires if weights else ():
                if wire.source == population.name and wire.target in signals:
                    part = wire.send_back(signals[wire.target])
                    total = part if total is None else total + part
            if total is None:
                continue
            gate, own = self._ungated(population, clean)
            if gate is not None:
                # Within the neuron, so that it needs no weights.
                arriving[gate] = arriving[gate] + total * own if gate in arriving else total * own
                total = total * clean.activity[gate]
            signals[population.name] = population.neurons.adjoint(
                clean.drive[population.name], own, total
            )
        return signals

    def _ungated(self, population: Population, clean: Activity) -> tuple[str | None, Array]:
        """Population that multiplies the activity of another, and that activity without it."""
        name = population.name
        gate = self.modulating.get(name)
        if gate is None:
            return None, clean.activity[name]
        return gate, population.neurons.activate(clean.drive[name])
