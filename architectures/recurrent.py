"""Networks in time: populations that drive themselves one step later.

Activity, drives and signals have a row for each time step and example, ordered by step:
``(T B, N)``. So whatever is a sum over examples in a feed-forward network, above all the outer
product of post and pre, is one over steps and examples here, by the same code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from plausibench.architectures.architecture import layered
from plausibench.architectures.blocks import Block, Weights, blocks, by_step
from plausibench.architectures.low_rank import Modes, ModeSynapse
from plausibench.architectures.network import (
    CONSTANT,
    INPUT,
    Activity,
    Network,
    Population,
    Projection,
)
from plausibench.architectures.neurons import Neurons
from plausibench.architectures.synapses import DenseSynapse
from plausibench.architectures.temporal import Compiled, State, Temporal
from plausibench.kernels.buffers import empty
from plausibench.kernels.errors import Divergence, InputError, choose, integer, number
from plausibench.kernels.streams import generator
from plausibench.kernels.threads import spread

Array = np.ndarray

INITIAL = ("gaussian", "orthogonal", "identity")

SATURATED = 0.9
"""Share of the highest rate from which neurons can hardly spike more."""


@dataclass(frozen=True, eq=False)
class Course(Activity):
    """What a pass through time leaves behind.

    Attributes
    ----------
    examples
        Number of examples B, the rows of one step.
    traces
        What neurons with a state leave behind besides, ``(..., T B, N)`` per population and name.
    before
        Activity a step before, of populations of which it need not be made.
    """

    examples: int
    traces: dict[str, dict[str, Array]]
    before: dict[str, Array]
    _delayed: dict[str, Array] = field(init=False, default_factory=dict, repr=False)

    def presynaptic(self, projection: Projection) -> Array:
        """Presynaptic factor: with a delay, what the source did a step before."""
        source = projection.source
        if not projection.delay:
            return self.activity[source]
        if source in self.before:
            return self.before[source]
        if source not in self._delayed:
            self._delayed[source] = delayed(self.activity[source], self.examples)
        return self._delayed[source]


class Passed(NamedTuple):
    """What a pass of one population leaves behind; see :class:`Course`."""

    drive: Array
    activity: Array
    traces: dict[str, Array]
    before: Array | None = None


def delayed(rows: Array, examples: int, first: Array | None = None) -> Array:
    """The same rows a step later, after ``first`` ``(N,)``; without, there is nothing before."""
    later = empty(rows.shape, rows.dtype)
    later[..., :examples, :] = 0 if first is None else first
    later[..., examples:, :] = rows[..., :-examples, :]
    return later


def advanced(rows: Array, examples: int) -> Array:
    """The same rows a step earlier: the adjoint of a delay."""
    earlier = np.zeros_like(rows)
    earlier[..., :-examples, :] = rows[..., examples:, :]
    return earlier


@dataclass(frozen=True, eq=False, repr=False)
class RecurrentNetwork(Network):
    """A network that goes through time.

    Projections of a population onto itself have a delay of one step; all others lead forwards. So
    one population after the other goes through all steps. Inputs are sequences
    ``(B, T, N_in)``, or ``(B, N_in)``, which are shown for a number of steps.

    The loss is that of :meth:`plausibench.objectives.objective.Objective.batch_losses`.

    Parameters
    ----------
    steps
        Time steps for which inputs without a time axis are shown.
    """

    steps: int

    given: ClassVar[tuple[str, ...]] = (INPUT, CONSTANT)
    """Sources that are no populations: what the inputs alone decide."""

    @property
    def spiking(self) -> bool:
        """Whether neurons spike, with a pseudo-derivative in place of that of spikes."""
        return any(isinstance(p.neurons, Temporal) and p.neurons.spiking for p in self.populations)

    @property
    def dynamics(self) -> str:
        return "recurrent spiking" if self.spiking else "recurrent"

    @property
    def reference(self) -> str:
        if not self.spiking:
            return super().reference
        return "backpropagation through time with the pseudo-derivative"

    def remarks(self, inputs: Array) -> tuple[str, ...]:
        """Populations whose spikes die out, or saturate, in all trials together."""
        found: list[str] = []
        if not self.spiking:
            return ()
        clean = self.forward(inputs)
        for population in self.populations:
            neurons = population.neurons
            if not isinstance(neurons, Temporal) or not neurons.spiking:
                continue
            spikes = clean.traces[population.name]["spikes"]
            steps = by_step(spikes, clean.examples)
            if not steps[:, steps.shape[1] // 2 :].any():
                found.append(f"{population.name}: no spikes in the second half of any trial")
            elif float(spikes.mean()) > SATURATED * neurons.fastest:
                found.append(
                    f"{population.name}: spikes at more than {SATURATED:.0%} of the highest rate"
                )
        return tuple(found)

    def loops(self, population: str) -> tuple[Projection, ...]:
        """Projections of a population onto itself."""
        return tuple(p for p in self.incoming[population] if p.source == population)

    def check_inputs(self, inputs: Array) -> None:
        if inputs.ndim not in (2, 3) or inputs.shape[-1] != self.inputs:
            raise InputError(
                f"inputs: shape {inputs.shape} does not fit a recurrent network of {self.inputs} "
                f"input units; allowed are (B, T, {self.inputs}) and (B, {self.inputs})"
            )

    def _shown(self, inputs: Array) -> dict[str, Array]:
        """Rows of the inputs and of the constant population."""
        if inputs.ndim == 2:
            rows = np.concatenate([inputs] * self.steps)
        else:
            rows = np.ascontiguousarray(inputs.swapaxes(0, 1)).reshape(-1, self.inputs)
        return {INPUT: rows, CONSTANT: np.ones((len(rows), 1), inputs.dtype)}

    def forward(
        self,
        inputs: Array,
        *,
        parameters: Mapping[str, Array] | None = None,
        drive_noise: Mapping[str, Array] | None = None,
        amplitude: float = 1.0,
        clean: Activity | None = None,
    ) -> Course:
        """Let activity flow through all steps; see :meth:`Network.forward`."""
        replaced = {} if parameters is None else parameters
        noise = {} if drive_noise is None else drive_noise
        assert clean is None or isinstance(clean, Course)
        examples = len(inputs)
        drive: dict[str, Array] = {}
        traces: dict[str, dict[str, Array]] = {}
        before: dict[str, Array] = {}
        if clean is None:
            activity = self._shown(inputs)
        else:
            activity = {name: clean.activity[name] for name in self.given}
        changed: set[str] = set()
        for population in self.populations:
            name = population.name
            reached = name in noise or any(
                p.source in changed or p.name in replaced for p in self.incoming[name]
            )
            if clean is not None and not reached:
                drive[name], activity[name] = clean.drive[name], clean.activity[name]
                traces[name] = clean.traces[name]
                before |= {name: clean.before[name]} if name in clean.before else {}
                continue
            changed.add(name)
            outside = self._outside(name, activity, replaced, examples)
            disturbance = noise.get(name)
            if isinstance(population.neurons, Temporal):
                loops = self.loops(name)
                weights = [replaced.get(p.name, self.weights[p.name]) for p in loops]
                passed = _run(population, loops, weights, outside, disturbance, amplitude, examples)
                drive[name], activity[name], traces[name] = passed[:3]
                if passed.before is not None:
                    before[name] = passed.before
            else:
                drive[name], traces[name] = outside, {}
                if disturbance is None:
                    activity[name] = population.neurons.activate(outside)
                else:
                    activity[name] = population.neurons.perturb(outside, disturbance, amplitude)
        return Course(drive, activity, activity[self.output.name], examples, traces, before)

    def pull(self, clean: Activity, error: Array) -> dict[str, Array]:
        """See :meth:`Network.pull`.

        Raises
        ------
        Divergence
            If activity is not finite.
        """
        if not np.isfinite(clean.output).all():
            raise Divergence(f"{self.architecture}: activity is not finite; recurrence is unstable")
        return super().pull(clean, error)

    def _outside(
        self,
        name: str,
        activity: Mapping[str, Array],
        replaced: Mapping[str, Array],
        examples: int,
    ) -> Array:
        """Drive by other populations, at all steps at once."""
        total: Array | None = None
        for p in self.incoming[name]:
            if p.source == name:
                continue
            pre = activity[p.source]
            if p.source == CONSTANT and total is not None:
                pre = pre[..., :1, :]  # every row is the same
            part = p.synapse.drive(
                replaced.get(p.name, self.weights[p.name]),
                delayed(pre, examples) if p.delay else pre,
            )
            if total is None:
                total = part
            elif np.broadcast_shapes(total.shape, part.shape) == total.shape:
                total += part
            else:
                total = total + part
        assert total is not None, f"population {name} has no incoming projection"
        return total

    def respond(self, clean: Activity, name: str, drive: Array) -> Course:
        """See :meth:`Network.respond`; neurons do not see what they did through other neurons."""
        assert isinstance(clean, Course)
        (population,) = (each for each in self.populations if each.name == name)
        before = {source: rows for source, rows in clean.before.items() if source != name}
        if isinstance(population.neurons, Temporal):
            passed = _run(population, (), (), drive.copy(), None, 1.0, clean.examples)
            activity, traces = passed.activity, passed.traces
            if passed.before is not None:
                before[name] = passed.before
        else:
            activity, traces = population.neurons.activate(drive), {}
        return replace(
            clean,
            drive={**clean.drive, name: drive},
            activity={**clean.activity, name: activity},
            traces={**clean.traces, name: traces},
            before=before,
        )

    def tangent(
        self,
        clean: Activity,
        drive: Mapping[str, Array] | None = None,
        parameters: Mapping[str, Array] | None = None,
    ) -> Activity:
        """First-order change of the pass; see :meth:`Network.tangent`."""
        assert isinstance(clean, Course)
        injected = {} if drive is None else drive
        moved = {} if parameters is None else parameters
        drives: dict[str, Array] = {}
        activity: dict[str, Array] = {}
        for population in self.populations:
            name, neurons = population.name, population.neurons
            parts = [injected[name]] if name in injected else []
            for p in self.incoming[name]:
                if p.name in moved:
                    parts.append(p.synapse.drive(moved[p.name], clean.presynaptic(p)))
                if p.source in activity:
                    pre = activity[p.source]
                    shifted = delayed(pre, clean.examples) if p.delay else pre
                    parts.append(p.synapse.drive(self.weights[p.name], shifted))
            if not parts:
                continue
            outside = sum(parts[1:], parts[0])
            if isinstance(neurons, Temporal):
                drives[name], activity[name] = self._tangent(population, outside, clean)
            else:
                drives[name] = outside
                activity[name] = neurons.tangent(clean.drive[name], clean.activity[name], outside)
        output = activity.get(self.output.name, np.zeros_like(clean.output))
        return Activity(drives, activity, output)

    def _tangent(
        self, population: Population, outside: Array, clean: Course
    ) -> tuple[Array, Array]:
        """Changes of drive and activity through time, for a change of the drive from outside."""
        name, neurons, examples = population.name, population.neurons, clean.examples
        assert isinstance(neurons, Temporal)
        slopes = neurons.slopes(clean.drive[name], clean.traces[name])
        loops = self.loops(name)
        compiled = _compiled(loops, [self.weights[p.name] for p in loops], population.size)
        if compiled is not None and isinstance(neurons, Compiled):
            return _tangent_blocks(neurons, compiled, slopes, outside, examples)
        drive, activity = outside.copy(), np.empty_like(outside)
        moved: State = {}
        before = np.zeros_like(outside[..., :examples, :])
        for first in range(0, outside.shape[-2], examples):
            here = (..., slice(first, first + examples), slice(None))
            for p in loops:
                drive[here] += p.synapse.drive(self.weights[p.name], before)
            before = neurons.tangent_step(tuple(s[here] for s in slopes), drive[here], moved)
            activity[here] = before
        return drive, activity

    def credit(
        self,
        clean: Activity,
        arriving: Mapping[str, Array],
        feedback: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Signals on the drives at every step, ``(..., T B, N)``; see :meth:`Network.credit`.

        What returns through the projections of a population onto itself makes the rule: their own
        weights are backpropagation through time, none are e-prop and RFLO, other weights random
        feedback through time.
        """
        assert isinstance(clean, Course)
        weights = self.weights if feedback is None else feedback
        signals: dict[str, Array] = {}
        for population in reversed(self.populations):
            name, neurons = population.name, population.neurons
            given = total = arriving.get(name)
            for p in self.outgoing[name]:
                if p.name in weights and p.target in signals:
                    part = p.synapse.feedback(weights[p.name], signals[p.target])
                    part = advanced(part, clean.examples) if p.delay else part
                    total = part if total is None else total + part
            if total is None:
                continue
            if isinstance(neurons, Temporal):
                own = total.copy() if total is given else total
                signals[name] = self._return(population, own, clean, weights)
            else:
                signals[name] = neurons.adjoint(clean.drive[name], clean.activity[name], total)
        return signals

    def _return(
        self, population: Population, arriving: Array, clean: Course, weights: Mapping[str, Array]
    ) -> Array:
        """Signals on the drive of a population, in reverse time; they may replace ``arriving``."""
        name, neurons, examples = population.name, population.neurons, clean.examples
        assert isinstance(neurons, Temporal)
        slopes = neurons.slopes(clean.drive[name], clean.traces[name])
        loops = [p for p in self.loops(name) if p.name in weights]
        compiled = _compiled(loops, [weights[p.name] for p in loops], population.size)
        if compiled is not None and isinstance(neurons, Compiled):
            return _return_blocks(neurons, compiled, slopes, arriving, examples)
        signals, rows = empty(arriving.shape, arriving.dtype), arriving.shape[-2]
        carried: State = {}
        after = np.zeros_like(arriving[..., :examples, :])
        for first in reversed(range(0, rows, examples)):
            here = (..., slice(first, first + examples), slice(None))
            signal = arriving[here]
            for p in loops:
                signal = signal + p.synapse.feedback(weights[p.name], after)
            after = neurons.adjoint_step(tuple(s[here] for s in slopes), signal, carried)
            signals[here] = after
        return signals


