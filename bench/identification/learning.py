"""Learn a shared core by any rule, while every readout follows the exact gradient."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log, sqrt

import numpy as np

from plausibench.architectures.network import Network
from plausibench.architectures.what_where import WhatWhere
from plausibench.bench.identification.optimiser import adam
from plausibench.bench.identification.placement import Placement
from plausibench.bench.identification.recording import recording
from plausibench.bench.identification.start import envelope, signal
from plausibench.bench.tasks.neurons import Neurons
from plausibench.kernels.errors import Divergence, InputError, choose, integer, sizes
from plausibench.kernels.plain import PlainOptions
from plausibench.kernels.streams import generator, stream
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.estimate import form
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, Step

Array = np.ndarray

READOUTS = ("factorised", "dense", "fixed_mask")
CORE = "layer"
"""What the names of the core's populations begin with."""
UNIT = ("layer", "what")
"""Populations whose incoming weights are brought to length 1, neuron by neuron."""
SPARSE = ("where.weights", "readout.weights")
"""Parameters with the penalty on absolute values."""
PIECE = 100


@dataclass(frozen=True)
class Learning(metaclass=PlainOptions):
    """How a network is trained to answer as neurons do.

    Parameters
    ----------
    readout
        ``factorised``, ``dense`` or ``fixed_mask``.
    channels
        Kernels of each layer of the core.
    kernel
        Height and width of all kernels.
    activation
        Of the core: ``identity``, ``relu`` and so on.
    steps, batch_size, learning_rate
        Of Adam, whose rate falls to a tenth for the last quarter of the steps.
    penalty
        Of masks, or of a dense readout, in units of the threshold of noise, as in
        :class:`~plausibench.bench.identification.fit.Fitting`.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    readout: str = "factorised"
    channels: tuple[int, ...] = (1,)
    kernel: int = 9
    activation: str = "identity"
    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 0.005
    penalty: float = 0.5

    def __post_init__(self) -> None:
        choose("readout", self.readout, READOUTS)
        sizes("channels", self.channels)
        integer("steps", self.steps, least=1)

    def network(self, task: Neurons, seed: int) -> Network:
        """The network before training, in float32.

        Masks have one value, or their middle, at the peak of the squared envelope of the
        spike-triggered average; kernels and mixtures of features have length 1.
        """
        seen = len(self.channels) * (self.kernel - 1) + 1
        placement = Placement(task.side, seen)
        train = task.train
        means = train.inputs.mean(axis=0), train.targets.mean(axis=0)
        recorded = recording(train.inputs, train.targets, means)
        peaks = envelope(recorded.cross, placement, seen / 6).argmax(axis=0)
        strength = signal(recorded, placement, peaks)
        places = np.stack(np.divmod(peaks, placement.across), axis=1)
        shape = WhatWhere(
            shape=(task.side, task.side),
            channels=self.channels,
            kernel=self.kernel,
            padding=0,
            outputs=task.neurons,
            activation=self.activation,
            readout=self.readout,
            places=places.tolist() if self.readout == "fixed_mask" else (),
            bias=self.activation != "identity",
        )
        network = shape.build(seed)
        draw = generator(seed, "init", "identification")
        masks = 0.001 * draw.standard_normal((task.neurons, placement.places))
        masks[np.arange(task.neurons), peaks] = strength
        features = self.channels[-1]
        mixture = 1 + 0.1 * draw.standard_normal((task.neurons, features))
        mixture /= np.linalg.norm(mixture, axis=1, keepdims=True)
        initial = dict(network.parameters)
        if self.readout == "factorised":
            initial["where.weights"] = masks
            initial["what.weights"] = mixture.reshape(network.parameters["what.weights"].shape)
        elif self.readout == "dense":
            whole = masks[:, :, None] * mixture[:, None]
            initial["readout.weights"] = whole.reshape(task.neurons, -1)
        else:
            initial["readout.weights"] = strength[:, None] * mixture
        return _unit(network.with_parameters(initial)).astype("float32")


@dataclass(frozen=True, eq=False)
class Learned:
    """A network that was trained."""

    network: Network = field(repr=False)

    def predict(self, images: Array) -> Array:
        """Responses ``(B, N)`` to images ``(B, pixels)``, computed in pieces."""
        inputs = images.astype(self.network.dtype, copy=False)
        pieces = range(0, len(images), PIECE)
        with one_blas_thread():
            return np.concatenate(
                [self.network.forward(inputs[first : first + PIECE]).output for first in pieces]
            )


def learn(rule: Rule | None, task: Neurons, learning: Learning, seed: int = 0) -> Learned:
    """Train core and readouts.

    Parameters
    ----------
    rule
        Whose estimate changes the core; None leaves the core as it was drawn. What reads the
        core out follows its exact gradient, which is local there.
    task
        Images and responses.
    learning
        How.
    seed
        Root of the streams: initial weights, feedback, batches and noise.

    Raises
    ------
    InputError
        If the rule cannot train the network.
    Divergence
        If a weight is no longer finite.
    """
    objective = MeanSquaredError()
    network = learning.network(task, seed)
    reason = None if rule is None else rule.refusal(network, objective)
    if reason is not None:
        raise InputError(f"rules: {reason}")
    state = {} if rule is None else rule.initial_state(network, seed)
    state = {name: array.astype(np.float32) for name, array in state.items()}
    memory = {name: np.zeros((2, w.size), np.float32) for name, w in network.parameters.items()}
    weight = learning.penalty * _threshold(network, task)
    batches = task.batches(learning.batch_size, seed=seed)
    root = stream(seed, "identification")
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        for step in range(learning.steps):
            late = step >= 0.75 * learning.steps
            rate = learning.learning_rate * (0.1 if late else 1.0)
            whole = next(batches)
            inputs, targets = (part.astype(np.float32) for part in (whole.inputs, whole.targets))
            batch = Batch(inputs, targets, whole.keys)
            clean = network.forward(inputs)
            gradient = dict(network.gradient(objective, batch, clean))
            noise = Noise(root, np.array([step], np.int64), batch.keys, network.dtype)
            if rule is not None:
                drawn = rule.estimate(network, objective, batch, clean, state, noise)
                gradient |= _core(network, form(network, drawn))
            moved = {}
            for name, array in network.parameters.items():
                moved[name] = array.copy()
                if rule is None and name.startswith(CORE):
                    continue
                flat = np.ascontiguousarray(gradient[name], np.float32).reshape(-1)
                lost = weight if learning.readout != "fixed_mask" and name in SPARSE else 0.0
                mean, square = memory[name]
                adam(moved[name].reshape(-1), flat, mean, square, step + 1, rate, lost)
            after = _unit(network.with_parameters(moved))
            if not all(np.isfinite(array).all() for array in after.parameters.values()):
                raise Divergence(f"the weights are not finite after {step + 1} steps")
            if rule is not None:
                change = {
                    name: array - network.parameters[name]
                    for name, array in after.parameters.items()
                }
                taken = Step(after, objective, batch, clean, change, 0.0, noise)
                state = rule.advance(state, taken)
            network = after
    return Learned(network)


def _core(network: Network, formed: Mapping[str, Array]) -> dict[str, Array]:
    """Estimates for the core, without their sample axis."""
    return {
        p.name: formed[p.name].reshape(p.synapse.shape)
        for p in network.projections
        if p.target.startswith(CORE)
    }


def _unit(network: Network) -> Network:
    """The network with kernels and mixtures of features of length 1.

    Otherwise the penalty of masks would only move their scale to what they are multiplied with.
    """
    scaled = dict(network.parameters)
    for p in network.projections:
        if p.target.startswith(UNIT) and p.name.endswith(".weights"):
            rows = scaled[p.name].reshape(len(scaled[p.name]), -1)
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            scaled[p.name] = (rows / np.where(lengths > 0, lengths, 1)).reshape(p.synapse.shape)
    return network.with_parameters(scaled)


def _threshold(network: Network, task: Neurons) -> float:
    """Gradient that noise alone would just not reach at any place, in half a squared error."""
    places = max(network.parameters[name].shape[1] for name in SPARSE if name in network.parameters)
    variance = float(task.train.targets.var(axis=0).mean())
    return sqrt(variance * 2 * log(max(places, 2)) / task.train.size)
