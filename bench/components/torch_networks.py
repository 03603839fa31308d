"""Networks made of PyTorch modules, and modules that get back what was learned."""

import copy
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.architecture import Architecture
from plausibench.architectures.network import Network
from plausibench.architectures.wired import WiredNetwork
from plausibench.bench.components.registry import snake
from plausibench.bench.components.torch_graph import (
    Layout,
    Reader,
    check_module,
    first_inputs,
    installed,
    trace,
)
from plausibench.kernels.arrays import numbers
from plausibench.kernels.errors import InputError, nearest, refusal, show, sizes
from plausibench.kernels.streams import generator
from plausibench.rules.rule import State

Array = np.ndarray

ROUNDING = 1e-9
"""Largest difference between outputs of module and network, relative to the largest output."""


@dataclass(frozen=True, eq=False, repr=False)
class TorchNetwork(WiredNetwork):
    """A network made of a PyTorch module, with the module's parameters under their names.

    Maps are flat here with the channel running fastest, so that kernels, and weights after a
    Flatten, lie in another order than in the module. The methods translate; they read tensors
    and arrays.

    Parameters
    ----------
    layouts
        How each parameter lies there and here.
    taken
        Shape of one input as the module takes it.
    """

    layouts: Mapping[str, Layout]
    taken: tuple[int, ...]

    def rows(self, inputs: Any) -> Array:
        """Inputs ``(B, N)`` of the network for those of the module, such as ``(B, C, H, W)``.

        Raises
        ------
        InputError
            If they have another shape.
        """
        array = numbers("inputs", inputs)
        if array.shape[1:] != self.taken or array.ndim < 2:
            allowed = ", ".join(map(str, self.taken))
            raise InputError(f"inputs: shape {array.shape} is not (B, {allowed})")
        last = np.moveaxis(array, 1, -1)
        return np.ascontiguousarray(last).reshape(len(array), -1)

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, Array]:
        """Arrays as the network has them, for those of some or all parameters of the module.

        Raises
        ------
        InputError
            If one has the name or the shape of no parameter.
        """
        arrays = {}
        for name, layout in self._named("tensors", tensors).items():
            array = numbers(f"tensors: {name}", tensors[name])
            _check_shape("tensors", name, array, layout.module)
            arrays[name] = layout.to_network(array)
        return arrays

    def tensors(self, arrays: Mapping[str, Any]) -> dict[str, Array]:
        """Arrays as the module has them: undoes :meth:`arrays`.

        Raises
        ------
        InputError
            If one has the name or the shape of no parameter.
        """
        tensors = {}
        for name, layout in self._named("arrays", arrays).items():
            array = numbers(f"arrays: {name}", arrays[name])
            _check_shape("arrays", name, array, layout.network)
            tensors[name] = layout.to_module(array)
        return tensors

    def gradients(self, module: Any) -> dict[str, Array]:
        """What ``backward()`` left in the module's parameters, as the network has them.

        Raises
        ------
        InputError
            If a parameter has no gradient.
        """
        given = dict(module.named_parameters())
        tensors = {}
        for name in self._named("module", given):
            if given[name].grad is None:
                raise InputError(
                    f"module: the gradient of {name} is None; backward() did not reach it"
                )
            tensors[name] = given[name].grad
        return self.arrays(tensors)

    def feedback(self, tensors: Mapping[str, Any]) -> State:
        """State of a rule with feedback layer by layer, for feedback as a module keeps it.

        Parameters
        ----------
        tensors
            For each parameter through which errors return, an array of its shape.

        Raises
        ------
        InputError
            If one is missing, or has the name or the shape of no parameter.
        """
        arrays, state = self.arrays(tensors), {}
        for p in self.returning:
            if p.name not in arrays:
                raise InputError(f"tensors: {p.name} is missing, through which errors return")
            array = arrays[p.name].astype(self.dtype, copy=False)
            state[p.name] = np.ascontiguousarray(p.synapse.transpose(array))
        return state

    def _named(self, field: str, given: Mapping[str, Any]) -> dict[str, Layout]:
        """Layouts of the given parameters."""
        for name in given:
            if name not in self.layouts:
                near = nearest(name, self.layouts)
                raise InputError(
                    f"{field}: {show(name)} is not one of {', '.join(self.layouts)}"
                    + (f"; did you mean {near!r}?" if near else "")
                )
        return {name: layout for name, layout in self.layouts.items() if name in given}