def _run(
    population: Population,
    loops: Sequence[Projection],
    weights: Sequence[Array],
    outside: Array,
    noise: Array | None,
    amplitude: float,
    examples: int,
) -> Passed:
    """Let a population go through time, driven from outside and by itself.

    ``outside`` becomes the drive where it has its shape: what is large is not written twice.
    """
    neurons = population.neurons
    assert isinstance(neurons, Temporal)
    lead = np.broadcast_shapes(
        outside.shape[:-2],
        () if noise is None else noise.shape[:-2],
        *(w.shape[: w.ndim - len(p.synapse.shape)] for p, w in zip(loops, weights, strict=True)),
    )
    compiled = _compiled(loops, weights, population.size)
    if compiled is not None and isinstance(neurons, Compiled):
        return _run_blocks(neurons, compiled, outside, noise, amplitude, lead, examples)
    rows, step = outside.shape[-2], (*lead, examples, population.size)
    shape, kind = (*lead, rows, population.size), outside.dtype
    drive, activity = empty(shape, kind), empty(shape, kind)
    traces = {name: empty(shape, kind) for name in neurons.traces}
    state = neurons.rest(step, kind)
    before = np.broadcast_to(neurons.first(population.size, kind), step)
    for first in range(0, rows, examples):
        here = (..., slice(first, first + examples), slice(None))
        now = np.broadcast_to(outside[here], step)
        for p, w in zip(loops, weights, strict=True):
            now = now + p.synapse.drive(w, before)
        drive[here] = now
        if noise is not None:
            now = now + amplitude * noise[here]
        left = {name: trace[here] for name, trace in traces.items()}
        before = neurons.step(state, np.ascontiguousarray(now), left)
        activity[here] = before
    return Passed(drive, activity, traces, _before(neurons, activity, examples))


