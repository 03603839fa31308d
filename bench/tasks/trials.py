"""What tasks made of drawn trials share: keyed draws, periods in milliseconds, padding."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import InputError, integer, number, show, sizes
from plausibench.kernels.streams import Identity, generator
from plausibench.objectives.batch import Batch

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
"""Whether something holds in each time step of each trial, shape (B, T)."""
Steps = NDArray[np.int64]
"""Times in steps, one for each trial."""


class Draws(NamedTuple):
    """Random numbers for a number of trials; what is drawn names the stream.

    Every quantity has a stream of its own with a fixed number of draws a trial: more trials
    extend fewer, and what one quantity draws changes no other.
    """

    seed: int
    use: tuple[Identity, ...]
    trials: int

    def uniform(self, what: str, low: float = 0.0, high: float = 1.0) -> Array:
        """Uniform numbers in [low, high), shape (B,)."""
        return low + (high - low) * self._stream(what).random(self.trials)

    def pick(self, what: str, values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
        """One of ``values`` for each trial, all equally probable, shape (B,)."""
        return np.asarray(values)[(self.uniform(what) * len(values)).astype(np.int64)]

    def sign(self, what: str) -> NDArray[np.int64]:
        """-1 or 1 for each trial, shape (B,)."""
        return self.pick(what, (-1, 1))

    def add_noise(self, what: str, values: Array, deviation: float, where: Mask) -> None:
        """Add gaussian noise to ``values`` (B, T, N) in the steps ``where`` (B, T) says so."""
        if deviation:
            stream = self._stream(what)
            # Trial by trial, because the numbers of one trial stay in the processor's cache.
            for sequence, steps in zip(values, where, strict=True):
                noise = stream.standard_normal((np.count_nonzero(steps), values.shape[2]))
                sequence[steps] += deviation * noise

    def edges(self, timing: Mapping[str, Sequence[int]], dt: int) -> Steps:
        """Step at which each period ends, shape (B, periods); each duration is drawn."""
        return np.cumsum([self.pick(name, ms) // dt for name, ms in timing.items()], axis=0).T

    def _stream(self, what: str) -> np.random.Generator:
        return generator(self.seed, "data", *self.use, what)


@dataclass(frozen=True)
class SequenceTask(Task):
    """Sequences in abstract time steps, drawn anew for the training and for the test set.

    Parameters
    ----------
    trials : int, default 1000
        Number of sequences of the training set, and of the test set.
    noise : float, default 0.0
        Standard deviation of the gaussian noise on the inputs, anew in each step.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    trials: int = 1000
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", integer("trials", self.trials, least=1))
        object.__setattr__(self, "noise", number("noise", self.noise, least=0))
        object.__setattr__(self, "seed", integer("seed", self.seed, least=0))

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of time steps T of every sequence."""

    @abstractmethod
    def draw(self, draws: Draws) -> Batch:
        """Draw the sequences of a set, without noise."""

    def load(self) -> tuple[Batch, Batch]:
        """Draw the training set and the test set."""
        return self._noisy("train"), self._noisy("test")

    def draws(self, part: str) -> Draws:
        """Draws of the sequences of the set ``part``."""
        return Draws(self.seed, (self.name, part), self.trials)

    def _noisy(self, part: str) -> Batch:
        draws = self.draws(part)
        batch = self.draw(draws)
        every = np.ones(batch.inputs.shape[:2], dtype=bool)
        draws.add_noise("noise", batch.inputs, self.noise, every)
        return batch


@dataclass(frozen=True)
class TrialTask(Task):
    """Trials in time, drawn anew for the training and for the test set.

    Trials of unequal length are padded with zeros at their end, where ``mask`` is 0.

    Parameters
    ----------
    trials : int, default 1000
        Number of trials of the training set, and of the test set.
    dt : int, default 20
        Time step in milliseconds.
    noise : float, default 0.1
        Standard deviation of the gaussian noise on the inputs, anew in each step.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    trials: int = 1000
    dt: int = 20
    noise: float = 0.1
    seed: int = 0

    durations: ClassVar[tuple[str, ...]] = ()
    """Options that are durations in milliseconds."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", integer("trials", self.trials, least=1))
        object.__setattr__(self, "dt", integer("dt", self.dt, least=1))
        object.__setattr__(self, "noise", number("noise", self.noise, least=0))
        object.__setattr__(self, "seed", integer("seed", self.seed, least=0))
        for option in self.durations:
            durations = sizes(option, getattr(self, option))
            for duration in durations:
                if duration % self.dt:
                    raise InputError(
                        f"{option}: {show(duration)} ms is not a whole number of steps of "
                        f"{self.dt} ms (option dt)"
                    )
            object.__setattr__(self, option, durations)

    @property
    @abstractmethod
    def timing(self) -> Mapping[str, Sequence[int]]:
        """Periods of a trial in order, with their durations in ms, equally probable."""

    @property
    def steps(self) -> int:
        """Number of time steps T of the longest possible trial."""
        return longest(self.timing, self.dt)

    @abstractmethod
    def draw(self, part: str) -> Batch:
        """Draw the trials of the set ``part``, which is part of the name of every stream."""

    def load(self) -> tuple[Batch, Batch]:
        """Draw the training set and the test set."""
        return self.draw("train"), self.draw("test")

    def draws(self, part: str) -> Draws:
        """Draws of the trials of the set ``part``."""
        return Draws(self.seed, (self.name, part), self.trials)


def longest(timing: Mapping[str, Sequence[int]], dt: int) -> int:
    """Steps of the longest trial that the durations of ``timing`` allow."""
    return sum(max(durations) // dt for durations in timing.values())


def during(start: Steps | int, stop: Steps, steps: int) -> Mask:
    """Whether each step is at least ``start`` and before ``stop``, shape (B, T)."""
    time = np.arange(steps)
    return (time >= np.reshape(start, (-1, 1))) & (time < stop[:, None])