def from_torch(module: Any, example: Any = None) -> TorchNetwork:
    """Make a network of a PyTorch module: the same function with the same parameters.

    Every rule then runs on it, if the rule can. What is read: Linear and Conv2d, Flatten, AvgPool2d
    and AdaptiveAvgPool2d, the activations ReLU, Tanh, Sigmoid and Softplus, Identity, Dropout that
    is switched off, and sums of layers, as in residual networks; in nn.Sequential, or in a module
    that torch.fx can trace. What is learned here goes back by :func:`to_torch`.

    Parameters
    ----------
    module
        Its parameters are copied, as float64; ``network.astype("float32")`` is the network in
        single precision.
    example
        A batch of inputs, as the module takes them, or the shape of one of them, such as
        ``(3, 32, 32)``. Only a module that begins with Linear can do without.

    Returns
    -------
    TorchNetwork
        Parameters have the names of the module's, ``0.weight`` or ``encoder.fc1.bias``. Inputs are
        flat, images with the channel running fastest; ``network.rows(images)`` makes them. Outputs
        that are maps are flat in that order, too.

    Raises
    ------
    InputError
        In one sentence that names the layer that cannot be read, with what to do.
    """
    check_module(module)
    graph = trace(module)
    inputs = _inputs(example, first_inputs(graph, module))
    read = Reader(module, graph, inputs.shape[1:])
    network = TorchNetwork(
        "from_torch",
        prod(inputs.shape[1:]),
        tuple(read.populations),
        tuple(read.projections),
        {p.name: read.parameters[p.name] for p in read.projections},
        tuple(read.wires),
        {p.name: read.layouts[p.name] for p in read.projections},
        inputs.shape[1:],
    )
    _check_same(network, module, inputs)
    return network


def to_torch(network: Network, module: Any) -> Any:
    """Write the parameters of a network into the module of which it was made.

    Returns
    -------
    Module
        The same module, changed.

    Raises
    ------
    InputError
        If the network was not made by :func:`from_torch`, or of another module.
    """
    torch = installed()
    if not isinstance(network, TorchNetwork):
        raise refusal("network", network, "made by bench.from_torch")
    if not isinstance(module, torch.nn.Module):
        raise refusal("module", module, "a torch.nn.Module")
    tensors, given = network.tensors(network.parameters), dict(module.named_parameters())
    for name, array in tensors.items():
        if name not in given:
            raise InputError(f"module: it has no {name}; the network was made of another module")
        _check_shape("module", name, given[name], array.shape)
    with torch.no_grad():
        for name, array in tensors.items():
            given[name].copy_(torch.as_tensor(array))
    return module


class TorchArchitecture(Architecture):
    """An architecture that is a PyTorch module: derive a dataclass and write :meth:`module`.

    Options named ``shape``, ``inputs``, ``outputs`` or ``sizes`` follow from the task, as in every
    architecture. With ``shape``, height, width and channels, the module is given images.
    """

    summary: ClassVar[str] = "a PyTorch module"

    @abstractmethod
    def module(self) -> Any:
        """The module, whose initial parameters may be drawn by torch's global generator."""

    def example(self) -> Any:
        """What :func:`from_torch` takes as example; by default images of the option ``shape``."""
        shape = getattr(self, "shape", None)
        if shape is None:
            return None
        height, width, channels = (*sizes("shape", shape, fewest=2), 1)[:3]
        return channels, height, width

    def build(self, seed: int = 0) -> Network:
        torch = installed()
        start = int(generator(seed, "init", "torch").integers(2**63))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(start)
            module = self.module()
        return replace(from_torch(module, self.example()), architecture=snake(type(self).__name__))


def _inputs(example: Any, units: int | None) -> Array:
    """A batch of inputs as the module takes them."""
    allowed = "a batch of inputs (B, N) or (B, channels, height, width), or the shape of one"
    if example is None:
        if units is None:
            raise InputError(
                f"example: the module does not say what it takes; give {allowed}, as in "
                "example=(3, 32, 32)"
            )
        example = (units,)
    if isinstance(example, int | tuple) or getattr(example, "ndim", None) == 0:
        shape = sizes("example", example)
        array = generator(0, "data", "example").standard_normal((2, *shape))
    else:
        array = numbers("example", example).astype(np.float64)
    if array.ndim not in (2, 4) or not array.size:
        raise InputError(f"example: shape {array.shape} is not that of {allowed}")
    if not np.isfinite(array).all():
        raise InputError("example: it has numbers that are not finite")
    return array


def _check_same(network: TorchNetwork, module: Any, inputs: Array) -> None:
    """Refuse a network that is not the function of its module, whatever was overlooked."""
    import torch

    double = copy.deepcopy(module).double()
    with torch.no_grad():
        theirs = numbers("module", double(torch.as_tensor(inputs)))
    ours = network.forward(network.rows(inputs)).output
    theirs = np.moveaxis(theirs, 1, -1).reshape(len(inputs), -1)
    apart = np.abs(ours - theirs).max(initial=0.0)
    if not apart <= ROUNDING * max(1.0, np.abs(theirs).max(initial=0.0)):
        raise InputError(
            f"module: what is read of {type(module).__name__} gives other outputs than it, by up "
            f"to {apart:.1e}; a layer that changes its input in place may be the reason"
        )


def _check_shape(field: str, name: str, array: Any, allowed: tuple[int, ...]) -> None:
    if tuple(array.shape) != allowed:
        raise InputError(f"{field}: {name} has shape {tuple(array.shape)}; allowed is {allowed}")