def _before(neurons: Temporal, activity: Array, examples: int) -> Array | None:
    """Activity a step before, where there is some before the first; else it can be made later."""
    if not neurons.started:
        return None
    return delayed(activity, examples, neurons.first(activity.shape[-1], activity.dtype))


def _compiled(loops: Sequence[Projection], weights: Sequence[Any], size: int) -> Weights | None:
    """Weights of compiled loops; None for more than one projection, and for other synapses."""
    if len(loops) > 1:
        return None
    none = np.empty((0, size, size))
    if not loops:
        return Weights(none, none)
    if not isinstance(loops[0].synapse, DenseSynapse | ModeSynapse):
        return None
    if isinstance(weights[0], Modes):
        first, second = weights[0].product()
        modes = second.shape[-2]
        return Weights(first.reshape(-1, size, modes), second.reshape(-1, modes, size))
    return Weights(weights[0].reshape(-1, size, size), none)


def _cast(weights: Weights, dtype: np.dtype) -> Weights:
    return Weights(*(np.ascontiguousarray(part, dtype) for part in weights))


def _run_blocks(
    neurons: Compiled,
    weights: Weights,
    outside: Array,
    noise: Array | None,
    amplitude: float,
    lead: tuple[int, ...],
    examples: int,
) -> Passed:
    """What :func:`_run` does, in compiled loops over blocks of examples."""
    shape, kind = (*lead, *outside.shape[-2:]), outside.dtype
    fits = outside.shape == shape and outside.flags.c_contiguous
    drive = outside if fits else empty(shape, kind)
    # A step of rest before the first: activity a step before, without a copy.
    whole = empty((*lead, examples + shape[-2], shape[-1]), kind) if not lead else None
    activity = empty(shape, kind) if whole is None else whole[examples:]
    traces = {name: empty(shape, kind) for name in neurons.traces}
    given, now, rates = (by_step(array, examples) for array in (outside, drive, activity))
    given = given[:0] if fits else given
    left = tuple(by_step(trace, examples) for trace in traces.values())
    disturbance = given[:0] if noise is None else by_step(noise, examples)
    options, back = neurons.options(kind), _cast(weights.transposed(), kind)
    rest = (given, disturbance, kind.type(amplitude), now, rates, left)

    def one(block: Block) -> None:
        neurons.passes.forward(block, options, back, *rest)

    spread(one, blocks(len(now), examples, weights.samples > 1))
    if whole is None:
        return Passed(drive, activity, traces, _before(neurons, activity, examples))
    whole[:examples] = neurons.first(shape[-1], kind)
    return Passed(drive, activity, traces, whole[:-examples])


