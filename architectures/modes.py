"""Recurrent weights of low rank: a few modes through which a population drives itself.

With P modes, ``W = Xi_in diag(lambda) Xi_out^T`` (Lin & Huang 2023). W is never formed: neurons
drive P numbers through their output modes, which are scaled by the scores and drive the neurons
through their input modes. To activity and to signals these are one path from the population to
itself; its three parameters are three projections by way of two relays, which have no neurons:

    layer1 --(output_modes, delay 1)--> layer1.seen --(scores)--> layer1.scored --(input_modes)-->

So an estimate G of the gradient in W, a sum of post times pre, becomes one of each parameter, as
it is pulled back: ``G Xi_out diag(lambda)``, ``diag(Xi_in^T G Xi_out)`` and
``diag(lambda) Xi_in^T G``, all three again sums of post times pre.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from plausibench.architectures.architecture import layered
from plausibench.architectures.low_rank import Modes, ModeSynapse, truncated
from plausibench.architectures.network import Activity, Projection
from plausibench.architectures.neurons import Neurons
from plausibench.architectures.recurrent import Course, RecurrentNetwork
from plausibench.architectures.synapses import DenseSynapse, OneToOneSynapse
from plausibench.kernels.errors import InputError, choose, integer, number
from plausibench.kernels.streams import generator

Array = np.ndarray

INITIAL = ("gain_matched", "original", "singular")
SCORES = ("learned", "fixed")
SEEN, SCORED = RELAYS = ("seen", "scored")
"""Relays: what the modes see of the neurons, and that times the scores."""


@dataclass(frozen=True, eq=False)
class ModeCourse(Course):
    """A pass through time that also knows what relays passed on.

    Attributes
    ----------
    modes
        The path of each population onto itself through modes, with its weights in this pass.
    """

    modes: dict[str, tuple[Projection, Modes]]

    def presynaptic(self, projection: Projection) -> Array:
        """See :meth:`Course.presynaptic`; the source may be a relay."""
        population, _, _ = projection.source.rpartition(".")
        if population not in self.modes:
            return super().presynaptic(projection)
        if projection.source not in self._delayed:
            path, weights = self.modes[population]
            passed = weights.seen(super().presynaptic(path))
            for relay, array in zip(RELAYS, passed, strict=True):
                self._delayed[f"{population}.{relay}"] = array
        return self._delayed[projection.source]


@dataclass(frozen=True, eq=False, repr=False)
class ModeNetwork(RecurrentNetwork):
    """A recurrent network whose populations drive themselves through modes.

    Parameters
    ----------
    recurrent
        The path of each population onto itself, through its modes.
    fixed
        Scores that are not learned, by the name that they would have as a parameter.
    """

    recurrent: tuple[Projection, ...]
    fixed: dict[str, Array] = field(repr=False)

    @cached_property
    def paths(self) -> tuple[Projection, ...]:
        """See :attr:`Network.paths`."""
        names = {name for path in self.recurrent for name in _names(path).values()}
        return (*(p for p in self.projections if p.name not in names), *self.recurrent)

    @cached_property
    def weights(self) -> Mapping[str, Any]:
        """See :attr:`Network.weights`; those of recurrent paths are :class:`Modes`."""
        return {**self.parameters, **{p.name: self._modes(p, {}) for p in self.recurrent}}

    def _modes(self, path: Projection, replaced: Mapping[str, Array]) -> Modes:
        fixed = {name: array.astype(self.dtype, copy=False) for name, array in self.fixed.items()}
        own = {**fixed, **self.parameters, **replaced}
        return Modes(**{part: own[name] for part, name in _names(path).items()})

    def forward(
        self,
        inputs: Array,
        *,
        parameters: Mapping[str, Array] | None = None,
        drive_noise: Mapping[str, Array] | None = None,
        amplitude: float = 1.0,
        clean: Activity | None = None,
    ) -> ModeCourse:
        """Let activity flow through all steps; see :meth:`Network.forward`."""
        given = {} if parameters is None else parameters
        modes = {
            p.target: (p, self._modes(p, given) if _touched(p, given) else self.weights[p.name])
            for p in self.recurrent
        }
        replaced: dict[str, Any] = dict(given)
        replaced |= {p.name: w for p, w in modes.values() if _touched(p, given)}
        found = super().forward(
            inputs,
            parameters=replaced,
            drive_noise=drive_noise,
            amplitude=amplitude,
            clean=clean,
        )
        passed = (found.drive, found.activity, found.output, found.examples, found.traces)
        return ModeCourse(*passed, found.before, modes)

    def tangent(
        self,
        clean: Activity,
        drive: Mapping[str, Array] | None = None,
        parameters: Mapping[str, Array] | None = None,
    ) -> Activity:
        """First-order change of the pass; see :meth:`Network.tangent`."""
        moved: dict[str, Any] = {} if parameters is None else dict(parameters)
        for path in self.recurrent:
            change = {part: moved[n] for part, n in _names(path).items() if n in moved}
            if change:
                moved[path.name] = self.weights[path.name].change(change)
        return super().tangent(clean, drive, moved)

    def postsynaptic(self, signals: Mapping[str, Array], projection: Projection) -> Array:
        """See :meth:`Network.postsynaptic`; signals go on to relays as they return."""
        population, _, relay = projection.target.rpartition(".")
        modes = {p.target: self.weights[p.name] for p in self.recurrent}
        if population not in modes:
            return super().postsynaptic(signals, projection)
        at_input, at_output = modes[population].returned(signals[population])
        return at_input if relay == SCORED else at_output

    def formed(self) -> RecurrentNetwork:
        """The same network with a matrix of recurrent weights in place of modes."""
        matrices = {p.name: self.weights[p.name].formed() for p in self.recurrent}
        return RecurrentNetwork(
            self.architecture,
            self.inputs,
            self.populations,
            tuple(
                replace(p, synapse=DenseSynapse(*p.synapse.shape)) if p.name in matrices else p
                for p in self.paths
            ),
            {p.name: {**self.parameters, **matrices}[p.name] for p in self.paths},
            self.steps,
        )


def _names(path: Projection) -> dict[str, str]:
    """Name of each parameter of a path's modes, in the order in which activity passes them."""
    parts = ("output_modes", "scores", "input_modes")
    return {part: f"{path.target}.{part}" for part in parts}


