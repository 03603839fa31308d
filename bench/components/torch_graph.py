"""Read a PyTorch module as populations, synapses and wires, or say by name what cannot be read."""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from plausibench.architectures.convolution import ChannelBias, ConvolutionalSynapse, Windows
from plausibench.architectures.network import CONSTANT, INPUT, Population, Projection
from plausibench.architectures.neurons import ACTIVATIONS, Neurons, Pointwise
from plausibench.architectures.pooling import (
    AveragePool,
    Competition,
    PooledSynapse,
    Wire,
    parts_of_average,
    windows_of_average,
)
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse, Synapse
from plausibench.bench.components.arguments import ALL
from plausibench.kernels.arrays import numbers
from plausibench.kernels.errors import InputError, refusal

Array = np.ndarray

HINTS = {
    "batchnorm": (
        "once it is trained, fold it into the layer before it with "
        "torch.nn.utils.fusion.fuse_conv_bn_eval, or leave it out"
    ),
    "batch_norm": "leave it out, or fold it into the layer before it",
    "norm": "leave it out",
    "maxpool": "use MaxPool2d or AvgPool2d, or a stride in the convolution before it",
    "max_pool": "use max_pool2d or avg_pool2d, or a stride in the convolution before it",
    "attention": "measure its gradient with bench.measure_function",
    "transformer": "measure its gradient with bench.measure_function",
    "softmax": "leave it out where the objective is cross_entropy, which has one",
    "lstm": "use a recurrent architecture, such as rate_rnn",
    "gru": "use a recurrent architecture, such as rate_rnn",
    "rnn": "use a recurrent architecture, such as rate_rnn",
}
"""What to do about a layer, by a part of its name."""
READ = (
    "Linear, Conv2d, Flatten, AvgPool2d, AdaptiveAvgPool2d, MaxPool2d, Dropout, Identity, sums, "
    f"and the activations {', '.join(ACTIVATIONS)}"
)
TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Layout:
    """How an array lies in the module and in the network.

    Attributes
    ----------
    module, network
        Its shapes there and there.
    split
        Its shape in the module with every axis apart.
    axes
        Order of these axes in the network.
    """

    module: tuple[int, ...]
    network: tuple[int, ...]
    split: tuple[int, ...]
    axes: tuple[int, ...]

    def to_network(self, array: Array) -> Array:
        """The array as the network has it."""
        moved = array.reshape(self.split).transpose(self.axes).reshape(self.network)
        return np.ascontiguousarray(moved)

    def to_module(self, array: Array) -> Array:
        """The array as the module has it."""
        parts = array.reshape([self.split[axis] for axis in self.axes])
        moved = parts.transpose(np.argsort(self.axes)).reshape(self.module)
        return np.ascontiguousarray(moved)


@dataclass(frozen=True)
class Term:
    """A part of a drive: activity of a population, or averages of it, through synapses or a wire.

    Attributes
    ----------
    source, seen
        The population, and the averages of its activity; None for the activity itself.
    name, synapse
        The parameter and its synapses; None for a wire.
    summed
        Averages of the drive by these synapses.
    """

    source: str
    seen: AveragePool | None = None
    name: str = ""
    synapse: Synapse | None = None
    summed: AveragePool | None = None


@dataclass(frozen=True)
class Value:
    """What a value of the module is in the network: a sum of terms, for one example.

    Attributes
    ----------
    shape
        As the module has it: channels, height and width of a map, or a number of units.
    terms
        A single one without synapses is activity of a population, which synapses can see.
    name
        Layer whose synapses are among them, or what adds them; empty for activity.
    flattened
        Shape of the map in whose order, channels first, units are counted.
    shared
        Whether more than one call sees it, or what it was made of.
    """

    shape: tuple[int, ...]
    terms: tuple[Term, ...]
    name: str = ""
    flattened: tuple[int, ...] | None = None
    shared: bool = False

    @property
    def is_activity(self) -> bool:
        """Whether it is activity, or averages of it."""
        return len(self.terms) == 1 and self.terms[0].synapse is None


@dataclass(frozen=True)
class Parameter:
    """A parameter that a function of the module is given."""

    name: str


class Examples:
    """Number of examples of a batch, which a module may ask for to flatten a map."""


