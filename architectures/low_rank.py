"""Weights of low rank: a population connected to itself by way of a few modes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.synapses import DenseSynapse, Synapse

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Modes:
    """Weights ``(..., N, N)`` of low rank by their modes.

    Attributes
    ----------
    input_modes
        Xi_in, ``(..., N, P)``: what a mode does to the neurons.
    scores
        lambda, ``(..., P)``.
    output_modes
        Xi_out^T, ``(..., P, N)``: what a mode sees of the neurons.
    """

    input_modes: Array
    scores: Array
    output_modes: Array

    @property
    def lead(self) -> tuple[int, ...]:
        """Axes in front, those of samples."""
        return np.broadcast_shapes(
            self.input_modes.shape[:-2], self.scores.shape[:-1], self.output_modes.shape[:-2]
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""
        return (*self.lead, self.input_modes.shape[-2], self.output_modes.shape[-1])

    @property
    def ndim(self) -> int:
        """Number of axes of the weights."""
        return len(self.shape)

    def diagonal(self) -> Array:
        """Weights of each neuron onto itself."""
        return np.einsum("np,p,pn->n", self.input_modes, self.scores, self.output_modes)

    def product(self) -> tuple[Array, Array]:
        """Two factors ``(..., N, P)`` and ``(..., P, N)`` of the weights."""
        return self.input_modes * self.scores[..., None, :], self.output_modes

    def formed(self) -> Array:
        """Return the matrix of weights."""
        first, second = self.product()
        return first @ second

    def seen(self, activity: Array) -> tuple[Array, Array]:
        """What modes see of activity ``(..., B, N)``, and what they pass on, ``(..., B, P)``."""
        seen = _dense(self.output_modes).drive(self.output_modes, activity)
        return seen, self.scores[..., None, :] * seen

    def returned(self, signals: Array) -> tuple[Array, Array]:
        """Signals on what modes pass on, and on what they see, for signals on the drives."""
        returned = _dense(self.input_modes).feedback(self.input_modes, signals)
        return returned, self.scores[..., None, :] * returned

    def change(self, moved: Mapping[str, Array]) -> "Modes":
        """First-order change of the weights for changes of some parameters, by name.

        It has as many times P modes as there are parameters that change.
        """
        own = {"input_modes": self.input_modes, "scores": self.scores}
        own["output_modes"] = self.output_modes
        terms = [Modes(**{**own, name: array}) for name, array in moved.items()]
        lead = np.broadcast_shapes(*(term.lead for term in terms))

        def joined(name: str, axis: int) -> Array:
            core = own[name].ndim
            arrays = [getattr(term, name) for term in terms]
            wide = [np.broadcast_to(a, (*lead, *a.shape[a.ndim - core :])) for a in arrays]
            return np.concatenate(wide, axis=axis)

        return Modes(joined("input_modes", -1), joined("scores", -1), joined("output_modes", -2))


def truncated(weights: Array, modes: int) -> Modes:
    """The best approximation ``(N, N)`` by so many modes: singular vectors, scored by values."""
    left, values, right = np.linalg.svd(weights)
    return Modes(left[:, :modes].copy(), values[:modes].copy(), right[:modes].copy())


def _dense(weights: Array) -> DenseSynapse:
    return DenseSynapse(*weights.shape[-2:])


@dataclass(frozen=True)
class ModeSynapse(Synapse):
    """All-to-all connections within a population of N neurons by way of P modes.

    Weights are :class:`Modes`, or a matrix ``(N, N)``, such as one of feedback. Outer products are
    those of effective weights; estimates of the parameters are formed by the projections between
    neurons and relays.
    """

    neurons: int

    axes: ClassVar[tuple[str, ...]] = ("target", "source")

    @property
    def _full(self) -> DenseSynapse:
        return DenseSynapse(self.neurons, self.neurons)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._full.shape

    @property
    def factors(self) -> tuple[int, int]:
        return self._full.factors

    def drive(self, weights: Any, pre: Array) -> Array:
        if not isinstance(weights, Modes):
            return self._full.drive(weights, pre)
        _, scored = weights.seen(pre)
        return _dense(weights.input_modes).drive(weights.input_modes, scored)

    def feedback(self, weights: Any, post: Array) -> Array:
        if not isinstance(weights, Modes):
            return self._full.feedback(weights, post)
        _, scored = weights.returned(post)
        return _dense(weights.output_modes).feedback(weights.output_modes, scored)

    def transpose(self, weights: Any) -> Array:
        return self._full.transpose(weights.formed() if isinstance(weights, Modes) else weights)

    def untranspose(self, weights: Array) -> Array:
        return self._full.untranspose(weights)

    def outer(self, post: Array, pre: Array) -> Array:
        return self._full.outer(post, pre)

    def outer_cost(self, examples: int) -> tuple[int, int]:
        return self._full.outer_cost(examples)

    def pre_gram(self, pre: Array) -> Array:
        return self._full.pre_gram(pre)
