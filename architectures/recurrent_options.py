"""Options of recurrent networks, whatever their recurrent weights are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plausibench.architectures.architecture import HIDDEN, Architecture
from plausibench.architectures.integrate_and_fire import SHAPES, IntegrateAndFire, Surrogate
from plausibench.architectures.neurons import ACTIVATIONS, Neurons, Pointwise
from plausibench.architectures.temporal import Leaky
from plausibench.kernels.errors import InputError, choose, flag, number, sizes
from plausibench.kernels.plain import plain


def first_rates(start: object, layers: Sequence[int]) -> float | tuple[float, ...]:
    """One number for all neurons of these layers, or one for each of them.

    Raises
    ------
    InputError
        If it is neither.
    """
    given = plain(start)
    if not isinstance(given, Sequence) or isinstance(given, str):
        return number("start", given)
    rates = tuple(number("start", rate) for rate in given)
    if len(rates) != sum(layers):
        raise InputError(
            f"start: {len(rates)} rates for {sum(layers)} neurons in recurrent layers; allowed is "
            "one number for all, or one for each"
        )
    return rates


@dataclass(frozen=True)
class RateLayers(Architecture):
    """Leaky rates in one layer or several, and a readout.

    Parameters
    ----------
    sizes
        Units from inputs over recurrent layers to outputs, for example ``[4, 50, 2]``.
    activation
        Of the recurrent layers: identity, tanh, sigmoid, relu, softplus or hard_sigmoid.
    output
        Activation of the readout.
    leak
        Share of a rate that a step replaces: the time step over the time constant; 1 forgets
        everything.
    leaking
        ``rate``, h_t = (1 - k) h_(t-1) + k f(u_t), or ``potential``, f of the leaking drive.
    recurrence
        Strength of the first recurrent weights: their spectral radius, roughly.
    initial
        First recurrent weights: ``gaussian``, ``orthogonal`` or ``identity``.
    readout
        Leak of the readout; 1 reads out the present step alone.
    bias
        Whether neurons have a bias.
    steps
        Time steps for which inputs without a time axis are shown.
    start
        Rates before the first step, which are not learned: one number for all neurons, or a list
        with one for each neuron of the recurrent layers, in their order.
    """

    sizes: Sequence[int]
    activation: str = "tanh"
    output: str = "identity"
    leak: float = 0.5
    leaking: str = "rate"
    recurrence: float = 1.0
    initial: str = "gaussian"
    readout: float = 1.0
    bias: bool = True
    steps: int = 5
    start: float | Sequence[float] = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes("sizes", self.sizes, fewest=2))
        object.__setattr__(self, "start", first_rates(self.start, self.sizes[1:-1]))
        flag("bias", self.bias)
        number("readout", self.readout, above=0, most=1)
        choose("output", self.output, ACTIVATIONS)
        # Refuses what does not fit, before any network is asked for.
        self.build()

    @property
    def neurons(self) -> list[Neurons]:
        """Of each layer."""
        hidden: list[Neurons] = []
        given = self.start if isinstance(self.start, tuple) else None
        for size in self.sizes[1:-1]:
            start: Any = self.start
            if given is not None:
                start, given = given[:size], given[size:]
            hidden.append(Leaky(self.activation, self.leak, self.leaking, start))
        top: Neurons = Pointwise(self.output)
        if self.readout != 1:
            top = Leaky(self.output, self.readout, "potential")
        return [*hidden, top]


@dataclass(frozen=True)
class SpikingLayers(Architecture):
    """Leaky integrate-and-fire neurons in one layer or several, and a linear readout.

    The gradient is backpropagation through time with the pseudo-derivative of the spikes: the
    gradient of the loss itself is 0 almost everywhere.

    Parameters
    ----------
    sizes
        Units from inputs over recurrent layers to outputs.
    filtering
        Synaptic filter of spikes: single, double or double_continuous.
    refractory
        Steps after a spike in which a neuron is silent.
    surrogate, sharpness, height
        Shape of the pseudo-derivative (fast_sigmoid, triangle, sigmoid), and its parameters.
    reset
        ``to_zero``, or ``subtract`` the threshold, which needs ``refractory = 0``.
    detach_reset
        Whether the reset passes no signal back.
    adaptation
        What a spike adds to the threshold, for ``adaptation_time``.
    step_length, synaptic, membrane, decay, rise, adaptation_time
        Time step and time constants in milliseconds.
    recurrence, initial
        First recurrent weights, as of rates.
    readout
        Leak of the readout; 1 reads out the present step alone.
    bias
        Whether neurons have a bias.
    steps
        Time steps for which inputs without a time axis are shown.
    """

    sizes: Sequence[int]
    filtering: str = "single"
    refractory: int = 5
    surrogate: str = "fast_sigmoid"
    sharpness: float = 25.0
    height: float = 1.0
    reset: str = "to_zero"
    detach_reset: bool = False
    adaptation: float = 0.0
    step_length: float = 2.0
    synaptic: float = 10.0
    membrane: float = 20.0
    decay: float = 30.0
    rise: float = 2.0
    adaptation_time: float = 200.0
    recurrence: float = 1.0
    initial: str = "gaussian"
    readout: float = 1.0
    bias: bool = False
    steps: int = 20

    @classmethod
    def usual(cls, options: Mapping[str, Any]) -> tuple[int, ...]:
        """One layer: before learning, few spikes of a first one make a second one spike."""
        return (sum(HIDDEN),)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes("sizes", self.sizes, fewest=2))
        flag("bias", self.bias)
        choose("surrogate", self.surrogate, SHAPES)
        number("readout", self.readout, above=0, most=1)
        # Refuses what does not fit, before any network is asked for.
        self.build()

    @property
    def neurons(self) -> list[Neurons]:
        """Of each layer."""
        hidden = IntegrateAndFire(
            filtering=self.filtering,
            refractory=self.refractory,
            reset=self.reset,
            detach_reset=self.detach_reset,
            adaptation=self.adaptation,
            surrogate=Surrogate(self.surrogate, self.sharpness, self.height),
            step_length=self.step_length,
            synaptic=self.synaptic,
            membrane=self.membrane,
            decay=self.decay,
            rise=self.rise,
            adaptation_time=self.adaptation_time,
        )
        top: Neurons = Pointwise("identity")
        if self.readout != 1:
            top = Leaky("identity", self.readout, "potential")
        return [*[hidden] * (len(self.sizes) - 2), top]
