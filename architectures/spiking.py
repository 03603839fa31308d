"""Networks whose hidden neurons spike: noisy drives that reach a threshold or do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Activity, Network, Population
from plausibench.architectures.neurons import Neurons
from plausibench.kernels.elementwise import SIGMOID, activate
from plausibench.kernels.errors import InputError, number, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective

Array = np.ndarray

Step = tuple[str, Array, Array, Array, Array]

NODES = 32
"""Values of the common noise: an error of 1e-9 where it is as large as the spread."""


@dataclass(frozen=True)
class Threshold(Neurons):
    r"""Neurons that spike once in a window if their noisy drive reaches a threshold.

    The drive v of a window is :math:`z + s \lambda + c \eta` with logistic noise
    :math:`\lambda` of each neuron and Gaussian noise :math:`\eta` common to the population, so
    that neurons are correlated beyond what their inputs explain. Activity as of a pass through
    the network is the probability of a spike, :math:`E_\eta \sigma((z + c \eta - \theta) / s)`.

    Parameters
    ----------
    threshold
        Drive theta at which a neuron spikes.
    spread
        Scale s of the logistic noise; its standard deviation is 1.81 s.
    common
        Standard deviation c of the noise that the population shares.
    """

    threshold: float = 0.0
    spread: float = 0.5
    common: float = 0.5

    def __post_init__(self) -> None:
        number("threshold", self.threshold)
        positive("spread", self.spread)
        number("common", self.common, least=0)

    @property
    def gain(self) -> float:
        """As for bounded pointwise neurons."""
        return 1.0

    def nodes(self) -> tuple[Array, Array]:
        """Values of the common noise with their probabilities, by Gauss-Hermite quadrature."""
        values, weights = _gauss_hermite(NODES if self.common > 0 else 1)
        return self.common * values, weights

    def excess(self, drive: Array, common: Array | float) -> Array:
        """Distance from the threshold in units of the logistic noise."""
        return drive / self.spread + (common - self.threshold) / self.spread

    def activate(self, drive: Array) -> Array:
        values, weights = self.nodes()
        chance = _logistic(self.excess(drive[..., None], values))
        return (chance @ weights).astype(drive.dtype, copy=False)

    def perturb(self, drive: Array, noise: Array, amplitude: float) -> Array:
        return self.activate(drive + amplitude * noise)

    def slope(self, drive: Array, activity: Array) -> Array:
        """Density of the noisy drive at the threshold."""
        values, weights = self.nodes()
        chance = _logistic(self.excess(drive[..., None], values))
        density = (chance * (1 - chance)) @ (weights / self.spread)
        return density.astype(drive.dtype, copy=False)


@dataclass(frozen=True, eq=False, repr=False)
class SpikingNetwork(Network):
    """Layers of spiking neurons below an output that does not spike.

    ``forward`` passes on probabilities of spikes, as if they were rates. The loss of the network
    is the one expected over spikes, and ``gradient`` is exact for it.
    """

    def simulate(self, inputs: Array, noise: Mapping[str, Array]) -> Activity:
        """Let spikes flow.

        Parameters
        ----------
        inputs
            ``(B, N_in)``.
        noise
            Noise on the drive of each hidden population, ``(..., B, N)``, say for many windows.

        Returns
        -------
        Activity
            Drives before noise, and spikes 0 or 1, ``(..., B, N)``; a drive that does not depend
            on spikes is ``(B, N)``.
        """
        drive: dict[str, Array] = {}
        activity = {INPUT: inputs, CONSTANT: np.ones((len(inputs), 1), inputs.dtype)}
        for population in self.populations:
            name, neurons = population.name, population.neurons
            drive[name] = self._drive(name, activity, {})
            if isinstance(neurons, Threshold):
                spikes = drive[name] + noise[name] >= neurons.threshold
                activity[name] = spikes.astype(inputs.dtype)
            else:
                activity[name] = neurons.activate(drive[name])
        return Activity(drive, activity, activity[self.output.name])

    @property
    def dynamics(self) -> str:
        return "spiking"

    @cached_property
    def stochastic(self) -> tuple[Population, ...]:
        return self.hidden

    def loss(self, objective: Objective, batch: Batch) -> float:
        """Mean over the batch of the loss expected over spikes.

        Raises
        ------
        InputError
            If there are too many patterns to enumerate.
        """
        if not self.hidden:
            return super().loss(objective, batch)
        _, senders, reached = self._patterns(batch)
        drive = self._drive(self.output.name, self._sent(self.output.name, senders), {})
        every = np.repeat(self.output.neurons.activate(drive)[:, None], batch.size, axis=1)
        return float((reached.T * objective.losses(every, batch.targets)).sum())

    def gradient(
        self, objective: Objective, batch: Batch, clean: Activity | None = None
    ) -> dict[str, Array]:
        """Exact gradient of the loss expected over all patterns of spikes.

        Raises
        ------
        InputError
            If there are too many patterns to enumerate.
        """
        if not self.hidden:
            return super().gradient(objective, batch, clean)
        steps, senders, reached = self._patterns(batch)
        # The output for every pattern of the last layer: (K, N), and losses (K, B).
        top = self.output
        drive = self._drive(top.name, self._sent(top.name, senders), {})
        output = top.neurons.activate(drive)
        every = np.repeat(output[:, None], batch.size, axis=1)
        value = objective.losses(every, batch.targets)
        error = (reached.T[..., None] * objective.error(every, batch.targets)).sum(axis=1)
        signal = top.neurons.adjoint(drive, output, error)
        found = self._collected(top.name, signal, senders)
        for name, senders, reached, chances, changes in reversed(steps):
            # reached (B, R): probability of each row of senders; value (K, B): loss beyond.
            signal = np.einsum("rkn,kr->rn", changes, value @ reached)
            found |= self._collected(name, signal, senders)
            value = chances @ value
        return {p.name: found[p.name].astype(self.dtype, copy=False) for p in self.projections}

    def _patterns(self, batch: Batch) -> tuple[list[Step], Array, Array]:
        """Each layer's patterns; those of the last ``(K, N)``; their chances times 1/B ``(B, K)``.

        A step is the name of a population, the patterns sent to it, the probability of each for
        every example, and the chances of its own patterns with their derivatives.
        """
        reason = self.intractable()
        if reason is not None:
            raise InputError(reason)
        senders, reached = batch.inputs, np.eye(batch.size) / batch.size
        steps: list[Step] = []
        for population in self.hidden:
            name, neurons = population.name, population.neurons
            assert isinstance(neurons, Threshold)
            patterns = every_pattern(population.size)
            drive = self._drive(name, self._sent(name, senders), {})
            chances, changes = pattern_chances(neurons, drive)
            steps.append((name, senders, reached, chances, changes))
            senders, reached = patterns, reached @ chances
        return steps, senders, reached

    def _sent(self, name: str, senders: Array) -> dict[str, Array]:
        """Presynaptic activity of a population: one row for each state of the layer below."""
        ones = np.ones((len(senders), 1))
        sources = {p.source for p in self.incoming[name]}
        return {source: ones if source == CONSTANT else senders for source in sources}

    def _collected(self, name: str, signal: Array, senders: Array) -> dict[str, Array]:
        sent = self._sent(name, senders)
        return {p.name: p.synapse.outer(signal, sent[p.source]) for p in self.incoming[name]}


@lru_cache
def every_pattern(size: int) -> Array:
    """All patterns of spikes ``(2^N, N)``, 0 or 1; the first neuron changes least often."""
    return np.array(list(product((0.0, 1.0), repeat=size))).reshape(-1, size)


def pattern_chances(neurons: Threshold, drive: Array) -> tuple[Array, Array]:
    """Probability of each pattern of spikes, and its derivatives.

    Parameters
    ----------
    neurons
        Of the layer.
    drive
        ``(R, N)``.

    Returns
    -------
    tuple
        Probabilities ``(R, K)`` of the patterns of :func:`every_pattern`, and their derivatives
        with respect to drives ``(R, K, N)``.
    """
    patterns = every_pattern(drive.shape[1])
    values, weights = neurons.nodes()
    spiking = _logistic(neurons.excess(drive[:, :, None], values))  # (R, N, nodes)
    silent = _logistic(-neurons.excess(drive[:, :, None], values))
    joint = np.broadcast_to(weights, (len(drive), 1, weights.size))
    for unit in range(drive.shape[1]):
        both = np.stack([silent[:, unit], spiking[:, unit]], axis=1)
        joint = (joint[:, :, None] * both[:, None]).reshape(len(drive), -1, weights.size)
    chances = joint.sum(axis=-1)
    # Of each node, chance (s - p) / spread: the nodes are summed in a matrix product.
    changes = chances[..., None] * patterns - joint @ spiking.swapaxes(1, 2)
    return chances, changes / neurons.spread


@lru_cache
def _gauss_hermite(count: int) -> tuple[Array, Array]:
    values, weights = np.polynomial.hermite_e.hermegauss(count)
    return values, weights / weights.sum()


def _logistic(x: Array) -> Array:
    x = np.ascontiguousarray(x)
    activate(SIGMOID, x, out := np.empty_like(x))
    return out
