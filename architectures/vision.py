"""What architectures on images have in common: layers of receptive fields, and dense ones above."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from plausibench.architectures.architecture import Architecture, Layer, stacked
from plausibench.architectures.convolution import (
    ChannelBias,
    ConvolutionalSynapse,
    ReceptiveFields,
    Windows,
)
from plausibench.architectures.network import Network
from plausibench.architectures.neurons import ACTIVATIONS, Pointwise
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse, Synapse
from plausibench.kernels.errors import InputError, choose, flag, integer, refusal, sizes


@dataclass(frozen=True)
class Vision(Architecture):
    """Layers of receptive fields on an image, and something that reads them out.

    Parameters
    ----------
    shape
        Height and width of the image, and its channels if there is more than one.
    channels
        Channels of each layer of receptive fields.
    kernel, stride
        Side of the receptive fields, and pixels from one to the next (a stride in place of
        pooling): one number, or one for each layer.
    padding
        Zeros around the image and around the maps of every layer.
    outputs
        Output units.
    activation
        Of all layers but the output: identity, tanh, sigmoid, relu, softplus or hard_sigmoid.
    output
        Activation of the output layer.
    bias
        Whether neurons have a bias.
    """

    shape: Sequence[int] = (8, 8)
    channels: Sequence[int] = (8, 16)
    kernel: Sequence[int] | int = 3
    stride: Sequence[int] | int = 2
    padding: int = 1
    outputs: int = 10
    activation: str = "tanh"
    output: str = "identity"
    bias: bool = True

    def __post_init__(self) -> None:
        shape = sizes("shape", self.shape, fewest=2)
        if len(shape) > 3:
            raise refusal("shape", self.shape, "height and width, and channels if there are more")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "channels", sizes("channels", self.channels))
        for field in ("kernel", "stride"):
            given = sizes(field, getattr(self, field))
            every = given * len(self.channels) if len(given) == 1 else given
            if len(every) != len(self.channels):
                raise refusal(field, given, "one number, or one for each entry of channels")
            object.__setattr__(self, field, every)
        integer("padding", self.padding, least=0)
        integer("outputs", self.outputs, least=1)
        flag("bias", self.bias)
        for field in ("activation", "output"):
            choose(field, getattr(self, field), ACTIVATIONS)

    def synapse(self, windows: Windows, channels: int) -> ReceptiveFields:
        """Synapses of a layer of receptive fields; by default they share weights."""
        return ConvolutionalSynapse(windows, channels)

    def bias_synapse(self, positions: int, channels: int) -> Synapse:
        """Biases of such a layer."""
        return ChannelBias(positions, channels)

    def windows(self) -> tuple[Windows, ...]:
        """Windows of each layer of receptive fields.

        Raises
        ------
        InputError
            If a kernel is larger than what it looks at.
        """
        height, width, channels = (*self.shape, 1)[:3]
        found = []
        # One number has become a tuple in __post_init__, which mypy does not see.
        layers = zip(self.kernel, self.stride, self.channels, strict=True)  # type: ignore[arg-type]
        for side, stride, above in layers:
            if side > min(height, width) + 2 * self.padding:
                raise InputError(
                    f"kernel: {side} does not fit an image or a map of {height} x {width} with "
                    f"padding {self.padding}"
                )
            one = Windows(height, width, channels, side, stride, self.padding)
            found.append(one)
            height, width, channels = one.rows, one.columns, above
        return tuple(found)

    def core(self) -> list[Layer]:
        """Layers of receptive fields."""
        found = []
        for number, windows in enumerate(self.windows(), start=1):
            channels, neurons = self.channels[number - 1], Pointwise(self.activation)
            fields = self.synapse(windows, channels)
            bias = self.bias_synapse(windows.positions, channels) if self.bias else None
            found.append(Layer(f"layer{number}", neurons, fields, fields.inflow, bias))
        return found


@dataclass(frozen=True)
class Layered(Vision):
    """Dense layers above the receptive fields.

    Parameters
    ----------
    hidden
        Units of the dense hidden layers.
    """

    hidden: Sequence[int] = ()

    registered: ClassVar[str]
    """Name in the registry."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hidden", sizes("hidden", self.hidden, fewest=0))

    def build(self, seed: int = 0) -> Network:
        layers = self.core()
        for units in (*self.hidden, self.outputs):
            below, number = layers[-1].synapse.factors[0], len(layers) + 1
            last = number == len(self.channels) + len(self.hidden) + 1
            neurons = Pointwise(self.output if last else self.activation)
            bias = BiasSynapse(units) if self.bias else None
            dense = DenseSynapse(units, below)
            layers.append(Layer(f"layer{number}", neurons, dense, below, bias))
        return stacked(self.registered, prod(self.shape), layers, seed)