@dataclass(frozen=True)
class Shape:
    """Shape of a value with its examples."""

    of: Value


def installed() -> Any:
    """PyTorch.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(
            "module: PyTorch is not installed; it comes with the extra torch of plausibench"
        ) from error
    return torch


def check_module(module: Any) -> None:
    """Refuse a module whose parameters cannot be those of a network.

    Raises
    ------
    InputError
        In one sentence that names the layer or the parameter, or if PyTorch is not installed.
    """
    torch = installed()
    if not isinstance(module, torch.nn.Module):
        raise refusal("module", module, "a torch.nn.Module")
    for name, parameter in module.named_parameters():
        if torch.nn.parameter.is_lazy(parameter):
            raise InputError(f"module: {name} has no shape yet; call the module once")
    for name, layer in module.named_modules():
        where = _where(name, layer)
        if any(getattr(layer, hooks, None) for hooks in HOOKS):
            raise InputError(f"module: {where} has hooks, which would be left out; remove them")
        if hasattr(layer, "parametrizations"):
            raise InputError(
                f"module: {where} is parametrized; make its weights plain with "
                "torch.nn.utils.parametrize.remove_parametrizations"
            )
    places: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        _check_parameter(name, parameter)
        first = places.setdefault(parameter.data_ptr(), name)
        if first != name:
            raise InputError(
                f"module: {name} and {first} are one parameter, and each projection of a network "
                "has its own; give them a copy each"
            )


def _check_parameter(name: str, parameter: Any) -> None:
    import torch

    if parameter.device.type != "cpu":
        raise InputError(
            f"module: {name} is on the device {parameter.device}; move the module with .cpu()"
        )
    if parameter.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"module: {name} is of type {str(parameter.dtype).removeprefix('torch.')}; convert the "
            "module with .float() or .double()"
        )
    if not parameter.numel():
        raise InputError(f"module: {name} has shape {tuple(parameter.shape)}; leave the layer out")
    if not parameter.requires_grad:
        raise InputError(
            f"module: {name} is frozen, and all parameters of a network learn; set "
            "requires_grad_(True), or apply what is frozen to the inputs beforehand"
        )
    if any(getattr(parameter, hooks, None) for hooks in TENSOR_HOOKS):
        raise InputError(f"module: {name} has hooks, which would be left out; remove them")
    if not bool(torch.isfinite(parameter).all()):
        raise InputError(f"module: {name} has numbers that are not finite")


def first_inputs(graph: Any, module: Any) -> int | None:
    """Input units of the module, where its first layer is Linear and says so."""
    import torch

    node = next(node for node in graph.nodes if node.op == "placeholder")
    while len(node.users) == 1:
        node = next(iter(node.users))
        layer = module.get_submodule(node.target) if node.op == "call_module" else None
        if type(layer) is torch.nn.Linear:
            return int(layer.in_features)
        if not isinstance(layer, torch.nn.Identity | torch.nn.Dropout):
            return None
    return None


def trace(module: Any) -> Any:
    """Graph of the calls that the module makes.

    Raises
    ------
    InputError
        If they depend on values, or the module has more than one input.
    """
    import torch.fx

    try:
        graph = torch.fx.Tracer().trace(module)
    except Exception as error:  # whatever the forward of a user raises
        short = textwrap.shorten(str(error), 100)
        raise InputError(
            f"module: torch.fx cannot trace {type(module).__name__} ({short}); its "
            "forward must be calls of layers that do not depend on values"
        ) from error
    inputs = [node.name for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise InputError(
            f"module: {type(module).__name__} has the inputs {', '.join(inputs) or 'none'}; write "
            "a module around it that has one"
        )
    return graph


class Reader:
    """Goes through the calls of a module and notes what they are in a network.

    Parameters
    ----------
    module
        Checked by :func:`check_module`.
    graph
        Of :func:`trace`.
    shape
        Of one input, as the module takes it.
    """

    def __init__(self, module: Any, graph: Any, shape: tuple[int, ...]) -> None:
        self.module = module
        self.shape = shape
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.wires: list[Wire] = []
        self.parameters: dict[str, Array] = {}
        self.layouts: dict[str, Layout] = {}
        self._given = dict(module.named_parameters())
        self._read(graph)

    def _read(self, graph: Any) -> None:
        values: dict[Any, Any] = {}
        live = _live(graph)
        for node in live:
            if node.op == "placeholder":
                value: Any = Value(self.shape, (Term(INPUT),))
            elif node.op == "get_attr":
                value = self._attribute(node)
            elif node.op == "output":
                self._end(node, self._given_to(node, values)[0][0])
                continue
            else:
                value = self._call(node, *self._given_to(node, values))
            users = sum(user in live and not _asks(user) for user in node.users)
            if isinstance(value, Value) and users > 1 and not value.is_activity:
                value = self._populate(value, Pointwise("identity"), _called(node))
            if isinstance(value, Value) and users > 1:
                value = replace(value, shared=True)
            values[node] = value
        for name in self._given:
            if name not in self.parameters:
                raise InputError(
                    f"module: {name} is not used by its forward, so that it has no gradient; "
                    "delete the layer"
                )

    def _given_to(
        self, node: Any, values: Mapping[Any, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a call, with values in place of nodes."""
        import torch.fx

        arguments = torch.fx.node.map_arg(node.args, values.__getitem__)
        named = torch.fx.node.map_arg(node.kwargs, values.__getitem__)
        return arguments, named

    def _attribute(self, node: Any) -> Parameter:
        if node.target not in self._given:
            raise InputError(
                f"module: {node.target} is used and is no parameter; write it as a layer"
            )
        return Parameter(node.target)

    def _end(self, node: Any, value: Any) -> None:
        """Make the last population, which is the output."""
        if not isinstance(value, Value):
            raise InputError("module: its forward returns something other than one tensor")
        activity = value.is_activity and value.terms[0].seen is None
        if not activity or value.terms[0].source == INPUT:
            value = self._populate(value, Pointwise("identity"), "output")
        last = value.terms[0].source
        below = {population.name for population in self.populations[:-1]}
        into = [p for p in self.projections if p.target == last and p.source != CONSTANT]
        if self.populations[-1].name != last or not into:
            raise InputError(
                f"module: what it returns ({last}) has no weights of its own; let it end in Linear "
                "or Conv2d, with an activation or pooling after it if you like, but not both"
            )
        if below and not any(p.source in below for p in into):
            raise InputError(
                f"module: {into[0].name} sees the input only, and it is the last layer; let it see "
                "a layer below"
            )
        if value.flattened is not None:
            raise InputError(
                f"module: it returns a flattened map of {value.flattened[0]} channels, which is in "
                "another order here; leave the Flatten out"
            )

    def _populate(self, value: Value, neurons: Neurons, called: str) -> Value:
        """Make a population of a drive, and return its activity."""
        taken = {INPUT, CONSTANT, ALL, *(population.name for population in self.populations)}
        name = value.name or called
        while name in taken:
            name += "_"
        for term in value.terms:
            synapse = term.synapse
            if synapse is None:
                self.wires.append(Wire(term.source, name, term.seen))
                continue
            if term.seen is not None or term.summed is not None:
                synapse = PooledSynapse(synapse, term.seen, term.summed)
            self.projections.append(Projection(term.name, term.source, name, synapse))
        self.populations.append(Population(name, prod(value.shape), neurons))
        return Value(value.shape, (Term(name),), "", value.flattened)

    def _call(self, node: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """What a call returns."""
        where, what, options = self._described(node)
        if what in ("size", "shape", "getitem", "getattr"):
            return _asked(where, what, arguments)
        read = CALLS.get(what)
        named = dict(named)
        if not arguments and "input" in named:
            arguments = (named.pop("input"),)
        if read is None or not arguments or not isinstance(arguments[0], Value | int):
            raise _unread(where, what)
        try:
            call = inspect.signature(read).bind(self, where, *arguments, **named, **options)
        except TypeError as error:
            raise InputError(
                f"module: {where} is called with arguments that cannot be taken ({error})"
            ) from error
        return read(*call.args, **call.kwargs)

    def _described(self, node: Any) -> tuple[str, str, dict[str, Any]]:
        """Where a call is, what it calls, and options that belong to the layer."""
        if node.op != "call_module":
            function = getattr(node.target, "__name__", node.target)
            if function in ("fn", "boolean_dispatch"):
                function = node.name  # pooling, which torch wraps
            where = function if node.name == function else f"{function} ({node.name})"
            return where, function.strip("_"), {}
        layer = self.module.get_submodule(node.target)
        kind = type(layer).__name__
        where = _where(node.target, layer)
        options = OPTIONS.get(kind)
        if options is None or not type(layer).__module__.startswith("torch.nn."):
            raise _unread(where, kind)
        return where, kind, options(node.target, layer)

    # What follows is called by the table CALLS, with the arguments of the call.

    def activated(self, where: str, value: Value, activation: str) -> Value:
        """A population with this activation; winners of a competition have it themselves."""
        below = self._alone(value)
        if below is not None and isinstance(below.neurons, Competition):
            competing = below.neurons
            # The largest activity is that of the largest drive, before or after the activation.
            if competing.activation == "identity" and value.terms[0].seen is competing.windows:
                self._exchange(below, replace(competing, activation=activation))
                return value
        return self._populate(value, Pointwise(activation), where.split(" ")[0])

    def _alone(self, value: Value) -> Population | None:
        """The population whose activity the value is, if nothing else sees it."""
        if value.shared or not value.is_activity:
            return None
        source = value.terms[0].source
        return next((each for each in self.populations if each.name == source), None)

    def _exchange(self, population: Population, neurons: Neurons) -> None:
        """Give a population other neurons."""
        place = self.populations.index(population)
        self.populations[place] = replace(population, neurons=neurons)

    def largest(
        self,
        where: str,
        value: Value,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Value:
        """Maxima over windows: a competition, whose sums are seen."""
        _check_map(where, value)
        if return_indices or _square(where, "dilation", dilation) != 1:
            raise InputError(
                f"module: {where} returns indices or has a dilation; allowed are "
                "return_indices=False and dilation=1"
            )
        sides = []
        for axis, size in enumerate(value.shape[1:]):
            matrix = _windows(where, axis, size, kernel_size, stride, padding, partial=ceil_mode)
            sides.append((matrix > 0).astype(float))
        windows = AveragePool(sides[0], sides[1], value.shape[0])
        try:
            competing = Competition(windows)
        except InputError as error:
            raise InputError(
                f"module: the windows of {where} overlap, and a neuron competes in one window "
                "only; use a stride of the kernel's size, or AvgPool2d"
            ) from error
        below = self._alone(value)
        whole = below is not None and value.terms[0].seen is None
        if whole and below is not None and type(below.neurons) is Pointwise:
            self._exchange(below, replace(competing, activation=below.neurons.activation))
        else:
            value = self._populate(value, competing, where.split(" ")[0])
        shape = (value.shape[0], *windows.shape[:2])
        return replace(value, shape=shape, terms=(replace(value.terms[0], seen=windows),))

    def linear(
        self, where: str, value: Value, weight: Parameter, bias: Parameter | None = None
    ) -> Value:
        """Dense synapses from what the value is."""
        _check_weights(where, weight, bias)
        if len(value.shape) != 1:
            raise InputError(
                f"module: {where} is given a map of shape {value.shape}; put Flatten before it"
            )
        value = self._seen(value)
        outputs, inputs = self._given[weight.name].shape
        if inputs != value.shape[0]:
            raise InputError(f"module: {where} takes {inputs} units and is given {value.shape[0]}")
        synapse = DenseSynapse(outputs, inputs)
        if value.flattened is None:
            self._take(weight.name, synapse.shape, synapse.shape, (0, 1))
        else:
            self._take(weight.name, synapse.shape, (outputs, *value.flattened), (0, 2, 3, 1))
        terms = [replace(value.terms[0], name=weight.name, synapse=synapse)]
        if bias is not None:
            terms.append(self._bias(bias, BiasSynapse(outputs)))
        return Value((outputs,), tuple(terms), _layer(weight.name, where))

    def convolved(
        self,
        where: str,
        value: Value,
        weight: Parameter,
        bias: Parameter | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Value:
        """Convolutional synapses from what the value is."""
        _check_weights(where, weight, bias)
        channels, below, *kernel = self._given[weight.name].shape
        if len(value.shape) != 3:
            raise InputError(
                f"module: {where} is given {value.shape[0]} units in place of a map; give an "
                "example of images (B, channels, height, width)"
            )
        if groups != 1 or _square(where, "dilation", dilation) != 1:
            raise InputError(
                f"module: {where} has groups or a dilation; allowed are groups=1 and dilation=1"
            )
        side = _square(where, "kernel", kernel)
        step = _square(where, "stride", stride)
        if padding == "same":
            if side % 2 == 0:
                raise InputError(
                    f"module: {where} pads the two ends of an even kernel differently; use an odd "
                    "kernel"
                )
            padding = side // 2
        around = _square(where, "padding", 0 if padding == "valid" else padding)
        if value.shape[0] != below:
            raise InputError(
                f"module: {where} takes {below} channels and is given {value.shape[0]}"
            )
        value = self._seen(value)
        if side > min(value.shape[1:]) + 2 * around:
            raise InputError(
                f"module: the kernel of {where} does not fit a map of {value.shape[1]} x "
                f"{value.shape[2]}"
            )
        windows = Windows(value.shape[1], value.shape[2], below, side, step, around)
        synapse = ConvolutionalSynapse(windows, channels)
        self._take(weight.name, synapse.shape, (channels, below, side, side), (0, 2, 3, 1))
        terms = [replace(value.terms[0], name=weight.name, synapse=synapse)]
        if bias is not None:
            terms.append(self._bias(bias, ChannelBias(windows.positions, channels)))
        shape = (channels, windows.rows, windows.columns)
        return Value(shape, tuple(terms), _layer(weight.name, where))

    def flattened(self, where: str, value: Value, start_dim: int = 1, end_dim: int = -1) -> Value:
        """The same in one axis; the order stays that of the network."""
        if start_dim != 1 or end_dim not in (-1, len(value.shape)):
            raise InputError(f"module: {where} flattens other axes than all but the first")
        if len(value.shape) == 1:
            return value
        channels, *places = value.shape
        ordered = channels == 1 or prod(places) == 1
        return replace(
            value, shape=(prod(value.shape),), flattened=None if ordered else value.shape
        )

    def viewed(self, where: str, value: Value, *shape: Any) -> Value:
        """The same in another shape, which may be flat."""
        asked = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        first, *rest = asked
        if isinstance(first, Examples) or first == -1:
            if tuple(rest) == value.shape:
                return value
            units = prod(value.shape)
            if len(rest) == 1 and rest[0] in ((-1, units) if first != -1 else (units,)):
                return self.flattened(where, value)
        raise InputError(f"module: {where} gives it a shape other than flat; use Flatten")

    def averaged(
        self,
        where: str,
        value: Value,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Value:
        """Averages over windows."""
        _check_map(where, value)
        sides = []
        for axis, size in enumerate(value.shape[1:]):
            matrix = _windows(
                *(where, axis, size, kernel_size, stride, padding),
                partial=ceil_mode,
                counted=count_include_pad,
            )
            if divisor_override is not None:
                matrix = (matrix > 0) / divisor_override**0.5
            sides.append(matrix)
        return _pooled(value, *sides)

    def averaged_to(self, where: str, value: Value, output_size: Any) -> Value:
        """Averages over so many parts."""
        _check_map(where, value)
        sides = []
        for axis, size in enumerate(value.shape[1:]):
            parts = _along(axis, output_size)
            sides.append(parts_of_average(size, size if parts is None else parts))
        return _pooled(value, *sides)

    def mean(self, where: str, value: Value, dim: Any = None, keepdim: bool = False) -> Value:
        """Averages over all places of a map."""
        _check_map(where, value)
        axes = sorted(axis % 4 for axis in dim) if isinstance(dim, tuple | list) else dim
        if axes != [2, 3]:
            raise InputError(f"module: {where} averages over other axes than height and width")
        pooled = self.averaged_to(where, value, 1)
        return pooled if keepdim else self.flattened(where, pooled)

    def added(self, where: str, value: Any, other: Any, alpha: float = 1) -> Value:
        """The sum of two drives."""
        if isinstance(value, int) and value == 0:
            return self.same(where, other)  # with which sum() begins
        if not isinstance(value, Value) or not isinstance(other, Value) or alpha != 1:
            raise InputError(f"module: {where} adds something other than two values of layers")
        if value.shape != other.shape or value.flattened != other.flattened:
            raise InputError(
                f"module: {where} adds {value.shape} and {other.shape}; allowed are equal shapes"
            )
        name = value.name or other.name or where.split(" ")[0]
        return replace(value, terms=value.terms + other.terms, name=name)

    def same(self, where: str, value: Value) -> Value:
        """The value itself."""
        return value

    def dropped(
        self, where: str, value: Value, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Value:
        """The value itself, if nothing is dropped."""
        if training and p > 0:
            raise InputError(
                f"module: {where} drops units at random while it trains; call module.eval()"
            )
        return value

    def _seen(self, value: Value) -> Value:
        """Activity that synapses can see."""
        return (
            value if value.is_activity else self._populate(value, Pointwise("identity"), value.name)
        )

    def _bias(self, bias: Parameter, synapse: Synapse) -> Term:
        self._take(bias.name, synapse.shape, synapse.shape, (0,))
        return Term(CONSTANT, name=bias.name, synapse=synapse)

    def _take(
        self, name: str, shape: tuple[int, ...], split: tuple[int, ...], axes: tuple[int, ...]
    ) -> None:
        """Note a parameter, once."""
        if name in self.parameters:
            raise InputError(
                f"module: {name} is used twice, and each projection of a network has weights of "
                "its own; use two layers"
            )
        given = self._given[name]
        layout = Layout(tuple(given.shape), shape, split, axes)
        self.layouts[name] = layout
        self.parameters[name] = layout.to_network(numbers(name, given).astype(np.float64))


def _live(graph: Any) -> dict[Any, None]:
    """Nodes on which the output depends, in order."""
    last = next(node for node in graph.nodes if node.op == "output")
    reached, waiting = {last}, [last]
    while waiting:
        for node in waiting.pop().all_input_nodes:
            if node not in reached:
                reached.add(node)
                waiting.append(node)
    return {node: None for node in graph.nodes if node in reached or node.op == "placeholder"}


def _asks(node: Any) -> bool:
    """Whether a call only asks for a shape."""
    return node.target in ("size", getattr)


def _asked(where: str, what: str, arguments: tuple[Any, ...]) -> Any:
    """Shape of a value, or an axis of it."""
    value, *rest = arguments
    if isinstance(value, Value) and (what == "size" or rest == ["shape"]):
        if what != "size" or not rest:
            return Shape(value)
        value = Shape(value)
    if isinstance(value, Shape) and len(rest) == 1 and isinstance(rest[0], int):
        axis = rest[0] % (1 + len(value.of.shape))
        return Examples() if axis == 0 else value.of.shape[axis - 1]
    raise _unread(where, what)


def _windows(
    where: str,
    axis: int,
    size: int,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    *,
    partial: bool,
    counted: bool = True,
) -> Array:
    """Weights of the places along an axis of a map in averages over the windows of a layer."""
    steps = kernel_size if stride is None or stride == () else stride
    kernel, step, around = (_along(axis, each) for each in (kernel_size, steps, padding))
    if kernel > size + 2 * around:
        raise InputError(f"module: {where} does not fit a map of {size}")
    return windows_of_average(size, kernel, step, around, counted=counted, partial=partial)


def _pooled(value: Value, rows: Array, columns: Array) -> Value:
    pool = AveragePool(rows, columns, value.shape[0])
    terms = tuple(
        replace(term, seen=pool.after(term.seen))
        if term.synapse is None
        else replace(term, summed=pool.after(term.summed))
        for term in value.terms
    )
    return replace(value, shape=(value.shape[0], len(rows), len(columns)), terms=terms)


def _check_weights(where: str, weight: Any, bias: Any) -> None:
    if not isinstance(weight, Parameter) or not isinstance(bias, Parameter | None):
        raise InputError(f"module: the weights of {where} are no parameter of it; use a layer")


def _check_map(where: str, value: Value) -> None:
    if len(value.shape) != 3:
        raise InputError(
            f"module: {where} is given {value.shape[0]} units in place of a map; give an example "
            "of images (B, channels, height, width)"
        )


def _along(axis: int, given: Any) -> Any:
    return given[axis % len(given)] if isinstance(given, tuple | list) else given


def _square(where: str, field: str, given: Any) -> int:
    across, down = (_along(axis, given) for axis in (0, 1))
    if across != down:
        raise InputError(
            f"module: the {field} of {where} is {across} x {down}; allowed are equal numbers"
        )
    return int(across)


def _where(name: str, layer: Any) -> str:
    return f"{name} ({type(layer).__name__})" if name else type(layer).__name__


def _called(node: Any) -> str:
    return str(node.target if node.op == "call_module" else node.name)


def _layer(parameter: str, where: str) -> str:
    """Name of the layer of a parameter."""
    return parameter.rpartition(".")[0] or where.split(" ")[0]


def _unread(where: str, what: str) -> InputError:
    plain = what.lower()
    hint = next((hint for part, hint in HINTS.items() if part in plain), None)
    return InputError(f"module: {where} cannot be taken; {hint or f'what can be is {READ}'}")


def _dense(name: str, layer: Any) -> dict[str, Any]:
    bias = None if layer.bias is None else Parameter(f"{name}.bias")
    return {"weight": Parameter(f"{name}.weight"), "bias": bias}


def _convolution(name: str, layer: Any) -> dict[str, Any]:
    if layer.padding_mode != "zeros":
        raise InputError(
            f"module: {_where(name, layer)} pads with {layer.padding_mode}; allowed is zeros"
        )
    options = ("stride", "padding", "dilation", "groups")
    return {**_dense(name, layer), **{option: getattr(layer, option) for option in options}}


def _fields(*names: str) -> Callable[[str, Any], dict[str, Any]]:
    return lambda name, layer: {field: getattr(layer, field) for field in names}


def _softplus(name: str, layer: Any) -> dict[str, Any]:
    if layer.beta != 1:
        raise InputError(f"module: {_where(name, layer)} has beta {layer.beta}; allowed is 1")
    return {}


def _activation(name: str) -> Callable[..., Value]:
    def read(reader: Reader, where: str, value: Value, inplace: bool = False) -> Value:
        return reader.activated(where, value, name)

    return read


OPTIONS: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "Linear": _dense,
    "Conv2d": _convolution,
    "Flatten": _fields("start_dim", "end_dim"),
    "AvgPool2d": _fields(
        "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"
    ),
    "AdaptiveAvgPool2d": _fields("output_size"),
    "MaxPool2d": _fields(
        "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"
    ),
    "Dropout": _fields("p", "training"),
    "Dropout2d": _fields("p", "training"),
    "Identity": _fields(),
    "ReLU": _fields(),
    "Tanh": _fields(),
    "Sigmoid": _fields(),
    "Softplus": _softplus,
}
"""Options of the layers that are read, by class."""

CALLS: dict[str, Callable[..., Any]] = {
    "Linear": Reader.linear,
    "linear": Reader.linear,
    "Conv2d": Reader.convolved,
    "conv2d": Reader.convolved,
    "Flatten": Reader.flattened,
    "flatten": Reader.flattened,
    "view": Reader.viewed,
    "reshape": Reader.viewed,
    "AvgPool2d": Reader.averaged,
    "avg_pool2d": Reader.averaged,
    "AdaptiveAvgPool2d": Reader.averaged_to,
    "adaptive_avg_pool2d": Reader.averaged_to,
    "MaxPool2d": Reader.largest,
    "max_pool2d": Reader.largest,
    "mean": Reader.mean,
    "Dropout": Reader.dropped,
    "Dropout2d": Reader.dropped,
    "dropout": Reader.dropped,
    "dropout2d": Reader.dropped,
    "Identity": Reader.same,
    "contiguous": Reader.same,
    "add": Reader.added,
    "iadd": Reader.added,
    "ReLU": _activation("relu"),
    "relu": _activation("relu"),
    "Tanh": _activation("tanh"),
    "tanh": _activation("tanh"),
    "Sigmoid": _activation("sigmoid"),
    "sigmoid": _activation("sigmoid"),
    "Softplus": _activation("softplus"),
    "softplus": _activation("softplus"),
}
"""What reads a call: by class of the layer, or by name of the function or method."""
