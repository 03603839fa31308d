"""Settling of a network whose projections conduct in both directions."""

from collections.abc import Mapping

import numpy as np

from plausibench.architectures.chain import (
    by_layer,
    is_plain,
    layout,
    receivers,
    senders,
    side_by_side,
)
from plausibench.architectures.network import CONSTANT, INPUT, Activity, Network, Population
from plausibench.architectures.sweeps import DIFFERENCE, NOTHING, REWARD, SOFTMAX, sweep
from plausibench.kernels.errors import Divergence
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.expected_reward import ExpectedReward
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.objectives.objective import Objective, one_hot

Array = np.ndarray

HELP = "weaker feedback, smaller weights or a bounded activation help"
NUDGES: tuple[tuple[Objective, int], ...] = (
    (MeanSquaredError(), DIFFERENCE),
    (CrossEntropy(), SOFTMAX),
    (ExpectedReward(), REWARD),
)
"""Objectives, with these options, whose nudge compiled sweeps know."""
ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Change of an activity in a sweep, relative to the largest one, that rounding alone can make."""


def settle(
    network: Network,
    start: Activity,
    *,
    feedback: float = 1.0,
    parameters: Mapping[str, Array] | None = None,
    current: Mapping[str, Array] | None = None,
    clamp: Array | None = None,
    nudge: Objective | None = None,
    targets: Array | None = None,
    nudging: float = 0.0,
    tolerance: float | Array,
    steps: int,
) -> Activity:
    r"""Update populations in turn, upwards, until no activity changes any more.

    Each takes the activity :math:`f_l(W_l a_{l-1} + \gamma W_{l+1}^T a_{l+1} + b_l)` that its
    neighbours ask for. With :math:`\gamma = 1` this descends the energy

    .. math:: \sum_l \sum_i \int^{a_{li}} f_l^{-1} - \sum_l a_l^T (W_l a_{l-1} + b_l)

    of Hopfield (1984), population by population, without any step size; so it comes to rest
    wherever the activation is bounded.

    Parameters
    ----------
    network
        Populations, and the parameters used unless others are given.
    start
        Activities to start from, float64.
    feedback
        The factor gamma.
    parameters
        Parameters in place of the network's own, each ``(*shape)`` or ``(S, *shape)``.
    current
        Constant current per population, added to its drive.
    clamp
        Activity that the output keeps.
    nudge, targets, nudging
        The output also receives the current ``-nudging`` times the derivative of this objective
        with these targets.
    tolerance
        An example is at rest when no activity of its own changes by more than this in a sweep,
        relative to its largest activity where that is above 1. One number, or one for each
        example ``(B,)``; 0 settles as far as rounding allows, and so does anything below
        ``ROUNDING``.
    steps
        Largest number of sweeps.

    Returns
    -------
    Activity
        Drive and activity at rest; the drive includes all that a population receives.

    Raises
    ------
    Divergence
        If activity overflows, or is not at rest after ``steps`` sweeps.
    """
    weights = {**network.parameters, **(parameters or {})}
    top, free = network.output.name, network.populations
    activity = dict(start.activity)
    drive = dict(start.drive)
    if clamp is not None:
        activity[top], free = clamp, network.hidden
    # Inputs and biases do not change while the network settles.
    outside = {
        population.name: sum(
            (
                p.synapse.drive(weights[p.name], activity[p.source])
                for p in network.incoming[population.name]
                if p.source in (INPUT, CONSTANT)
            ),
            start=(current or {}).get(population.name, np.zeros(population.size)),
        )
        for population in network.populations
    }
    limits = np.maximum(tolerance, ROUNDING)
    rest = (weights, outside, feedback, nudge, targets, nudging, limits, steps)
    known = _kind(nudge) is not None and is_plain(network)
    find = _compiled if known else _population_by_population
    moved = find(network, free, drive, activity, *rest)
    if not np.isfinite(moved):
        raise Divergence(f"{network.architecture}: activity grows without end; {HELP}")
    if moved > 0:
        raise Divergence(
            f"{network.architecture}: activity still moved by {moved:.1e} after {steps} sweeps; "
            f"{HELP}"
        )
    return Activity(drive, activity, activity[top])


def _kind(nudge: Objective | None) -> int | None:
    """Name of a nudge in compiled sweeps; None if they do not know it."""
    if nudge is None:
        return NOTHING
    return next((kind for objective, kind in NUDGES if objective == nudge), None)


def _compiled(
    network: Network,
    free: tuple[Population, ...],
    drive: dict[str, Array],
    activity: dict[str, Array],
    weights: Mapping[str, Array],
    outside: Mapping[str, Array],
    feedback: float,
    nudge: Objective | None,
    targets: Array | None,
    nudging: float,
    tolerance: Array,
    steps: int,
) -> float:
    """As :func:`_population_by_population`, for layers that are wholly connected to the next."""
    names, sizes, codes = layout(network)
    between = [weights[p.name] for p in network.returning]
    stacked = [array for array in between if array.ndim == 3]
    shape = np.broadcast_shapes(
        *(array.shape[:-1] for array in outside.values()),
        *(activity[name].shape[:-1] for name in names),
        *((len(array), 1) for array in stacked),
    )
    constant, z, a = (side_by_side(arrays, names, shape) for arrays in (outside, drive, activity))
    kind, wanted = _kind(nudge), np.empty((*shape, 0))
    assert kind is not None, "known to compiled sweeps"
    if targets is not None:
        goals = one_hot(targets, sizes[-1], constant.dtype)
        wanted = np.ascontiguousarray(np.broadcast_to(goals, (*shape, sizes[-1])))
    limits = np.broadcast_to(tolerance, shape)
    # Samples with weights of their own one by one; else all rows alike.
    for sample in range(len(stacked[0])) if stacked else (...,):
        own = [array[sample] if array.ndim == 3 else array for array in between]
        part = constant[sample].reshape(-1, constant.shape[-1])
        moved = sweep(
            sizes,
            codes,
            senders(own),
            receivers(own, feedback),
            part,
            len(free),
            kind,
            nudging,
            wanted[sample].reshape(len(part), wanted.shape[-1]),
            np.ascontiguousarray(limits[sample]).ravel(),
            steps,
            z[sample].reshape(part.shape),
            a[sample].reshape(part.shape),
        )
        if moved > 0:
            return float(moved)
    drive.update(by_layer(z, names, sizes))
    activity.update(by_layer(a, names, sizes))
    return 0.0


def _population_by_population(
    network: Network,
    free: tuple[Population, ...],
    drive: dict[str, Array],
    activity: dict[str, Array],
    weights: Mapping[str, Array],
    outside: Mapping[str, Array],
    feedback: float,
    nudge: Objective | None,
    targets: Array | None,
    nudging: float,
    tolerance: Array,
    steps: int,
) -> float:
    """Update ``drive`` and ``activity``; 0 at rest, else the last change."""
    top = network.output.name
    # Stronger nudging would overshoot; this is exact for the squared error of a linear output.
    share = 1 / (1 + max(nudging, 0.0))
    moved = np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            # Of each example: none is at rest because another one is larger.
            changes, sizes = np.zeros(1), np.ones(1)
            for population in free:
                name = population.name
                total = outside[name]
                for p in network.incoming[name]:
                    if p.source in drive:
                        total = total + p.synapse.drive(weights[p.name], activity[p.source])
                for p in network.outgoing[name]:
                    returned = p.synapse.feedback(weights[p.name], activity[p.target])
                    total = total + feedback * returned
                if name == top and nudge is not None and targets is not None:
                    total = total - nudging * nudge.error(activity[name], targets)
                    asked = population.neurons.activate(total)
                    new = activity[name] + share * (asked - activity[name])
                else:
                    new = population.neurons.activate(total)
                changes = np.maximum(changes, np.abs(new - activity[name]).max(axis=-1))
                sizes = np.maximum(sizes, np.abs(new).max(axis=-1))
                drive[name], activity[name] = total, new
            moved = float(changes.max())
            if not np.isfinite(moved):
                return np.inf
            if (changes <= tolerance * sizes).all():
                return 0.0
    return moved
