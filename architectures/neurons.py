"""Neurons: how a population turns the drive of its synapses into activity."""

from abc import abstractmethod
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from plausibench.kernels import elementwise
from plausibench.kernels.buffers import empty
from plausibench.kernels.errors import choose, flag, number, positive
from plausibench.kernels.plain import PlainOptions
from plausibench.kernels.threads import by_rows

Array = np.ndarray

ACTIVATIONS = tuple(elementwise.CODES)
"""Names of the functions f of a drive."""


class Neurons(metaclass=PlainOptions):
    """The input-output function of a population, its adjoint and its tangent.

    Drives and activities are ``(..., B, N)``; ``drive`` may lack the sample axis that
    ``signal`` or ``noise`` has.
    """

    @property
    @abstractmethod
    def gain(self) -> float:
        """Standard deviation of initial weights, times the root of the number of inputs."""

    def reordered(self, order: Array) -> "Neurons":
        """The same neurons, with the one that comes to each place ``(N,)``."""
        return self

    @abstractmethod
    def activate(self, drive: Array) -> Array:
        """Activity for a drive."""

    @abstractmethod
    def perturb(self, drive: Array, noise: Array, amplitude: float) -> Array:
        """Activity for ``drive + amplitude * noise``, in one pass."""

    def perturb_sum(self, drive: Array, shared: Array, noise: Array, amplitude: float) -> Array:
        """Activity for ``drive + shared + amplitude * noise``; ``shared`` is added to the drive.

        ``drive`` is ``(S, B, N)`` and is changed in place, ``shared`` is ``(B, N)``.
        """
        drive += shared
        return self.perturb(drive, noise, amplitude)

    @abstractmethod
    def slope(self, drive: Array, activity: Array) -> Array:
        """Derivative of the activity with respect to the drive, elementwise, in a new array."""

    def adjoint(self, drive: Array, activity: Array, signal: Array) -> Array:
        """Signal on the drive for a signal on the activity."""
        slope = self.slope(drive, activity)
        if slope.shape != signal.shape or slope.dtype != signal.dtype:
            return signal * slope
        by_rows(np.multiply, signal, slope, slope)
        return slope

    def tangent(self, drive: Array, activity: Array, change: Array) -> Array:
        """First-order change of the activity for a change of the drive."""
        return change * self.slope(drive, activity)


@dataclass(frozen=True)
class Pointwise(Neurons):
    """a = f(drive) with f one of identity, tanh, sigmoid, relu, softplus, hard_sigmoid."""

    activation: str = "tanh"

    def __post_init__(self) -> None:
        choose("activation", self.activation, ACTIVATIONS)

    @property
    def gain(self) -> float:
        """2^(1/2) for rectified units, which pass on half of the variance (He et al. 2015)."""
        return sqrt(2.0) if self.activation == "relu" else 1.0

    @property
    def code(self) -> int:
        """Number of the activation in the compiled kernels."""
        return elementwise.CODES[self.activation]

    def activate(self, drive: Array) -> Array:
        activity = empty(drive.shape, drive.dtype)
        elementwise.activate(self.code, drive, activity)
        return activity

    def perturb(self, drive: Array, noise: Array, amplitude: float) -> Array:
        activity = empty(noise.shape, noise.dtype)
        elementwise.perturb(self.code, drive, noise, amplitude, activity)
        return activity

    def perturb_sum(self, drive: Array, shared: Array, noise: Array, amplitude: float) -> Array:
        activity = empty(noise.shape, noise.dtype)
        elementwise.perturb_sum(self.code, drive, shared, noise, amplitude, activity)
        return activity

    def slope(self, drive: Array, activity: Array) -> Array:
        slope = empty(drive.shape, drive.dtype)
        elementwise.derivative(self.code, drive, activity, slope)
        return slope


@dataclass(frozen=True)
class TwoCompartment(Neurons):
    r"""Pyramidal neurons with a basal and an apical dendrite (Sacramento et al. 2018, eq. 1).

    With a silent apical dendrite the soma rests at ``c v`` where v is the basal drive and

    .. math:: c = g_B / (g_l + g_B + g_A),

    without :math:`g_A` for a population that has no apical dendrite, or whose apical
    current does not load the soma.

    Parameters
    ----------
    activation
        Firing rate as a function of the somatic potential.
    leak, basal, apical
        Conductances g_l, g_B, g_A in units of the membrane capacitance per time unit.
    loads
        Whether the apical conductance also pulls the soma towards rest.
    """

    activation: str = "tanh"
    leak: float = 0.1
    basal: float = 1.0
    apical: float = 0.8
    loads: bool = True

    def __post_init__(self) -> None:
        choose("activation", self.activation, ACTIVATIONS)
        for field in ("leak", "basal", "apical"):
            number(field, getattr(self, field), least=0)
        flag("loads", self.loads)

    @property
    def gain(self) -> float:
        """As for pointwise neurons of the same activation."""
        return self.rate.gain

    @property
    def conductance(self) -> float:
        """Total conductance that pulls the soma, without nudging."""
        return self.leak + self.basal + (self.apical if self.loads else 0.0)

    @property
    def attenuation(self) -> float:
        """The factor c between basal drive and somatic potential."""
        return self.basal / self.conductance

    @property
    def rate(self) -> Pointwise:
        """Firing rate as a function of the somatic potential."""
        return Pointwise(self.activation)

    def activate(self, drive: Array) -> Array:
        return self.rate.activate(self.attenuation * drive)

    def perturb(self, drive: Array, noise: Array, amplitude: float) -> Array:
        c = self.attenuation
        return self.rate.perturb(c * drive, noise, c * amplitude)

    def slope(self, drive: Array, activity: Array) -> Array:
        c = self.attenuation
        return c * self.rate.slope(c * drive, activity)


class Stochastic(Pointwise):
    """Neurons whose activity is drawn; ``activate`` is what they do without their noise.

    ``law`` names the numbers that a draw takes: uniform in [0, 1), or gaussian.
    """

    law: ClassVar[str]

    @abstractmethod
    def sample(self, drive: Array, draw: Array) -> tuple[Array, Array, Array]:
        """Drive that is reached, activity, and score: d log p(activity) / d drive."""


@dataclass(frozen=True)
class Bernoulli(Stochastic):
    """Spikes s in {0, 1} with probability sigmoid(drive) (Williams 1992); the mean is the rate."""

    activation: str = "sigmoid"

    law: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        choose("activation", self.activation, ("sigmoid",))

    def sample(self, drive: Array, draw: Array) -> tuple[Array, Array, Array]:
        rate = self.activate(drive)
        spikes = (draw < rate).astype(drive.dtype)
        return drive, spikes, spikes - rate

    def slope(self, drive: Array, activity: Array) -> Array:
        """Slope of the rate; the activity may be spikes."""
        rate = self.activate(drive)
        return super().slope(drive, rate)


@dataclass(frozen=True)
class Gaussian(Stochastic):
    """a = f(drive + sigma xi), with xi standard normal (Williams 1992).

    Parameters
    ----------
    sigma
        Standard deviation of the noise on the drive.
    """

    sigma: float = 0.1

    law: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("sigma", self.sigma)

    def sample(self, drive: Array, draw: Array) -> tuple[Array, Array, Array]:
        reached = drive + self.sigma * draw
        return reached, self.activate(reached), draw / self.sigma
