"""Neurons with a state of their own: what they do depends on what they did before."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.neurons import Neurons, Pointwise
from plausibench.kernels.errors import choose, number

Array = np.ndarray
State = dict[str, Array]

LEAKING = ("rate", "potential")


class Temporal(Neurons):
    """Neurons that go through time step by step, with the adjoint and the tangent of a step.

    Arrays of a step are ``(..., B, N)``, C-contiguous; those of a pass have a row for each step
    and example, ``(..., T B, N)``.
    """

    traces: ClassVar[tuple[str, ...]] = ()
    """What a step leaves behind, besides drive and activity, for ``slopes``."""
    spiking: ClassVar[bool] = False
    """Whether a pseudo-derivative stands in for that of spikes."""

    @abstractmethod
    def rest(self, shape: tuple[int, ...], dtype: np.dtype) -> State:
        """State before the first step."""

    @abstractmethod
    def step(self, state: State, drive: Array, traces: Mapping[str, Array]) -> Array:
        """Activity after a step; moves the state on and fills the traces, all in place."""

    @abstractmethod
    def slopes(self, drive: Array, traces: Mapping[str, Array]) -> tuple[Array, ...]:
        """What adjoint and tangent need of every step of a pass."""

    @abstractmethod
    def adjoint_step(self, slopes: tuple[Array, ...], signal: Array, carried: State) -> Array:
        """Signal on the drive of a step for one on its activity.

        ``carried`` holds the signals on the state after the step, empty at the last one, and is
        changed in place to those on the state before it.
        """

    @abstractmethod
    def tangent_step(self, slopes: tuple[Array, ...], change: Array, moved: State) -> Array:
        """First-order change of the activity of a step for one of its drive.

        ``moved`` holds the changes of the state before the step, empty at the first one, and is
        changed in place to those after it.
        """

    def activate(self, drive: Array) -> Array:
        raise _stateful(self)

    def perturb(self, drive: Array, noise: Array, amplitude: float) -> Array:
        raise _stateful(self)

    def slope(self, drive: Array, activity: Array) -> Array:
        raise _stateful(self)


def _stateful(neurons: Neurons) -> TypeError:
    return TypeError(f"{type(neurons).__name__}: activity depends on the past, not on drive alone")


@dataclass(frozen=True)
class Leaky(Temporal):
    r"""Leaky rates, with :math:`k` the leak.

    .. math:: \text{rate: } h_t = (1 - k) h_{t-1} + k f(u_t), \qquad
              \text{potential: } x_t = (1 - k) x_{t-1} + k u_t,\ h_t = f(x_t).

    Parameters
    ----------
    activation
        f: identity, tanh, sigmoid, relu or softplus.
    leak
        k: the time step over the time constant; 1 forgets everything.
    leaking
        What leaks: ``rate`` or ``potential``.
    """

    activation: str = "tanh"
    leak: float = 0.2
    leaking: str = "rate"

    def __post_init__(self) -> None:
        Pointwise(self.activation)
        number("leak", self.leak, above=0, most=1)
        choose("leaking", self.leaking, LEAKING)

    # A class variable of neurons whose traces do not depend on their options.
    @property
    def traces(self) -> tuple[str, ...]:  # type: ignore[override]
        """The potential, where it is not the drive."""
        return ("potential",) if self.leaking == "potential" else ()

    @property
    def function(self) -> Pointwise:
        """The function f."""
        return Pointwise(self.activation)

    @property
    def gain(self) -> float:
        """As for pointwise neurons of the same activation."""
        return self.function.gain

    def rest(self, shape: tuple[int, ...], dtype: np.dtype) -> State:
        return {"leaking": np.zeros(shape, dtype)}

    def step(self, state: State, drive: Array, traces: Mapping[str, Array]) -> Array:
        kept = state["leaking"]
        kept *= 1 - self.leak
        if self.leaking == "rate":
            kept += self.leak * self.function.activate(drive)
            return kept
        kept += self.leak * drive
        traces["potential"][...] = kept
        return self.function.activate(kept)

    def slopes(self, drive: Array, traces: Mapping[str, Array]) -> tuple[Array, ...]:
        reached = traces["potential"] if self.leaking == "potential" else drive
        return (self.function.slope(reached, self.function.activate(reached)),)

    def adjoint_step(self, slopes: tuple[Array, ...], signal: Array, carried: State) -> Array:
        if self.leaking == "rate":
            total = signal + carried.get("leaking", 0.0)
            carried["leaking"] = (1 - self.leak) * total
            return self.leak * (slopes[0] * total)
        total = slopes[0] * signal + carried.get("leaking", 0.0)
        carried["leaking"] = (1 - self.leak) * total
        return self.leak * total

    def tangent_step(self, slopes: tuple[Array, ...], change: Array, moved: State) -> Array:
        kept = (1 - self.leak) * moved.get("leaking", 0.0)
        if self.leaking == "rate":
            moved["leaking"] = kept + self.leak * (slopes[0] * change)
            return moved["leaking"]
        moved["leaking"] = kept + self.leak * change
        return slopes[0] * moved["leaking"]