def _return_blocks(
    neurons: Compiled, weights: Weights, slopes: tuple[Array, ...], arriving: Array, examples: int
) -> Array:
    """Signals of :meth:`RecurrentNetwork._return` in place of those arriving, in compiled loops."""
    size, kind = arriving.shape[-1], arriving.dtype
    own, cast = np.zeros(size, kind), _cast(weights, kind)
    first, second = cast
    if len(first) == 1 and not len(second):
        diagonal = first[0].diagonal()
        if np.count_nonzero(first) == np.count_nonzero(diagonal):
            # Synapses of each neuron onto itself alone, as in e-prop, need no matrix product.
            own, cast = diagonal.copy(), Weights(first[:0], second)
    at = tuple(by_step(s, examples) for s in slopes)
    signals = by_step(arriving, examples)
    options = neurons.options(kind)

    def one(block: Block) -> None:
        neurons.passes.adjoint(block, options, cast, own, at, signals)

    spread(one, blocks(len(signals), examples, weights.samples > 1))
    return signals.reshape(arriving.shape)


def _tangent_blocks(
    neurons: Compiled, weights: Weights, slopes: tuple[Array, ...], outside: Array, examples: int
) -> tuple[Array, Array]:
    """What :meth:`RecurrentNetwork._tangent` does, in compiled loops over blocks of examples."""
    drive, activity = (empty(outside.shape, outside.dtype) for _ in range(2))
    at = tuple(by_step(s, examples) for s in slopes)
    given, now, changes = (by_step(array, examples) for array in (outside, drive, activity))
    options, transposed = neurons.options(outside.dtype), _cast(weights.transposed(), outside.dtype)

    def one(block: Block) -> None:
        neurons.passes.tangent(block, options, transposed, at, given, now, changes)

    spread(one, blocks(len(now), examples, weights.samples > 1))
    return drive, activity


