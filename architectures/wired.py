"""Networks in which activity also arrives without synapses."""

from dataclasses import dataclass

from plausibench.architectures.network import Network
from plausibench.architectures.pooling import Wire


@dataclass(frozen=True, eq=False, repr=False)
class WiredNetwork(Network):
    """A feed-forward network with wires besides its projections.

    Parameters
    ----------
    wiring
        The wires, of any order; see :class:`~plausibench.architectures.pooling.Wire`.
    """

    wiring: tuple[Wire, ...]

    @property
    def wires(self) -> tuple[Wire, ...]:
        return self.wiring
