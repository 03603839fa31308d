"""Log-probability of actions that were taken, scaled by the reward that followed."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import InputError, number
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Array, Objective, real_targets, softmax


@dataclass(frozen=True)
class ScaledLogProbability(Objective):
    r"""Actions of a softmax policy made more probable by what followed (Williams 1992).

    The targets ``(B, 2)``, or ``(B, T, 2)`` of sequences, are the number of the action that was
    taken and the reward that came with it. The loss of a step is

    .. math:: F_t = -(R_t - b) \log \pi(a_t), \qquad R_t = \sum_{s \ge t} \gamma^{s - t} r_s.

    Averaged over actions drawn from the policy its gradient is that of minus the expected return,
    whatever the baseline b, which is to be as near to the return as can be known before the action.

    Parameters
    ----------
    discount
        Factor :math:`\gamma` of rewards that come a step later.
    baseline
        b, taken off every return.
    """

    discount: float = 1.0
    baseline: float = 0.0

    summary: ClassVar[str] = "log-probability of actions taken, scaled by the reward that followed"
    cites: ClassVar[str] = "Williams 1992"
    equation: ClassVar[str] = "F = -mean_b mean_t (R_bt - b) log softmax(a_bt)_(action)"

    def __post_init__(self) -> None:
        number("discount", self.discount, least=0, most=1)
        number("baseline", self.baseline)

    def losses(self, output: Array, targets: Array) -> Array:
        largest = output.max(axis=-1, keepdims=True)
        total = np.log(np.exp(output - largest).sum(axis=-1)) + largest[..., 0]
        actions, returns = targets[:, 0].astype(np.int64), targets[:, 1]
        chosen = output[..., np.arange(len(actions)), actions]
        return -(returns - self.baseline) * (chosen - total)

    def error(self, output: Array, targets: Array) -> Array:
        actions, returns = targets[:, 0].astype(np.int64), targets[:, 1]
        taken = np.arange(output.shape[-1]) == actions[:, None]
        return (returns - self.baseline)[:, None] * (softmax(output) - taken)

    def in_time(self, batch: Batch) -> Batch:
        """The batch with returns in place of rewards, where it has time."""
        if batch.targets.ndim != 3:
            return batch
        targets = batch.targets.copy()
        for step in range(targets.shape[1] - 2, -1, -1):
            targets[:, step, 1] += self.discount * targets[:, step + 1, 1]
        return Batch(batch.inputs, targets, batch.keys, batch.mask)

    def check(self, targets: Array, outputs: int) -> None:
        rows = targets.reshape(-1, targets.shape[-1]) if targets.ndim == 3 else targets
        real_targets(rows, "actions and rewards", 2)
        actions = rows[:, 0]
        if (actions != np.floor(actions)).any() or actions.min() < 0 or actions.max() >= outputs:
            raise InputError(
                f"targets: their first column is not an action from 0 to {outputs - 1}"
            )