def recurrent_layers(
    architecture: str,
    sizes: Sequence[int],
    neurons: Sequence[Neurons],
    *,
    bias: bool,
    recurrence: float,
    initial: str,
    steps: int,
    seed: int,
) -> RecurrentNetwork:
    """Layers as of :func:`layered`, the hidden ones with dense projections onto themselves.

    A recurrent projection is named ``layer1.recurrent``, and so on. Its weights are ``recurrence``
    times a gaussian matrix of spectral radius near 1, a random orthogonal matrix, or the identity.
    """
    integer("steps", steps, least=1)
    number("recurrence", recurrence, least=0)
    choose("initial", initial, INITIAL)
    chain = layered(architecture, sizes, neurons, bias, seed)
    projections, parameters = [], {}
    for p in chain.projections:
        projections.append(p)
        parameters[p.name] = chain.parameters[p.name]
        if p.name.endswith(".weights") and p.target != chain.output.name:
            size, name = p.synapse.shape[0], f"{p.target}.recurrent"
            projections.append(Projection(name, p.target, p.target, DenseSynapse(size, size), 1))
            draw = generator(seed, "init", name).standard_normal((size, size))
            if initial == "orthogonal":
                q, r = np.linalg.qr(draw)
                draw = q * np.sign(np.diagonal(r))
            matrix = {"gaussian": draw / np.sqrt(size), "identity": np.eye(size)}.get(initial, draw)
            parameters[name] = recurrence * matrix
    return RecurrentNetwork(
        architecture, chain.inputs, chain.populations, tuple(projections), parameters, steps
    )


def with_neurons(network: RecurrentNetwork, neurons: Mapping[str, Neurons]) -> RecurrentNetwork:
    """The same network with other neurons in some populations."""
    return replace(
        network,
        populations=tuple(
            replace(p, neurons=neurons.get(p.name, p.neurons)) for p in network.populations
        ),
    )
