"""A readout that is a point of a map: its position is learned, and blurred while it is unsure."""

from dataclasses import dataclass

import numpy as np

from plausibench.kernels.errors import integer

Array = np.ndarray


@dataclass(frozen=True)
class PointReadout:
    """Masks of one bilinear sample each: what the weights of ``where`` are for given positions.

    A position is row and column in [-1, 1], from the middle of the first to the middle of the
    last row or column; outside of that it is clipped, and has no gradient. Drawn around what is
    learned with a standard deviation that falls in the course of training (sigma), positions
    find their way across flat parts of a map (the Gaussian readout of Lurz et al. 2021).

    Any rule that estimates the gradient of masks trains positions too: :meth:`pull` takes the
    estimate back to them.

    Parameters
    ----------
    rows, columns
        Of the map, at least 2 each.

    Raises
    ------
    InputError
        If there are fewer.
    """

    rows: int
    columns: int

    def __post_init__(self) -> None:
        integer("rows", self.rows, least=2)
        integer("columns", self.columns, least=2)

    def masks(self, positions: Array) -> Array:
        """Weights of the map's places ``(N, rows * columns)`` for positions ``(N, 2)``."""
        down, right = (self._hat(positions[:, axis], axis)[0] for axis in (0, 1))
        return (down[:, :, None] * right[:, None]).reshape(len(positions), -1)

    def pull(self, positions: Array, masks: Array) -> Array:
        """Gradient ``(N, 2)`` by positions from that by masks ``(N, rows * columns)``."""
        maps = masks.reshape(-1, self.rows, self.columns)
        found = np.empty(positions.shape, masks.dtype)
        hats = [self._hat(positions[:, axis], axis) for axis in (0, 1)]
        for axis in (0, 1):
            down, right = (hats[other][int(other == axis)] for other in (0, 1))
            found[:, axis] = np.einsum("nr,nrc,nc->n", down, maps, right)
        return found

    def nearest(self, places: Array) -> Array:
        """Positions ``(N, 2)`` of the flat places ``(N,)`` of a map."""
        ends = np.array([self.rows - 1, self.columns - 1])
        return np.stack(np.divmod(places, self.columns), axis=1) / ends * 2 - 1

    def drawn(self, positions: Array, sigma: float, draw: np.random.Generator) -> Array:
        """Positions around ``positions`` with the standard deviation ``sigma``; not clipped."""
        noise = draw.standard_normal(positions.shape, dtype=np.float32)
        return positions + np.asarray(sigma * noise, positions.dtype)

    def _hat(self, along: Array, axis: int) -> tuple[Array, Array]:
        """Weights ``(N, rows)`` of the rows or columns at ``along``, and their slopes."""
        length = (self.rows, self.columns)[axis]
        inside = np.abs(along) <= 1
        place = (np.clip(along, -1, 1) + 1) * ((length - 1) / 2)
        low = np.minimum(place.astype(np.int64), length - 2)
        weights, slopes = np.zeros((2, len(along), length), along.dtype)
        index, rest = np.arange(len(along)), place - low
        weights[index, low], weights[index, low + 1] = 1 - rest, rest
        slope = np.where(inside, (length - 1) / 2, 0)
        slopes[index, low], slopes[index, low + 1] = -slope, slope
        return weights, slopes
