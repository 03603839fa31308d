"""Spiking neurons with escape noise in time, and the gradient of their expected loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Population
from plausibench.architectures.recurrent import Course, RecurrentNetwork
from plausibench.architectures.stochastic import total
from plausibench.architectures.temporal import State, Temporal
from plausibench.kernels.errors import InputError, number, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective

Array = np.ndarray

LARGEST = 14
"""Spikes, of all neurons in all steps of a trial, whose outcomes are enumerated."""


@dataclass(frozen=True)
class EscapeNoise(Temporal):
    r"""Neurons that spike with a probability given by their potential (Pfister et al. 2006).

    .. math::
        v_t = a\, v_{t-1} + u_t - c\, s_{t-1}, \qquad
        P(s_t = 1) = p(v_t) = 1 - e^{-\rho(v_t)}, \qquad
        \rho(v) = e^{(v - \theta) / \Delta},

    and what other neurons see is the filtered spikes :math:`r_t = k\, r_{t-1} + s_t`. In a pass
    without noise p stands in for s.

    Parameters
    ----------
    membrane, kept
        Shares a of the potential and k of the filtered spikes that a step leaves.
    reset
        What c a spike takes off the potential.
    threshold, width
        Potential theta at which the rate of escape is one in a step, and how sharply it rises.
    """

    membrane: float = 0.8
    kept: float = 0.8
    reset: float = 1.0
    threshold: float = 1.0
    width: float = 0.5

    traces: ClassVar[tuple[str, ...]] = ("slope",)

    def __post_init__(self) -> None:
        number("membrane", self.membrane, least=0, most=1)
        number("kept", self.kept, least=0, most=1)
        number("reset", self.reset, least=0)
        number("threshold", self.threshold)
        positive("width", self.width)

    @property
    def gain(self) -> float:
        """As for bounded pointwise neurons."""
        return 1.0

    def rate(self, potential: Array) -> Array:
        """Rate of escape rho; kept where neither a spike nor silence is certain to rounding."""
        return np.exp(np.clip((potential - self.threshold) / self.width, -30, 4))

    def rest(self, shape: tuple[int, ...], dtype: np.dtype) -> State:
        return {name: np.zeros(shape, dtype) for name in ("potential", "spike", "filtered")}

    def charge(self, state: State, drive: Array) -> Array:
        """Move the potential on; the rate of escape of the step."""
        state["potential"] = (
            self.membrane * state["potential"] + drive - self.reset * state["spike"]
        )
        return self.rate(state["potential"])

    def spike(self, state: State, spikes: Array) -> Array:
        """What others see after these spikes."""
        state["spike"] = spikes
        state["filtered"] = self.kept * state["filtered"] + spikes
        return state["filtered"]

    def step(self, state: State, drive: Array, traces: Mapping[str, Array]) -> Array:
        rate = self.charge(state, drive)
        traces["slope"][...] = rate * np.exp(-rate) / self.width
        return self.spike(state, -np.expm1(-rate))

    def slopes(self, drive: Array, traces: Mapping[str, Array]) -> tuple[Array, ...]:
        return (traces["slope"],)

    def adjoint_step(self, slopes: tuple[Array, ...], signal: Array, carried: State) -> Array:
        filtered = carried.get("filtered", 0.0) + signal
        later = carried.get("potential", 0.0)
        carried["filtered"] = self.kept * filtered
        carried["potential"] = self.membrane * later + slopes[0] * (filtered - self.reset * later)
        return carried["potential"]

    def tangent_step(self, slopes: tuple[Array, ...], change: Array, moved: State) -> Array:
        potential = self.membrane * moved.get("potential", 0.0) + change
        moved["potential"] = potential - self.reset * moved.get("spike", 0.0)
        moved["spike"] = slopes[0] * moved["potential"]
        moved["filtered"] = self.kept * moved.get("filtered", 0.0) + moved["spike"]
        return moved["filtered"]


@dataclass(frozen=True, eq=False)
class Train(Course):
    """A pass with drawn spikes.

    Attributes
    ----------
    spikes
        0 or 1, ``(S, T B, N)`` per population that spikes.
    score
        Derivative of the log-probability of a step's spike by the potential, of the same shape.
    chance
        Probability of the spikes of each trial, ``(S, B)``.
    """

    spikes: dict[str, Array]
    score: dict[str, Array]
    chance: Array


@dataclass(frozen=True, eq=False, repr=False)
class EscapeNetwork(RecurrentNetwork):
    """A network in time whose hidden neurons spike by chance.

    ``forward`` passes on probabilities of spikes, as if they were spikes; ``loss`` and
    ``gradient`` are those of the loss expected over spikes, enumerated.
    """

    @property
    def dynamics(self) -> str:
        return "recurrent stochastic"

    @property
    def reference(self) -> str:
        return "gradient of the loss expected over spikes"

    @property
    def spikers(self) -> tuple[Population, ...]:
        """Populations that spike by chance."""
        return tuple(each for each in self.populations if isinstance(each.neurons, EscapeNoise))

    def too_many(self, steps: int) -> str | None:
        """Why the spikes of so many steps are not enumerated; None if they are."""
        spikes = steps * sum(each.size for each in self.spikers)
        if spikes <= LARGEST:
            return None
        return (
            f"{self.architecture}: the expected loss is enumerated over up to {LARGEST} spikes, "
            f"and {steps} steps of these neurons have {spikes}; use fewer neurons or steps"
        )

    def intractable(self) -> str | None:
        return self.too_many(self.steps)

    def sample(self, inputs: Array, draws: Mapping[str, Array]) -> Train:
        """Pass with drawn spikes.

        Parameters
        ----------
        inputs
            ``(B, T, N_in)`` or ``(B, N_in)``.
        draws
            Uniform numbers ``(S, T B, N)`` per population that spikes, below whose probability a
            neuron spikes.
        """
        activity, examples = self._shown(inputs), len(inputs)
        drive: dict[str, Array] = {}
        spikes: dict[str, Array] = {}
        score: dict[str, Array] = {}
        chance: Array | float = 1.0
        for population in self.populations:
            name, neurons = population.name, population.neurons
            outside = self._outside(name, activity, {}, examples)
            if not isinstance(neurons, EscapeNoise):
                drive[name], activity[name] = outside, neurons.activate(outside)
                continue
            shape, kind = draws[name].shape, outside.dtype
            drive[name], activity[name], spikes[name], score[name] = (
                np.empty(shape, kind) for _ in range(4)
            )
            step = (shape[0], examples, shape[-1])
            state, before = neurons.rest(step, kind), np.zeros(step, kind)
            for first in range(0, shape[-2], examples):
                here = (..., slice(first, first + examples), slice(None))
                now = np.broadcast_to(outside[here], step)
                for p in self.loops(name):
                    now = now + p.synapse.drive(self.weights[p.name], before)
                rate = neurons.charge(state, now)
                fired = draws[name][here] < -np.expm1(-rate)
                before = neurons.spike(state, fired.astype(kind))
                drive[name][here], activity[name][here], spikes[name][here] = now, before, fired
                slope = rate / neurons.width
                score[name][here] = np.where(fired, slope / np.expm1(rate), -slope)
                chance = chance * np.where(fired, -np.expm1(-rate), np.exp(-rate)).prod(axis=-1)
        output = activity[self.output.name]
        every = np.broadcast_to(chance, (*np.shape(chance)[:-1], examples))
        return Train(drive, activity, output, examples, {}, {}, spikes, score, every)

    def outcomes(self, inputs: Array) -> Train:
        """All outcomes of the spikes of a trial, K samples; chances add up to 1 in each trial.

        Raises
        ------
        InputError
            If there are too many spikes to enumerate.
        """
        steps = inputs.shape[1] if inputs.ndim == 3 else self.steps
        sizes = [steps * population.size for population in self.spikers]
        reason = self.too_many(steps)
        if reason is not None:
            raise InputError(reason)
        # A draw of 0 makes a neuron spike, one of 1 keeps it silent.
        points = np.array(list(product((0.0, 1.0), repeat=sum(sizes)))).reshape(-1, sum(sizes))
        draws = {}
        for population, part in zip(
            self.spikers, np.split(points, np.cumsum(sizes)[:-1], axis=1), strict=True
        ):
            by_step = part.reshape(-1, steps, 1, population.size)
            rows = np.broadcast_to(by_step, (len(points), steps, len(inputs), population.size))
            draws[population.name] = rows.reshape(len(points), -1, population.size)
        return self.sample(inputs, draws)

    def loss(self, objective: Objective, batch: Batch) -> float:
        """Mean over the batch of the loss expected over spikes."""
        train = self.outcomes(batch.inputs)
        losses = objective.batch_losses(train.output, batch)
        return float((train.chance * losses).sum() / batch.size)

    def gradient(
        self, objective: Objective, batch: Batch, clean: Activity | None = None
    ) -> dict[str, Array]:
        """Gradient of the expected loss, by the scores of all outcomes."""
        train = self.outcomes(batch.inputs)
        steps = train.output.shape[-2] // batch.size
        chance = np.tile(train.chance, steps)[..., None]
        error = chance * objective.batch_error(train.output, batch)
        signals = self.credit(train, {self.output.name: error}, feedback={})
        losses = np.tile(objective.batch_losses(train.output, batch), steps)[..., None]
        for name, score in train.score.items():
            met = chance * losses * score / batch.size
            signals[name] = self.on_drive(name, met, batch.size)
        return {
            p.name: total(p, signals[p.target], train.presynaptic(p)).astype(self.dtype, copy=False)
            for p in self.projections
        }

    def on_drive(self, name: str, potential: Array, examples: int) -> Array:
        """Signals on the drive of every step for those on the potential, ``(..., T B, N)``.

        A drive stays in the potential of later steps; what spikes take off it is given.
        """
        neurons = self.population(name).neurons
        assert isinstance(neurons, EscapeNoise)
        signals = potential.copy()
        for first in reversed(range(0, potential.shape[-2] - examples, examples)):
            here, after = (
                slice(first, first + examples),
                slice(first + examples, first + 2 * examples),
            )
            signals[..., here, :] += neurons.membrane * signals[..., after, :]
        return signals
