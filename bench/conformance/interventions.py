"""Networks in which a weight is another one in some of its uses, and its own in the others."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.synapses import Synapse

Array = np.ndarray


def read_elsewhere(network: Network, name: str, shift: Array) -> Network:
    """Change a parameter in all that reads it, but not where activity flows forward."""
    moved = {**network.parameters, name: network.parameters[name] + shift}
    projections = tuple(
        replace(p, synapse=_watched(p.synapse, moved[name], forward=network.parameters[name]))
        if p.name == name
        else p
        for p in network.projections
    )
    return held(replace(network, projections=projections), moved, {name: shift}, [])


def used_backwards(network: Network, name: str, shift: Array) -> Network:
    """Change a parameter only where its synapse uses it against its direction."""
    own = network.parameters[name]
    projections = tuple(
        replace(p, synapse=_watched(p.synapse, own, backward=own + shift)) if p.name == name else p
        for p in network.projections
    )
    return replace(network, projections=projections)


def _watched(
    synapse: Synapse, own: Array, forward: Array | None = None, backward: Array | None = None
) -> Synapse:
    """A synapse that takes other weights in place of its own, forward or backward.

    Whether it is asked for its own weights is seen by their memory: feedback weights and noise
    are other arrays.
    """
    kind: Any = type(synapse)

    def instead(weights: Array, other: Array | None) -> Array:
        return other if other is not None and np.shares_memory(weights, own) else weights

    # A class that is known only here, of whatever kind the synapse is.
    class Watched(kind):  # type: ignore[misc]
        def drive(self, weights: Array, pre: Array) -> Array:
            return kind.drive(self, instead(weights, forward), pre)

        def feedback(self, weights: Array, post: Array) -> Array:
            return kind.feedback(self, instead(weights, backward), post)

        def transpose(self, weights: Array) -> Array:
            return kind.transpose(self, instead(weights, backward))

    return Watched(**{f.name: getattr(synapse, f.name) for f in fields(kind)})


def held(
    network: Network, parameters: dict[str, Array], shift: Mapping[str, Array], calls: list[str]
) -> Network:
    """A network with shifted parameters whose passes take the shift back, and are counted."""
    kind: Any = type(network)

    # As above, of whatever kind the network is.
    @dataclass(frozen=True)
    class Held(kind):  # type: ignore[misc]
        shift: dict[str, Array] = field(default_factory=dict, repr=False)

        def forward(
            self, inputs: Array, *, parameters: Mapping[str, Array] | None = None, **rest: Any
        ) -> Activity:
            calls.append("forward")
            own = {name: getattr(self, name) for name in (f.name for f in fields(kind))}
            plain = kind(**{**own, "parameters": self.unshifted(self.parameters)})
            given = None if parameters is None else self.unshifted(parameters)
            return plain.forward(inputs, parameters=given, **rest)

        def unshifted(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
            return {
                name: a - self.shift[name] if name in self.shift else a
                for name, a in arrays.items()
            }

    own = {f.name: getattr(network, f.name) for f in fields(kind)}
    return Held(**{**own, "parameters": parameters, "shift": dict(shift)})
