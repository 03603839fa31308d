"""Neurons with a state of their own: what they do depends on what they did before."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from plausibench.architectures.blocks import Block, Weights, part, product
from plausibench.architectures.neurons import Neurons, Pointwise
from plausibench.kernels.compiled import kernel
from plausibench.kernels.elementwise import activate, derivative
from plausibench.kernels.errors import InputError, choose, number

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
    """Whether a pseudo-derivative stands in for that of spikes, which are a trace ``spikes``."""

    @property
    def fastest(self) -> float:
        """Highest number of spikes in a step, on average over many."""
        return 1.0

    @property
    def started(self) -> bool:
        """Whether there is activity before the first step."""
        return False

    def first(self, size: int, dtype: np.dtype) -> Array:
        """Activity ``(N,)`` before the first step."""
        return np.zeros(size, dtype)

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


class Passes(NamedTuple):
    """Compiled loops through all steps, which do what the steps do for the rows of a block.

    Arrays are ``(S, T, B, N)``, of one floating-point type, with S = 1 where samples share them;
    ``options`` are those of the neurons, ``weights`` of the projection onto their population.

    Attributes
    ----------
    forward
        ``(block, options, weights, outside, noise, amplitude, drive, activity, traces)``: driven
        from outside and by ``activity @ weights`` a step before. ``noise`` of shape ``(0, T, B,
        N)`` is none; ``drive`` takes the one without noise. With ``outside`` of shape ``(0, T, B,
        N)``, ``drive`` holds it at first.
    adjoint
        ``(block, options, weights, own, slopes, signals)``: back, with ``signals @ weights +
        signals * own`` of the step after; ``own``, ``(N,)``, is what returns from each neuron to
        itself, besides. ``signals`` holds those on activity at first, and those on drives then.
    tangent
        ``(block, options, weights, slopes, outside, drive, activity)``: as forward, with changes
        of drive and activity.
    """

    forward: Callable[..., None]
    adjoint: Callable[..., None]
    tangent: Callable[..., None]


class Compiled(Temporal):
    """Neurons whose passes are compiled, with one projection onto their population or none."""

    @property
    @abstractmethod
    def passes(self) -> Passes:
        """The compiled loops."""

    @abstractmethod
    def options(self, dtype: np.dtype) -> tuple[Any, ...]:
        """Options as compiled code takes them, where activity is of this type."""


def _stateful(neurons: Neurons) -> TypeError:
    return TypeError(f"{type(neurons).__name__}: activity depends on the past, not on drive alone")


@dataclass(frozen=True)
class Leaky(Compiled):
    r"""Leaky rates, with :math:`k` the leak.

    .. math:: \text{rate: } h_t = (1 - k) h_{t-1} + k f(u_t), \qquad
              \text{potential: } x_t = (1 - k) x_{t-1} + k u_t,\ h_t = f(x_t).

    Parameters
    ----------
    activation
        f: identity, tanh, sigmoid, relu, softplus or hard_sigmoid.
    leak
        k: the time step over the time constant; 1 forgets everything.
    leaking
        What leaks: ``rate`` or ``potential``.
    start
        Rates before the first step, one number for all neurons or one for each.

    Raises
    ------
    InputError
        If an option is not allowed, or potentials that leak have a start: it is one of rates.
    """

    activation: str = "tanh"
    leak: float = 0.2
    leaking: str = "rate"
    start: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        Pointwise(self.activation)
        number("leak", self.leak, above=0, most=1)
        choose("leaking", self.leaking, LEAKING)
        for rate in self.start if isinstance(self.start, tuple) else (self.start,):
            number("start", rate)
        if self.started and self.leaking != "rate":
            raise InputError(
                f"start: {self.start!r} is of rates, where potentials leak; allowed is 0, or "
                "leaking=rate"
            )

    traces: ClassVar[tuple[str, ...]] = ("slope",)

    @property
    def function(self) -> Pointwise:
        """The function f."""
        return Pointwise(self.activation)

    @property
    def gain(self) -> float:
        """As for pointwise neurons of the same activation."""
        return self.function.gain

    @property
    def started(self) -> bool:
        return bool(np.any(self.start))

    def first(self, size: int, dtype: np.dtype) -> Array:
        return np.full(size, self.start, dtype)

    def reordered(self, order: Array) -> "Leaky":
        if not isinstance(self.start, tuple):
            return self
        return replace(self, start=tuple(self.start[place] for place in order))

    def rest(self, shape: tuple[int, ...], dtype: np.dtype) -> State:
        return {"leaking": np.broadcast_to(self.first(shape[-1], dtype), shape).copy()}

    def step(self, state: State, drive: Array, traces: Mapping[str, Array]) -> Array:
        activity, slope = np.empty_like(drive), np.empty_like(drive)
        _step(
            *self.options(drive.dtype)[:3],
            drive.reshape(-1),
            state["leaking"].reshape(-1),
            activity.reshape(-1),
            slope.reshape(-1),
        )
        traces["slope"][...] = slope
        return activity

    def slopes(self, drive: Array, traces: Mapping[str, Array]) -> tuple[Array, ...]:
        return (traces["slope"],)

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

    @property
    def passes(self) -> Passes:
        return Passes(_forward, _adjoint, _tangent)

    def options(self, dtype: np.dtype) -> tuple[int, Any, bool, Array]:
        start = np.atleast_1d(np.asarray(self.start, dtype)) if self.started else np.empty(0, dtype)
        return self.function.code, dtype.type(self.leak), self.leaking == "rate", start


@kernel
def _step(
    code: int, leak: float, rate: bool, drive: Array, kept: Array, activity: Array, slope: Array
) -> None:
    """One step of all neurons."""
    keeping = type(leak)(1) - leak
    if rate:
        activate(code, drive, activity)
        derivative(code, drive, activity, slope)
        for n in range(kept.size):
            kept[n] = keeping * kept[n] + leak * activity[n]
        activity[:] = kept
    else:
        for n in range(kept.size):
            kept[n] = keeping * kept[n] + leak * drive[n]
        activate(code, kept, activity)
        derivative(code, kept, activity, slope)


@kernel
def _forward(
    block: Block,
    options: tuple[int, float, bool, Array],
    weights: Weights,
    outside: Array,
    noise: Array,
    amplitude: float,
    drive: Array,
    activity: Array,
    traces: tuple[Array],
) -> None:
    code, leak, rate, start = options
    (slope,) = traces
    first, last, low, high = block
    steps, size, rows = drive.shape[1], drive.shape[3], high - low
    before = np.zeros(((last - first) * rows, size), drive.dtype)
    arriving, kept = np.zeros_like(before), np.zeros_like(before)
    noisy = np.empty(size, drive.dtype)
    started = start.shape[0] > 0
    if started:
        before[:], kept[:] = start, start
    for t in range(steps):
        if t > 0 or started:
            product(before, weights, first, arriving)
        for row in range(before.shape[0]):
            s, b = first + row // rows, low + row % rows
            now, recurrent = part(drive, s, t, b, b + 1), arriving[row]
            if outside.shape[0] > 0:
                given = part(outside, s, t, b, b + 1)
                for n in range(size):
                    now[n] = given[n] + recurrent[n]
            else:
                for n in range(size):
                    now[n] += recurrent[n]
            if noise.shape[0] > 0:
                disturbance = part(noise, s, t, b, b + 1)
                for n in range(size):
                    noisy[n] = now[n] + amplitude * disturbance[n]
                now = noisy
            rates, slopes = part(activity, s, t, b, b + 1), part(slope, s, t, b, b + 1)
            _step(code, leak, rate, now, kept[row], rates, slopes)
            before[row] = rates


@kernel
def _adjoint(
    block: Block,
    options: tuple[int, float, bool, Array],
    weights: Weights,
    own: Array,
    along: tuple[Array],
    signals: Array,
) -> None:
    _, leak, rate, _ = options
    (slope,) = along
    first, last, low, high = block
    steps, size, rows = signals.shape[1], signals.shape[3], high - low
    after = np.zeros(((last - first) * rows, size), signals.dtype)
    returning, kept = np.zeros_like(after), np.zeros_like(after)
    keeping = type(leak)(1) - leak
    for t in range(steps - 1, -1, -1):
        if t < steps - 1:
            product(after, weights, first, returning)
        for row in range(after.shape[0]):
            s, b = first + row // rows, low + row % rows
            slopes, signal = part(slope, s, t, b, b + 1), part(signals, s, t, b, b + 1)
            later, back, carried = after[row], returning[row], kept[row]
            if rate:
                for n in range(size):
                    total = signal[n] + back[n] + own[n] * later[n] + carried[n]
                    carried[n] = keeping * total
                    later[n] = leak * (slopes[n] * total)
            else:
                for n in range(size):
                    total = slopes[n] * (signal[n] + back[n] + own[n] * later[n]) + carried[n]
                    carried[n] = keeping * total
                    later[n] = leak * total
            part(signals, s, t, b, b + 1)[:] = later


@kernel
def _tangent(
    block: Block,
    options: tuple[int, float, bool, Array],
    weights: Weights,
    along: tuple[Array],
    outside: Array,
    drive: Array,
    activity: Array,
) -> None:
    _, leak, rate, _ = options
    (slope,) = along
    first, last, low, high = block
    steps, size, rows = drive.shape[1], drive.shape[3], high - low
    before = np.zeros(((last - first) * rows, size), drive.dtype)
    arriving, kept = np.zeros_like(before), np.zeros_like(before)
    keeping = type(leak)(1) - leak
    for t in range(steps):
        if t > 0:
            product(before, weights, first, arriving)
        for s in range(first, last):
            here = slice((s - first) * rows, (s - first + 1) * rows)
            now, given = part(drive, s, t, low, high), part(outside, s, t, low, high)
            slopes, changes = part(slope, s, t, low, high), part(activity, s, t, low, high)
            recurrent, moved = arriving[here].reshape(-1), kept[here].reshape(-1)
            for n in range(now.size):
                now[n] = given[n] + recurrent[n]
            if rate:
                for n in range(now.size):
                    moved[n] = keeping * moved[n] + leak * (slopes[n] * now[n])
                changes[:] = moved
            else:
                for n in range(now.size):
                    moved[n] = keeping * moved[n] + leak * now[n]
                    changes[n] = slopes[n] * moved[n]
            before[here].reshape(-1)[:] = changes
