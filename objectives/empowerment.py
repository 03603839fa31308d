"""Empowerment: how much an agent's actions can tell about what comes of them."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import Divergence, InputError, integer, positive
from plausibench.objectives.objective import Array, CoupledObjective, softmax

MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""Stay, and the four neighbours."""


@dataclass(frozen=True)
class Empowerment(CoupledObjective):
    """Minus the capacity of the channel from actions to outcomes (Klyubin et al. 2005).

    The examples of the batch are the actions, and the softmax of their outputs the probabilities
    of the outcomes. No targets are read.

    Parameters
    ----------
    tolerance
        Nats between the bounds of the capacity at which the algorithm ends.
    """

    tolerance: float = 1e-9

    summary: ClassVar[str] = "minus the capacity of the channel from actions to outcomes"
    cites: ClassVar[str] = "Klyubin, Polani & Nehaniv 2005; Blahut 1972; Arimoto 1972"
    equation: ClassVar[str] = "F = -max_p sum_b p_b sum_s P_bs log(P_bs / sum_c p_c P_cs)"
    reads_targets: ClassVar[bool] = False

    def __post_init__(self) -> None:
        positive("tolerance", self.tolerance)

    def loss(self, output: Array, targets: Array) -> Array:
        return -capacity(softmax(output), self.tolerance)[0].astype(output.dtype)

    def error(self, output: Array, targets: Array) -> Array:
        channel = softmax(output).astype(np.float64)
        weights = capacity(channel, self.tolerance)[1][..., None]
        # The best weights are stationary, so their own change does not count.
        surprise = _log(channel) - _log((weights * channel).sum(axis=-2, keepdims=True))
        told = (channel * surprise).sum(axis=-1, keepdims=True)
        found = -output.shape[-2] * weights * channel * (surprise - told)
        return found.astype(output.dtype, copy=False)

    def check(self, targets: Array, outputs: int) -> None:
        """Any targets fit."""


def capacity(channel: Array, tolerance: float = 1e-12, steps: int = 100_000) -> tuple[Array, Array]:
    """Capacity of channels in nats, and the input probabilities that reach it (Blahut 1972).

    Parameters
    ----------
    channel
        Probability of each output (columns) for each input (rows), ``(..., B, N)``.
    tolerance
        Distance between the bounds at which to end.
    steps
        Most iterations.

    Raises
    ------
    InputError
        If rows are not probabilities.
    Divergence
        If the bounds are still apart after the last step.
    """
    channel = np.asarray(channel, np.float64)
    if channel.ndim < 2 or (channel < 0).any() or np.abs(channel.sum(axis=-1) - 1).max() > 1e-5:
        raise InputError("channel: its rows are not probabilities")
    lead, size = channel.shape[:-2], channel.shape[-2]
    capacities, weights = np.empty(lead).reshape(-1), np.empty((*lead, size)).reshape(-1, size)
    left, channels = np.arange(len(weights)), channel.reshape(-1, *channel.shape[-2:])
    known = (channels * _log(channels)).sum(axis=-1)
    now = np.full(weights.shape, 1 / size)
    for _ in range(steps):
        reached = (now[:, None] @ channels)[:, 0]
        told = known - (channels @ _log(reached)[..., None])[..., 0]
        scaled = now * np.exp(told)
        total = scaled.sum(axis=-1)
        done = told.max(axis=-1) - np.log(total) <= tolerance
        if done.any():  # each channel ends by itself, whatever it is computed with
            capacities[left[done]], weights[left[done]] = np.log(total[done]), now[done]
            left, channels, known = left[~done], channels[~done], known[~done]
            scaled, total = scaled[~done], total[~done]
            if not left.size:
                return capacities.reshape(lead), weights.reshape(*lead, size)
        now = scaled / total[:, None]
    raise Divergence(f"empowerment: no capacity to {tolerance:g} after {steps} steps")


def _log(chance: Array) -> Array:
    """Logarithm of probabilities, and 0 for those that are 0, which count for nothing."""
    return np.log(np.where(chance > 0, chance, 1))


def grid(rows: int, columns: int, row: int, column: int, steps: int = 1) -> Array:
    """Channel from sequences of moves to the cell they lead to, in a grid with walls round it.

    Parameters
    ----------
    rows, columns
        Size of the grid.
    row, column
        Where the agent is, counted from 0.
    steps
        Moves in a sequence, each to stay or to go to one of four neighbours; what would lead
        into the wall leads nowhere.

    Returns
    -------
    ndarray
        ``(5^steps, rows * columns)`` zeros and ones.
    """
    integer("row", row, least=0, most=rows - 1)
    integer("column", column, least=0, most=columns - 1)
    sequences = list(product(MOVES, repeat=integer("steps", steps, least=1)))
    channel = np.zeros((len(sequences), rows * columns))
    for number, moves in enumerate(sequences):
        y, x = row, column
        for down, right in moves:
            y, x = min(max(y + down, 0), rows - 1), min(max(x + right, 0), columns - 1)
        channel[number, y * columns + x] = 1
    return channel
