"""Leaky integrate-and-fire neurons in discrete time, with a pseudo-derivative of their spikes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.blocks import Block, Weights, part, product
from plausibench.architectures.temporal import Compiled, Passes, State
from plausibench.kernels.compiled import kernel
from plausibench.kernels.elementwise import SIGMOID, activate
from plausibench.kernels.errors import InputError, choose, flag, integer, number, positive

Array = np.ndarray

FILTERS = ("single", "double", "double_continuous")
SHAPES = ("fast_sigmoid", "triangle", "sigmoid")
RESETS = ("to_zero", "subtract")


@dataclass(frozen=True)
class Surrogate:
    r"""Pseudo-derivative of a spike by the distance v of the potential to threshold.

    With height h and sharpness k it is :math:`h / (1 + k |v|)^2` (``fast_sigmoid``, Zenke &
    Ganguli 2018), :math:`h \max(0, 1 - k |v|)` (``triangle``, Bellec et al. 2020), or
    :math:`4 h \sigma(k v) (1 - \sigma(k v))` (``sigmoid``): with h = k / 4 the slope of the
    probability to spike under logistic noise.

    Parameters
    ----------
    shape
        fast_sigmoid, triangle or sigmoid.
    sharpness
        k, in units of one over the threshold.
    height
        h, the value at threshold.
    """

    shape: str = "fast_sigmoid"
    sharpness: float = 25.0
    height: float = 1.0

    def __post_init__(self) -> None:
        choose("shape", self.shape, SHAPES)
        positive("sharpness", self.sharpness)
        positive("height", self.height)

    def __call__(self, distance: Array) -> Array:
        slope = np.array(distance, order="C")
        _pseudo(*self.options(slope.dtype), slope.reshape(-1))
        return slope

    def options(self, dtype: np.dtype) -> tuple[int, Any, Any]:
        """Shape, sharpness and height as compiled code takes them."""
        sharpness, height = dtype.type(self.sharpness), dtype.type(self.height)
        return SHAPES.index(self.shape), sharpness, height


@dataclass(frozen=True)
class IntegrateAndFire(Compiled):
    r"""Leaky integrate-and-fire neurons whose activity is their filtered spikes.

    One step, of length dt, with :math:`\alpha_x = e^{-dt / \tau_x}` (Lin & Huang 2023; adaptive
    threshold as in Bellec et al. 2020):

    .. math::
       I &\leftarrow \alpha_s I + u, \\
       U &\leftarrow \mathbb 1[\text{not refractory}]\,
             (\alpha_m U + (1 - \alpha_m) I)(1 - s), \\
       r &\leftarrow \alpha_d r + \text{spikes } s \text{ of the step before, filtered}, \qquad
       a \leftarrow \alpha_a a + s, \\
       s &\leftarrow \mathbb 1[U - 1 - \beta a > 0].

    Reset by subtraction takes the threshold off in place of all: :math:`U \leftarrow \alpha_m U +
    (1 - \alpha_m) I - s`, so that what exceeded it is not lost.

    Spikes have no derivative: adjoint and tangent use the surrogate in its place.

    Parameters
    ----------
    filtering
        ``single``: r <- a_d r + dt/tau_d s; ``double``: h <- a_r h + s, r <- a_d r + (1 - a_d) h;
        ``double_continuous``: h <- a_r h + dt / (tau_d tau_r) s, r <- a_d r + dt h.
    refractory
        Steps after a spike in which the potential is held at 0; spikes are one step further apart.
    reset
        ``to_zero``, or ``subtract``: by the threshold of 1, without refractory steps.
    detach_reset
        Whether the reset of the potential passes no signal back.
    adaptation
        beta: what a spike adds to the threshold.
    surrogate
        The pseudo-derivative.
    step_length, synaptic, membrane, decay, rise, adaptation_time
        dt and time constants of current, potential, filter (tau_d, tau_r) and threshold, all in
        milliseconds.
    """

    filtering: str = "single"
    refractory: int = 5
    reset: str = "to_zero"
    detach_reset: bool = False
    adaptation: float = 0.0
    surrogate: Surrogate = field(default_factory=Surrogate)
    step_length: float = 2.0
    synaptic: float = 10.0
    membrane: float = 20.0
    decay: float = 30.0
    rise: float = 2.0
    adaptation_time: float = 200.0

    traces: ClassVar[tuple[str, ...]] = ("pseudo", "open", "charge", "spikes")
    spiking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        choose("filtering", self.filtering, FILTERS)
        integer("refractory", self.refractory, least=0)
        choose("reset", self.reset, RESETS)
        if self.reset == "subtract" and self.refractory:
            raise InputError(
                "reset: subtract keeps what exceeds the threshold, and refractory steps hold the "
                f"potential at 0; refractory is {self.refractory}, allowed is 0"
            )
        flag("detach_reset", self.detach_reset)
        number("adaptation", self.adaptation, least=0)
        for name in ("step_length", "synaptic", "membrane", "decay", "rise", "adaptation_time"):
            positive(name, getattr(self, name))

    @property
    def gain(self) -> float:
        return 1.0

    @property
    def fastest(self) -> float:
        """One spike in as many steps as they are apart at least; a reset to zero takes one."""
        return 1.0 if self.reset == "subtract" else 1 / max(self.refractory + 1, 2)

    @property
    def factors(self) -> Array:
        """Decays alpha, weights and beta, refractory steps, and 1 for a reset by subtraction.

        In the order alpha_s, alpha_m, alpha_r, weight of s, alpha_d, weight of h, alpha_a, beta.
        """
        dt = self.step_length
        a_s, a_m, a_r, a_d, a_a = (
            exp(-dt / tau)
            for tau in (self.synaptic, self.membrane, self.rise, self.decay, self.adaptation_time)
        )
        of_spike, of_filter = {
            "single": (1.0, dt / self.decay),
            "double": (1.0, 1 - a_d),
            "double_continuous": (dt / (self.decay * self.rise), dt),
        }[self.filtering]
        # A single filter is a double one whose first stage keeps nothing.
        a_r = 0.0 if self.filtering == "single" else a_r
        decays = [a_s, a_m, a_r, of_spike, a_d, of_filter, a_a, self.adaptation]
        return np.array([*decays, self.refractory, self.reset == "subtract"])

    def rest(self, shape: tuple[int, ...], dtype: np.dtype) -> State:
        names = ("current", "potential", "spike", "rising", "filtered", "adapted")
        state = {name: np.zeros(shape, dtype) for name in names}
        return {**state, "since": np.full(shape, self.refractory + 1, dtype)}

    def step(self, state: State, drive: Array, traces: Mapping[str, Array]) -> Array:
        left = [np.empty_like(drive) for _ in range(3)]
        _step(
            *self.options(drive.dtype),
            drive.reshape(-1),
            *(array.reshape(-1) for array in state.values()),
            *(array.reshape(-1) for array in left),
        )
        for name, array in zip(self.traces, (*left, state["spike"]), strict=True):
            traces[name][...] = array
        return state["filtered"].copy()

    def slopes(self, drive: Array, traces: Mapping[str, Array]) -> tuple[Array, ...]:
        charge = traces["charge"]
        reset = np.zeros_like(charge) if self.detach_reset else charge
        return traces["pseudo"], traces["open"], reset

    def adjoint_step(self, slopes: tuple[Array, ...], signal: Array, carried: State) -> Array:
        a_s, a_m, a_r, of_spike, a_d, of_filter, a_a, beta = map(float, self.factors[:8])
        pseudo, opened, reset = slopes
        spike, filtered = carried.get("spike", 0.0), carried.get("filtered", 0.0) + signal
        threshold = pseudo * spike
        potential = carried.get("potential", 0.0) + threshold
        adapted = carried.get("adapted", 0.0) - beta * threshold
        rising = carried.get("rising", 0.0) + of_filter * filtered
        into = opened * potential
        current = carried.get("current", 0.0) + (1 - a_m) * into
        carried["spike"] = of_spike * rising + adapted - reset * potential
        carried["filtered"], carried["rising"] = a_d * filtered, a_r * rising
        carried["adapted"], carried["potential"] = a_a * adapted, a_m * into
        carried["current"] = a_s * current
        return current

    def tangent_step(self, slopes: tuple[Array, ...], change: Array, moved: State) -> Array:
        a_s, a_m, a_r, of_spike, a_d, of_filter, a_a, beta = map(float, self.factors[:8])
        pseudo, opened, reset = slopes
        spike = moved.get("spike", np.zeros_like(change))
        moved["current"] = a_s * moved.get("current", 0.0) + change
        charge = a_m * moved.get("potential", 0.0) + (1 - a_m) * moved["current"]
        moved["potential"] = opened * charge - reset * spike
        moved["rising"] = a_r * moved.get("rising", 0.0) + of_spike * spike
        moved["filtered"] = a_d * moved.get("filtered", 0.0) + of_filter * moved["rising"]
        moved["adapted"] = a_a * moved.get("adapted", 0.0) + spike
        moved["spike"] = pseudo * (moved["potential"] - beta * moved["adapted"])
        return moved["filtered"]

    @property
    def passes(self) -> Passes:
        return Passes(_forward, _adjoint, _tangent)

    def options(self, dtype: np.dtype) -> tuple[Array, int, Any, Any]:
        return self.factors.astype(dtype), *self.surrogate.options(dtype)


@kernel
def _pseudo(shape: int, sharpness: float, height: float, distance: Array) -> None:
    """Replace distances to threshold by the pseudo-derivative there."""
    real = type(height)
    zero, one = real(0), real(1)
    if shape == 0:
        for n in range(distance.size):
            under = one + sharpness * abs(distance[n])
            distance[n] = height / (under * under)
    elif shape == 1:
        for n in range(distance.size):
            left = one - sharpness * abs(distance[n])
            distance[n] = height * left if left > zero else zero
    else:
        for n in range(distance.size):
            distance[n] = -sharpness * abs(distance[n])
        activate(SIGMOID, distance, distance)
        for n in range(distance.size):
            distance[n] = real(4) * height * distance[n] * (one - distance[n])


@kernel
def _step(
    factors: Array,
    shape: int,
    sharpness: float,
    height: float,
    drive: Array,
    current: Array,
    potential: Array,
    spike: Array,
    rising: Array,
    filtered: Array,
    adapted: Array,
    since: Array,
    pseudo: Array,
    opened: Array,
    charge: Array,
) -> None:
    """One step of all neurons; ``since`` counts the steps since the last spike."""
    a_s, a_m, a_r, of_spike = factors[0], factors[1], factors[2], factors[3]
    a_d, of_filter, a_a, beta = factors[4], factors[5], factors[6], factors[7]
    refractory, subtracted = factors[8], factors[9]
    one = factors.dtype.type(1)
    zero = factors.dtype.type(0)
    for n in range(drive.size):
        before = spike[n]
        gate = one if since[n] >= refractory else zero
        current[n] = a_s * current[n] + drive[n]
        held = gate * (a_m * potential[n] + (one - a_m) * current[n])
        # What a spike takes off the potential: all, or the threshold.
        charge[n] = subtracted + (one - subtracted) * held
        opened[n] = gate * (one - (one - subtracted) * before)
        potential[n] = held - charge[n] * before
        rising[n] = a_r * rising[n] + of_spike * before
        filtered[n] = a_d * filtered[n] + of_filter * rising[n]
        adapted[n] = a_a * adapted[n] + before
        pseudo[n] = potential[n] - one - beta * adapted[n]
        spike[n] = one if pseudo[n] > zero else zero
        since[n] = zero if pseudo[n] > zero else since[n] + one
    _pseudo(shape, sharpness, height, pseudo)


@kernel
def _forward(
    block: Block,
    options: tuple[Array, int, float, float],
    weights: Weights,
    outside: Array,
    noise: Array,
    amplitude: float,
    drive: Array,
    activity: Array,
    traces: tuple[Array, Array, Array, Array],
) -> None:
    factors, shape, sharpness, height = options
    pseudo, opened, charge, spikes = traces
    first, last, low, high = block
    steps, size, rows = drive.shape[1], drive.shape[3], high - low
    before = np.zeros(((last - first) * rows, size), drive.dtype)
    arriving = np.zeros_like(before)
    states = np.zeros((last - first, 6, rows * size), drive.dtype)
    states[:, 5] = factors[8]
    noisy = np.empty(rows * size, drive.dtype)
    for t in range(steps):
        if t > 0:
            product(before, weights, first, arriving)
        for s in range(first, last):
            here = slice((s - first) * rows, (s - first + 1) * rows)
            now, filtered = part(drive, s, t, low, high), before[here].reshape(-1)
            recurrent = arriving[here].reshape(-1)
            if outside.shape[0] > 0:
                given = part(outside, s, t, low, high)
                for n in range(now.size):
                    now[n] = given[n] + recurrent[n]
            else:
                for n in range(now.size):
                    now[n] += recurrent[n]
            if noise.shape[0] > 0:
                disturbance = part(noise, s, t, low, high)
                for n in range(now.size):
                    noisy[n] = now[n] + amplitude * disturbance[n]
                now = noisy
            own = states[s - first]
            _step(
                factors,
                shape,
                sharpness,
                height,
                now,
                own[0],
                own[1],
                own[2],
                own[3],
                filtered,
                own[4],
                own[5],
                part(pseudo, s, t, low, high),
                part(opened, s, t, low, high),
                part(charge, s, t, low, high),
            )
            part(spikes, s, t, low, high)[:] = own[2]
            part(activity, s, t, low, high)[:] = filtered


@kernel
def _adjoint(
    block: Block,
    options: tuple[Array, int, float, float],
    weights: Weights,
    own: Array,
    slopes: tuple[Array, Array, Array],
    signals: Array,
) -> None:
    factors = options[0]
    pseudo, opened, reset = slopes
    a_s, a_m, a_r, of_spike = factors[0], factors[1], factors[2], factors[3]
    a_d, of_filter, a_a, beta = factors[4], factors[5], factors[6], factors[7]
    charging = factors.dtype.type(1) - a_m
    first, last, low, high = block
    steps, size, rows = signals.shape[1], signals.shape[3], high - low
    after = np.zeros(((last - first) * rows, size), signals.dtype)
    returning = np.zeros_like(after)
    # Signals on the state after a step: of spike, filter, its first stage, threshold, potential
    # and current.
    states = np.zeros((after.shape[0], 6, size), signals.dtype)
    for t in range(steps - 1, -1, -1):
        if t < steps - 1:
            product(after, weights, first, returning)
        for row in range(after.shape[0]):
            s, b = first + row // rows, low + row % rows
            signal, later, back = part(signals, s, t, b, b + 1), after[row], returning[row]
            slope, gate = part(pseudo, s, t, b, b + 1), part(opened, s, t, b, b + 1)
            kept = part(reset, s, t, b, b + 1)
            carried = states[row]
            for n in range(size):
                filtered = carried[1, n] + (signal[n] + back[n] + own[n] * later[n])
                threshold = slope[n] * carried[0, n]
                potential = carried[4, n] + threshold
                adapted = carried[3, n] - beta * threshold
                rising = carried[2, n] + of_filter * filtered
                into = gate[n] * potential
                current = carried[5, n] + charging * into
                carried[0, n] = of_spike * rising + adapted - kept[n] * potential
                carried[1, n] = a_d * filtered
                carried[2, n] = a_r * rising
                carried[3, n] = a_a * adapted
                carried[4, n] = a_m * into
                carried[5, n] = a_s * current
                later[n] = current
            part(signals, s, t, b, b + 1)[:] = later


@kernel
def _tangent(
    block: Block,
    options: tuple[Array, int, float, float],
    weights: Weights,
    slopes: tuple[Array, Array, Array],
    outside: Array,
    drive: Array,
    activity: Array,
) -> None:
    factors = options[0]
    pseudo, opened, reset = slopes
    a_s, a_m, a_r, of_spike = factors[0], factors[1], factors[2], factors[3]
    a_d, of_filter, a_a, beta = factors[4], factors[5], factors[6], factors[7]
    charging = factors.dtype.type(1) - a_m
    first, last, low, high = block
    steps, size, rows = drive.shape[1], drive.shape[3], high - low
    before = np.zeros(((last - first) * rows, size), drive.dtype)
    arriving = np.zeros_like(before)
    # Changes of spike, filter, its first stage, threshold, potential and current.
    states = np.zeros((before.shape[0], 6, size), drive.dtype)
    for t in range(steps):
        if t > 0:
            product(before, weights, first, arriving)
        for row in range(before.shape[0]):
            s, b = first + row // rows, low + row % rows
            now, given = part(drive, s, t, b, b + 1), part(outside, s, t, b, b + 1)
            slope, gate = part(pseudo, s, t, b, b + 1), part(opened, s, t, b, b + 1)
            kept, recurrent, moved = part(reset, s, t, b, b + 1), arriving[row], states[row]
            filtered = before[row]
            for n in range(size):
                now[n] = given[n] + recurrent[n]
                spike = moved[0, n]
                current = a_s * moved[5, n] + now[n]
                charge = a_m * moved[4, n] + charging * current
                potential = gate[n] * charge - kept[n] * spike
                rising = a_r * moved[2, n] + of_spike * spike
                filtered[n] = a_d * moved[1, n] + of_filter * rising
                adapted = a_a * moved[3, n] + spike
                moved[0, n] = slope[n] * (potential - beta * adapted)
                moved[1, n] = filtered[n]
                moved[2, n] = rising
                moved[3, n] = adapted
                moved[4, n] = potential
                moved[5, n] = current
            part(activity, s, t, b, b + 1)[:] = filtered