def _touched(path: Projection, given: Mapping[str, Array]) -> bool:
    return any(name in given for name in _names(path).values())


def mode_layers(
    architecture: str,
    sizes: Sequence[int],
    neurons: Sequence[Neurons],
    *,
    bias: bool,
    modes: int,
    scores: str,
    recurrence: float,
    initial: str,
    steps: int,
    seed: int,
) -> ModeNetwork:
    """Layers as of :func:`layered`, the hidden ones with modes through which they drive themselves.

    Parameters ``layer1.output_modes`` (P, N), ``layer1.scores`` (P,) and ``layer1.input_modes``
    (N, P), and so on. With ``gain_matched``, entries of W have variance ``recurrence^2 / N``
    whatever P is, as those of a full matrix. With ``original`` (Lin & Huang 2023) those of the
    modes have variance 1/P, scores ``recurrence^2 / N``, so that W is weaker with more modes, and
    readout weights have the inverse of the number of outputs. With ``singular``, modes are those
    of the largest singular values of the matrix that a full network of this seed begins with.
    Fixed scores are 1/N.

    Raises
    ------
    InputError
        If there are more modes than neurons, or an option is not allowed.
    """
    integer("steps", steps, least=1)
    integer("modes", modes, least=0)
    number("recurrence", recurrence, least=0)
    choose("scores", scores, SCORES)
    choose("initial", initial, INITIAL)
    if initial == "singular" and scores == "fixed":
        raise InputError("scores: fixed ones are all alike, singular values are not; set another")
    chain = layered(architecture, sizes, neurons, bias, seed)
    projections: list[Projection] = []
    parameters, fixed, recurrent = {}, {}, []
    for p in chain.projections:
        projections.append(p)
        parameters[p.name] = chain.parameters[p.name]
        if not p.name.endswith(".weights"):
            continue
        if p.target == chain.output.name:
            if initial == "original":
                outputs, inputs = p.synapse.shape
                parameters[p.name] *= np.sqrt(inputs / outputs) / neurons[-1].gain
        elif modes:
            size = p.synapse.shape[0]
            if modes > size:
                raise InputError(
                    f"modes: {modes} are more than the {size} neurons of {p.target}, whose "
                    f"recurrent weights have no higher rank; allowed is 0 to {size}"
                )
            path = Projection(f"{p.target}.recurrent", p.target, p.target, ModeSynapse(size), 1)
            recurrent.append(path)
            first = _first(path, size, modes, scores, recurrence, initial, seed)
            relays = [f"{p.target}.{relay}" for relay in RELAYS]
            ends = ((p.target, relays[0]), tuple(relays), (relays[1], p.target))
            synapses = (
                DenseSynapse(modes, size),
                OneToOneSynapse(modes),
                DenseSynapse(size, modes),
            )
            for (part, name), (source, target), synapse in zip(
                _names(path).items(), ends, synapses, strict=True
            ):
                if part == "scores" and scores == "fixed":
                    fixed[name] = first.scores
                    continue
                delay = 1 if source == p.target else 0
                projections.append(Projection(name, source, target, synapse, delay))
                parameters[name] = getattr(first, part)
    return ModeNetwork(
        architecture,
        chain.inputs,
        chain.populations,
        tuple(projections),
        parameters,
        steps,
        tuple(recurrent),
        fixed,
    )


def _first(
    path: Projection,
    size: int,
    modes: int,
    scores: str,
    recurrence: float,
    initial: str,
    seed: int,
) -> Modes:
    """Modes before any learning."""

    def draw(name: str, *shape: int) -> Array:
        return generator(seed, "init", name).standard_normal(shape)

    if initial == "singular":
        full = draw(path.name, size, size) * (recurrence / np.sqrt(size))
        return truncated(full, modes)
    names = _names(path)
    into = draw(names["input_modes"], size, modes) / np.sqrt(modes)
    out = draw(names["output_modes"], modes, size) / np.sqrt(modes)
    scored = draw(names["scores"], modes) * (recurrence / np.sqrt(size))
    if scores == "fixed":
        scored = np.full(modes, 1 / size)
    if initial == "gain_matched" and scores == "fixed":
        into, out = (np.sqrt(recurrence * np.sqrt(size * modes)) * part for part in (into, out))
    elif initial == "gain_matched":
        scored *= np.sqrt(modes)
    return Modes(into, scored, out)
